"""What a thread waits for by its system call, for those who may not read the kernel's frames.

`wchan` has the innermost function alone, which many kinds of files and calls share.
"""

from __future__ import annotations

from procmirror.kernel.waits import phrase
from procmirror.stack.syscalls import SystemCall

# The telling function of the kernel by call; of read(2) and the like by the file.
_CALLS = {
    **dict.fromkeys(("accept", "accept4"), "inet_csk_accept"),
    **dict.fromkeys(("futex", "futex_waitv"), "futex_wait"),
    **dict.fromkeys(("poll", "ppoll"), "do_sys_poll"),
    **dict.fromkeys(("select", "pselect6"), "core_sys_select"),
    "connect": "inet_stream_connect",
}
_FILES = {
    "<anon_inode:[eventfd]>": "eventfd_read",
    "<anon_inode:[timerfd]>": "timerfd_read",
    "<anon_inode:inotify>": "inotify_read",
    "<anon_inode:[fanotify]>": "fanotify_read",
    # wchan is wait_woken for these, as it is for terminals.
    "<tcp ": "sk_wait_data",
    "<tcp6 ": "sk_wait_data",
    "</dev/pts/": "n_tty_read",
    "</dev/tty": "n_tty_read",
}
_READS = frozenset(("read", "readv", "recv", "recvfrom", "recvmsg"))


def by_call(call: SystemCall | None) -> str | None:
    """The phrase of the kernel function in which such a call waits; None if it does not tell."""
    if call is None or call.state != "system call":
        return None
    function = _CALLS.get(call.name or "")
    if call.name in _READS:
        text = next((one.text for one in call.arguments if one.name == "fd"), "")
        target = text[text.find("<") :]
        function = next((one for start, one in _FILES.items() if target.startswith(start)), None)
    return phrase(function) if function else None
