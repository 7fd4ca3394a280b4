"""What all tests share.

The run is in a mount namespace of its own. One mirror of /proc serves all tests of the default
options. Tests that mount or that need root are marked, so that `make quick` can leave them out.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import pwd
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import pytest
from hypothesis import settings

from tests.mounting import Mount, mounted
from tests.programs import ran

# `make quick` tries fewer examples of each property.
settings.register_profile("quick", max_examples=10)
COMPARED = pytest.StashKey[list[str]]()
# linux/sched.h, linux/mount.h
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000
# Folders whose tests all have a mirror, and modules of the harness that make one.
_MOUNTING_FOLDERS = {"attack", "clients", "cookbook", "permissions", "reliability"}
_MOUNTING_MODULES = {
    *("tests.mounting", "tests.containers", "tests.everyday", "tests.picture", "tests.installed"),
    *("tests.cookbook", "tests.clients", "tests.permissions", "tests.reliability", "tests.attack"),
}
# Folders whose tests load the whole machine, or promise how long others wait while they do. The
# tests of one are one after the other: their requesters are the same users, whom some tests stop.
_LOADING_FOLDERS = {"attack", "reliability"}
# Fixtures that another user's processes come from.
_ROOT_FIXTURES = {"wes"}
# The nice value of tests that run beside those that load the machine, or give way to all.
_BESIDE_NICE = 10
_ADDED = "added by the tests of procmirror"
# Where root alone makes files, the same for all runs on this machine.
_SHARED = Path("/run")


def pytest_configure(config: pytest.Config) -> None:
    """Leave the mount namespace, and tell what the markers mean.

    A program that copies the mount namespace while a test runs (a sandboxed service, another test
    run) keeps the mounts in it, and a daemon ends only when the last copy of its mount is gone.
    """
    config.addinivalue_line("markers", "mount: a mirror is mounted, by root or through fusermount3")
    config.addinivalue_line("markers", "root: needs the rights of root, but no mount")
    config.addinivalue_line(
        "markers", "loads: loads the machine, or promises something of a loaded one"
    )
    config.addinivalue_line("markers", "alone: one that loads, and has the machine to itself")
    config.addinivalue_line("markers", "gives_way: takes what others leave of the processors")
    libc = ctypes.CDLL(None, use_errno=True)
    # Without the right to do this there is no right to mount either.
    if os.geteuid() == 0 and libc.unshare(_CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what is collected alone: the collector of garbage takes half of the time for it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let what runs beside tests that load the machine (`make test`) wait for these.

    So does what gives way to whatever runs beside it. Root alone may take the weight back.
    """
    beside = os.environ.get("PROCMIRROR_BESIDE") and not item.get_closest_marker("loads")
    waits = beside or item.get_closest_marker("gives_way")
    if waits and os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, _BESIDE_NICE)
    try:
        return (yield)
    finally:
        if waits and os.geteuid() == 0:
            os.setpriority(os.PRIO_PROCESS, 0, 0)


@pytest.hookimpl(tryfirst=True)
def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Let a process of pytest-xdist end at once: nobody sees the traceback that it would render."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        excinfo.traceback = excinfo.traceback[-1:]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what mounts, what needs root, and what loads the machine, which begins as it is long."""
    items.sort(key=lambda item: _folder(item) not in _LOADING_FOLDERS)
    for item in items:
        assert isinstance(item, pytest.Function)
        if _folder(item) in _LOADING_FOLDERS and not item.get_closest_marker("gives_way"):
            item.add_marker("loads")
        elif item.get_closest_marker("alone"):
            raise pytest.UsageError(f"{item.nodeid}: alone are tests of {_LOADING_FOLDERS} only")
        if _mounts(item):
            item.add_marker("mount")
        elif _ROOT_FIXTURES & set(item.fixturenames):
            item.add_marker("root")


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


def _mounts(item: pytest.Function) -> bool:
    return _folder(item) in _MOUNTING_FOLDERS or _imports_a_mirror(item.module)


@cache
def _imports_a_mirror(module: ModuleType) -> bool:
    return any(_home(value) in _MOUNTING_MODULES for value in vars(module).values())


def _home(value: object) -> str:
    """The module, or its package below `tests`, that a name in a test module comes from."""
    name = getattr(value, "__module__", None) or ""
    return ".".join(name.split(".")[:2]) if isinstance(name, str) else ""


@pytest.fixture(scope="session")
def mirror() -> Iterator[Mount]:
    """A mirror of /proc with the default options, in a daemon of its own."""
    with mounted() as mount:
        yield mount


@pytest.fixture(scope="session")
def wes() -> Iterator[int]:
    """The number of an ordinary user, added if this machine does not have it.

    Several processes share the user, of one run and of others: the last of them removes it.
    """
    changing, using = (_SHARED / f"procmirror-tests.{name}" for name in ("changed", "used"))
    with changing.open("w") as changed, using.open("w") as used:
        fcntl.flock(changed, fcntl.LOCK_EX)
        fcntl.flock(used, fcntl.LOCK_SH)
        if not any(user.pw_name == "wes" for user in pwd.getpwall()):
            adding = ("useradd", "--create-home", "--shell", "/bin/sh", "--comment", _ADDED)
            assert ran(*adding, "wes").code == 0
        fcntl.flock(changed, fcntl.LOCK_UN)
        yield pwd.getpwnam("wes").pw_uid
        fcntl.flock(changed, fcntl.LOCK_EX)
        if pwd.getpwnam("wes").pw_gecos == _ADDED and _is_last(used):
            ran("userdel", "--remove", "wes")


def _is_last(used: IO[str]) -> bool:
    """Whether no other process of this run has the lock."""
    try:
        fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the run."""
    return pytestconfig.stash.setdefault(COMPARED, [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give the lines to the run of which this process does a part (pytest-xdist)."""
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["compared"] = session.config.stash.get(COMPARED, [])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """`--dist loadgroup`: a folder that loads is all in one process, and so is each other file.

    The groups of pytest-xdist 3.8 are those of the marker xdist_group, which with pytest 9 it
    takes for none: it writes them into a field that pytest does not read any more.
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415

    class Folders(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            folder = nodeid.split("/")[1]
            return folder if folder in _LOADING_FOLDERS else nodeid.partition("::")[0]

    return Folders(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the lines of a process that has done its part."""
    lines = getattr(node, "workeroutput", {}).get("compared", [])
    node.config.stash.setdefault(COMPARED, []).extend(lines)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how much was compared with the kernel."""
    for line in config.stash.get(COMPARED, []):
        terminalreporter.write_line(line)
