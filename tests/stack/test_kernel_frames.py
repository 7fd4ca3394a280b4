"""The lines of /proc/PID/stack in all their forms, and addresses without a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from procmirror.stack import kallsyms
from procmirror.stack.kallsyms import Index, Symbols, in_modules
from procmirror.stack.kernel_stack import KernelFrame, frames
from procmirror.stack.target import Bare
from tests.live import Live

LINES = {
    # since 4.15
    "[<0>] ep_poll+0x3f4/0x450": KernelFrame("ep_poll", 0x3F4, 0x450, None, None),
    "[<0>] nfs4_run_open_task+0x152/0x1b0 [nfsv4]": KernelFrame(
        "nfs4_run_open_task", 0x152, 0x1B0, "nfsv4", None
    ),
    "[<0>] do_poll.constprop.0+0x1/0x2": KernelFrame("do_poll.constprop.0", 1, 2, None, None),
    "[<0>] __arm64_sys_futex+0x108/0x1a0": KernelFrame(
        "__arm64_sys_futex", 0x108, 0x1A0, None, None
    ),
    "[<0>] _ZN4core3fmt9Formatter+0x1/0x20 [rust_mod]": KernelFrame(
        "_ZN4core3fmt9Formatter", 1, 0x20, "rust_mod", None
    ),
    # CONFIG_STACKTRACE_BUILD_ID, since 5.14
    f"[<0>] foo+0x10/0x20 [bar {'0123456789' * 4}]": KernelFrame("foo", 16, 32, "bar", None),
    # since 2.6.29, with the address as a pointer of the machine
    "[<ffffffff8110a8a2>] pipe_wait+0x52/0x80": KernelFrame(
        "pipe_wait", 0x52, 0x80, None, "0xffffffff8110a8a2"
    ),
    "[<ffffffffa02e1234>] nfs_wait+0x24/0x90 [nfs]": KernelFrame(
        "nfs_wait", 0x24, 0x90, "nfs", "0xffffffffa02e1234"
    ),
    "[<c0104ba0>] sysenter_past_esp+0x5f/0x85": KernelFrame(
        "sysenter_past_esp", 0x5F, 0x85, None, "0xc0104ba0"
    ),
    # kptr_restrict
    "[<0000000000000000>] func+0x62/0x6a": KernelFrame("func", 0x62, 0x6A, None, None),
    "[<          (null)>] func+0x62/0x6a": KernelFrame(
        "[<          (null)>] func+0x62/0x6a", None, None, None, None
    ),
    # no symbols
    "[<ffffffff81234567>] 0xffffffff81234567": KernelFrame(
        None, None, None, None, "0xffffffff81234567"
    ),
    "[<0>] 0xffffffffc0a01234": KernelFrame(None, None, None, None, "0xffffffffc0a01234"),
}
KALLSYMS = b"""0000000000000000 A fixed_percpu_data
ffffffffc0001000 t in_module\t[nfs]
ffffffff81000000 T _text
ffffffff81000ff0 t __pfx_second
ffffffff81001000 T second
ffffffff81000100 t first
ffffffff81002000 D data
ffffffff81003000 T last
ffffffffc0001100 t after\t[nfs]
"""


@pytest.mark.parametrize(("line", "frame"), LINES.items(), ids=LINES)
def test_a_line(line: str, frame: KernelFrame) -> None:
    assert frames(line.encode() + b"\n") == [frame]


@pytest.mark.parametrize(
    "end", ["[<ffffffffffffffff>] 0xffffffffffffffff", "[<ffffffff>] 0xffffffff"]
)
def test_a_line_of_ones_ends_the_list(end: str) -> None:
    assert [frame.symbol for frame in frames(f"[<c0104ba0>] here+0x1/0x2\n{end}\n".encode())] == [
        "here"
    ]


def test_words_that_the_kernel_doubts_are_no_frames() -> None:
    assert (
        frames(b"[<c0104ba0>] ? stale+0x5f/0x85\n[<c0104ba1>] real+0x1/0x2\n")[0].symbol == "real"
    )


def test_an_unknown_line_is_kept_as_it_is() -> None:
    assert frames(b"something new\n")[0].symbol == "something new"


def test_no_frames() -> None:
    assert frames(b"") == []


class Shown(Bare):
    """What a requester is shown of the kernel's addresses; counts what was read."""

    def __init__(self, modules: bytes, symbols: bytes) -> None:
        super().__init__(Live("/proc/self"))
        self.files = {"modules": modules, "kallsyms": symbols}
        self.asked: list[str] = []

    def system(self, path: str, most: int | None = None) -> bytes:
        self.asked.append(path if most is None else f"{path} head")
        return self.files[path][:most]


def test_addresses_are_looked_up_in_a_list_that_need_not_be_sorted() -> None:
    index = Index(KALLSYMS)
    assert index.holding(0xFFFFFFFF81000150) == (b"first", 0x50, 0xF00, None)
    assert index.holding(0xFFFFFFFF81001004) == (b"second", 4, 0x2000, None)
    assert index.holding(0xFFFFFFFFC0001010) == (b"in_module", 0x10, 0x100, b"nfs")
    assert index.holding(0xFFFFFFFF80000000) is None
    assert index.holding(0xFFFFFFFFC0009999) is None
    assert index.holding(0xFFFFFFFF90000000) is None


def test_a_bare_address_gets_its_name() -> None:
    shown = Shown(b"", KALLSYMS)
    (frame,) = frames(b"[<0>] 0xffffffff81001004\n", Symbols(shown))
    assert frame == KernelFrame("second", 4, 0x2000, None, "0xffffffff81001004")


def test_kallsyms_is_not_read_unless_a_frame_needs_it() -> None:
    shown = Shown(b"", KALLSYMS)
    frames(b"[<0>] ep_poll+0x3f4/0x450\n[<ffffffffffffffff>] 0xffffffffffffffff\n", Symbols(shown))
    assert shown.asked == []


def test_it_is_read_once_for_each_state_of_the_modules() -> None:
    kallsyms._known.clear()
    asked = []
    for modules in (
        b"one 1 0 - Live 0xffffffffc0001000\n",
        b"one 1 0 - Live 0xffffffffc0001000\n",
        b"two 1 0 - Live 0xffffffffc0001000\n",
    ):
        shown = Shown(modules, KALLSYMS)
        Symbols(shown).place(0xFFFFFFFF81001004)
        asked.append("kallsyms" in shown.asked)
    assert asked == [True, False, True]


def test_a_requester_who_is_shown_zeros_learns_nothing_from_anothers_list() -> None:
    assert Symbols(Shown(b"", KALLSYMS)).place(0xFFFFFFFF81001004)
    restricted = Shown(b"", b"0000000000000000 T second\n0000000000000000 T third\n")
    assert Symbols(restricted).place(0xFFFFFFFF81001004) is None
    assert "kallsyms" not in restricted.asked


def test_a_module_without_symbols_is_named_by_its_place() -> None:
    modules = (
        b"nfs 8192 1 lockd,\x20Live 0xffffffffc0001000 (O)\nzero 8192 0 - Live 0x0000000000000000\n"
    )
    assert in_modules(modules, 0xFFFFFFFFC0001010) == (None, 0x10, None, b"nfs")
    assert in_modules(modules, 0xFFFFFFFFC0009010) is None
    assert in_modules(modules, 0x10) is None


@pytest.mark.root
def test_the_kernels_own_names_are_found_by_its_own_addresses() -> None:
    raw = Path("/proc/kallsyms").read_bytes()
    index = Index(raw)
    wanted = [
        line.split()[:3]
        for line in raw.splitlines()
        if line[17:18] in b"tT" and b"\t" not in line and b"__pfx_" not in line
    ][100:5000:50]
    assert wanted
    found = [index.holding(int(address, 16) + 1) for address, _, _ in wanted]
    starts = {int(address, 16) for address, _, _ in wanted}
    assert all(
        place and (int(address, 16) + 1 - place.offset) in starts
        for place, (address, _, _) in zip(found, wanted, strict=True)
    )
