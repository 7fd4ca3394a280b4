"""Watches the files named on the command line with inotify(7) and waits for a change.

`read` or `poll` is the first word, then each file as hexadecimal; the line `ready` when it watches.
The descriptor is 9: libffi, which ctypes loads, keeps one of its own open from 3.5 on.
"""

import ctypes
import os
import select
import sys

MODIFIED = 2
libc = ctypes.CDLL(None)
made = libc.inotify_init1(0)
instance = os.dup2(made, 9)
os.close(made)
for name in sys.argv[2:]:
    if libc.inotify_add_watch(instance, bytes.fromhex(name), MODIFIED) < 0:
        sys.exit(f"no watch on {name}")
sys.stdout.write("ready\n")
sys.stdout.flush()
if sys.argv[1] == "poll":
    poll = select.poll()
    poll.register(instance, select.POLLIN)
    poll.poll()
os.read(instance, 4096)
