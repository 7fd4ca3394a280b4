"""The system calls of an ABI by number.

Names from the package system-calls, arguments from `arguments.json`.

Both are loaded at the first call that has to be named. A worker calls `load` before that, because a
thread that acts as the requester may be unable to read the files of a package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from procmirror.stack.caller import Caller

X32_BIT = 0x40000000
# The table of a kernel's own calls, if the package has another name for it than uname(2).
_NATIVE = {
    "aarch64": "arm64",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
    "ppc64": "powerpc64",
    "ppc64le": "powerpc64",
    "mips": "mipso32",
}
# The table of its 32-bit tasks.
_COMPATIBLE = {"x86_64": "i386", "aarch64": "arm", "riscv64": "riscv32"}
_NARROW = {"i386", "arm", "riscv32", "mipso32"}

# Functions at the outer end of a kernel stack: by which gate the task came in.
_FRAME = re.compile(rb"\] (?:\? )?(\S+?)\+0x")
_COMPATIBLE_ENTRY = re.compile(
    rb"do_int80|int80_emulation|entry_(?:INT80|SYSENTER|SYSCALL)_compat|"
    rb"(?:__)?do_fast_syscall_32|do_SYSENTER_32|do_syscall_32|"
    rb"ia32_sys|sysenter_|cstar_|(?:do_)?el0_svc_compat|el0t_32_|el0_(?:sync|irq)_compat"
)
_NATIVE_ENTRY = re.compile(
    rb"do_syscall_64|x64_sys_call|entry_SYSCALL_64|system_call_fastpath|(?:do_)?el0_svc$|el0t_64_|"
    rb"do_trap_ecall_u|invoke_syscall"
)

# The kernel's own name of a function, if the table of calls has another.
_KERNEL_NAMES = {
    "_llseek": "llseek",
    "_newselect": "select",
    "arm_fadvise64_64": "fadvise64_64",
    "fstat": "newfstat",
    "lstat": "newlstat",
    "sendfile": "sendfile64",
    "stat": "newstat",
    "umount2": "umount",
    "uname": "newuname",
}
# These names mean older calls on i386.
_OLD = {"mmap": "old_mmap", "select": "old_select", "umount": "oldumount"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument as the kernel declares it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Call:
    """One system call with its known arguments.

    `word` is the size of a long in memory, in bytes.
    """

    name: str
    function: str
    word: int
    arguments: Sequence[tuple[Parameter, int]]
    caller: Caller

    def __getitem__(self, name: str) -> int:
        """The value of the argument `name`; LookupError if the call has none of this name."""
        for parameter, value in self.arguments:
            if parameter.name == name:
                return value
        raise LookupError(name)


def abi(architecture: str, number: int, addresses: Sequence[int], stack: bytes | None) -> str:
    """The ABI that a number of a call belongs to.

    The kernel stack is certain. Without it, a task with its stack and its code below 4 GiB counts
    as a 32-bit one.
    """
    native = table(architecture)
    if native == "x86_64" and number & X32_BIT:
        return "x32"
    compatible = _COMPATIBLE.get(architecture)
    if compatible is None:
        return native
    frames = _FRAME.findall(stack or b"")
    if any(map(_COMPATIBLE_ENTRY.match, frames)):
        return compatible
    if any(map(_NATIVE_ENTRY.match, frames)):
        return native
    return compatible if all(address < 1 << 32 for address in addresses) else native


def table(architecture: str) -> str:
    """The table of the calls of a kernel's own tasks, by the kernel's name of the architecture."""
    return _NATIVE.get(architecture, architecture)


def is_native(name: str, architecture: str) -> bool:
    """Whether an ABI is the kernel's own."""
    return name == table(architecture)


def word(name: str) -> int:
    """The size of a long of an ABI; that of x32 in system calls is 8."""
    return 4 if name in _NARROW else 8


@cache
def _names(name: str) -> Mapping[int, str]:
    return dict(import_module("system_calls").syscalls().load_reverse_arch_table(name))


def named(number: int, abi_name: str) -> str | None:
    """The name of a call, if the table has one."""
    try:
        return _names(abi_name).get(number)
    except Exception:  # noqa: BLE001 - the package's own exception: no table of this architecture
        return None


@cache
def _prototypes() -> dict[str, str]:
    # By the loader: importlib.resources imports those of archives, paths and temporary files.
    loader: Any = __spec__.loader
    content = loader.get_data(f"{__file__.rpartition('/')[0]}/arguments.json")
    return msgspec.json.decode(content, type=dict[str, str])


@cache
def _parameters(prototype: str) -> tuple[Parameter, ...]:
    declared = (
        argument.replace("*", " * ").split() for argument in prototype.split(", ") if argument
    )
    return tuple(Parameter(words[-1], " ".join(words[:-1])) for words in declared)


def function(name: str, abi_name: str) -> str | None:
    """The kernel's function for a call, by the name its arguments are listed under."""
    first = _OLD.get(name) if abi_name == "i386" else None
    narrow = (
        [name.removesuffix(suffix) for suffix in ("_time64", "64", "32")]
        if abi_name in _NARROW
        else []
    )
    candidates = [first or _KERNEL_NAMES.get(name, name), *narrow]
    return next((one for one in candidates if one in _prototypes()), None)


def assigned(
    function_name: str, abi_name: str, registers: Sequence[int]
) -> list[tuple[Parameter, int]]:
    """The parameters of a function with their values.

    64 bits take two registers of a 32-bit task, on arm an even pair.
    """
    parameters = _parameters(_prototypes()[function_name])
    if function_name == "clone" and abi_name not in {"x86_64", "x32"}:
        # CONFIG_CLONE_BACKWARDS: tls comes before child_tidptr.
        parameters = (*parameters[:3], parameters[4], parameters[3])
    if abi_name not in _NARROW:
        return list(zip(parameters, registers, strict=False))
    found, at = [], 0
    for parameter in parameters:
        wide = parameter.type == "loff_t"
        at += wide and abi_name == "arm" and at % 2
        values = registers[at : at + 1 + wide]
        found += (
            [(parameter, sum(value << 32 * place for place, value in enumerate(values)))]
            if values
            else []
        )
        at += 1 + wide
    return found


def load(architecture: str) -> None:
    """Load what `named` and `function` need for the tasks of a kernel."""
    _prototypes()
    for one in {table(architecture), _COMPATIBLE.get(architecture), "x32"} - {None}:
        named(0, str(one))
