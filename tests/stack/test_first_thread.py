"""A process whose first thread has ended: it alone has neither memory nor descriptors any more."""

from __future__ import annotations

import subprocess
import sys

from procmirror.decoding.view import Machine
from procmirror.views.pid import stack
from tests.harness import state_of, until
from tests.live_target import LiveTarget

ENDS = """import ctypes, os, threading
end, _ = os.pipe()
threading.Thread(target=os.read, args=(end, 77)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_the_arguments_of_the_others_are_looked_up_by_one_that_is_there() -> None:
    with subprocess.Popen([sys.executable, "-c", ENDS]) as process:
        try:
            until(lambda: state_of(process.pid) == "Z", "the first thread does not end")
            target = LiveTarget(f"/proc/{process.pid}")
            first, other = stack.join(target, Machine()).threads
        finally:
            process.kill()
    assert (first.tid, first.state) == (process.pid, "Z (zombie)")
    assert other.syscall and other.syscall.name == "read"
    assert (other.syscall.arguments[0].text or "").startswith("3<pipe:[")
