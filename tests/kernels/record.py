"""docs/KERNELS.md: what the last run of each part on each kernel found, for people.

What the page says of a part that was not run again stays there, with its date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.harness import ROOT
from tests.kernels.findings import Findings, Run

# Which cell of a row names the part.
_PART = 4
PARTS = (
    "views",
    "waits",
    "copying",
    "stacks",
    "confined",
    "containers",
    "prompt",
    "rights",
    "modules",
    "selinux",
)
_HEAD = """\
# Kernels

`make kernels` writes this page. It boots Debian's kernels under QEMU without KVM, over the files of
the machine that it runs on (those of arm64 over Debian's for that), and runs there what the table
lists. CI leaves it out: it takes hours.

| part | what it does |
|---|---|
| views | as root: every view of every entry opens if the entry does, is strict JSON and valid |
| waits | kernel frames and system call of five sleeping programs, compared with the kernel's |
| copying | what programs get that copy by sendfile(2), splice(2) or read(2) |
| stacks | the user frames of ten programs, compared with those of eu-stack; beyond musl and in node |
| prompt | files that the daemon reads itself: by ftrace, none takes a lock that sleeps |
| rights | answers under each setting of Yama, lockdown and others, compared with the kernel's |
| confined | answers to requesters under four AppArmor profiles, compared with the kernel's |
| containers | answers in a container as Docker makes and confines it, compared with the kernel's |
| modules | bonds, VLANs, arrays, connections by IPVS, SCTP and others, set up and read by two users |
| selinux | answers to requesters whom SELinux confines, by a mirror that may have their label or not |
"""


def write(folder: Path, releases: Sequence[str], page: Path) -> None:
    """Write the page of all runs in `folder`; paths of the checkout are relative to it."""
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    text = of(folder, releases, before).replace(f"{ROOT}/", "")
    page.write_text(text, encoding="utf-8")


def of(folder: Path, releases: Sequence[str], before: str = "") -> str:
    """The page of the last run of each release in `folder`, and of what `before` says of others."""
    earlier, told = _earlier(before)
    lines = [
        _HEAD,
        "| Debian | kernel | date | part | asked | failures | seconds |",
        "|---" * 7 + "|",
    ]
    runs = [run for release in releases if (run := _last(folder / release))]
    rows = {(run.release, part): row for run in runs for part, row in _rows(run)}
    details = {(run.release, part.part): _of_part(part) for run in runs for part in run.parts}
    for release in releases:
        names = [(release, name) for name in PARTS]
        lines += [
            rows.get(one) or earlier.get(one) or f"| {release} | | | {one[1]} | not run | | |"
            for one in names
        ]
    for release in releases:
        parts = [
            details[release, name] if (release, name) in rows else told.get((release, name), [])
            for name in PARTS
        ]
        found = [line for part in parts for line in part]
        lines += ["", f"## {release}", *found] if found else []
    return "\n".join(lines) + "\n"


def _earlier(page: str) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], list[str]]]:
    """The rows of a page, and its sections, each by release and part."""
    rows: dict[tuple[str, str], str] = {}
    told: dict[tuple[str, str], list[str]] = {}
    release, section = "", list[str]()
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > _PART and cells[_PART] in PARTS and "not run" not in line:
            rows[cells[1], cells[_PART]] = line
        elif line.startswith("## "):
            release = line[3:].split(",")[0].split()[0]
        elif line.startswith("### ") and release:
            section = told.setdefault((release, line[4:]), ["", line, ""])
        elif line.startswith("- ") and section:
            section.append(line)
    return rows, told


def _last(folder: Path) -> Run | None:
    try:
        return msgspec.json.decode((folder / "run.json").read_bytes(), type=Run)
    except FileNotFoundError:
        return None


def _rows(run: Run) -> Iterator[tuple[str, str]]:
    """The parts that a run had, each with its row."""
    parts = {part.part: part for part in run.parts}
    start = f"| {run.release} | {run.version} | {run.date}"
    for name in PARTS:
        part = parts.get(name)
        if part is None:
            continue
        seconds = f"{part.seconds:.0f}" if part.seconds else "ended before its end"
        yield (
            name,
            f"{start} | {name} | {part.count:,} {part.unit} | {part.failed:,} | {seconds} |",
        )


def _of_part(part: Findings) -> list[str]:
    lines = [f"- failure: {_plain(line)}" for line in part.failures]
    if part.failed > len(part.failures):
        lines.append(f"- and {part.failed - len(part.failures):,} further failures")
    lines += [f"- {_plain(line)}" for line in part.remarks]
    return ["", f"### {part.part}", "", *lines] if lines else []


def _plain(line: str) -> str:
    """A line that Markdown shows as it is."""
    return "`" + " ".join(line.replace("`", "'").split()) + "`"
