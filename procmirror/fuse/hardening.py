"""Protecting the daemon, which holds the secrets of others, before it has any."""

from __future__ import annotations

import os
import re
import resource
from contextlib import suppress

from procmirror.identity import own_process, seccomp
from procmirror.identity.files import read_file

# The library in the list of mappings, with its second number.
_LIBFUSE = re.compile(rb"/libfuse3\.so\.3\.(\d+)")
# Since this version libfuse looks into /proc/sys/fs/pipe-max-size at many requests and not at the
# first alone: for ever if the mirror is mounted over /proc. It does so where it has a pipe to move
# requests through. Without one it tries to make one at each request, and reads it.
_LOOKS_AGAIN = 17


def harden(own: int, ring: int = -1) -> None:
    """Give up what the daemon never needs: rights, core dumps, environment, system calls.

    `ring` is the descriptor of the only ring of io_uring that it uses, -1 for none.
    """
    own_process.forbid_dumps()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    own_process.join_empty_session_keyring()
    if os.geteuid() == 0:
        own_process.forbid_new_privileges()
        with suppress(OSError):
            own_process.clear_ambient()
        own_process.empty_bounding_set()
        pipes = _has_newer_libfuse(own)
        with suppress(OSError):
            seccomp.forbid_what_nothing_needs(pipes=pipes, ring=ring)
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ
    }
    own_process.erase_environment(own)
    os.environ.clear()
    os.environ.update(kept)
    os.umask(0o077)


def _has_newer_libfuse(own: int) -> bool:
    try:
        return looks_again(read_file(own, b"self/maps"))
    except OSError:
        return True


def looks_again(maps: bytes) -> bool:
    """Whether the libfuse among the mappings of this process looks at the size of pipes for long.

    A libfuse of another name than that of the older ones does.
    """
    found = _LIBFUSE.search(maps)
    return not found or int(found[1]) >= _LOOKS_AGAIN
