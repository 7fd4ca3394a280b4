"""Profiles of AppArmor, and how they are loaded."""

from __future__ import annotations

import subprocess
import tempfile

_EVERYTHING_ELSE = "file, capability, network, signal, unix, mount, umount, pivot_root, dbus,"
# What Docker gives each container: its template for the profile docker-default, by our name.
DOCKER = "procmirror-container"
PROFILES = {
    "procmirror-no-ptrace": _EVERYTHING_ELSE,
    "procmirror-ptrace-read": f"{_EVERYTHING_ELSE} ptrace (read),",
    DOCKER: f"""
        network, capability, file, umount,
        signal (receive) peer=unconfined,
        signal (receive) peer=runc,
        signal (receive) peer=crun,
        signal (send, receive) peer={DOCKER},
        deny @{{PROC}}/* w,
        deny @{{PROC}}/{{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}}/** w,
        deny @{{PROC}}/sys/[^k]** w,
        deny @{{PROC}}/sys/kernel/{{?,??,[^s][^h][^m]**}} w,
        deny @{{PROC}}/sysrq-trigger rwklx,
        deny @{{PROC}}/kcore rwklx,
        deny mount,
        deny /sys/[^f]*/** wklx,
        deny /sys/f[^s]*/** wklx,
        deny /sys/fs/[^c]*/** wklx,
        deny /sys/fs/c[^g]*/** wklx,
        deny /sys/fs/cg[^r]*/** wklx,
        deny /sys/firmware/** rwklx,
        deny /sys/devices/virtual/powercap/** rwklx,
        deny /sys/kernel/security/** rwklx,
        ptrace (trace, read, tracedby, readby) peer={DOCKER},
    """,
    # What it may not read is under the place of the procfs; the mirror itself it may read.
    "procmirror-no-files": f"""
        {_EVERYTHING_ELSE} ptrace (read),
        deny /proc/*/{{environ,maps,status,fd/}} r,
        deny /proc/*/task/*/{{environ,maps,status,fd/}} r,
        deny /proc/{{meminfo,version,net/}} r,
        deny /proc/*/net/tcp r,
    """,
}


def load(name: str) -> None:
    """Load a profile into the kernel; CalledProcessError if it takes none."""
    flags = "flags=(attach_disconnected, mediate_deleted)"
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(f"#include <tunables/global>\nprofile {name} {flags} {{\n{PROFILES[name]}\n}}\n")
        file.flush()
        command = ["apparmor_parser", "--replace", "--skip-cache", file.name]
        subprocess.run(command, check=True)
