"""The names of capabilities by bit.

Include/uapi/linux/capability.h, in the notation of cap_to_text(3).
"""

from __future__ import annotations

from functools import lru_cache

_WORDS = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
    "net_bind_service "
    "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot "
    "sys_ptrace sys_pacct sys_admin "
    "sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write "
    "audit_control setfcap mac_override "
    "mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
)
NAMES: tuple[str, ...] = tuple(f"cap_{word}" for word in _WORDS.split())


@lru_cache(maxsize=4096)
def names(mask: int) -> tuple[str, ...]:
    """The capabilities of a mask; a bit without a name as `0x…`."""
    if mask >> 64:
        raise ValueError("a capability set has 64 bits")
    return tuple(
        NAMES[bit] if bit < len(NAMES) else hex(1 << bit)
        for bit in range(mask.bit_length())
        if mask >> bit & 1
    )
