"""The auxiliary vector.

Include/uapi/linux/auxvec.h, and arch/*/include/uapi/asm/{auxvec,hwcap}.h for what one machine has.

The words of AT_HWCAP differ by machine; x86 puts EDX of CPUID leaf 1 there, named as in
/proc/cpuinfo.
"""

from __future__ import annotations

from collections.abc import Mapping

NAMES: dict[int, str] = {
    1: "AT_IGNORE",
    2: "AT_EXECFD",
    3: "AT_PHDR",
    4: "AT_PHENT",
    5: "AT_PHNUM",
    6: "AT_PAGESZ",
    7: "AT_BASE",
    8: "AT_FLAGS",
    9: "AT_ENTRY",
    10: "AT_NOTELF",
    11: "AT_UID",
    12: "AT_EUID",
    13: "AT_GID",
    14: "AT_EGID",
    15: "AT_PLATFORM",
    16: "AT_HWCAP",
    17: "AT_CLKTCK",
    18: "AT_FPUCW",
    19: "AT_DCACHEBSIZE",
    20: "AT_ICACHEBSIZE",
    21: "AT_UCACHEBSIZE",
    22: "AT_IGNOREPPC",
    23: "AT_SECURE",
    24: "AT_BASE_PLATFORM",
    25: "AT_RANDOM",
    26: "AT_HWCAP2",
    27: "AT_RSEQ_FEATURE_SIZE",
    28: "AT_RSEQ_ALIGN",
    29: "AT_HWCAP3",
    30: "AT_HWCAP4",
    31: "AT_EXECFN",
    32: "AT_SYSINFO",
    33: "AT_SYSINFO_EHDR",
    34: "AT_L1I_CACHESHAPE",
    35: "AT_L1D_CACHESHAPE",
    36: "AT_L2_CACHESHAPE",
    37: "AT_L3_CACHESHAPE",
    40: "AT_L1I_CACHESIZE",
    41: "AT_L1I_CACHEGEOMETRY",
    42: "AT_L1D_CACHESIZE",
    43: "AT_L1D_CACHEGEOMETRY",
    44: "AT_L2_CACHESIZE",
    45: "AT_L2_CACHEGEOMETRY",
    46: "AT_L3_CACHESIZE",
    47: "AT_L3_CACHEGEOMETRY",
    48: "AT_ADI_BLKSZ",
    49: "AT_ADI_NBITS",
    50: "AT_ADI_UEONADI",
    51: "AT_MINSIGSTKSZ",
}


def _bits(words: str) -> dict[int, str]:
    """Names by bit in their order; `-` leaves a bit without one."""
    return {1 << bit: word for bit, word in enumerate(words.split()) if word != "-"}


_X86 = {
    "AT_HWCAP": _bits(
        "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - "
        "dts acpi mmx fxsr sse sse2 ss "
        "ht tm ia64 pbe"
    ),
    "AT_HWCAP2": _bits("ring3mwait fsgsbase"),
}
_AARCH64 = {
    "AT_HWCAP": _bits(
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt "
        "fcma lrcpc dcpop sha3 sm3 sm4 "
        "asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg"
    ),
    "AT_HWCAP2": _bits(
        "dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm "
        "svef64mm svebf16 i8mm bf16 dgh "
        "rng bti mte ecv afp rpres mte3 sme smei16i64 smef64f64 smei8i32 smef16f32 smeb16f32 "
        "smef32f32 smefa64 wfxt ebf16 "
        "sveebf16 cssc rprfm sve2p1 sme2 sme2p1 smei16i32 smebi32i32 smeb16b16 smef16f16 mops "
        "hbc sveb16b16 lrcpc3"
    ),
}
# By the string of AT_PLATFORM.
HWCAPS: Mapping[str, Mapping[str, Mapping[int, str]]] = {
    "x86_64": _X86,
    "i386": _X86,
    "i486": _X86,
    "i586": _X86,
    "i686": _X86,
    "aarch64": _AARCH64,
}
