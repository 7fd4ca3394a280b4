"""Modules of views are imported before they are needed, and only those of this very program."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from procmirror.procfs.roots import ProcRoots
from procmirror.workers import forkserver, late_modules
from procmirror.workers.forkserver_client import ForkServer
from procmirror.workers.late_modules import Meanwhile
from procmirror.workers.protocol import DONE, decode_reply
from tests.harness import ROOT, until

# The name of a view of which a daemon imports nothing.
RARE = "net/sctp/assocs"


def test_a_view_that_needs_parsers_brings_them() -> None:
    program = """
import sys
from procmirror.workers import late_modules
late_modules.load("PID/status")
print("procmirror.workers.parser_client" in sys.modules)
late_modules.load("PID/stack")
print("procmirror.workers.parser_client" in sys.modules)
"""
    assert subprocess.check_output([sys.executable, "-c", program]) == b"False\nTrue\n"


def test_the_tables_of_system_calls_are_loaded_for_all_that_names_calls() -> None:
    """By the source: other modules import types from there at most."""
    naming = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "procmirror").rglob("*.py")
        if re.search(r"\bcalls\.[a-z]+\(|stack\.calls import [a-z]", path.read_text())
    }
    assert naming == {*late_modules.NAMING, late_modules.__name__}
    program = """
from procmirror.stack import calls
from procmirror.workers import late_modules
late_modules.load("net/sctp/assocs")
print(calls._prototypes.cache_info().currsize)
late_modules.load("PID/seccomp_cache")
print(calls._prototypes.cache_info().currsize)
"""
    assert subprocess.check_output([sys.executable, "-c", program]) == b"0\n1\n"


def test_nothing_is_imported_of_a_program_that_has_been_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late_modules.load.cache_clear()
    monkeypatch.setattr(late_modules, "_STARTED", (0, 0))
    with pytest.raises(OSError, match="mount again") as refused:
        late_modules.load(RARE)
    assert refused.value.errno == errno.EIO
    late_modules.load("PID/status")
    meanwhile = Meanwhile()
    while meanwhile.seconds is not None:
        meanwhile.step()


def test_all_modules_are_imported_one_after_the_other() -> None:
    program = """
import sys
from procmirror.views import VIEWS
from procmirror.workers.late_modules import Meanwhile
meanwhile, most, count = Meanwhile(), 0, len(sys.modules)
assert meanwhile.seconds > 1
meanwhile.begin()
while meanwhile.seconds is not None:
    assert meanwhile.seconds == 0
    meanwhile.step()
    most, count = max(most, len(sys.modules) - count), len(sys.modules)
meanwhile.begin()
assert meanwhile.seconds is None
before = set(sys.modules)
for view in VIEWS:
    view.load(), view.record
print(most < 40, set(sys.modules) - before)
"""
    assert subprocess.check_output([sys.executable, "-c", program]) == b"True set()\n"


def test_the_fork_server_imports_them_when_the_mount_is_used() -> None:
    """Seen from outside, in a process of its own as this one has imported them already."""
    program = "from tests.workers.test_late_modules import used; used()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def used() -> None:
    assert "procmirror.stack.unwind" not in sys.modules
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    trio.run(grows, ProcRoots(root, root))


async def grows(roots: ProcRoots) -> None:
    server = ForkServer(roots)
    server.begin()
    before = size(server._pidfd)
    server.note_use()
    until(lambda: size(server._pidfd) > before + (3 << 20), "nothing is imported")
    server.close()


def size(pidfd: int) -> int:
    """The resident memory of a process in bytes (proc_pid_statm(5), pidfd_open(2))."""
    fields = Path(f"/proc/self/fdinfo/{pidfd}").read_text().split()
    pid = fields[fields.index("Pid:") + 1]
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE")


def test_all_is_imported_before_a_worker_becomes_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may be unable to read the files of the package, as under a label."""
    late_modules.load.cache_clear()
    late_modules.load_all.cache_clear()
    done: list[str] = []
    request = SimpleNamespace(kinds=(), identity=None, label=b"confined")
    credentials: Any = SimpleNamespace(become=lambda *_: done.append("becomes"))
    loads = late_modules.load_all

    def load_all() -> None:
        done.append("imports")
        loads()

    monkeypatch.setattr(late_modules, "load_all", load_all)
    channel: Any = SimpleNamespace(send=lambda reply: done.append(str(decode_reply(reply).code)))
    forkserver._become(channel, credentials, cast("Any", request), [], -1)
    assert done == ["imports", str(DONE), "becomes"]
    monkeypatch.setattr(late_modules, "_STARTED", (0, 0))
    late_modules.load(RARE)
