"""Names of ioctl(2) commands: those that may wait and those that everybody uses.

Source: include/uapi, with the sizes of structures on 64-bit machines; asm-generic/ioctl.h, and
asm/ioctl.h and asm/ioctls.h of the architectures that have their own. A command without a name here
is shown by what its number says: direction, group, number and size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

# Numbers of terminals and descriptors, as x86 and ARM have them (asm-generic/ioctls.h).
_TERMINALS = (
    "TCGETS=0x5401 TCSETS=0x5402 TCSETSW=0x5403 TCSETSF=0x5404 TCSBRK=0x5409 TCXONC=0x540a "
    "TCFLSH=0x540b TIOCSCTTY=0x540e TIOCGPGRP=0x540f TIOCSPGRP=0x5410 TIOCOUTQ=0x5411 "
    "TIOCSTI=0x5412 TIOCGWINSZ=0x5413 TIOCSWINSZ=0x5414 FIONREAD=0x541b TIOCCONS=0x541d "
    "TIOCSETD=0x5423 TIOCGETD=0x5424 TCSBRKP=0x5425 TIOCGSID=0x5429 TIOCVHANGUP=0x5437 "
    "TIOCMIWAIT=0x545c TIOCMGET=0x5415 TIOCNOTTY=0x5422 TIOCEXCL=0x540c FIONBIO=0x5421 "
    "FIOASYNC=0x5452 FIOCLEX=0x5451 FIONCLEX=0x5450"
)
# Numbers that no macro makes: every architecture has these.
_PLAIN = (
    "LOOP_SET_FD=0x4c00 LOOP_CLR_FD=0x4c01 LOOP_CTL_GET_FREE=0x4c82 LOOP_CONFIGURE=0x4c0a "
    "VT_ACTIVATE=0x5606 VT_WAITACTIVE=0x5607 VT_WAITEVENT=0x560e VT_SETMODE=0x5602 "
    "VT_RELDISP=0x5605 KDSETMODE=0x4b3a SIOCGIFCONF=0x8912 SIOCGIFFLAGS=0x8913 "
    "SIOCGIFADDR=0x8915 SIOCETHTOOL=0x8946 SIOCOUTQNSD=0x894b SG_IO=0x2285"
)
# Numbers that _IO, _IOR, _IOW and _IOWR make: each architecture has them in its own layout.
_MADE = (
    "TIOCGPTN=0x80045430 TIOCSPTLCK=0x40045431 TIOCGPTPEER=0x5441 FIBMAP=0x1 FIGETBSZ=0x2 "
    "FIFREEZE=0xc0045877 FITHAW=0xc0045878 FITRIM=0xc0185879 FICLONE=0x40049409 "
    "FICLONERANGE=0x4020940d FIDEDUPERANGE=0xc0189436 FS_IOC_GETFLAGS=0x80086601 "
    "FS_IOC_SETFLAGS=0x40086602 FS_IOC_FIEMAP=0xc020660b BLKRRPART=0x125f BLKGETSIZE=0x1260 "
    "BLKFLSBUF=0x1261 BLKDISCARD=0x1277 BLKSECDISCARD=0x127d BLKZEROOUT=0x127f "
    "BLKGETSIZE64=0x80081272 NBD_DO_IT=0xab03 SECCOMP_IOCTL_NOTIF_RECV=0xc0502100 "
    "SECCOMP_IOCTL_NOTIF_SEND=0xc0182101 SECCOMP_IOCTL_NOTIF_ID_VALID=0x40082102 "
    "SECCOMP_IOCTL_NOTIF_ADDFD=0x40182103 KVM_CREATE_VM=0xae01 KVM_CREATE_VCPU=0xae41 "
    "KVM_RUN=0xae80 BINDER_WRITE_READ=0xc0306201 UFFDIO_API=0xc018aa3f "
    "UFFDIO_REGISTER=0xc020aa00 UFFDIO_COPY=0xc028aa03 UFFDIO_ZEROPAGE=0xc020aa04 "
    "NS_GET_USERNS=0xb701 NS_GET_PARENT=0xb702 NS_GET_NSTYPE=0xb703 NS_GET_OWNER_UID=0xb704 "
    "TUNSETIFF=0x400454ca USBDEVFS_CONTROL=0xc0185500 USBDEVFS_BULK=0xc0185502 "
    "USBDEVFS_REAPURB=0x4008550c USBDEVFS_REAPURBNDELAY=0x4008550d PPPIOCATTACH=0x4004743d "
    "RTC_RD_TIME=0x80247009 WDIOC_KEEPALIVE=0x80045705 RNDGETENTCNT=0x80045200 "
    "RNDADDENTROPY=0x40085203 PERF_EVENT_IOC_ENABLE=0x2400 PERF_EVENT_IOC_DISABLE=0x2401 "
    "PERF_EVENT_IOC_RESET=0x2403 SNDRV_PCM_IOCTL_WRITEI_FRAMES=0x40184150 "
    "SNDRV_PCM_IOCTL_READI_FRAMES=0x80184151 SNDRV_PCM_IOCTL_DRAIN=0x4144 DM_DEV_WAIT=0xc138fd08 "
    "DM_DEV_SUSPEND=0xc138fd06 DM_TABLE_STATUS=0xc138fd0c BTRFS_IOC_BALANCE_V2=0xc4009420 "
    "BTRFS_IOC_SCRUB=0xc400941b BTRFS_IOC_SYNC=0x9408 BTRFS_IOC_DEFRAG=0x50009402 "
    "VIDIOC_DQBUF=0xc0585611 VIDIOC_QBUF=0xc058560f"
)
# arch/powerpc/include/uapi/asm/ioctls.h; struct termios has 44 bytes there.
_POWERPC = (
    "TCGETS=0x402c7413 TCSETS=0x802c7414 TCSETSW=0x802c7415 TCSETSF=0x802c7416 "
    "TCSBRK=0x2000741d TCXONC=0x2000741e TCFLSH=0x2000741f TIOCSWINSZ=0x80087467 "
    "TIOCGWINSZ=0x40087468 TIOCOUTQ=0x40047473 TIOCSPGRP=0x80047476 TIOCGPGRP=0x40047477 "
    "TIOCEXCL=0x540c TIOCSCTTY=0x540e TIOCSTI=0x5412 TIOCMGET=0x5415 TIOCCONS=0x541d "
    "TIOCNOTTY=0x5422 TIOCSETD=0x5423 TIOCGETD=0x5424 TCSBRKP=0x5425 TIOCGSID=0x5429 "
    "TIOCVHANGUP=0x5437 TIOCMIWAIT=0x545c FIOCLEX=0x20006601 FIONCLEX=0x20006602 "
    "FIOASYNC=0x8004667d FIONBIO=0x8004667e FIONREAD=0x4004667f"
)


def _numbers(words: str) -> dict[int, str]:
    """`NAME=0x1` as a table."""
    return {
        int(number, 16): name for name, _, number in (word.partition("=") for word in words.split())
    }


_GENERIC_MADE = _numbers(_MADE)
COMMANDS = _numbers(f"{_TERMINALS} {_PLAIN}") | _GENERIC_MADE
# As asm-generic/ioctl.h numbers them.
_MACROS = ("_IO", "_IOW", "_IOR", "_IOWR")
_GROUPS = range(0x21, 0x7F)  # letters and signs of ASCII


@dataclass(frozen=True)
class _Layout:
    """Where an architecture has the parts of a number that a macro makes, and names of its own.

    The number has 8 bits of number, 8 of group, `size_bits` of size; what is left is the direction,
    for which `macros` have the macro.
    """

    size_bits: int
    macros: Mapping[int, str]
    names: Mapping[int, str]

    def told(self, command: int) -> str:
        """A command by its name, else by its parts, else as a number."""
        number, group = command & 0xFF, command >> 8 & 0xFF
        size = command >> 16 & (1 << self.size_bits) - 1
        macro = self.macros.get(command >> 16 + self.size_bits)
        generic = _MACROS.index(macro) << 30 | size << 16 | command & 0xFFFF if macro else -1
        if name := self.names.get(command) or _GENERIC_MADE.get(generic):
            return name
        if macro is None or group not in _GROUPS:
            return hex(command)
        sized = f", {size} bytes" if size else ""
        return f"{macro}('{chr(group)}', {number:#x}{sized})"


_EVERYWHERE = _Layout(14, dict(enumerate(_MACROS)), COMMANDS)
_OF_13_BITS = {1: "_IO", 2: "_IOR", 4: "_IOW", 6: "_IOWR"}
# By how the name of the architecture in uname(2) begins; of most the numbers of terminals, which
# differ too, have no table here.
_LAYOUTS: dict[str | tuple[str, ...], _Layout] = {
    "ppc": _Layout(13, _OF_13_BITS, _numbers(f"{_PLAIN} {_POWERPC}")),
    ("mips", "sparc", "alpha"): _Layout(13, _OF_13_BITS, _numbers(_PLAIN)),
    "parisc": _Layout(14, {0: "_IO", 1: "_IOR", 2: "_IOW", 3: "_IOWR"}, _numbers(_PLAIN)),
}


@lru_cache(16)
def _layout(architecture: str) -> _Layout:
    known = (_LAYOUTS[one] for one in _LAYOUTS if architecture.startswith(one))
    return next(known, _EVERYWHERE)


def ioctl_command(command: int, architecture: str = "x86_64") -> str:
    """The name of the `cmd` argument of ioctl(2), else what its number says, else the number."""
    return _layout(architecture).told(command)
