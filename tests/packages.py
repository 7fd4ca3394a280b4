"""The packages in full, for `make package-test`.

No part of the suite, because it takes minutes and installs on this machine.

What `make dist` and `make deb` have left in dist/ is installed by pip, with an index, and by
apt-get.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import answer
from tests.harness import ROOT
from tests.installed import PIP, answers_as_here, dead_links, done, mounts
from tests.programs import ran

(WHEEL,) = ROOT.glob("dist/*.whl")
(SDIST,) = ROOT.glob("dist/*.tar.gz")
(DEB,) = ROOT.glob("dist/*.deb")
MINUTES = 600.0


@pytest.mark.parametrize("archive", [WHEEL, SDIST], ids=["wheel", "sdist"])
def test_pip_installs_it_with_all_it_needs(archive: Path, tmp_path: Path, wes: int) -> None:
    done(sys.executable, "-m", "venv", tmp_path / "environment")
    bin_folder = tmp_path / "environment/bin"
    done(*PIP, "--python", bin_folder / "python", "install", f"{archive}[mount]", deadline=MINUTES)
    done(*PIP, "--python", bin_folder / "python", "check")
    answers_as_here(bin_folder / "procmirror")
    mounts(wes, bin_folder / "procmirror", "{}")


def test_without_the_mount_pip_compiles_nothing(tmp_path: Path) -> None:
    done(sys.executable, "-m", "venv", tmp_path / "environment")
    bin_folder = tmp_path / "environment/bin"
    wheels_only = ("install", "--only-binary=:all:", WHEEL)
    done(*PIP, "--python", bin_folder / "python", *wheels_only, deadline=MINUTES)
    answers_as_here(bin_folder / "procmirror")


def traces() -> set[str]:
    """Where this machine has something of our name but for dpkg's records, caches and /usr/local."""
    unlike = ("-path", "/var/lib/dpkg", "-o", "-path", "/var/cache", "-o", "-path", "/usr/local")
    found = done(
        "find",
        "/etc",
        "/lib/systemd",
        "/opt",
        "/usr",
        "/var",
        "-xdev",
        "(",
        *unlike,
        ")",
        "-prune",
        "-o",
        "-print",
    )
    return {line for line in found.splitlines() if "procmirror" in line}


@pytest.fixture(scope="module")
def installed() -> Iterator[None]:
    """The Debian package, for as long as it is looked at.

    Removed, it leaves only Debian's note on its unit.
    """
    assert ran("dpkg-query", "--status", "procmirror").code, (
        "procmirror is installed already; this test would remove it"
    )
    before = traces()
    apt = (
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "--quiet",
        "--yes",
        "--no-install-recommends",
    )
    done(*apt, "install", DEB, deadline=MINUTES)
    try:
        yield
    finally:
        done(*apt, "remove", "procmirror", deadline=MINUTES)
        removed = traces() - before
        done(*apt, "purge", "procmirror", deadline=MINUTES)
    assert removed <= {"/var/lib/systemd/deb-systemd-helper-enabled/procmirror.service.dsh-also"}
    assert traces() == before


@pytest.mark.usefixtures("installed")
def test_the_debian_command_is_that_of_the_checkout(tmp_path: Path) -> None:
    answers_as_here("/usr/bin/procmirror")
    # Python's variables lead nobody's modules into it, not even before those of Python's own
    # library.
    (tmp_path / "argparse.py").write_text("raise SystemExit(9)")
    assert done(
        "env", f"PYTHONPATH={tmp_path}", "/usr/bin/procmirror", "--version"
    ).encode() == answer("--version")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "command",
    [("/usr/bin/procmirror", "{}"), ("mount", "-t", "fuse.procmirror", "/proc", "{}")],
    ids=["itself", "mount(8)"],
)
def test_the_debian_command_mounts(command: tuple[str, ...], wes: int) -> None:
    mounts(wes, *command)


@pytest.mark.usefixtures("installed")
def test_what_comes_along_is_where_debian_looks_for_it() -> None:
    listed = set(done("dpkg", "--listfiles", "procmirror").splitlines())
    assert listed >= {
        "/lib/systemd/system/procmirror.service",
        "/usr/share/bash-completion/completions/procmirror",
        "/usr/share/fish/vendor_completions.d/procmirror.fish",
        "/usr/share/man/man8/procmirror.8.gz",
        "/usr/share/zsh/vendor-completions/_procmirror",
        *(
            f"/usr/share/doc/procmirror/{name}"
            for name in ("changelog.Debian.gz", "changelog.gz", "copyright", "examples/fstab")
        ),
    }
    assert "PROCMIRROR(8)" in done("env", "LC_ALL=C.UTF-8", "man", "procmirror")
    assert done("dpkg", "--verify", "procmirror") == ""
    # Enabled it would stand in a folder of wants.
    assert not done("find", "/etc/systemd", "-name", "procmirror.service")


def test_the_documents_of_the_debian_package_lead_to_what_is_in_it(tmp_path: Path) -> None:
    done("dpkg-deb", "--extract", DEB, tmp_path)
    below = tmp_path / "usr"
    held = {str(one.relative_to(below)): one for one in below.rglob("*") if one.is_file()}
    texts = {name: one.read_text("utf-8") for name, one in held.items() if name.endswith(".md")}
    assert len(texts) > 10 and dead_links(texts, set(held)) == set()


def test_debians_own_judge_has_no_complaint() -> None:
    assert done("lintian", "--allow-root", "--fail-on=error,warning", DEB) == ""


def test_it_is_made_the_same_again_elsewhere(tmp_path: Path) -> None:
    done("tar", "-xzf", SDIST, "-C", tmp_path)
    (source,) = tmp_path.iterdir()
    command = ["sh", "-c", 'umask 027 && exec make deb VENV="$1"', "sh", sys.prefix]
    with (tmp_path / "log").open("wb") as log:
        made = subprocess.run(
            command, cwd=source, stdout=log, stderr=log, timeout=MINUTES, check=False
        )
    assert made.returncode == 0, (tmp_path / "log").read_text(errors="replace")
    for file in (WHEEL, SDIST, DEB):
        assert (source / "dist" / file.name).read_bytes() == file.read_bytes(), file.name
