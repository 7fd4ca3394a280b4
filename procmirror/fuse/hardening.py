"""Protecting the daemon, which holds the secrets of others, before it has any."""

from __future__ import annotations

import os
import resource
from contextlib import suppress

from procmirror.identity import own_process, seccomp


def harden(own: int) -> None:
    """Give up what the daemon never needs: rights, core dumps, environment, system calls."""
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
        with suppress(OSError):
            seccomp.forbid_what_nothing_needs()
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ
    }
    own_process.erase_environment(own)
    os.environ.clear()
    os.environ.update(kept)
    os.umask(0o077)
