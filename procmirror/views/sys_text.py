"""The text of sys: each parameter as sysctl(8) has it, with what the least readable ones mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from procmirror.decoding.text import columns
from procmirror.decoding.view import Machine
from procmirror.kernel.taint import reasons
from procmirror.views.sys import Tree, Value

# Documentation/admin-guide/sysrq.rst.
_SYSRQ = {
    2: "console log level",
    4: "keyboard",
    8: "dumps of processes",
    16: "sync",
    32: "remount read-only",
    64: "signals to processes",
    128: "reboot",
    256: "nice of real-time tasks",
}
# core(5).
_CORE = {
    "%p": "pid",
    "%P": "pid outside",
    "%e": "thread name",
    "%f": "program",
    "%u": "uid",
    "%g": "gid",
    "%s": "signal",
    "%t": "time",
    "%h": "host",
    "%E": "path",
    "%c": "limit",
    "%d": "dump mode",
    "%i": "tid",
    "%I": "tid outside",
}


def text(tree: Tree, _: Machine) -> str:
    """One parameter a line: its name, its value, and perhaps what it means."""
    rows = []
    for name, value in _flat(tree, ""):
        said = " ".join(map(str, value)) if isinstance(value, list) else value
        meaning = _MEANINGS[name](value) if name in _MEANINGS and value is not None else ""
        shown = "(not readable)" if said is None else str(said)
        rows.append((name, f"{shown}  ({meaning})" if meaning else shown))
    return columns(rows)


def _flat(tree: dict[str, Any], above: str) -> Iterator[tuple[str, Value]]:
    for name, value in tree.items():
        path = f"{above}.{name.replace('.', '/')}" if above else name
        if isinstance(value, dict):
            yield from _flat(value, path)
        else:
            yield path, value


def _tainted(value: Value) -> str:
    if not isinstance(value, int):
        return ""
    return "; ".join(reasons(value)) if value > 0 else "not tainted"


def _sysrq(value: Value) -> str:
    if not isinstance(value, int):
        return ""
    allowed = [word for bit, word in _SYSRQ.items() if value & bit]
    return {0: "off", 1: "everything"}.get(value) or ", ".join(allowed)


def _printk(value: Value) -> str:
    if not isinstance(value, list) or len(value) != 4:
        return ""
    return "the console shows below {}; default level {}, lowest {}, at boot {}".format(*value)


def _core_pattern(value: Value) -> str:
    codes = ", ".join(f"{code} {word}" for code, word in _CORE.items() if code in str(value))
    kind = "given to a program" if str(value).startswith("|") else "a file"
    return f"{kind}: {codes}" if codes else kind


def _file_nr(value: Value) -> str:
    if not isinstance(value, list) or len(value) != 3:
        return ""
    return "{} open files, {} of them free, {} at most".format(*value)


_MEANINGS: dict[str, Callable[[Value], str]] = {
    "kernel.tainted": _tainted,
    "kernel.sysrq": _sysrq,
    "kernel.printk": _printk,
    "kernel.core_pattern": _core_pattern,
    "fs.file-nr": _file_nr,
}
