"""/proc/cpuinfo: the processors.

Source: proc_cpuinfo(5), arch/*/kernel/…: every architecture prints its own lines.

Here x86, arm64 and RISC-V have fields; what others print, and a value that is not of the usual
kind, stands in `extra`. Lines of the whole machine (s390, PowerPC, 32-bit ARM) make an entry
without `processor`, which the text does not count. What s390 calls `cpu number` is `processor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import decimal, kilobytes, pairs
from procmirror.decoding.table import paragraphs, pieces
from procmirror.decoding.text import decoded, page, size
from procmirror.decoding.view import Extra, Machine, Record, doc

NAMES = {
    "cpu_family": "cpu family",
    "model_name": "model name",
    "cpu_mhz": "cpu MHz",
    "cache_size": "cache size",
    "physical_id": "physical id",
    "core_id": "core id",
    "cpu_cores": "cpu cores",
    "initial_apicid": "initial apicid",
    "cpuid_level": "cpuid level",
    "vmx_flags": "vmx flags",
    "tlb_size": "TLB size",
    "clflush_size": "clflush size",
    "address_sizes": "address sizes",
    "power_management": "power management",
    "bogomips_arm": "BogoMIPS",
    "features": "Features",
    "cpu_implementer": "CPU implementer",
    "cpu_architecture": "CPU architecture",
    "cpu_variant": "CPU variant",
    "cpu_part": "CPU part",
    "cpu_revision": "CPU revision",
}
# Where the processors have no lines of their own: how many there are, on SPARC, Alpha, s390 of old
# kernels and Xtensa.
_COUNTS = ("ncpus active", "cpus active", "# processors", "CPU count")
# The model on MIPS and Alpha, on LoongArch, on PowerPC and SPARC, on s390.
_MODELS = ("cpu model", "Model Name", "cpu", "machine")


class Processor(Record, frozen=True, rename=NAMES):
    """One processor, or the lines that are of none; null is what is not printed."""

    processor: Annotated[int | None, doc("Number of the CPU")] = None
    vendor_id: Annotated[str | None, doc("Who made it")] = None
    cpu_family: Annotated[int | None, doc("Family, as the maker numbers it")] = None
    model: Annotated[int | None, doc("Model in the family")] = None
    model_name: Annotated[str | None, doc("Its name in trade")] = None
    stepping: Annotated[int | None, doc("Revision of the model")] = None
    microcode: Annotated[str | None, doc("Version of the microcode")] = None
    cpu_mhz: Annotated[float | None, doc("Clock now", "MHz")] = None
    cache_size: Annotated[
        int | None, doc("Cache of the last level that is the CPU's own", "bytes")
    ] = None
    physical_id: Annotated[int | None, doc("Number of the package")] = None
    siblings: Annotated[int | None, doc("CPUs in the package that are online")] = None
    core_id: Annotated[int | None, doc("Number of the core in the package")] = None
    cpu_cores: Annotated[int | None, doc("Cores in the package")] = None
    apicid: Annotated[int | None, doc("Number by which interrupts reach it")] = None
    initial_apicid: Annotated[int | None, doc("The same as set by the hardware")] = None
    fpu: Annotated[bool | None, doc("Has floating point")] = None
    fpu_exception: Annotated[bool | None, doc("Reports floating-point errors by an exception")] = (
        None
    )
    cpuid_level: Annotated[int | None, doc("Highest basic function of CPUID")] = None
    wp: Annotated[bool | None, doc("The kernel too respects write protection")] = None
    flags: Annotated[list[str] | None, doc("Features (x86)")] = None
    vmx_flags: Annotated[list[str] | None, doc("Features of hardware virtualization")] = None
    bugs: Annotated[list[str] | None, doc("Known errors of the hardware")] = None
    bogomips: Annotated[float | None, doc("Speed of the delay loop; no measure of performance")] = (
        None
    )
    tlb_size: Annotated[str | None, doc("Entries of the TLB")] = None
    clflush_size: Annotated[int | None, doc("Cache line, as CLFLUSH counts", "bytes")] = None
    cache_alignment: Annotated[
        int | None, doc("Cache line, as the kernel aligns to it", "bytes")
    ] = None
    address_sizes: Annotated[str | None, doc("Bits of physical and virtual addresses")] = None
    power_management: Annotated[list[str] | None, doc("Features of power management")] = None
    bogomips_arm: Annotated[float | None, doc("Speed of the delay loop (arm64)")] = None
    features: Annotated[list[str] | None, doc("Features (arm64)")] = None
    cpu_implementer: Annotated[str | None, doc("Who made it, as a number (arm64)")] = None
    cpu_architecture: Annotated[str | None, doc("Version of the architecture (arm64)")] = None
    cpu_variant: Annotated[str | None, doc("Variant (arm64)")] = None
    cpu_part: Annotated[str | None, doc("Which CPU of the maker (arm64)")] = None
    cpu_revision: Annotated[int | None, doc("Revision (arm64)")] = None
    hart: Annotated[int | None, doc("Number of the hardware thread (RISC-V)")] = None
    isa: Annotated[str | None, doc("Instruction set and extensions (RISC-V)")] = None
    mmu: Annotated[str | None, doc("Kind of address translation (RISC-V)")] = None
    extra: Extra = UNSET


def _yes(value: bytes) -> bool:
    return {b"yes": True, b"no": False}[value]


def _words(value: bytes) -> list[str]:
    return decoded(value).split()


def _kb(value: bytes) -> int:
    return kilobytes(value.replace(b" KB", b" kB"))


_BY_KIND: tuple[tuple[Callable[[bytes], Any], str], ...] = (
    (
        int,
        "processor cpu_family model stepping physical_id siblings core_id cpu_cores apicid",
    ),
    (
        int,
        "initial_apicid cpuid_level hart",
    ),
    (int, "clflush_size cache_alignment cpu_revision"),
    (decimal, "cpu_mhz bogomips bogomips_arm"),
    (_kb, "cache_size"),
    (_yes, "fpu fpu_exception wp"),
    (_words, "flags vmx_flags bugs power_management features"),
)
_KINDS = {NAMES.get(name, name): kind for kind, names in _BY_KIND for name in names.split()}
_FIELDS = dict(
    zip(Processor.__struct_encode_fields__, Processor.__struct_fields__[:-1], strict=False)
)


def decode(raw: bytes, _: Machine) -> list[Processor]:
    """The processors in their order; a line `processor` begins one, as an empty line does."""
    found: list[tuple[int, bytes]] = []
    for number, block in _blocks(raw):
        found += [(number + at - 1, part) for at, part in paragraphs(block, _begins)]
    return pieces(found, _processor)


def _begins(line: bytes) -> bool:
    return line.partition(b":")[0].strip() in {b"processor", b"cpu number"}


def _blocks(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The paragraphs between empty lines, with the numbers of their first lines."""
    at = 1
    for block in raw.split(b"\n\n"):
        yield at + len(block) - len(block.lstrip(b"\n")), block.strip(b"\n")
        at += block.count(b"\n") + 2


def _processor(block: bytes) -> Processor:
    fields: dict[str, Any] = {}
    extra: dict[str, list[str]] = {}
    for printed, value in pairs(block):
        key = "processor" if printed == "cpu number" else printed
        field, read = _FIELDS.get(key), _KINDS.get(key, decoded)
        if field is not None and field not in fields:
            with suppress(LookupError, ValueError):
                fields[field] = read(value)
                continue
        extra.setdefault(key, []).append(decoded(value))
    left = {key: "\n".join(values) for key, values in extra.items()}
    return Processor(**fields, extra=left or UNSET)


def text(processors: list[Processor], _: Machine) -> str:
    """A page as of lscpu(1): what all processors are, and how many there are.

    It tells what the first processor is. What no processor has is that of the machine.
    """
    if not processors:
        return "no processors\n"
    cpus = list(filter(_is_one, processors))
    shown = [*cpus[:1], *(one for one in processors if not _is_one(one))]
    speeds = [f"{one.cpu_mhz:.0f}MHz" for one in sorted(processors, key=_speed) if one.cpu_mhz]
    cache = _first(shown, "cache_size")
    return page(
        [
            ("processors", len(cpus) or _first(shown, *_COUNTS) or len(processors)),
            ("model", _first(shown, "model_name", *_MODELS, "isa", "cpu_part")),
            ("vendor", _first(shown, "vendor_id", "cpu_implementer")),
            ("sockets", len({one.physical_id for one in processors} - {None})),
            ("cores", _cores(processors)),
            ("speed", " to ".join(dict.fromkeys(speeds[:1] + speeds[-1:]))),
            ("cache", cache and size(cache)),
            ("microcode", _first(shown, "microcode")),
            ("addresses", _first(shown, "address_sizes")),
            ("bugs", _listed(_first(shown, "bugs"))),
            ("flags", _listed(_first(shown, "flags", "features"))),
        ]
    )


def _is_one(entry: Processor) -> bool:
    """Whether an entry is of one processor: it has a number, or what stands in its place."""
    return entry.processor is not None or "processor" in (entry.extra or ())


def _first(entries: list[Processor], *names: str) -> Any:
    """The first value that an entry has under one of the names: of a field, or in `extra`."""
    for entry in entries:
        for name in names:
            if value := getattr(entry, name, None) or (entry.extra or {}).get(name):
                return value
    return None


def _listed(words: list[str] | str | None) -> str:
    return words if isinstance(words, str) else " ".join(words or [])


def _speed(processor: Processor) -> float:
    return processor.cpu_mhz or 0


def _cores(processors: list[Processor]) -> int:
    cores = {(one.physical_id, one.core_id) for one in processors if one.core_id is not None}
    return len(cores)
