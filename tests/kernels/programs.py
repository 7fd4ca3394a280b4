"""Programs that set up what modules of the kernel show: unpacked, not installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.kernels.apt import Apt

_PACKAGES = ("checkpolicy", "drbd-utils", "ipvsadm", "ksmbd-tools", "mdadm")


def fetched(folder: Path) -> Path:
    """The folder with the programs of this machine's release, from `folder` if they are there."""
    programs = folder / "unpacked"
    if not programs.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made = folder / "making"
        Apt(_release(), "amd64", folder).unpacked(_PACKAGES, made)
        made.rename(programs)
    return programs


def _release() -> str:
    told = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    names = dict(line.split("=", 1) for line in told if "=" in line)
    return names["VERSION_CODENAME"].strip('"')
