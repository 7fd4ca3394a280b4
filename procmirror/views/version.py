"""/proc/version: the kernel and how it was built.

Source: proc_version(5), linux_proc_banner in init/version-timestamp.c.

`SYSNAME version RELEASE (BUILDER) (COMPILER) VERSION`; the first two parts and the last are the
reader's uname(2).
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Version(Record, frozen=True):
    """The parts of the line."""

    sysname: Annotated[str, doc("Name of the system: Linux")]
    release: Annotated[str, doc("The release, as `uname -r` prints it")]
    builder: Annotated[str | None, doc("Who built the kernel: user@host; null if it is not said")]
    compiler: Annotated[str | None, doc("Compiler and linker; null if it is not said")]
    version: Annotated[str, doc("Number, options and time of the build, as `uname -v` prints them")]


def decode(raw: bytes, _: Machine) -> Version:
    """The parts; the compiler's may have parentheses inside."""
    names, parenthesis, rest = decoded(raw.rstrip(b"\n")).partition(" (")
    sysname, version, release = names.partition(" version ")
    if not version:
        raise expected("NAME version RELEASE (BUILDER) (COMPILER) VERSION", raw)
    if not parenthesis:
        release, _blank, rest = release.partition(" ")
        return Version(sysname, release, None, None, rest)
    builder, _blank, rest = rest.partition(") (")
    end = _closing(rest)
    return Version(sysname, release, builder, rest[:end], rest[end + 1 :].strip())


def _closing(text: str) -> int:
    """Where the parenthesis that is open at the start is closed."""
    depth = 1
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if not depth:
            return at
    raise expected("a parenthesis that is closed", text)
