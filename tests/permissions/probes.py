"""What a requester does to processes and descriptors, rather than to names.

`path` is a pid where a process is meant.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from tests.attack.grips import GRIPS
from tests.harness import comes_true, stat_fields
from tests.permissions.calls import CLONE_NEWNS, PR_SET_DUMPABLE, become, call, prctl

# linux/ptrace.h, linux/fs.h, linux/statfs.h
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
PROCMAP_QUERY = 0xC0686611
# linux/mount.h
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, KEY_POS_ALL = (
    1,
    5,
    -3,
    0x3F000000,
)
STRANGER = 61002
# The names that a process opens of itself before it runs a setuid program.
DIRECTORIES = ("fd", "fdinfo", "map_files", "ns")
OF_ONESELF = (
    *(
        "auxv",
        "environ",
        "io",
        "maps",
        "mem",
        "numa_maps",
        "pagemap",
        "personality",
        "smaps",
        "smaps_rollup",
        "stack",
        "stat",
    ),
    *("status", "syscall", "timers", "wchan"),
    *DIRECTORIES,
)
VIEWED = ("maps", "smaps", "numa_maps", "auxv", "environ", "stat", "syscall", "timers")
VIEWS_OF_ONESELF = tuple(f"{name}.json" for name in VIEWED)


def stay(path: str, _: int) -> bytes:
    """The directory as working directory from now on."""
    os.chdir(path)
    return b""


def where(_: str, __: int) -> bytes:
    """The working directory; ENOENT once the kernel has detached it."""
    return os.getcwdb()


def signalled(path: str, number: int) -> bytes:
    """A signal, or with 0 the right to send one."""
    os.kill(int(path), number)
    return b""


def limited(path: str, _: int) -> bytes:
    """The resource limits of a process."""
    resource.prlimit(int(path), resource.RLIMIT_NOFILE)
    return b""


def gripped(path: str, number: int) -> bytes:
    """One of tests.attack.grips.GRIPS, by its number, on how a process runs."""
    list(GRIPS.values())[number](int(path))
    return b""


def traced(path: str, _: int) -> bytes:
    """To be the tracer of a process."""
    call("ptrace", PTRACE_SEIZE, int(path), 0, 0)
    call("ptrace", PTRACE_INTERRUPT, int(path), 0, 0)
    os.waitpid(int(path), 0)
    call("ptrace", PTRACE_DETACH, int(path), 0, 0)
    return b""


def looked_into(path: str, address: int) -> bytes:
    """Memory of a process by process_vm_readv(2)."""
    buffer = ctypes.create_string_buffer(16)
    local, remote = struct.pack("PN", ctypes.addressof(buffer), 16), struct.pack("PN", address, 16)
    call("process_vm_readv", int(path), local, 1, remote, 1, 0)
    return buffer.raw


def stolen(path: str, number: int) -> bytes:
    """A descriptor of a process by pidfd_getfd(2)."""
    process = os.pidfd_open(int(path))
    try:
        os.close(call("pidfd_getfd", process, number, 0))
    finally:
        os.close(process)
    return b""


def shows_own_key(path: str, _: int) -> bytes:
    """Whether a /proc/keys shows a key that only this session has."""
    call("keyctl", KEYCTL_JOIN_SESSION_KEYRING, 0)
    serial = call("add_key", b"user\0", b"procmirror-test\0", b"x", 1, KEY_SPEC_SESSION_KEYRING)
    call("keyctl", KEYCTL_SETPERM, serial, KEY_POS_ALL)
    with open(path, "rb") as keys:
        return (
            b"shown"
            if any(line.startswith(f"{serial:08x} ".encode()) for line in keys)
            else b"not shown"
        )


def followed(path: str, _: int) -> bytes:
    """The file that a link leads to."""
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    return b""


def magic(path: str, _: int) -> bytes:
    """The type of the file system."""
    answer = ctypes.create_string_buffer(256)
    call("statfs", path.encode(), answer)
    return f"{struct.unpack_from('l', answer.raw)[0]:x}".encode()


def waited_for(path: str, _: int) -> bytes:
    """What a view of oneself calls a child that a thread waits for, and what /proc beside it does.

    `path` is the view, a colon and the program that the child runs (a copy of sleep). `?` stands for
    no name.
    """
    view, program = path.split(":")
    child = subprocess.Popen([program, "120"])
    waiter = threading.Thread(target=child.wait)
    waiter.start()
    named: list[re.Match[bytes]] = []

    def is_shown() -> bool:
        """As soon as the thread waits."""
        with open(view, "rb") as file:
            named.extend(re.finditer(rb"%d \(([^)]*)\)" % child.pid, file.read()))
        return bool(named)

    comes_true(is_shown)
    shown = named[0] if named else None
    try:
        with open(f"{os.path.dirname(os.path.dirname(view))}/{child.pid}/comm", "rb") as comm:
            told = comm.read().strip()
    except OSError:
        told = b"?"
    with contextlib.suppress(PermissionError):
        child.kill()
    return (shown[1] if shown else b"not shown") + b" " + told


def as_pidfd(path: str, _: int) -> bytes:
    """The directory of a process where a pidfd is expected."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        signal.pidfd_send_signal(directory, 0)
    finally:
        os.close(directory)
    return b""


def mapping_asked(path: str, address: int) -> bytes:
    """The mapping at an address, by ioctl."""
    query = bytearray(struct.pack("QQQ", 104, 0, address).ljust(104, b"\0"))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        call("ioctl", descriptor, PROCMAP_QUERY, (ctypes.c_char * 104).from_buffer(query))
    finally:
        os.close(descriptor)
    return b""


def mapped(path: str, _: int) -> bytes:
    """The file in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        call("mmap", 0, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, 0)
    finally:
        os.close(descriptor)
    return b""


def at_the_end(path: str, _: int) -> bytes:
    """The end of a file that has no size."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return b"%d" % os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def polled(path: str, _: int) -> bytes:
    """A file in an epoll set."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with select.epoll() as epoll:
            epoll.register(descriptor, select.EPOLLIN)
    finally:
        os.close(descriptor)
    return b""


def tells_changes(path: str, _: int) -> bytes:
    """Whether poll(2) tells of a mount that was made since the file was read."""
    reading, writing = os.pipe()

    def look() -> None:
        call("unshare", CLONE_NEWNS)
        call("mount", b"none", b"/", b"none", _MS_REC | _MS_PRIVATE, b"")
        with open(path, "rb", buffering=0) as file:
            file.read(1)
            watch = select.poll()
            watch.register(file, select.POLLPRI)
            before = watch.poll(0)
            call("mount", b"none", b"/mnt", b"tmpfs", 0, b"")
            told = bool(watch.poll(0)) and not before
        os.write(writing, b"told" if told else b"nothing")

    os.waitpid(_forked(look), 0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        return pipe.read()


def by_handle(path: str, _: int) -> bytes:
    """What is read of a file that was opened by its handle, which needs CAP_DAC_READ_SEARCH."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    mount = ctypes.create_string_buffer(4)
    call("name_to_handle_at", -100, path.encode(), handle, mount, 0)
    above = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with open(call("open_by_handle_at", above, handle, os.O_RDONLY), "rb") as file:
            return file.read(64)
    finally:
        os.close(above)


def beyond(path: str, _: int) -> bytes:
    """A read at an address in the upper half: the vsyscall page is there."""
    buffer = ctypes.create_string_buffer(8)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        call("lseek", descriptor, -(10 << 20), os.SEEK_SET)
        call("read", descriptor, buffer, 8)
    finally:
        os.close(descriptor)
    return b""


def watched(path: str, _: int) -> bytes:
    """An inotify watch."""
    inotify = call("inotify_init1", os.O_CLOEXEC)
    try:
        call("inotify_add_watch", inotify, path.encode(), 1)
    finally:
        os.close(inotify)
    return b""


def _forked(action: Callable[[], object]) -> int:
    """A child that carries out `action`, and never returns from here."""
    child = os.fork()
    if child:
        return child
    try:
        action()
        os._exit(0)
    finally:
        os._exit(70)


def rooted(path: str, _: int) -> bytes:
    """The text of a link as seen by a process whose root is /usr."""
    directory, name = os.path.split(path)
    descriptor = os.open(directory, os.O_PATH)
    reading, writing = os.pipe()

    def look() -> None:
        os.chroot("/usr")
        os.write(writing, os.readlink(name.encode(), dir_fd=descriptor))

    child = _forked(look)
    os.close(descriptor)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        return pipe.read()


def passed(path: str, opener: int) -> bytes:
    """What a stranger reads from a descriptor that the user `opener` has opened and passed on.

    Asked of root.
    """
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()

    def give() -> None:
        if opener:
            become(opener, opener)
        socket.send_fds(theirs, [b" "], [os.open(path, os.O_RDONLY | os.O_CLOEXEC)])

    def take() -> None:
        become(STRANGER, STRANGER)
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        try:
            if stat.S_ISDIR(os.fstat(descriptors[0]).st_mode):
                data = "\n".join(os.listdir(descriptors[0])).encode()
            else:
                data = os.read(descriptors[0], 4096)
        except OSError as refusal:
            data = f"errno {refusal.errno}".encode()
        os.write(writing, data)

    children = [_forked(give), _forked(take)]
    os.close(writing)
    ours.close()
    theirs.close()
    for child in children:
        os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        return pipe.read()


def before_exec(path: str, dumpable: int) -> bytes:
    """What is read, after a process has become a setuid program, from the descriptors that it opened of itself before.

    `path` is a /proc, a colon and the program (a copy of sleep).
    """
    return _before_exec(path, dumpable, OF_ONESELF)


def views_before_exec(path: str, dumpable: int) -> bytes:
    """The same of decoded views."""
    return _before_exec(path, dumpable, VIEWS_OF_ONESELF)


def _before_exec(path: str, dumpable: int, names: Sequence[str]) -> bytes:
    """The child opens, sends and becomes the program; the parent, its user still, reads."""
    proc, _, program = path.partition(":")
    ours, theirs = socket.socketpair()

    def become_program() -> None:
        ours.close()
        prctl(PR_SET_DUMPABLE, dumpable)
        before = _listed(f"{proc}/self/map_files")
        opened = [_opened(f"{proc}/self/{name}") for name in names]
        there = [descriptor for descriptor in opened if descriptor >= 0]
        socket.send_fds(
            theirs,
            [msgspec.msgpack.encode(([descriptor >= 0 for descriptor in opened], before))],
            there,
        )
        os.execv(program, [program, "60"])

    _forked(become_program)
    theirs.close()
    message, descriptors, _, _ = socket.recv_fds(ours, 1 << 16, 64)
    while ours.recv(1):  # until the exec has closed the other end
        pass
    ours.close()
    time.sleep(0.1)
    whether, before = msgspec.msgpack.decode(message)
    there = dict(
        zip(
            (name for name, opened in zip(names, whether, strict=True) if opened),
            descriptors,
            strict=True,
        )
    )
    first = {
        name: _read(descriptor) for name, descriptor in there.items() if name in VIEWS_OF_ONESELF
    }
    time.sleep(1.1 if first else 0)  # until a second snapshot may be taken
    seen = dict.fromkeys(names, "not opened")
    for name, descriptor in there.items():
        seen[name] = _seen(name, descriptor, first.get(name, b""), os.fsencode(program), before)
        os.close(descriptor)
    return msgspec.json.format(msgspec.json.encode(seen))


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _read(descriptor: int) -> bytes | int:
    try:
        return os.pread(descriptor, 1 << 16, 0)
    except OSError as refusal:
        return refusal.errno or 0


def _seen(name: str, descriptor: int, first: bytes | int, program: bytes, before: list[str]) -> str:
    """An errno, or what there is.

    Anything at all, the new program's name, addresses in `stat`, new names of mappings.
    """
    if name in DIRECTORIES:
        try:
            names = os.listdir(descriptor)
        except OSError as refusal:
            return f"errno {refusal.errno}"
        if name == "map_files" and set(names) - set(before):
            return "names"
        return "names that were there" if names else "no names"
    again = _read(descriptor)
    for content in (first, again):
        if isinstance(content, int):
            return f"errno {content}"
    assert isinstance(first, bytes) and isinstance(again, bytes)
    data = first + again
    told = ["something" if data else "nothing"]
    told += ["the program"] * (program in data)
    told += ["addresses"] * (name == "stat" and stat_fields(data)[23:26] != [b"1", b"1", b"0"])
    return ", ".join(told)


PROBES: dict[str, Callable[[str, int], bytes]] = {
    function.__name__: function
    for function in (
        stay,
        where,
        signalled,
        limited,
        gripped,
        traced,
        looked_into,
        stolen,
        shows_own_key,
        followed,
        magic,
        waited_for,
        as_pidfd,
        mapping_asked,
        mapped,
        at_the_end,
        polled,
        tells_changes,
        by_handle,
        beyond,
        watched,
        rooted,
        passed,
        before_exec,
        views_before_exec,
    )
}
