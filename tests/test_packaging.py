"""The sdist, the wheel and the Debian package.

What is in them, that they are always the same, and that they work elsewhere.

What takes minutes is in packages.py (`make package-test`): pip with an index, the Debian package
built, installed and removed.
"""

from __future__ import annotations

import os
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from procmirror import __version__
from procmirror.cli.options import DOCUMENTATION, HOMEPAGE
from tests.harness import ROOT
from tests.installed import (
    PIP,
    answers_as_here,
    clean_environment,
    dead_links,
    done,
    mounts,
    needed,
    requirements,
)
from tests.programs import ran, shell

# Where a wheel puts what is no Python, and which file of the checkout it is.
SHARED = {
    "share/man/man8/procmirror.8": "docs/procmirror.8",
    "share/bash-completion/completions/procmirror": "completions/procmirror.bash",
    "share/zsh/site-functions/_procmirror": "completions/_procmirror",
    "share/fish/vendor_completions.d/procmirror.fish": "completions/procmirror.fish",
}


def built(source: Path, out: Path, umask: str) -> dict[str, Path]:
    """What `make dist` makes of a source, as of one moment."""
    script = 'cd "$1" && umask "$2" && SOURCE_DATE_EPOCH=1700000000 exec "$3" -m build --no-isolation --outdir "$4"'
    answered = shell(script, source, umask, sys.executable, out, deadline=120)
    assert answered.code == 0, answered.err
    return {"wheel" if file.suffix == ".whl" else "sdist": file for file in out.iterdir()}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist and the wheel of the checkout."""
    return built(ROOT, tmp_path_factory.mktemp("dist"), "022")


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def bin_folder(
    archives: dict[str, Path],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Where the commands are of a clean environment made of an archive.

    That of the wheel has the versions that the tests have. For the sdist pip takes what it needs,
    to build it too, from the wheels of the lowest versions allowed, which `make test` has put
    beside the tests' environment.
    """
    folder = tmp_path_factory.mktemp(request.param) / "environment"
    if request.param == "wheel":
        return clean_environment(folder, archives["wheel"], "mount")
    done(sys.executable, "-m", "venv", "--without-pip", folder)
    offered = (
        "--no-index",
        "--find-links",
        Path(sys.prefix) / "lowest",
        "--constraint",
        Path(sys.prefix) / "lowest.txt",
    )
    done(
        *PIP, "--python", folder / "bin/python", "install", *offered, f"{archives['sdist']}[mount]"
    )
    return folder / "bin"


def test_the_same_source_gives_the_same_bytes_anywhere(
    archives: dict[str, Path], tmp_path: Path
) -> None:
    done("tar", "-xzf", archives["sdist"], "-C", tmp_path)
    (source,) = tmp_path.iterdir()
    for file in source.rglob("*"):
        if not file.is_symlink():
            file.chmod(file.stat().st_mode & 0o700)
            os.utime(file, (1, 1))
    again = built(source, tmp_path / "again", "077")
    assert {kind: file.name for kind, file in again.items()} == {
        kind: file.name for kind, file in archives.items()
    }
    for kind, file in archives.items():
        assert again[kind].read_bytes() == file.read_bytes(), kind


@pytest.mark.skipif(
    not (ROOT / ".git").exists(),
    reason="unpacked from an sdist: there is nothing to compare it with",
)
def test_the_sdist_holds_whatever_is_kept(archives: dict[str, Path]) -> None:
    kept = set(shell('cd "$1" && git ls-files -z', ROOT).out.split("\0")) - {""}
    with tarfile.open(archives["sdist"]) as archive:
        names = {member.name.partition("/")[2] for member in archive if not member.isdir()}
        # pip refuses to unpack such.
        assert not [member.name for member in archive if member.linkname.startswith("/")]
    assert {name for name in kept if (ROOT / name).is_symlink() or (ROOT / name).exists()} <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_its_metadata_name_where_it_is_from(archives: dict[str, Path]) -> None:
    with zipfile.ZipFile(archives["wheel"]) as wheel:
        metadata = wheel.read(f"procmirror-{__version__}.dist-info/METADATA").decode()
    urls = dict(re.findall(r"^Project-URL: (.*), (https://.*)$", metadata, re.MULTILINE))
    assert urls.keys() == {"Homepage", "Documentation", "Release history"}
    assert urls["Homepage"] == HOMEPAGE


def test_the_wheel_holds_what_its_documents_name(archives: dict[str, Path]) -> None:
    """The place is that of the packages: `--help` names one for all."""
    above = f"procmirror-{__version__}.data/data/"
    with zipfile.ZipFile(archives["wheel"]) as wheel:
        held = {name.removeprefix(above) for name in wheel.namelist() if name.startswith(above)}
        texts = {
            name: wheel.read(f"{above}{name}").decode() for name in held if name.endswith(".md")
        }
    places = [place for place, _ in DOCUMENTATION if place.startswith("share/")]
    assert places and set(places) <= held
    assert dead_links(texts, held) == set()


def test_an_index_would_take_them(archives: dict[str, Path]) -> None:
    said = done(
        sys.executable, "-m", "twine", "--no-color", "check", "--strict", *archives.values()
    )
    assert said.count("PASSED") == 2


def test_the_installed_command_is_that_of_the_checkout(bin_folder: Path) -> None:
    place = done(bin_folder / "python", "-I", "-c", "import procmirror; print(procmirror.__file__)")
    assert Path(place).is_relative_to(bin_folder.parent)
    answers_as_here(bin_folder / "procmirror")


def test_the_installed_command_mounts(bin_folder: Path, wes: int) -> None:
    mounts(wes, bin_folder / "procmirror", "{}")


_EXTRA = "procmirror: mounting needs pyfuse3; install it: pip install 'procmirror[mount]'\n"


@pytest.fixture(scope="module")
def without_fuse(archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for the wheel without the extra, in whose environment nothing needs a compiler."""
    folder = tmp_path_factory.mktemp("plain") / "environment"
    bin_folder = clean_environment(folder, archives["wheel"], "")
    assert not list(folder.glob("lib/*/site-packages/*fuse3*"))
    assert not list(folder.glob("lib/*/site-packages/trio*"))
    return bin_folder


def test_without_the_extra_all_but_the_mount_works(without_fuse: Path) -> None:
    answers_as_here(without_fuse / "procmirror")
    decoded = shell('"$1" --decode loadavg < /proc/loadavg', without_fuse / "procmirror")
    assert (decoded.code, decoded.err) == (0, "") and "load1" in decoded.out
    program = "import os, procmirror as p; print(p.read('self/status').Pid == os.getpid())"
    assert done(without_fuse / "python", "-I", "-c", program) == "True\n"


def test_without_the_extra_a_mount_says_in_one_line_how_to_get_it(
    without_fuse: Path, tmp_path: Path
) -> None:
    said = ran(without_fuse / "procmirror", tmp_path)
    assert (said.code, said.out, said.err) == (1, "", _EXTRA)


@pytest.mark.root
def test_without_the_extra_that_is_said_before_what_the_machine_lacks(
    without_fuse: Path, tmp_path: Path
) -> None:
    script = 'mount -t tmpfs none /dev && exec "$0" "$1"'
    words = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
    said = ran(*words, without_fuse / "procmirror", tmp_path)
    assert (said.code, said.out, said.err) == (1, "", _EXTRA)


def test_the_manual_and_the_completions_come_along(bin_folder: Path) -> None:
    for installed, kept in SHARED.items():
        assert (bin_folder.parent / installed).read_bytes() == (ROOT / kept).read_bytes()
    page = done("man", "-M", bin_folder.parent / "share/man", "--where", "8", "procmirror").strip()
    assert Path(page) == bin_folder.parent / "share/man/man8/procmirror.8"


def test_its_types_are_known_to_who_imports_it(bin_folder: Path, tmp_path: Path) -> None:
    program = "import procmirror; reveal_type(procmirror.__version__)"
    checker = (
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        tmp_path,
        "--python-executable",
        bin_folder / "python",
    )
    assert re.search(r'Revealed type is "(builtins\.)?str"', done(*checker, "-c", program))


def test_the_debian_package_is_of_this_version() -> None:
    first = (ROOT / "debian/changelog").read_text(encoding="utf-8").partition("\n")[0]
    assert re.fullmatch(
        rf"procmirror \({re.escape(__version__)}-[1-9][0-9]*\) \w+; urgency=\w+", first
    )


def test_the_debian_package_changes_no_settings_of_others() -> None:
    """Debian's policy, 10.7.4: a conffile of another package is not a script's to change."""
    scripts = [
        path
        for name in ("preinst", "postinst", "prerm", "postrm", "config")
        for path in (ROOT / "debian").glob(f"*{name}")
    ]
    assert not [path.name for path in scripts if "/etc/" in path.read_text(encoding="utf-8")]
    told = (ROOT / "debian/plocate-updatedb.service.d/procmirror.conf").read_text(encoding="utf-8")
    *_, empty, start = [line for line in told.splitlines() if line.startswith("ExecStart=")]
    assert empty == "ExecStart=" and start.endswith(" --add-prunefs fuse.procmirror")
    installed = (ROOT / "debian/procmirror.install").read_text(encoding="utf-8")
    assert "debian/plocate-updatedb.service.d/procmirror.conf lib/systemd/system/" in installed


def test_the_debian_package_holds_what_is_needed_and_allowed(archives: dict[str, Path]) -> None:
    held = (ROOT / "debian/private.txt").read_text(encoding="utf-8").partition("# What builds")[0]
    pins = dict(line.split("==") for line in held.splitlines() if not line.startswith("#"))
    packages = needed(archives["wheel"], "mount")
    assert set(pins) == set(packages)
    bounds = [
        *requirements(archives["wheel"], "mount"),
        *(one for package in packages.values() for one in requirements(package)),
    ]
    assert len(bounds) >= len(pins)
    assert [
        f"{one} excludes {version}"
        for one in bounds
        if not one.specifier.contains(version := pins[canonicalize_name(one.name)])
    ] == []
