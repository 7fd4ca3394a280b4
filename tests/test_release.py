"""A release: one version everywhere, and what may change in the next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procmirror import __version__
from procmirror.cli.options import HOMEPAGE
from tests.harness import ROOT
from tests.programs import Ran, ran

# What says which version it is, and how it may be wrong.
SAYS = {
    "CHANGELOG.md": (rf"## \[{re.escape(__version__)}\]", "## [0.0.9]"),
    "debian/changelog": (re.escape(f"({__version__}-"), "(0.0.9-"),
    "examples/rpm/procmirror.spec": (rf"Version: +{re.escape(__version__)}", "Version: 0.0.9"),
    "examples/containers/daemonset.yaml": (
        f"procmirror:{re.escape(__version__)}",
        "procmirror:0.0.9",
    ),
}


# What names the homepage of pyproject.toml.
NAMES = (
    "debian/control",
    "debian/copyright",
    "examples/containers/Containerfile",
    "examples/rpm/procmirror.spec",
    "examples/systemd/mnt-proc.mount",
    "examples/systemd/procmirror.service",
    "procmirror/cli/options.py",
)
_SCRIPTS = (".ci/release", ".ci/addresses")


def _copied(folder: Path) -> Path:
    """The files that say a version or an address, and what compares them."""
    for name in (*SAYS, *NAMES, *_SCRIPTS, "procmirror/__init__.py", "pyproject.toml"):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    return folder / ".ci/release"


def test_the_version_is_the_same_everywhere() -> None:
    assert ran("sh", ROOT / ".ci/release", "--versions") == Ran(0, f"{__version__}\n", "")


@pytest.mark.parametrize("name", SAYS)
def test_another_version_somewhere_is_told(name: str, tmp_path: Path) -> None:
    script = _copied(tmp_path)
    pattern, other = SAYS[name]
    text, count = re.subn(pattern, other, (tmp_path / name).read_text(encoding="utf-8"), count=1)
    assert count == 1
    (tmp_path / name).write_text(text, encoding="utf-8")
    done = ran("sh", script, "--versions")
    assert done.code == 1 and done.err.startswith(f"the version is {__version__}, but {name}")
    assert "0.0.9" in done.err


@pytest.mark.parametrize("name", NAMES)
def test_another_address_somewhere_is_told(name: str, tmp_path: Path) -> None:
    script = _copied(tmp_path)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.count(HOMEPAGE) == 1
    (tmp_path / name).write_text(text.replace(HOMEPAGE, f"{HOMEPAGE}x/"), encoding="utf-8")
    done = ran("sh", script, "--versions")
    assert done.code == 1 and done.err.startswith(f"{name}: another address than {HOMEPAGE}, ")


def test_an_address_is_changed_in_one_place(tmp_path: Path) -> None:
    script = _copied(tmp_path)
    settings, other = tmp_path / "pyproject.toml", "https://other.example/procmirror?a=1"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace(f'Homepage = "{HOMEPAGE}"', f'Homepage = "{other}"'))
    assert ran("sh", tmp_path / ".ci/addresses") == Ran(0, "", "")
    for name in NAMES:
        kept = (ROOT / name).read_text(encoding="utf-8").replace(HOMEPAGE, other)
        assert (tmp_path / name).read_text(encoding="utf-8") == kept
    assert ran("sh", script, "--versions") == Ran(0, f"{__version__}\n", "")


def test_who_no_longer_names_the_address_is_told(tmp_path: Path) -> None:
    script = _copied(tmp_path)
    control = (tmp_path / "debian/control").read_text(encoding="utf-8")
    (tmp_path / "debian/control").write_text(control.replace("Homepage: ", "X-Page: "))
    done = ran("sh", script, "--versions")
    assert (done.code, done.err) == (1, "debian/control: no line that names the homepage\n")


def test_the_policy_names_what_users_rest_on() -> None:
    policy = (ROOT / "docs/RELEASES.md").read_text(encoding="utf-8")
    for word in ("keys", "options", "exit", "procmirror.__all__", "`.txt`", "Python"):
        assert word in policy
