"""System packages: one table of their names for each package manager, and what is said where one is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.programs import ran

PACKAGES = ROOT / ".ci/packages"
TABLE = ROOT / ".ci/packages.table"
MANAGERS = ("dnf", "pacman", "zypper", "apk")
# A manager that does nothing but write what it is told; nothing is installed.
_FAKE = '#!/bin/sh\necho "$(basename "$0") $*" >> "{log}"\ncase "$1" in -q | -Q | info) exit 1 ;; esac\n'


def _rows() -> dict[str, list[str]]:
    lines = TABLE.read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {row[0]: row[1:] for row in rows}


def _wanted(variable: str) -> list[str]:
    """What the Makefile needs, by Debian's names."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    found = re.search(rf"^{variable} = (.*)$", text, re.MULTILINE)
    assert found
    return (
        found[1]
        .replace("$(SYSTEM)", " ".join(_wanted("SYSTEM")) if "$(" in found[1] else "")
        .split()
    )


def test_every_package_that_make_needs_is_a_row_with_a_name_for_each_manager() -> None:
    rows = _rows()
    for variable in ("SYSTEM", "TEST_SYSTEM", "DEB_SYSTEM"):
        assert set(_wanted(variable)) <= set(rows)
    assert {len(row) for row in rows.values()} == {len(MANAGERS)}
    # A mount has a name for everything everywhere.
    assert not [name for name in _wanted("SYSTEM") if "?" in rows[name]]


@pytest.mark.parametrize("manager", MANAGERS)
def test_names_are_those_of_the_table(manager: str) -> None:
    done = ran("sh", PACKAGES, "--names", manager, *_wanted("SYSTEM"))
    assert (done.code, done.err) == (0, "")
    assert "gcc" in done.out.split() and not {"-", "?"} & set(done.out.split())
    unknown = ran("sh", PACKAGES, "--names", manager, "lintian", "jq")
    assert (unknown.out, unknown.err) == ("jq\n", "lintian\n")


@pytest.mark.root
@pytest.mark.parametrize("manager", [*MANAGERS, ""])
def test_root_installs_with_the_manager_that_there_is(manager: str, tmp_path: Path) -> None:
    for name in ("awk", "basename", "dirname", "id", "mktemp", "rm", "sort", "tr", "sh"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    log = tmp_path / "log"
    for name in {manager, "rpm"} if manager else ():
        (tmp_path / name).write_text(_FAKE.format(log=log))
        (tmp_path / name).chmod(0o755)
    done = ran("/bin/sh", PACKAGES, "fuse3", "lintian", env={"PATH": str(tmp_path)})
    assert done.code == 0
    if manager:
        assert done.err == f"no package of {manager} is known for: lintian ; what needs it fails\n"
        assert re.search(rf"^{manager} .*\bfuse3$", log.read_text(), re.MULTILINE)
    else:
        assert (
            done.err.startswith("no package manager is known here") and "fuse3 lintian" in done.err
        )
