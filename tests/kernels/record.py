"""docs/KERNELS.md: what the last run on each kernel found, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.kernels.findings import Findings, Run

PARTS = ("views", "copying", "stacks", "confined", "rights")
_HEAD = """\
# Kernels

`make kernels` writes this page. It boots Debian's kernels under QEMU without KVM, over the files of
the machine that it runs on, and runs there what the table lists. CI leaves it out: it takes hours.

| part | what it does |
|---|---|
| views | as root: every view of every entry opens if the entry does, is strict JSON and valid |
| copying | what programs get that copy by sendfile(2), splice(2) or read(2) |
| stacks | the user frames of ten programs, compared with those of eu-stack |
| rights | answers under each setting of Yama, lockdown and others, compared with the kernel's |
| confined | answers to requesters under AppArmor profiles, compared with the kernel's |
"""


def write(folder: Path, releases: Sequence[str], page: Path) -> None:
    """Write the page of all runs in `folder`."""
    page.write_text(of(folder, releases), encoding="utf-8")


def of(folder: Path, releases: Sequence[str]) -> str:
    """The page, made of the last run of each release in `folder`; one that never ran is named."""
    lines = [
        _HEAD,
        "| Debian | kernel | date | part | asked | failures | seconds |",
        "|---" * 7 + "|",
    ]
    runs = [run for release in releases if (run := _last(folder / release))]
    lines += [row for run in runs for row in _rows(run)]
    lines += [
        f"| {release} | not run | | | | | |" for release in releases if not _last(folder / release)
    ]
    for run in runs:
        lines += _details(run)
    return "\n".join(lines) + "\n"


def _last(folder: Path) -> Run | None:
    try:
        return msgspec.json.decode((folder / "run.json").read_bytes(), type=Run)
    except FileNotFoundError:
        return None


def _rows(run: Run) -> Iterator[str]:
    parts = {part.part: part for part in run.parts}
    start = f"| {run.release} | {run.version} | {run.date}"
    for name in PARTS:
        part = parts.get(name)
        if part is None:
            yield f"{start} | {name} | not run | | |"
            continue
        seconds = f"{part.seconds:.0f}" if part.seconds else "ended before its end"
        yield f"{start} | {name} | {part.count:,} {part.unit} | {part.failed:,} | {seconds} |"


def _details(run: Run) -> list[str]:
    lines = ["", f"## {run.release}, Linux {run.version}, {run.machine}"]
    for part in run.parts:
        lines += _of_part(part)
    return lines


def _of_part(part: Findings) -> list[str]:
    lines = [f"- failure: {_plain(line)}" for line in part.failures]
    if part.failed > len(part.failures):
        lines.append(f"- and {part.failed - len(part.failures):,} further failures")
    lines += [f"- {_plain(line)}" for line in part.remarks]
    return ["", f"### {part.part}", "", *lines] if lines else []


def _plain(line: str) -> str:
    """A line that Markdown shows as it is."""
    return "`" + " ".join(line.replace("`", "'").split()) + "`"
