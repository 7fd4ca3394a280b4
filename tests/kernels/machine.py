"""QEMU without KVM: a processor or two, the files of a machine below, a folder for the results."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kernels.debian import Kernel

# The security modules of a Debian machine, landlock with them.
APPARMOR = "landlock,lockdown,yama,apparmor,bpf"
SELINUX = "landlock,lockdown,yama,selinux,bpf"
MEMORY = 4096
# By architecture the emulator, and the console of its machine. The arm64 one authenticates pointers,
# by the cheapest of its ways, and has no larger addresses, which not every kernel knows.
_PROCESSORS = {
    "amd64": (("qemu-system-x86_64", "-cpu", "max"), "ttyS0"),
    "arm64": (
        ("qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on,lpa2=off"),
        "ttyAMA0",
    ),
}
SCRIPT = """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
for folder in /run /tmp /dev/shm; do mkdir -p $folder; mount -t tmpfs -o mode=1777 tmpfs $folder; done
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
mount -t cgroup2 none /sys/fs/cgroup; mount -t securityfs none /sys/kernel/security
mkdir -p /lib/modules/{version}; mount --bind {modules}/lib/modules/{version} /lib/modules/{version}
mkdir -p /run/results; mount -t 9p -o trans=virtio,version=9p2000.L results /run/results
ip link set lo up 2>/dev/null
hostname lab
cd {tree} && {command} > /run/results/output 2>&1
echo $? > /run/results/status
sync; echo o > /proc/sysrq-trigger; sleep 9
"""


@dataclass(frozen=True)
class Machine:
    """What differs from one boot to the next: the security modules and how many processors."""

    security: str = APPARMOR
    processors: int = 1


def booted(
    kernel: Kernel,
    tree: Path,
    results: Path,
    command: Sequence[str],
    seconds: int,
    machine: Machine,
) -> int | None:
    """Run a command as root on another kernel and such a machine, in `tree`; its status.

    It writes what it finds to /run/results, which is the folder `results` here. None where it did
    not end within `seconds`; what the console said is in `results`/console.
    """
    results.mkdir(parents=True, exist_ok=True)
    script = tree / "script"
    told = {
        "version": kernel.version,
        "modules": kernel.within(kernel.modules),
        "tree": shlex.quote(str(kernel.within(tree))),
    }
    script.write_text(SCRIPT.format(**told, command=shlex.join(command)), encoding="utf-8")
    (results / "status").unlink(missing_ok=True)
    with (results / "console").open("wb") as console:
        try:
            subprocess.run(
                ["nice", "-n", "5", *_emulator(kernel, results, script, machine)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            return None
    status = results / "status"
    return int(status.read_text(encoding="ascii")) if status.exists() else None


def _emulator(kernel: Kernel, results: Path, script: Path, machine: Machine) -> list[str]:
    shared = "security_model=passthrough,multidevs=remap"
    program, console = _PROCESSORS[kernel.architecture]
    return [
        *(*program, "-accel", "tcg", "-smp", str(machine.processors), "-m", str(MEMORY)),
        *("-nographic", "-nic", "none", "-no-reboot"),
        *("-kernel", str(kernel.image), "-initrd", str(kernel.initrd)),
        *("-virtfs", f"local,path={kernel.root},mount_tag=host,readonly=on,{shared}"),
        *("-virtfs", f"local,path={results},mount_tag=results,{shared}"),
        "-append",
        f"console={console} panic=-1 quiet lsm={machine.security} guest={kernel.within(script)}",
    ]
