"""/proc/cpuinfo: the processors.

Source: proc_cpuinfo(5), arch/*/kernel/…: every architecture prints its own lines.

Here x86, arm64 and RISC-V have fields; what others print, and a value that is not of the usual
kind, stands in `extra`. Lines of the whole machine (s390, PowerPC, 32-bit ARM) make an entry
without `processor`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from procmirror.decode.shapes import blocks, kilobytes, pairs
from procmirror.decode.text import decoded
from procmirror.decode.view import Machine, Record, doc

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


class Processor(Record, frozen=True, rename=NAMES):
    """One processor, or the lines that are of none; a field is there if the architecture prints it."""

    processor: Annotated[int | UnsetType, doc("Number of the CPU")] = UNSET
    vendor_id: Annotated[str | UnsetType, doc("Who made it")] = UNSET
    cpu_family: Annotated[int | UnsetType, doc("Family, as the maker numbers it")] = UNSET
    model: Annotated[int | UnsetType, doc("Model in the family")] = UNSET
    model_name: Annotated[str | UnsetType, doc("Its name in trade")] = UNSET
    stepping: Annotated[int | UnsetType, doc("Revision of the model")] = UNSET
    microcode: Annotated[str | UnsetType, doc("Version of the microcode")] = UNSET
    cpu_mhz: Annotated[float | UnsetType, doc("Clock now", "MHz")] = UNSET
    cache_size: Annotated[
        int | UnsetType, doc("Cache of the last level that is the CPU's own", "bytes")
    ] = UNSET
    physical_id: Annotated[int | UnsetType, doc("Number of the package")] = UNSET
    siblings: Annotated[int | UnsetType, doc("CPUs in the package that are online")] = UNSET
    core_id: Annotated[int | UnsetType, doc("Number of the core in the package")] = UNSET
    cpu_cores: Annotated[int | UnsetType, doc("Cores in the package")] = UNSET
    apicid: Annotated[int | UnsetType, doc("Number by which interrupts reach it")] = UNSET
    initial_apicid: Annotated[int | UnsetType, doc("The same as set by the hardware")] = UNSET
    fpu: Annotated[bool | UnsetType, doc("Has floating point")] = UNSET
    fpu_exception: Annotated[
        bool | UnsetType, doc("Reports floating-point errors by an exception")
    ] = UNSET
    cpuid_level: Annotated[int | UnsetType, doc("Highest basic function of CPUID")] = UNSET
    wp: Annotated[bool | UnsetType, doc("The kernel too respects write protection")] = UNSET
    flags: Annotated[list[str] | UnsetType, doc("Features (x86)")] = UNSET
    vmx_flags: Annotated[list[str] | UnsetType, doc("Features of hardware virtualization")] = UNSET
    bugs: Annotated[list[str] | UnsetType, doc("Known errors of the hardware")] = UNSET
    bogomips: Annotated[
        float | UnsetType, doc("Speed of the delay loop; no measure of performance")
    ] = UNSET
    tlb_size: Annotated[str | UnsetType, doc("Entries of the TLB")] = UNSET
    clflush_size: Annotated[int | UnsetType, doc("Cache line, as CLFLUSH counts", "bytes")] = UNSET
    cache_alignment: Annotated[
        int | UnsetType, doc("Cache line, as the kernel aligns to it", "bytes")
    ] = UNSET
    address_sizes: Annotated[str | UnsetType, doc("Bits of physical and virtual addresses")] = UNSET
    power_management: Annotated[list[str] | UnsetType, doc("Features of power management")] = UNSET
    bogomips_arm: Annotated[float | UnsetType, doc("Speed of the delay loop (arm64)")] = UNSET
    features: Annotated[list[str] | UnsetType, doc("Features (arm64)")] = UNSET
    cpu_implementer: Annotated[str | UnsetType, doc("Who made it, as a number (arm64)")] = UNSET
    cpu_architecture: Annotated[str | UnsetType, doc("Version of the architecture (arm64)")] = UNSET
    cpu_variant: Annotated[str | UnsetType, doc("Variant (arm64)")] = UNSET
    cpu_part: Annotated[str | UnsetType, doc("Which CPU of the maker (arm64)")] = UNSET
    cpu_revision: Annotated[int | UnsetType, doc("Revision (arm64)")] = UNSET
    hart: Annotated[int | UnsetType, doc("Number of the hardware thread (RISC-V)")] = UNSET
    isa: Annotated[str | UnsetType, doc("Instruction set and extensions (RISC-V)")] = UNSET
    mmu: Annotated[str | UnsetType, doc("Kind of address translation (RISC-V)")] = UNSET
    extra: Annotated[dict[str, str] | UnsetType, doc("Lines that have no field here")] = UNSET


def _yes(value: bytes) -> bool:
    return {b"yes": True, b"no": False}[value]


def _words(value: bytes) -> list[str]:
    return decoded(value).split()


def _kb(value: bytes) -> int:
    return kilobytes(value.replace(b" KB", b" kB"))


_BY_KIND: tuple[tuple[Callable[[bytes], Any], str], ...] = (
    (
        int,
        "processor cpu_family model stepping physical_id siblings core_id cpu_cores apicid initial_apicid cpuid_level hart",
    ),
    (int, "clflush_size cache_alignment cpu_revision"),
    (float, "cpu_mhz bogomips bogomips_arm"),
    (_kb, "cache_size"),
    (_yes, "fpu fpu_exception wp"),
    (_words, "flags vmx_flags bugs power_management features"),
)
_KINDS = {NAMES.get(name, name): kind for kind, names in _BY_KIND for name in names.split()}
_FIELDS = dict(
    zip(Processor.__struct_encode_fields__, Processor.__struct_fields__[:-1], strict=False)
)


def decode(raw: bytes, _: Machine) -> list[Processor]:
    """The blocks in their order."""
    return [_processor(block.strip(b"\n")) for block in blocks(raw)]


def _processor(block: bytes) -> Processor:
    fields: dict[str, Any] = {}
    extra: dict[str, str] = {}
    for key, value in pairs(block):
        try:
            fields[_FIELDS[key]] = _KINDS.get(key, decoded)(value)
        except (LookupError, ValueError):
            extra[key] = decoded(value)
    return Processor(**fields, extra=extra or UNSET)
