"""Files of machines of which there is no capture, as the source of the kernel prints them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from procmirror.decoding.render import rendered
from procmirror.views import VIEWS
from tests.fixtures import MACHINES, Folder
from tests.views.test_odd_files import MACHINE

BY_NAME = {view.name: view for view in VIEWS}


def text(name: str, raw: bytes) -> list[list[str]]:
    """The words of each line of the text of a view."""
    view = BY_NAME[name]
    content = b"".join(rendered(view, "txt", view.decoded(raw, MACHINE), MACHINE)).decode()
    return [line.split(None, 1) for line in content.splitlines()]


def answer(name: str, raw: bytes) -> Any:
    """The JSON of a view."""
    view = BY_NAME[name]
    return json.loads(b"".join(rendered(view, "json", view.decoded(raw, MACHINE), MACHINE)))


ARM = (
    b"processor\t: 0\nmodel name\t: ARMv7 Processor rev 4 (v7l)\nFeatures\t: half neon\n"
    b"CPU part\t: 0xd03\n\n"
    b"processor\t: 1\nmodel name\t: ARMv7 Processor rev 4 (v7l)\nFeatures\t: half neon\n"
    b"CPU part\t: 0xd03\n\n"
    b"Hardware\t: BCM2835\nRevision\t: a02082\nSerial\t\t: 00000000765fc593\n"
)
RASPBERRY_PI = (
    b"processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
    b"CPU part\t: 0xd08\n\n"
    b"Revision\t: c03111\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 4 Model B Rev 1.1\n"
)
POWERPC = (
    b"processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3800.000000MHz\n"
    b"revision\t: 2.2 (pvr 004e 1202)\n\n"
    b"processor\t: 1\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3800.000000MHz\n"
    b"revision\t: 2.2 (pvr 004e 1202)\n\n"
    b"timebase\t: 512000000\nplatform\t: PowerNV\nmodel\t\t: 9006-22P\n"
    b"machine\t\t: PowerNV 9006-22P\nfirmware\t: OPAL\nMMU\t\t: Radix\n"
)
LOONGARCH = (
    b"system type\t\t: generic-loongson-machine\n\n"
    b"processor\t\t: 0\npackage\t\t\t: 0\ncore\t\t\t: 0\nCPU Family\t\t: Loongson-64bit\n"
    b"Model Name\t\t: Loongson-3A5000\nFeatures\t\t: cpucfg lam ual\n\n"
)
MIPS = (
    b"system type\t\t: MediaTek MT7621 ver:1 eco:3\nmachine\t\t\t: Xiaomi Mi Router 3G\n"
    b"processor\t\t: 0\ncpu model\t\t: MIPS 1004Kc V2.15\nisa\t\t\t: mips1 mips2 mips32r1\n\n"
    b"processor\t\t: 1\ncpu model\t\t: MIPS 1004Kc V2.15\nisa\t\t\t: mips1 mips2 mips32r1\n\n"
)
SPARC = (
    b"cpu\t\t: UltraSparc T5 (Niagara5)\nfpu\t\t: UltraSparc T5 integrated FPU\n"
    b"type\t\t: sun4v\nncpus probed\t: 256\nncpus active\t: 64\nD$ parity tl1\t: 0\n"
)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (ARM, {"processors": "2", "model": "ARMv7 Processor rev 4 (v7l)", "flags": "half neon"}),
        (
            RASPBERRY_PI,
            {"processors": "1", "model": "0xd08", "vendor": "0x41", "flags": "fp asimd"},
        ),
        (POWERPC, {"processors": "2", "model": "POWER9, altivec supported"}),
        (LOONGARCH, {"processors": "1", "model": "Loongson-3A5000", "flags": "cpucfg lam ual"}),
        (MIPS, {"processors": "2", "model": "MIPS 1004Kc V2.15"}),
        (SPARC, {"processors": "64", "model": "UltraSparc T5 (Niagara5)"}),
    ],
    ids=["ARM", "Raspberry Pi", "PowerPC", "LoongArch", "MIPS", "SPARC"],
)
def test_lines_of_the_machine_are_no_processor(raw: bytes, shown: dict[str, str]) -> None:
    assert {line[0]: line[1] for line in text("cpuinfo", raw)} == shown


def test_lines_of_the_machine_stay_in_the_json() -> None:
    *processors, machine = answer("cpuinfo", ARM)
    assert [one["processor"] for one in processors] == [0, 1]
    assert machine["extra"] == {
        "Hardware": "BCM2835",
        "Revision": "a02082",
        "Serial": "00000000765fc593",
    }


@pytest.mark.parametrize("name", ["interrupts", "softirqs"])
def test_counts_of_a_cpu_that_came_up_during_the_read_are_not_given_to_others(name: str) -> None:
    before, after = b"  1:  10  30  IO-APIC  1-edge  a\n", b"  4:  11  21  31  IO-APIC  4-edge  b\n"
    if name == "softirqs":
        before, after = b"  HI:  10  30\n", b"  TIMER:  11  21  31\n"
    whole, odd = answer(name, b"  CPU0  CPU2\n" + before + after)
    assert whole["cpus"] == {"0": 10, "2": 30}
    assert odd["line"] == after.decode().rstrip()
    assert odd["incomplete"][0]["part"] == "line 3"
    assert odd["incomplete"][0]["reason"].startswith("expected 2 counts, found ")


def test_calls_below_zero_in_allocinfo() -> None:
    head = b"allocinfo - version: 1.0\n#     <size>  <calls> <tag info>\n"
    row = b"       -4096 18446744073709551615 mm/slub.c:1 func:alloc_slab_page\n"
    (place,) = answer("allocinfo", head + row)
    assert (place["size"], place["calls"]) == (-4096, -1)


@pytest.mark.parametrize(
    ("uptime", "seconds"),
    [(b"1400000.00 5.00\n", None), (b"1432890.27 5.00\n", 1432890.266), (b"", 1432890.266)],
    ids=["before", "after", "unknown"],
)
def test_no_call_of_an_interrupt_is_later_than_now(uptime: bytes, seconds: float | None) -> None:
    folder = Folder(MACHINES / "documented-older", {"uptime": uptime})  # with HZ=300
    _, second = BY_NAME["irq"].record_of(folder, MACHINE)
    assert second.spurious.last_unhandled == seconds
    assert bool(second.spurious.extra) is (seconds is None)


@pytest.mark.parametrize(
    ("raw", "parameters", "init"),
    [
        # A letter of two bytes, of which the second is a blank in Latin-1.
        (
            b"root=LABEL=\xd0\xa0 quiet",
            [("root", "LABEL=\\xd0"), ("quiet", None)],
            [],
        ),
        (b'root="LABEL=\xd0\xa0" quiet', [("root", "LABEL=\u0420"), ("quiet", None)], []),
        (b"a=\xc3\xa4 b", [("a", "\u00e4"), ("b", None)], []),
        # One quote at the end is left out, whether one or two were opened.
        (b'"a="b"" c="', [("a", 'b"'), ("c", "")], []),
        (b'"a=b c', [("a", "b c")], []),
        (b'a "--" b="c d" --', [("a", None)], ["b=c d", "--"]),
    ],
)
def test_words_of_the_command_line_are_those_of_the_kernel(
    raw: bytes, parameters: list[tuple[str, str | None]], init: list[str]
) -> None:
    found = answer("cmdline", raw + b"\n")
    assert [(one["name"], one["value"]) for one in found["parameters"]] == parameters
    assert found["init"] == init


@pytest.mark.parametrize("name", ["ERR", "MIS", "Err", "BAD"])
def test_a_count_of_a_machine_with_one_cpu_is_not_that_of_the_cpu(name: str) -> None:
    raw = b"           CPU0\n  8:          7   IO-APIC   8-edge      rtc0\n"
    raw += b"NMI:          2   Non-maskable interrupts\n%s:          3\n" % name.encode()
    clock, nmi, errors = answer("interrupts", raw)
    assert (clock["cpus"], nmi["cpus"]) == ({"0": 7}, {"0": 2})
    assert (errors["interrupt"], errors["total"], errors["cpus"]) == (name, 3, {})
    assert text("interrupts", raw)[2][0] == name
    assert text("interrupts", raw)[2][1].split() == ["3", "-", "-"]
