"""/proc/modules: the loaded kernel modules (proc_modules(5), m_show in kernel/module/procfs.c).

The address is shown as 0 to requesters without CAP_SYSLOG (kptr_restrict). A kernel that cannot
unload has `-` for the count.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

# Letters of taint that a module can have (taint_flags in kernel/panic.c) and of its state
# (module_flags).
TAINTS = {
    "P": "proprietary",
    "F": "forced",
    "R": "unload forced",
    "C": "staging",
    "O": "out of tree",
    "E": "unsigned",
    "K": "live patch",
    "N": "test",
    "+": "loading",
    "-": "unloading",
}


class Module(Record, frozen=True):
    """One module."""

    name: Annotated[str, doc("Its name")]
    size: Annotated[int, doc("Memory that it takes", "bytes")]
    refcount: Annotated[
        int | None, doc("How many use it; null if the kernel cannot unload modules")
    ]
    used_by: Annotated[list[str], doc("The modules that use it")]
    permanent: Annotated[bool, doc("Cannot be unloaded")]
    state: Annotated[str, doc("Live, Loading or Unloading")]
    address: Annotated[str | None, doc("Where it is; null where the kernel hides it")]
    flags: Annotated[list[str], doc("How it taints the kernel, and whether it comes or goes")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Module]:
    """The modules in their order, the newest first."""
    return rows(raw, lambda line: _module(decoded(line).split(" ")))


def _module(words: list[str]) -> Module:
    name, size, refcount, used_by, state, address, *more = words
    users = [user for user in used_by.split(",") if user not in {"", "-"}]
    return Module(
        name=name,
        size=int(size),
        refcount=None if refcount == "-" else int(refcount),
        used_by=[user for user in users if user != "[permanent]"],
        permanent="[permanent]" in users,
        state=state,
        address=hex(hexadecimal(address)) if hexadecimal(address) else None,
        flags=[
            TAINTS.get(letter, letter)
            for word in more
            if word.startswith("(")
            for letter in word.strip("()")
        ],
        extra={str(at): word for at, word in enumerate(more, 7) if not word.startswith("(")}
        or UNSET,
    )


text = listing(
    "MODULE name",
    "SIZE size bytes",
    "USES refcount number",
    "STATE state",
    "FLAGS flags",
    "USED-BY used_by",
    most="size",
    none="no modules\n",
)
