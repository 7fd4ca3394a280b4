"""Every view of every entry there is, read through the mirror as root.

A view must open where its entry can be read. What the views say is put into an archive in the
folder of the results, where the machine that runs the guest judges it (`tests.kernels.judged`):
that takes an emulated processor twenty times as long.
"""

from __future__ import annotations

import errno
import io
import os
import tarfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from tests.harness import parent_of
from tests.kernels.findings import ARCHIVE, Findings
from tests.mounting import mounted

RESULTS = Path("/run/results")
# After so many views what is found so far is kept, for a run that does not end in time.
_KEPT_EVERY = 100
# Of the kernel's threads, which are all alike, so many are looked at.
_KERNEL_THREADS = 3
# Of processes whose threads are looked at too: the views of a thread are those of a process. As
# many have their directory `net` looked at, which is the same for all.
_WITH_THREADS = 2
# Directories that hold one entry for each sysctl, device or interrupt, without views below.
_WITHOUT_VIEWS = {"sys", "irq", "acpi", "asound", "by-user", "by-exe", "by-file", "by-cgroup"}
_KTHREADD = 2
_GONE = {errno.ENOENT, errno.ESRCH}
# How many of the slowest views are told.
_SLOWEST = 5


def examined(findings: Findings) -> None:
    """Mount the mirror and read all its views."""
    took: list[tuple[float, str]] = []
    with mounted(quiet=False) as mount, tarfile.open(RESULTS / ARCHIVE, "w") as archive:
        root = str(mount.path)
        skipped = set(map(str, _kernel_threads()[_KERNEL_THREADS:]))
        without = len(skipped)
        users = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
        skipped |= {f"{pid}/{name}" for pid in users[_WITH_THREADS:] for name in ("task", "net")}
        for path in _views(root, "", skipped):
            findings.count += 1
            if findings.count % _KEPT_EVERY == 0:
                findings.write(RESULTS)
            began = time.monotonic()
            try:
                _kept(archive, path, Path(root, path).read_bytes())
            except OSError as wrong:
                if not _excused(path, wrong):
                    findings.fail(f"{path}: {wrong.strerror}")
            took.append((time.monotonic() - began, path))
        findings.remarks.append(f"{without} threads of the kernel left out")
        findings.remarks += [
            f"{seconds:.1f} s: {path}" for seconds, path in sorted(took)[-_SLOWEST:]
        ]
        findings.remarks += [f"log: {line[:300]}" for line in mount.complaints()[:20]]


def _kept(archive: tarfile.TarFile, path: str, content: bytes) -> None:
    member = tarfile.TarInfo(path)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _kernel_threads() -> list[int]:
    """The threads of the kernel, in their order."""
    processes = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in processes if pid == _KTHREADD or parent_of(pid) == _KTHREADD]


def _views(root: str, folder: str, skipped: Collection[str] = ()) -> Iterator[str]:
    """The paths of all views below a directory of the mirror, without the directories skipped."""
    try:
        entries = sorted(os.scandir(f"{root}/{folder}"), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = f"{folder}/{entry.name}".lstrip("/")
        if entry.is_symlink() or path in skipped:
            continue
        if entry.is_dir():
            if path not in _WITHOUT_VIEWS:
                yield from _views(root, path)
        elif entry.name.endswith((".json", ".txt", ".ndjson", ".folded")):
            yield path


def _excused(path: str, wrong: OSError) -> bool:
    """Whether the kernel refuses the entry as well, with the same errno."""
    try:
        with open(f"/proc/{path.rpartition('.')[0]}", "rb") as file:
            file.read(1)
    except OSError as refused:
        return refused.errno in {wrong.errno, *_GONE}
    return False
