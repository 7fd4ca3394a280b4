r"""/proc/PID/cmdline: the arguments of a process, NUL-separated.

Source: proc_pid_cmdline(5), get_mm_cmdline in fs/proc/base.c.

The kernel shows the memory where execve(2) put the arguments, which the process may overwrite
(setproctitle): what is left of a title is one string with NULs, or with the end of the environment,
behind it. Kernel threads and zombies have none.
"""

from __future__ import annotations

from shlex import quote

from procmirror.decoding.shapes import nul_list
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine


class _Escapes(dict[int, str]):
    """How each character stands inside `$'…'`: what cannot be printed as its bytes."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        return (
            char
            if char.isprintable()
            else "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
        )


_ESCAPES = _Escapes(
    {ord("\n"): r"\n", ord("\t"): r"\t", ord("\r"): r"\r", ord("'"): r"\'", ord("\\"): r"\\"}
)
# Ready for what a hostile process could fill megabytes with: ASCII, and bytes that are no UTF-8.
_ESCAPES.update({code: _ESCAPES[code] for code in [*range(0x80), *range(0xDC80, 0xDD00)]})


class Arguments(list[str]):
    """The strings.

    `raw` has their bytes, without which nothing that a shell takes could be made of undecodable
    ones.
    """

    def __init__(self, raw: list[bytes]) -> None:
        super().__init__(map(decoded, raw))
        self.raw = raw


def decode(raw: bytes, _: Machine) -> Arguments:
    """The arguments, empty ones kept; an overwritten title is one string."""
    title = raw.rstrip(b"\0")
    if b" " in title and b"\0" not in title:
        return Arguments([title])
    return Arguments(nul_list(raw))


def text(arguments: Arguments, _: Machine) -> str:
    """One line for a shell (bash, zsh, ksh, busybox) that runs the same again."""
    return " ".join(map(_quoted, arguments.raw)) + "\n" if arguments.raw else ""


def _quoted(argument: bytes) -> str:
    text = argument.decode("utf-8", "surrogateescape")
    return quote(text) if text.isprintable() else f"$'{text.translate(_ESCAPES)}'"
