"""Containers as an OCI runtime makes them, without an engine.

Crun, a root of bind mounts, and what Docker would configure.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import system_calls

from tests.harness import DEADLINE, ROOT
from tests.programs import Ran, ran

# What Docker leaves the root of a container (moby, oci/caps/defaults.go).
CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        *(
            "CHOWN",
            "DAC_OVERRIDE",
            "FSETID",
            "FOWNER",
            "MKNOD",
            "NET_RAW",
            "SETGID",
            "SETUID",
            "SETFCAP",
            "SETPCAP",
        ),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
]
# What it hides of the container's own /proc, where it is not on the machine's.
MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list"]
# The same of an engine whose containers are confined, and what may only be read there.
MASKED_BY_DOCKER = [
    *MASKED,
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/latency_stats", "/proc/scsi"),
    *("/proc/sched_debug", "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap"),
]
READ_ONLY = [f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")]
# Of what Docker's filter of system calls refuses to a container without capabilities, the most.
REFUSED = [
    *("add_key", "bpf", "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick"),
    *("init_module", "kexec_load", "keyctl", "mount", "mount_setattr", "move_mount", "open_tree"),
    *("open_by_handle_at", "perf_event_open", "pivot_root", "quotactl", "reboot", "request_key"),
    *("setns", "swapoff", "swapon", "umount2", "unshare", "userfaultfd"),
]
Map = Sequence[tuple[int, int, int]]
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
# crun wants one hierarchy of control groups, which not every machine has.
_CRUN = (
    *("unshare", "-m", "--propagation", "slave", "sh", "-c"),
    'umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec crun --cgroup-manager=disabled "$@"',
    "sh",
)


@dataclass(frozen=True)
class Container:
    """A running container, by its name; `pid` is its first process.

    `profile` is that of AppArmor which confines it.
    """

    name: str
    pid: int
    profile: str = ""

    def within(self, user: int = 0) -> tuple[str, ...]:
        """What stands before a command of a user's in it."""
        return (
            *_CRUN,
            "exec",
            f"--user={user}:{user}",
            *([f"--apparmor={self.profile}"] if self.profile else []),
            "--env",
            PATH,
            "--env",
            f"PYTHONPATH={ROOT}",
            self.name,
        )

    def ran(self, *command: object, user: int = 0) -> Ran:
        """A command that has ended."""
        return ran(*self.within(user), *command)


def _bind(source: object, target: object) -> dict[str, Any]:
    return {
        "destination": str(target),
        "type": "bind",
        "source": str(source),
        "options": ["rbind", "ro"],
    }


def configuration(
    binds: Mapping[Path, Path], ids: Map, capabilities: Sequence[str]
) -> dict[str, Any]:
    packages = str(Path(system_calls.__file__).parent.parent)
    folders = dict.fromkeys(["/usr", "/etc", str(ROOT), sys.prefix, sys.base_prefix, packages])
    namespaces = [
        {"type": kind}
        for kind in ("pid", "network", "ipc", "uts", "mount", *(["user"] if ids else []))
    ]
    maps = [{"containerID": inside, "hostID": here, "size": length} for inside, here, length in ids]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sleep", "infinity"],
            "env": [PATH],
            "cwd": "/",
            "capabilities": {
                kind: list(capabilities) for kind in ("bounding", "effective", "permitted")
            },
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "container",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            *(_bind(folder, folder) for folder in folders if not folder.startswith("/usr/")),
            *(_bind(source, target) for target, source in binds.items()),
        ],
        "linux": {"namespaces": namespaces, "maskedPaths": MASKED}
        | ({"uidMappings": maps, "gidMappings": maps} if ids else {}),
    }


def _confine(configuration: dict[str, Any], profile: str) -> None:
    """Add what Docker confines a container with: a profile, a filter, masks."""
    configuration["process"]["apparmorProfile"] = profile
    configuration["linux"] |= {
        "maskedPaths": MASKED_BY_DOCKER,
        "readonlyPaths": READ_ONLY,
        "seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": REFUSED, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
        },
    }


@contextlib.contextmanager
def container(
    *places: Path,
    ids: Map = (),
    capabilities: Sequence[str] = CAPABILITIES,
    device: Path | None = None,
    profile: str = "",
) -> Iterator[Container]:
    """A container with places of the machine bound at the same paths.

    `ids` are ranges of (inside, here, length).

    `device` is what it finds as /dev/fuse. With `profile`, one of AppArmor that is loaded, it is
    confined as Docker does it.
    """
    binds = {place: place for place in places} | ({Path("/dev/fuse"): device} if device else {})
    with tempfile.TemporaryDirectory(prefix="procmirror-bundle-") as bundle:
        os.chmod(bundle, 0o755)
        rootfs = Path(bundle, "rootfs")
        made = configuration(binds, ids, capabilities)
        if profile:
            _confine(made, profile)
        for mount in made["mounts"]:
            place = Path(f"{rootfs}{mount['destination']}")
            place.mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            Path(rootfs, name).symlink_to(f"usr/{name}")
        Path(bundle, "config.json").write_text(json.dumps(made))
        name = os.path.basename(bundle)
        command = [
            *_CRUN,
            "run",
            "--detach",
            f"--bundle={bundle}",
            f"--pid-file={bundle}/pid",
            name,
        ]
        with tempfile.TemporaryFile() as said:
            started = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=DEADLINE,
                check=False,
            )
            said.seek(0)
            assert started.returncode == 0, said.read().decode()
        try:
            yield Container(name, int(Path(bundle, "pid").read_text()), profile)
        finally:
            assert ran(*_CRUN, "delete", "--force", name).code == 0
