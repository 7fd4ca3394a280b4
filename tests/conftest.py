"""What all tests share.

One mirror of /proc for the whole run, and a line about what was compared with the kernel.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterator

import pytest

from tests.mounting import Mount, mounted
from tests.programs import ran

COMPARED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def mirror() -> Iterator[Mount]:
    """A mirror of /proc with the default options, in a daemon of its own."""
    with mounted() as mount:
        yield mount


@pytest.fixture(scope="session")
def wes() -> Iterator[int]:
    """The number of an ordinary user, who is added if this machine does not know him."""
    known = any(user.pw_name == "wes" for user in pwd.getpwall())
    if not known:
        assert ran("useradd", "--create-home", "--shell", "/bin/sh", "wes").code == 0
    yield pwd.getpwnam("wes").pw_uid
    if not known:
        ran("userdel", "--remove", "wes")


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the run."""
    return pytestconfig.stash.setdefault(COMPARED, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how much was compared with the kernel."""
    for line in config.stash.get(COMPARED, []):
        terminalreporter.write_line(line)
