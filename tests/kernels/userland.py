"""The files of a machine of another architecture: Debian's programs, and Python's from PyPI.

Nothing of it runs here: packages are unpacked, not installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.kernels.apt import Apt, run

# What the daemon needs, and what its looks at a machine and the guest's parts use.
PACKAGES = (
    *("base-files", "bash", "coreutils", "dash", "findutils", "grep", "hostname", "iproute2"),
    *("libc-bin", "mount", "netbase", "sed", "util-linux"),
    *("busybox-static", "elfutils", "fuse3", "gcc", "libc6-dev", "musl-tools", "netcat-openbsd"),
    *("nodejs", "perl", "procps", "python3", "python3-pyfuse3", "python3-trio", "redis-server"),
)
# Newer than Debian's, or not there.
WHEELS = ("msgspec>=0.21,<1", "system-calls>=6.17")
# Where the tree, the wheels and the kernel's modules are in the machine.
HOME = "srv"
# trixie's Python.
_PYTHON = "3.13"
_PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64")


def fetched(apt: Apt, folder: Path) -> None:
    """Make the files of an arm64 machine in a folder."""
    apt.unpacked(PACKAGES, folder, whole=True)
    home = folder / HOME
    home.mkdir(exist_ok=True)
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "etc"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "usr/bin/nc").symlink_to("nc.openbsd")
    accounts = {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n"}
    for name, line in accounts.items():
        (folder / "etc" / name).write_text(line, encoding="ascii")
    platforms = [word for one in _PLATFORMS for word in ("--platform", one)]
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"),
        *(home / "wheels", "--only-binary=:all:", "--python-version", _PYTHON),
        *platforms,
        *WHEELS,
        cwd=folder,
    )
