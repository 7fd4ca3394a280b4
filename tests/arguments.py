"""Makes `procmirror/stack/arguments.json`, the arguments of the system calls, out of what a running kernel says of them.

    mount -t tracefs none /sys/kernel/tracing; python -m tests.arguments > procmirror/stack/arguments.json

The kernel describes each call that was built into it in `events/syscalls/sys_enter_NAME/format`,
under the names of its own functions (`newfstat` for fstat). What a kernel for x86_64 lacks stands
below, after the manual pages and the kernel's source.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

EVENTS = Path("/sys/kernel/tracing/events/syscalls")
# The first field of every event is the number of the call; those of the call itself begin behind
# it.
_FIELD = re.compile(r"\tfield:(.*?)(\w+);\toffset:(\d+);")
_FIRST = 16

# Behind switches of the configuration: kernel/module, kernel/kexec*.c, and one of 2025.
CONFIGURED = {
    "delete_module": "const char *name_user, unsigned int flags",
    "init_module": "void *umod, unsigned long len, const char *uargs",
    "finit_module": "int fd, const char *uargs, int flags",
    "kexec_load": "unsigned long entry, unsigned long nr_segments, struct kexec_segment *segments, unsigned long flags",
    "kexec_file_load": (
        "int kernel_fd, int initrd_fd, unsigned long cmdline_len, const char *cmdline_ptr, unsigned long flags"
    ),
}
# Of 32-bit tasks only: the calls that were replaced before x86_64 existed, and those that carry 64
# bits in two registers.
NARROW = {
    "fadvise64_64": "int fd, loff_t offset, loff_t len, int advice",
    "fcntl64": "unsigned int fd, unsigned int cmd, unsigned long arg",
    "fstat64": "unsigned long fd, struct stat64 *statbuf",
    "fstatat64": "int dfd, const char *filename, struct stat64 *statbuf, int flag",
    "fstatfs64": "unsigned int fd, size_t sz, struct statfs64 *buf",
    "ftruncate64": "unsigned int fd, loff_t length",
    "ipc": "unsigned int call, int first, unsigned long second, unsigned long third, void *ptr, long fifth",
    "lstat64": "const char *filename, struct stat64 *statbuf",
    "mmap2": (
        "unsigned long addr, unsigned long len, unsigned long prot, unsigned long flags, unsigned long fd, unsigned long pgoff"
    ),
    "nice": "int increment",
    "old_mmap": "struct mmap_arg_struct *arg",
    "old_select": "struct sel_arg_struct *arg",
    "oldumount": "const char *name",
    "recv": "int fd, void *ubuf, size_t size, unsigned int flags",
    "send": "int fd, void *buff, size_t len, unsigned int flags",
    "sigsuspend": "int unused1, int unused2, unsigned long mask",
    "socketcall": "int call, unsigned long *args",
    "stat64": "const char *filename, struct stat64 *statbuf",
    "statfs64": "const char *pathname, size_t sz, struct statfs64 *buf",
    "truncate64": "const char *path, loff_t length",
    "waitpid": "pid_t pid, int *stat_addr, int options",
}


def prototype(description: str) -> str:
    """The arguments of one call as C would declare them, out of the description of its event."""
    fields = [match for match in _FIELD.finditer(description) if int(match[3]) >= _FIRST]
    return ", ".join(f"{match[1].strip()} {match[2]}".replace("* ", "*") for match in fields)


def main() -> None:
    """Print the table, one call a line."""
    found = {
        path.parent.name.removeprefix("sys_enter_"): prototype(path.read_text(encoding="utf-8"))
        for path in EVENTS.glob("sys_enter_*/format")
    }
    if not found:
        raise SystemExit(f"{EVENTS}: no system calls; is tracefs mounted there?")
    json.dump(dict(sorted((CONFIGURED | NARROW | found).items())), sys.stdout, indent=0)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
