"""/proc/kallsyms as an index from addresses to names, for frames without a name from the kernel.

Source: proc_kallsyms(5).

The file is long (tens of milliseconds to read, some more to index), so it is read only when a frame
needs it, and once for each state of /proc/modules. If a reader may not see addresses
(kptr_restrict), the kernel prints zeros, and then nothing is known.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from typing import NamedTuple

from procmirror.stack.target import Target

_LINE = re.compile(rb"^([0-9a-f]{8,16}) ([tTwW]) ([^\t\n]+)(?:\t\[([^\]\n]+)\])?$", re.MULTILINE)
_MODULE = re.compile(rb"^(\S+) (\d+) .* 0x([0-9a-f]+)(?: \(.*\))?$", re.MULTILINE)
MOST_OF_SYMBOL = 1 << 24
HEAD = 1 << 16  # what shows whether the addresses are zeros
PREFIX = b"__pfx_"  # padding before a function, under a name of its own (CONFIG_X86 since 6.2)


class Place(NamedTuple):
    """The function or module at an address.

    A module whose symbols are not known counts as one place without a name.
    """

    symbol: bytes | None
    offset: int
    size: int | None
    module: bytes | None


class Index:
    """All functions by address: two arrays and the names in one piece."""

    def __init__(self, raw: bytes) -> None:
        found = [
            (int(address, 16), name + (b"\t" + module if module else b""))
            for address, _, name, module in _LINE.findall(raw)
            if not name.startswith(PREFIX)
        ]
        found = sorted(one for one in found if one[0])
        self._starts = array("Q", (address for address, _ in found))
        self._names = b"\n".join(name for _, name in found)
        ends, end = array("L"), 0
        for _, name in found:
            ends.append(end)
            end += len(name) + 1
        self._offsets = ends

    def __len__(self) -> int:
        return len(self._starts)

    def holding(self, address: int) -> Place | None:
        """The function around `address`, which ends where the next one begins."""
        after = bisect_right(self._starts, address)
        if not after or after == len(self._starts):
            return None
        start, size = self._starts[after - 1], self._starts[after] - self._starts[after - 1]
        if size > MOST_OF_SYMBOL:
            return None
        at = self._offsets[after - 1]
        name, _, module = self._names[at : self._offsets[after] - 1].partition(b"\t")
        return Place(name, address - start, size, module or None)


def in_modules(modules: bytes, address: int) -> Place | None:
    """The module around `address` by /proc/modules."""
    for name, size, base in _MODULE.findall(modules):
        offset = address - int(base, 16)
        if int(base, 16) and 0 <= offset < int(size):
            return Place(None, offset, None, name)
    return None


class Symbols:
    """What one requester may know about the kernel's addresses, read on first use."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._modules: bytes | None = None
        self._index: Index | None = None

    def place(self, address: int) -> Place | None:
        """The place of `address`, if the requester may see it."""
        if self._modules is None:
            self._modules, self._index = self._read()
        return (self._index and self._index.holding(address)) or in_modules(self._modules, address)

    def _read(self) -> tuple[bytes, Index | None]:
        """The modules and the index, both as the requester may read them."""
        try:
            modules = self._target.system("modules")
            # The answer for one requester must not serve another that gets zeros from the kernel.
            shown = any(
                int(line[0], 16) for line in _LINE.findall(self._target.system("kallsyms", HEAD))
            )
            return modules, _index(modules, self._target) if shown else None
        except OSError:
            return b"", None


class _Known(NamedTuple):
    modules: bytes
    functions: Index


_known: list[_Known] = []


def _index(modules: bytes, target: Target) -> Index:
    """The index for this state of the modules."""
    for known in _known:
        if known.modules == modules:
            return known.functions
    index = Index(target.system("kallsyms"))
    _known[:] = [_Known(modules, index)]
    return index
