"""The line of `syscall`, the ABI it belongs to, and memory that nobody promised."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procmirror.decoding.text import printable
from procmirror.decoding.view import Machine
from procmirror.kernel import open_flags
from procmirror.kernel.call_values import NAMES, naming
from procmirror.kernel.ioctls import COMMANDS, ioctl_command
from procmirror.stack import calls
from procmirror.stack.caller import Caller
from procmirror.stack.syscalls import SystemCall, decode, lines
from tests.fixtures import Folder
from tests.properties import examples

SP, PC = 0x7FFC12345678, 0x7F1234567890
LOW_SP, LOW_PC = 0xFF800000, 0xF7F00000
STACK_64 = (
    b"[<0>] hrtimer_nanosleep+0x9e/0x150\n[<0>] do_syscall_64+0x86/0x170\n"
    b"[<0>] entry_SYSCALL_64_after_hwframe+0x76/0x7e\n"
)
STACK_32 = b"[<0>] do_int80_emulation+0x86/0x170\n[<0>] asm_int80_emulation+0x1a/0x20\n"


# Where it stands for a struct iovec: three bytes at 0x1000.
PIECE = struct.pack("<QQ", 0x1000, 3)


class Memory(Folder):
    """A process of which only the memory can be read, the same bytes again and again.

    Counts what was asked for.
    """

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(Path("/nonexistent"))
        self.content, self.asked = content, 0

    def part(self, path: str, offset: int, size: int) -> bytes:
        assert path == "mem" and 0 < offset < 1 << 63
        self.asked += size
        if not self.content:
            raise OSError(5, "Input/output error")
        return (self.content * (size // len(self.content) + 1))[:size]


def line(number: int, *arguments: int, sp: int = SP, pc: int = PC) -> bytes:
    registers = [*arguments, *[0] * (6 - len(arguments)), sp, pc]
    return f"{number} {' '.join(map(hex, registers))}\n".encode()


def decoded(
    raw: bytes, memory: bytes = b"", stack: bytes | None = None, architecture: str = "x86_64"
) -> SystemCall:
    machine = Machine(architecture=architecture)
    return decode(Caller(Memory(memory), machine), raw, stack, machine)


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (b"running\n", "running"),
        (b"-1 0x7ffc12345678 0x7f1234567890\n", "user code"),
        (b"-1 0x0 0x0\n", "no user context"),
        (b"0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", "no user context"),
    ],
)
def test_a_task_outside_a_call_says_so(raw: bytes, state: str) -> None:
    call = decoded(raw)
    assert (call.state, call.name, call.arguments) == (state, None, [])
    assert len(lines(call)) == 1


@pytest.mark.parametrize(
    "raw", [b"", b"walking\n", b"0\n", b"0 0x1 0x2 0x3\n", b"0 1 2\n", b"99999999999 0x1 0x2\n"]
)
def test_another_line_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^expected running, or NUMBER ARGUMENT… SP PC, found "):
        decoded(raw)


@pytest.mark.parametrize(
    ("architecture", "number", "low", "stack", "abi"),
    [
        ("x86_64", 35, False, None, "x86_64"),
        ("x86_64", 162, True, None, "i386"),
        ("x86_64", 35, True, STACK_64, "x86_64"),
        ("x86_64", 162, False, STACK_32, "i386"),
        ("x86_64", 162, False, b"[<ffffffff81000000>] ia32_sysret+0x0/0x5\n", "i386"),
        ("x86_64", 35 | calls.X32_BIT, True, None, "x32"),
        ("x86_64", 162, True, b"unreadable", "i386"),
        ("aarch64", 101, False, None, "arm64"),
        ("aarch64", 162, True, None, "arm"),
        (
            "aarch64",
            162,
            False,
            b"[<0>] el0_svc_compat+0x20/0x40\n[<0>] el0t_32_sync_handler+0xa/0xb\n",
            "arm",
        ),
        (
            "aarch64",
            101,
            True,
            b"[<0>] el0_svc+0x20/0x40\n[<0>] el0t_64_sync_handler+0xa/0xb\n",
            "arm64",
        ),
        ("riscv64", 101, False, None, "riscv64"),
        ("i686", 162, True, None, "i386"),
        ("s390x", 162, False, None, "s390x"),
    ],
)
def test_the_abi_is_told_by_the_stack_or_else_by_the_addresses(
    architecture: str, number: int, low: bool, stack: bytes | None, abi: str
) -> None:
    addresses = {"sp": LOW_SP, "pc": LOW_PC} if low else {}
    call = decoded(line(number, **addresses), stack=stack, architecture=architecture)
    assert (call.abi, call.name) == (abi, "nanosleep")


def test_a_call_of_another_abi_is_marked() -> None:
    assert lines(decoded(line(29, sp=LOW_SP, pc=LOW_PC))) == ["pause() [i386]"]
    assert lines(decoded(line(34 | calls.X32_BIT, sp=LOW_SP, pc=LOW_PC))) == ["pause() [x32]"]


def test_a_number_without_a_name_stays_a_number() -> None:
    call = decoded(line(999, 1, 2))
    assert lines(call) == ["syscall_999(a0=0x1, a1=0x2, a2=0x0, a3=0x0, a4=0x0, a5=0x0)"]
    assert call.name is None


def test_an_architecture_without_a_table_has_numbers_only() -> None:
    assert decoded(line(3), architecture="vax").name is None


def test_memory_that_may_not_be_read_leaves_numbers() -> None:
    assert lines(decoded(line(257, 2**64 - 100, 0x1000, 0o100, 0o644))) == [
        "openat(dfd=AT_FDCWD, filename=0x1000, flags=O_RDONLY|O_CREAT, mode=0644)"
    ]
    assert lines(decoded(line(35, 0x1000))) == ["nanosleep(rqtp=0x1000, rmtp=NULL)"]
    assert (
        lines(decoded(line(7, 0x1000, 70, 2**64 - 1)))[0]
        == "poll(ufds=0x1000, nfds=70, timeout_msecs=-1)"
    )


def test_a_big_endian_machine_s_memory_is_not_guessed() -> None:
    assert lines(decoded(line(162, 0x1000), b"\0" * 16, architecture="s390x"), "s390x") == [
        "nanosleep(rqtp=0x1000, rmtp=NULL)"
    ]


@pytest.mark.parametrize(
    ("memory", "shown"),
    [
        (b"/etc/passwd\0rest", '"/etc/passwd"'),
        (b"a\nb\x1b[2J\xff\0", '"a\\nb\\x1b[2J\\xff"'),
        (b"\xe2\x80\xae\0", '"\\u202e"'),
        (b"x", '"' + "x" * 256 + '"…'),
    ],
)
def test_a_string_is_shown_on_one_line_and_not_too_long(memory: bytes, shown: str) -> None:
    assert decoded(line(80, 0x1000), memory).arguments[0].text == shown


def test_a_string_at_the_end_of_a_page_asks_for_the_next_page_only_if_it_goes_on() -> None:
    memory = Memory(b"name\0")
    decode(Caller(memory, Machine()), line(80, 0x1FF0), None, Machine())
    assert memory.asked == 16


@pytest.mark.parametrize(
    ("raw", "memory", "shown"),
    [
        (line(56, 0x4111), b"", "clone_flags=SIGCHLD|CLONE_VM|CLONE_VFORK"),
        (line(42, 3, 0x1000, 16), b"\x02\0\0\x50\x7f\0\0\x01" + bytes(8), "uservaddr=127.0.0.1:80"),
        (
            line(42, 3, 0x1000, 28),
            b"\x0a\0\x01\xbb" + bytes(4) + bytes(15) + b"\x01" + bytes(4),
            "uservaddr=[::1]:443",
        ),
        (line(42, 3, 0x1000, 8), b"\x01\0\0hidden", 'uservaddr="@hidde"'),
        (line(42, 3, 0x1000, 2), b"\x63\0", "uservaddr=0x1000"),
        (line(62, 2**64 - 5, 9), b"", "kill(pid=-5, sig=SIGKILL)"),
        (line(61, 2**64 - 5), b"", "upid=-5 (any child of process group 5)"),
        (
            line(202, 0x1000, 1, 1, 0x1000, 0x2000, 3),
            b"\0",
            "futex(uaddr=0x1000, op=FUTEX_WAKE, val=1)",
        ),
        (
            line(202, 0x1000, 6, 0, 0, 0, 0),
            b"\x07\0\0\x80",
            "futex(uaddr=0x1000, op=FUTEX_LOCK_PI, utime=NULL)",
        ),
        (line(202, 0x1000, 0, 2, 0, 0, 0), b"\0", "utime=NULL)\n    the futex word is 0x0 by now"),
        (line(72, 3, 3, 0xDEAD), b"", "fcntl(fd=3, cmd=F_GETFL)"),
        (
            line(9, 0, 4096, 3, 0x22, 2**64 - 1, 0),
            b"",
            "prot=PROT_READ|PROT_WRITE, flags=MAP_PRIVATE|MAP_ANONYMOUS, fd=-1, off=0",
        ),
        (line(14, 2, 0x1000, 0, 8), b"\xff" * 7 + b"\x7f", "nset=~{SIGRTMAX}"),
        (line(219), b"", "restart_syscall()\n    goes on with a call"),
        (line(17, 3, 0x1000, 10, 2**64 - 2), b"", "count=10, pos=-2"),
        (line(232, 3, 0x1000, 10, 250), b"", "timeout=250 ms"),
        (line(23, 70, 0x1000), b"\xff", "and 6 more"),
        (line(7, 0x1000, 100, 5), b"\x05\0\0\0\x01\0\0\0", "POLLIN of 5\n    and 36 more"),
        (line(19, 3, 0x1000, 1), PIECE, "vec=[{iov_base=0x1000, iov_len=3}], vlen=1"),
        (line(20, 3, 0x1000, 1), PIECE, 'vec=[{iov_base="\\x00\\x10\\x00", iov_len=3}], vlen=1'),
        (line(20, 3, 0x1000, 9), PIECE, "iov_len=3}, 5 more], vlen=9"),
        (line(20, 3, 0x1000, 0), PIECE, "vec=[], vlen=0"),
        (line(20, 3, 0x1000, 2), b"", "vec=0x1000, vlen=2"),
        (line(278, 3, 0x1000, 1), PIECE, 'uiov=[{iov_base="\\x00\\x10\\x00", iov_len=3}]'),
        (
            line(47, 3, 0x1000, 0),
            PIECE,
            "{iov_base=0x1000, iov_len=3}], msg_iovlen=3, msg_namelen=3, msg_controllen=3}",
        ),
        (line(307, 3, 0x1000, 9), PIECE, "msg_controllen=3}, 5 more], vlen=9"),
        (line(69, 7, 0x1000, 3), PIECE, 'msgp={mtype=4096, mtext="\\x00\\x10\\x00"}, msgsz=3'),
        (line(270, 0, 0, 0, 0, 0, 0x1000), PIECE, "sig={SIGPIPE}"),
        (
            line(449, 0x1000, 1),
            struct.pack("<QQII", 5, 0x2000, 0x82, 0),
            "waiters=[{val=5, uaddr=0x2000, flags=FUTEX2_SIZE_U32|FUTEX2_PRIVATE}]",
        ),
        (
            line(202, 0x1000, 9, 0, 0, 0, 0xFFFFFFFF),
            b"\0",
            "utime=NULL, val3=FUTEX_BITSET_MATCH_ANY)",
        ),
        (line(16, 3, 0xC0502100), b"", "cmd=SECCOMP_IOCTL_NOTIF_RECV"),
        (line(16, 3, 0x80045A99), b"", "cmd=_IOR('Z', 0x99, 4 bytes)"),
        (line(16, 3, 0x99), b"", "cmd=0x99"),
    ],
)
def test_what_arguments_mean(raw: bytes, memory: bytes, shown: str) -> None:
    assert shown in "\n".join(lines(decoded(raw, memory)))


def test_registers_of_a_32_bit_task_have_32_bits() -> None:
    """The kernel shows them with whatever the upper halves hold."""
    raw = line(3, 3, 0xFFFFFFFF00001000, 7, sp=LOW_SP, pc=LOW_PC)
    assert lines(decoded(raw)) == ["read(fd=3, buf=0x1000, count=7) [i386]"]


def test_64_bits_take_two_registers_of_a_32_bit_task() -> None:
    low = {"sp": LOW_SP, "pc": LOW_PC}
    assert lines(decoded(line(180, 3, 0x1000, 10, 5, 1, **low))) == [
        f"pread64(fd=3, buf=0x1000, count=10, pos={2**32 + 5}) [i386]"
    ]
    on_arm = decoded(line(180, 3, 0x1000, 10, 99, 5, 1, **low), architecture="aarch64")
    assert [one.text for one in on_arm.arguments] == ["3", "0x1000", "10", str(2**32 + 5)]
    assert (
        lines(decoded(line(324, 3, 0, 1, 0, 2, 1, **low)))[0]
        == f"fallocate(fd=3, mode=0, offset=1, len={2**32 + 2}) [i386]"
    )


def test_a_32_bit_task_has_times_of_both_widths() -> None:
    memory = b"\x05\0\0\0\x40\x42\x0f\0" + bytes(8)
    low = {"sp": LOW_SP, "pc": LOW_PC}
    assert "rqtp=5.001 s" in lines(decoded(line(162, 0x1000, **low), memory))[0]
    wide = b"\x05" + bytes(7) + b"\x01" + bytes(7)
    assert "rqtp=5.000000001 s" in lines(decoded(line(407, 1, 0, 0x1000, 0, **low), wide))[0]


def test_tls_stands_before_the_tid_outside_x86_64() -> None:
    assert [one.name for one in decoded(line(220), architecture="aarch64").arguments][3:] == [
        "tls",
        "child_tidptr",
    ]


def test_calls_that_stand_for_others_are_shown_as_those() -> None:
    low = {"sp": LOW_SP, "pc": LOW_PC}
    memory = b"".join(number.to_bytes(4, "little") for number in (3, 0, 0, 0, 0, 0))
    assert lines(decoded(line(102, 5, 0x1000, **low), memory)) == [
        "accept(fd=3, upeer_sockaddr=NULL, upeer_addrlen=NULL) [i386]"
    ]
    assert lines(decoded(line(102, 5, 0x1000, **low))) == ["socketcall(call=5, args=0x1000) [i386]"]
    assert lines(decoded(line(102, 77, 0x1000, **low))) == [
        "socketcall(call=77, args=0x1000) [i386]"
    ]
    assert lines(decoded(line(117, 1, 8, 0, 0, 0, **low))) == [
        "semop(semid=8, tsops=NULL, nsops=0) [i386]"
    ]
    assert decoded(line(117, 14, 8, **low)).name == "ipc"


def test_flags_of_open_differ_on_arm() -> None:
    assert open_flags.names(0o200000) == ["O_RDONLY", "O_DIRECTORY"]
    assert open_flags.names(0o200000, "aarch64") == ["O_RDONLY", "O_DIRECT"]
    assert open_flags.names(0o4010002 | 1 << 30) == ["O_RDWR", "O_SYNC", "0x40000000"]


# A directory, a file that is made for O_SYNC, and one without a name, as the headers of the kernel
# number the flags.
OPENED = [
    ("x86_64", 0o200000, 0o4010101, 0o20200002),
    ("riscv64", 0o200000, 0o4010101, 0o20200002),
    ("s390x", 0o200000, 0o4010101, 0o20200002),
    ("armv7l", 0o40000, 0o4010101, 0o20040002),
    ("aarch64", 0o40000, 0o4010101, 0o20040002),
    ("m68k", 0o40000, 0o4010101, 0o20040002),
    ("ppc64le", 0o40000, 0o4010101, 0o20040002),
    ("ppc", 0o40000, 0o4010101, 0o20040002),
    ("mips64", 0x10000, 0x4111, 0x410002),
    ("sparc64", 0x10000, 0x802201, 0x2010002),
    ("alpha", 0o100000, 0o20041001, 0o100100002),
    ("parisc64", 1 << 12, 1 << 15 | 1 << 18 | 1 << 8 | 1, 1 << 23 | 1 << 12 | 2),
]


@pytest.mark.parametrize(("architecture", "folder", "made", "nameless"), OPENED)
def test_flags_of_open_have_the_numbers_of_the_architecture(
    architecture: str, folder: int, made: int, nameless: int
) -> None:
    found = [open_flags.names(flags, architecture) for flags in (folder, made, nameless)]
    assert found == [
        ["O_RDONLY", "O_DIRECTORY"],
        ["O_WRONLY", "O_SYNC", "O_CREAT"],
        ["O_RDWR", "O_TMPFILE"],
    ]
    creates = [open_flags.creates(flags, architecture) for flags in (folder, made, nameless)]
    assert creates == [False, True, True]


def test_flags_of_open_on_powerpc() -> None:
    """A 64-bit kernel sets O_LARGEFILE for every file that is opened."""
    found = open_flags.names(0o2200000, "ppc64le"), open_flags.names(0o700000, "ppc64le")
    assert found == (
        ["O_RDONLY", "O_LARGEFILE", "O_CLOEXEC"],
        ["O_RDONLY", "O_DIRECT", "O_LARGEFILE", "O_NOFOLLOW"],
    )


@pytest.mark.parametrize("architecture", [one[0] for one in OPENED])
def test_each_flag_of_open_has_a_bit_of_its_own(architecture: str) -> None:
    alone = [open_flags.names(1 << bit, architecture)[1] for bit in range(2, 31)]
    named = [name for name in alone if name.startswith("O_")]
    assert len(named) == len(set(named)) == 15


@pytest.mark.parametrize(
    ("architecture", "flags", "names"),
    [
        ("x86_64", 0x4062, "MAP_PRIVATE|MAP_ANONYMOUS|MAP_32BIT|MAP_NORESERVE"),
        ("i686", 0x2122, "MAP_PRIVATE|MAP_ANONYMOUS|MAP_GROWSDOWN|MAP_LOCKED"),
        ("aarch64", 0x4062, "MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE|0x40"),
        ("s390x", 0x100022, "MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE"),
        (
            "ppc64le",
            0x61E2,
            "MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE|MAP_LOCKED|MAP_GROWSDOWN|0x6000",
        ),
        (
            "ppc",
            0x29811,
            "MAP_SHARED|MAP_FIXED|MAP_DENYWRITE|MAP_EXECUTABLE|MAP_POPULATE|MAP_STACK",
        ),
        ("mips64", 0x802, "0x802"),
        ("sparc64", 0x42, "0x42"),
    ],
)
def test_flags_of_mmap_have_the_names_of_the_architecture(
    architecture: str, flags: int, names: str
) -> None:
    for argument in ("mmap.flags", "mmap2.flags"):
        named = naming(argument, architecture)
        assert named and named(flags) == names


@pytest.mark.parametrize("architecture", ["mips64", "sparc64", "alpha", "parisc64"])
def test_values_of_architectures_without_a_table_stay_numbers(architecture: str) -> None:
    """They share some of the commands of fcntl(2); 9 is F_SETLKW on two of them."""
    accepts, commands = naming("accept4.flags", architecture), naming("fcntl.cmd", architecture)
    assert accepts and commands and accepts(0o4000) == "0x800"
    told = [commands(number) for number in (3, 9, 38, 1031)]
    assert told == ["F_GETFL", "9", "F_OFD_SETLKW", "F_SETPIPE_SZ"]


@pytest.mark.parametrize(
    ("architecture", "command", "told"),
    [
        ("x86_64", 0x5401, "TCGETS"),
        ("x86_64", 0x80045430, "TIOCGPTN"),
        ("ppc64le", 0x402C7413, "TCGETS"),
        ("ppc64le", 0x40087468, "TIOCGWINSZ"),
        ("ppc64le", 0x5412, "TIOCSTI"),
        ("ppc64le", 0x40045430, "TIOCGPTN"),
        ("ppc64le", 0x2000AE80, "KVM_RUN"),
        ("ppc64le", 0xC0045877, "FIFREEZE"),
        ("ppc64le", 0x40086601, "FS_IOC_GETFLAGS"),
        ("ppc64le", 0x8912, "SIOCGIFCONF"),
        ("ppc64le", 0x5401, "0x5401"),
        ("ppc64le", 0x20006B01, "_IO('k', 0x1)"),
        ("ppc64le", 0x9FFF6B01, "_IOW('k', 0x1, 8191 bytes)"),
        ("ppc64le", 0x40046B01, "_IOR('k', 0x1, 4 bytes)"),
        ("ppc64le", 0xC0046B01, "_IOWR('k', 0x1, 4 bytes)"),
        ("ppc64le", 0xE0046B01, "0xe0046b01"),
        ("ppc", 0x80087467, "TIOCSWINSZ"),
        ("mips64", 0x540D, "0x540d"),
        ("mips64", 0x40087468, "_IOR('t', 0x68, 8 bytes)"),
        ("mips64", 0x2000AE80, "KVM_RUN"),
        ("sparc64", 0x80047476, "_IOW('t', 0x76, 4 bytes)"),
        ("alpha", 0x5606, "VT_ACTIVATE"),
        ("parisc64", 0xAE80, "KVM_RUN"),
        ("parisc64", 0x40245410, "_IOR('T', 0x10, 36 bytes)"),
        ("parisc64", 0x80046B01, "_IOW('k', 0x1, 4 bytes)"),
    ],
)
def test_commands_of_ioctl_have_the_layout_of_the_architecture(
    architecture: str, command: int, told: str
) -> None:
    """Numbers of PowerPC are those of asm/ioctls.h there."""
    assert ioctl_command(command, architecture) == told


def test_arguments_have_the_names_of_the_architecture() -> None:
    """mmap(2) is 90 and ioctl(2) 54 on PowerPC."""
    for raw, words in (
        (line(90, 0, 4096, 3, 0x42, 3), "flags=MAP_PRIVATE|MAP_NORESERVE,"),
        (line(54, 3, 0x402C7413), "cmd=TCGETS,"),
    ):
        assert words in lines(decoded(raw, architecture="ppc64le"), "ppc64le")[0]


def test_commands_of_ioctl_have_the_numbers_of_the_headers(tmp_path: Path) -> None:
    headers = ["sys/ioctl.h", "asm/termbits.h", "linux/fiemap.h", "linux/fs.h", "linux/loop.h"]
    headers += ["linux/seccomp.h", "linux/kvm.h", "linux/userfaultfd.h", "linux/vt.h"]
    source = "".join(f"#include <{one}>\n" for one in headers)
    source += "#include <stdio.h>\nint main(void) {\n"
    for name in COMMANDS.values():
        source += f'#ifdef {name}\nprintf("{name} %u\\n", (unsigned)({name}));\n#endif\n'
    (tmp_path / "all.c").write_text(source + "}\n", encoding="utf-8")
    subprocess.run(["gcc", "-w", "-o", tmp_path / "all", tmp_path / "all.c"], check=True)
    told = subprocess.run([tmp_path / "all"], capture_output=True, check=True, text=True).stdout
    numbers = dict(row.split() for row in told.splitlines())
    assert len(numbers) > 50
    assert {COMMANDS.get(int(number)): name for name, number in numbers.items()} == {
        name: name for name in numbers
    }


def test_every_named_value_belongs_to_an_argument() -> None:
    prototypes = calls._prototypes()
    for key in NAMES:
        function, _, argument = key.partition(".")
        assert argument in {
            parameter.name for parameter in calls._parameters(prototypes[function])
        }, key


@pytest.mark.parametrize("abi", ["x86_64", "i386", "x32", "arm64", "riscv64"])
def test_nearly_all_calls_have_arguments(abi: str) -> None:
    names = set(calls._names(abi).values())
    unknown = {name for name in names if calls.function(name, abi) is None}
    assert len(unknown) < len(names) / 10
    assert not unknown & {
        "read",
        "write",
        "openat",
        "poll",
        "ppoll",
        "futex",
        "wait4",
        "accept4",
        "epoll_pwait",
        "nanosleep",
        "fstat",
    }


def test_loading_is_done_once_and_ahead() -> None:
    calls.load("x86_64")
    calls.load("vax")
    assert calls._names.cache_info().currsize >= 3


words = st.integers(0, 2**64 - 1)


@settings(max_examples=examples(400), deadline=None)
@given(
    number=st.integers(0, 480),
    arguments=st.lists(
        st.one_of(words, st.integers(0, 300), st.integers(0x1000, 0x1FFF)), min_size=6, max_size=6
    ),
    memory=st.binary(max_size=64),
    low=st.booleans(),
    architecture=st.sampled_from(["x86_64", "aarch64", "riscv64"]),
)
def test_any_call_with_any_memory_is_shown_within_its_bounds(
    number: int, arguments: list[int], memory: bytes, low: bool, architecture: str
) -> None:
    addresses = {"sp": LOW_SP, "pc": LOW_PC} if low else {}
    reading, machine = Memory(memory), Machine(architecture=architecture)
    shown = lines(
        decode(Caller(reading, machine), line(number, *arguments, **addresses), None, machine)
    )
    assert all(printable(text) == text for text in shown)
    assert len(shown) <= 3 * 65 + 1 and max(map(len, shown)) < 4096
    assert reading.asked <= 8192


@settings(max_examples=examples(200), deadline=None)
@given(
    raw=st.one_of(
        st.binary(max_size=100),
        st.from_regex(rb"-?[0-9]{1,12}( 0x[0-9a-f]{1,17}){0,9}\n?", fullmatch=True),
    )
)
def test_any_line_is_decoded_or_refused(raw: bytes) -> None:
    try:
        call = decoded(raw)
    except ValueError:
        return
    assert lines(call)
