"""Every view of every entry there is, read through the mirror as root.

A view must open where its entry can be read, be strict JSON where it is JSON, and be valid by the
schema that the command prints.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import jsonschema

from procmirror.decoding.render import schema
from procmirror.views import VIEWS
from tests.harness import parent_of
from tests.kernels.findings import Findings
from tests.mounting import mounted

# How much of a long list is validated: the first and the last of its items. All of it is parsed.
_ITEMS = 200
# After so many views what is found so far is kept, for a run that does not end in time.
_KEPT_EVERY = 100
# Of the kernel's threads, which are all alike, so many are looked at.
_KERNEL_THREADS = 3
# Of processes whose threads are looked at too: the views of a thread are those of a process.
_WITH_THREADS = 2
# Directories that hold one entry for each sysctl, device or interrupt, without views below.
_WITHOUT_VIEWS = {"sys", "irq", "bus", "acpi", "asound", "by-user", "by-exe", "by-cgroup"}
_KTHREADD = 2
_GONE = {errno.ENOENT, errno.ESRCH}
_SCHEMAS = {
    view.name: jsonschema.Draft202012Validator(schema(view)) for view in VIEWS if view.suffixes
}


def examined(findings: Findings) -> None:
    """Mount the mirror and read all its views."""
    with mounted(quiet=False) as mount:
        root = str(mount.path)
        skipped = set(map(str, _kernel_threads()[_KERNEL_THREADS:]))
        without = len(skipped)
        users = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
        skipped |= {f"{pid}/task" for pid in users[_WITH_THREADS:]}
        for path in _views(root, "", skipped):
            findings.count += 1
            if findings.count % _KEPT_EVERY == 0:
                findings.write(Path("/run/results"))
            try:
                _read(root, path)
            except (OSError, ValueError, jsonschema.ValidationError) as wrong:
                if not _excused(path, wrong):
                    findings.fail(f"{path}: {type(wrong).__name__}: {str(wrong)[:300]}")
        findings.remarks.append(f"{without} threads of the kernel left out")
        findings.remarks += [f"log: {line[:300]}" for line in mount.complaints()[:20]]


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
            if path not in _WITHOUT_VIEWS or path == "bus":
                yield from _views(root, path)
        elif entry.name.endswith((".json", ".txt", ".ndjson")):
            yield path


def _read(root: str, path: str) -> None:
    with open(f"{root}/{path}", "rb") as file:
        content = file.read()
    if path.endswith(".txt"):
        content.decode()
        return
    documents = content.splitlines() if path.endswith(".ndjson") else [content]
    validator = _SCHEMAS.get(_name(path))
    if validator is None:
        raise ValueError(f"no view is called {_name(path)}")
    for document in documents:
        record = json.loads(document, parse_constant=_refuse, object_pairs_hook=_unique)
        if isinstance(record, list) and len(record) > 2 * _ITEMS:
            record = record[:_ITEMS] + record[-_ITEMS:]
        validator.validate(record)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key occurs twice")
    return made


def _name(path: str) -> str:
    """The name of the view at a path of the mirror."""
    name = path.rpartition(".")[0]
    parts = name.split("/")
    if parts[0].isdigit():
        parts[0] = "PID"
        if parts[1:2] == ["task"] and len(parts) > 3:
            parts[2] = "TID"
            if f"PID/task/TID/{'/'.join(parts[3:])}" not in _SCHEMAS:
                parts[1:3] = []
        if parts[1] == "net" and len(parts) > 2:
            parts = parts[1:]
        if parts[1:2] == ["fdinfo"] and len(parts) > 2:
            parts[2] = "N"
    name = "/".join(parts)
    return name if name in _SCHEMAS else f"{name}.gz" if f"{name}.gz" in _SCHEMAS else name


def _excused(path: str, wrong: Exception) -> bool:
    """Whether the kernel refuses the entry as well, with the same errno."""
    if not isinstance(wrong, OSError):
        return False
    try:
        with open(f"/proc/{path.rpartition('.')[0]}", "rb") as file:
            file.read(1)
    except OSError as refused:
        return refused.errno in {wrong.errno, *_GONE}
    return False
