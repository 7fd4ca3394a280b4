"""The rules by which a file behind a process's memory is opened, each on a folder that stands for /proc."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procmirror.identity import file_calls
from procmirror.procfs.mapped import ProcessSources
from procmirror.procfs.process_reading import Rights
from procmirror.stack.target import MappedFile

REMOTE = (
    *("fuse", "fuseblk", "fuse.sshfs", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs", "coda"),
    *("lustre", "glusterfs", "gfs2", "ocfs2", "virtiofs", "autofs", "orangefs"),
)
LOCAL = ("ext4", "tmpfs", "btrfs", "fusectl")
PID = 77
BUILD_ID = "ab" + "cd" * 19
LAYER = Path("/dev/shm")
DEBUG_FILE = f"usr/lib/debug/.build-id/{BUILD_ID[:2]}/{BUILD_ID[2:]}.debug"


def mount(device: str, kind: str) -> str:
    return f"21 1 {device} / / rw,relatime shared:1 - {kind} none rw\n"


class Scene:
    """A folder as /proc/PID, another as the root of that process, a third as our own procfs."""

    def __init__(self, folder: Path) -> None:
        self.process, self.root, self.own = (folder / name for name in ("77", "root", "proc"))
        for made in (self.process, self.root / "tmp", self.own / "self"):
            made.mkdir(parents=True)
        (self.process / "root").symlink_to(self.root)
        (self.process / "map_files").mkdir()
        (self.own / "self" / "fd").symlink_to("/proc/self/fd")
        self.status(os.getuid())
        status = self.root.stat()
        self.device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
        self.mounted("ext4")
        (self.own / "self" / "mountinfo").write_text("")
        self.opened = [os.open(path, os.O_PATH) for path in (self.process, self.own)]

    def mounted(self, kind: str) -> None:
        """Let the process see the device of these folders as one of this type."""
        (self.process / "mountinfo").write_text(mount(self.device, kind))

    def status(self, uid: int) -> None:
        (self.process / "status").write_text(
            f"Name:\tUid:\t9\nTgid:\t{PID}\nUid:\t{uid + 1}\t{uid}\t{uid + 2}\t{uid + 3}\n"
            f"NStgid:\t4000\t{PID}\n"
        )

    def file(self, path: str, content: bytes = b"content") -> Path:
        made = self.root / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_bytes(content)
        return made

    @property
    def sources(self) -> ProcessSources:
        process, own = self.opened
        return ProcessSources(process, b"", None, lambda: None, own, own)

    def mapped(self, path: str, file: Path, device: str | None = None, inode: int = 0) -> bool:
        """Whether the file of a mapping that names `path` is found, and is `file`."""
        hexadecimal = ":".join(f"{int(part):02x}" for part in (device or self.device).split(":"))
        inode = inode or file.stat().st_ino
        found = self.sources.mapped(4096, 8192, path.encode(), hexadecimal, inode)
        if found is None:
            return False
        assert found.pread(1 << 20, 0) == file.read_bytes()
        return True


def content(file: MappedFile | None) -> bytes | None:
    return file.pread(1 << 20, 0) if file else None


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    for descriptor in made.opened:
        os.close(descriptor)


@pytest.mark.parametrize("kind", LOCAL)
def test_a_file_of_a_local_file_system_is_read(scene: Scene, kind: str) -> None:
    scene.mounted(kind)
    scene.file(DEBUG_FILE)
    scene.file(f"tmp/perf-{PID}.map", b"1000 10 name\n")
    assert scene.mapped("/lib.so", scene.file("lib.so"))
    assert scene.sources.debug_file(BUILD_ID)
    assert content(scene.sources.perf_map()) == b"1000 10 name\n"


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize("by_map_files", [True, False])
def test_no_file_of_a_fuse_or_network_file_system_is_opened(
    scene: Scene, kind: str, *, by_map_files: bool
) -> None:
    scene.mounted(kind)
    file = scene.file("lib.so")
    if by_map_files:
        (scene.process / "map_files" / "1000-2000").symlink_to(file)
    assert not scene.mapped("/lib.so", file)
    scene.file(DEBUG_FILE)
    scene.file(f"tmp/perf-{PID}.map")
    assert scene.sources.debug_file(BUILD_ID) is None
    assert scene.sources.perf_map() is None


def test_a_device_that_no_table_of_mounts_names_is_not_read(scene: Scene) -> None:
    (scene.process / "mountinfo").write_text(mount("250:250", "ext4"))
    assert not scene.mapped("/lib.so", scene.file("lib.so"))


def test_a_device_that_only_our_own_mounts_name_is_judged_by_these(scene: Scene) -> None:
    file = scene.file("lib.so")
    (scene.process / "mountinfo").write_text("")
    (scene.own / "self" / "mountinfo").write_text(mount(scene.device, "ext4"))
    assert scene.mapped("/lib.so", file)
    (scene.own / "self" / "mountinfo").write_text(mount(scene.device, "fuse.sshfs"))
    assert not scene.mapped("/lib.so", file)


def test_the_file_must_be_the_mapped_one(scene: Scene) -> None:
    file, other = scene.file("lib.so"), scene.file("other.so")
    assert scene.mapped("/lib.so", file)
    # Another file has the path by now, here one of another inode.
    assert not scene.mapped("/other.so", file)
    # The same inode number, on another device that is local too.
    memory = os.memfd_create("device")
    status = os.fstat(memory)
    os.close(memory)
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    assert device != scene.device
    assert not scene.mapped("/lib.so", file, device)
    file.unlink()
    assert not scene.mapped("/lib.so", other)


def test_map_files_comes_before_the_path(scene: Scene) -> None:
    """It leads to the very inode, also where the path leads to another by now or to none."""
    file = scene.file("elsewhere", b"the mapped one")
    scene.file("lib.so", b"a later one")
    assert not scene.mapped("/lib.so", file)
    (scene.process / "map_files" / "1000-2000").symlink_to(file)
    assert scene.mapped("/lib.so", file)


@pytest.mark.parametrize(("kind", "read"), [("tmpfs", True), ("fuse.sshfs", False)])
def test_a_file_that_is_mapped_there_by_now_is_judged_too(
    scene: Scene, kind: str, *, read: bool
) -> None:
    """The process maps another one between the reading of `maps` and the opening by map_files."""
    now = LAYER / f"procmirror-{os.getpid()}"
    now.write_bytes(b"content")
    try:
        (scene.process / "map_files" / "1000-2000").symlink_to(now)
        (scene.process / "mountinfo").write_text(
            mount(scene.device, "ext4") + numbered_mount(now, kind)
        )
        assert scene.mapped("/lib.so", scene.file("lib.so")) is read
    finally:
        now.unlink()


def numbered_mount(file: Path, kind: str) -> str:
    """The line of the mount that a file is on, with its number, as if it were of a kind."""
    descriptor = os.open(file, os.O_PATH)
    try:
        number, device, _ = file_calls.object_of(descriptor)
    finally:
        os.close(descriptor)
    return f"{number} 1 {device} / /dev/shm rw,relatime - {kind} none rw\n"


def test_a_file_in_memory_is_local_though_no_table_of_mounts_names_its_device(scene: Scene) -> None:
    memory = os.memfd_create("hidden")
    try:
        os.write(memory, b"code")
        status = os.fstat(memory)
        (scene.process / "map_files" / "1000-2000").symlink_to(f"/proc/self/fd/{memory}")
        device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
        assert scene.mapped("/memfd:hidden (deleted)", Path(f"/proc/self/fd/{memory}"), device)
    finally:
        os.close(memory)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [fifo, folder])
def test_only_regular_files_are_opened(scene: Scene, make: Callable[[Path], None]) -> None:
    path = scene.root / "odd"
    make(path)
    inode = path.stat().st_ino
    device = ":".join(f"{int(part):02x}" for part in scene.device.split(":"))
    assert scene.sources.mapped(4096, 8192, b"/odd", device, inode) is None
    (scene.process / "map_files" / "1000-2000").symlink_to(path)
    assert scene.sources.mapped(4096, 8192, b"/odd", device, inode) is None
    (scene.root / DEBUG_FILE).parent.mkdir(parents=True)
    make(scene.root / DEBUG_FILE)
    assert scene.sources.debug_file(BUILD_ID) is None


def test_a_path_is_one_below_the_root_of_the_process(scene: Scene) -> None:
    file = scene.file("lib/lib.so")
    assert scene.mapped("/lib/../../../lib/lib.so", file)
    (scene.root / "link.so").symlink_to("/lib/lib.so")
    assert scene.mapped("/link.so", file)
    outside = scene.process / "comm"
    outside.write_bytes(b"outside")
    (scene.root / "out.so").symlink_to(outside)
    assert not scene.mapped("/out.so", outside)
    assert not scene.mapped(str(outside), outside)


def test_where_the_first_thread_has_ended_another_shows_root_and_mounts(scene: Scene) -> None:
    thread = scene.process / "task" / "78"
    thread.mkdir(parents=True)
    for name in ("root", "mountinfo"):
        (scene.process / name).rename(thread / name)
    assert scene.mapped("/lib.so", scene.file("lib.so"))


def test_names_of_a_jit_compiler_are_those_of_the_number_inside_and_of_the_effective_user(
    scene: Scene,
) -> None:
    file = scene.file(f"tmp/perf-{PID}.map", b"1000 10 name\n")
    assert content(scene.sources.perf_map()) == b"1000 10 name\n"
    scene.status(os.getuid() + 7)
    assert scene.sources.perf_map() is None
    scene.status(os.getuid() - 1)
    assert scene.sources.perf_map() is None
    scene.status(os.getuid())
    file.rename(scene.root / "tmp" / "perf-4000.map")
    assert scene.sources.perf_map() is None


def test_names_of_a_jit_compiler_are_not_found_by_a_link(scene: Scene) -> None:
    scene.file("tmp/real.map", b"1000 10 name\n")
    (scene.root / "tmp" / f"perf-{PID}.map").symlink_to("real.map")
    assert scene.sources.perf_map() is None


def test_a_file_is_told_from_its_later_versions(scene: Scene) -> None:
    file = scene.file("lib.so", b"before")
    device = ":".join(f"{int(part):02x}" for part in scene.device.split(":"))

    def key() -> object:
        found = scene.sources.mapped(4096, 8192, b"/lib.so", device, file.stat().st_ino)
        assert found
        return found.key

    first = key()
    assert key() == first
    file.write_bytes(b"after!")
    os.utime(file, ns=(0, 1))
    assert key() != first


def device_of(path: Path) -> str:
    status = path.stat()
    return f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"


@pytest.mark.parametrize(
    ("layers", "below", "read"),
    [
        (f"lowerdir={LAYER}:{LAYER},upperdir={LAYER},workdir=/x", "tmpfs", True),
        (f"lowerdir+={LAYER},datadir+={LAYER}", "tmpfs", True),
        (f"lowerdir={LAYER}", "fuse", False),
        (f"lowerdir={LAYER}", "fuse.sshfs", False),
        (f"lowerdir={LAYER}", "nfs4", False),
        (f"lowerdir={LAYER}", "overlay", False),
        (f"lowerdir={LAYER}:relative", "tmpfs", False),
        (f"lowerdir={LAYER}:/nowhere", "tmpfs", False),
        ("rw", "tmpfs", False),
    ],
)
def test_a_file_of_an_overlay_is_read_if_its_layers_are_local(
    scene: Scene, layers: str, below: str, *, read: bool
) -> None:
    overlay = f"21 1 {scene.device} / / rw,relatime - overlay none rw,{layers}\n"
    table = overlay + mount(device_of(LAYER), below)
    file = scene.file("lib.so")
    (scene.process / "mountinfo").write_text(table)
    assert not scene.mapped("/lib.so", file), "it is mounted in another namespace only"
    (scene.own / "self" / "mountinfo").write_text(table)
    assert scene.mapped("/lib.so", file) is read


@pytest.mark.parametrize("below", ["tmpfs", "fuse"])
@pytest.mark.parametrize("owned", [True, False])
def test_an_overlay_that_the_first_process_has_mounted_is_believed_in(
    scene: Scene, below: str, *, owned: bool
) -> None:
    """It is if this user namespace owns its mounts; layers are paths below its root."""
    overlay = f"21 1 {scene.device} / / rw,relatime - overlay none rw,lowerdir=/{LAYER.name}\n"
    first = scene.own / "1"
    (first / "ns").mkdir(parents=True)
    (first / "ns" / "mnt").symlink_to("/proc/self/ns/mnt")
    (first / "root").symlink_to(LAYER.parent)
    (scene.process / "mountinfo").write_text(overlay)
    (first / "mountinfo").write_text(overlay + mount(device_of(LAYER), below))
    (scene.own / "self" / "ns").mkdir()
    owner = os.readlink("/proc/self/ns/user") if owned else "user:[7]"
    (scene.own / "self" / "ns" / "user").symlink_to(owner)
    file = scene.file("lib.so")
    assert scene.mapped("/lib.so", file) is (owned and below == "tmpfs")


@pytest.mark.parametrize(
    ("device", "inode", "read"),
    [("00:00", 0, True), ("own", 5, True), ("fe:01", 5, False), ("ff:ff", 5, False)],
)
def test_memory_is_read_but_for_files_that_others_answer_for(
    scene: Scene, device: str, inode: int, *, read: bool
) -> None:
    own = ":".join(f"{int(part):02x}" for part in scene.device.split(":"))
    table = mount(scene.device, "ext4") + mount("254:1", "fuse.sshfs")
    (scene.process / "mountinfo").write_text(table)
    (scene.process / "maps").write_text(
        "00001000-00002000 rw-p 00000000 00:00 0 \n"
        f"00002000-00003000 rw-p 00000000 {device.replace('own', own)} {inode}   /some/file\n"
    )
    (scene.process / "mem").write_bytes(bytes(0x1000) + b"a" * 0x1000 + b"b" * 0x1000)
    sources = scene.sources
    assert sources.part("mem", 0x1FF8, 8) == b"aaaaaaaa"
    for offset in (0x1FF9, 0x2000, 0x2FFF):
        if read:
            assert sources.part("mem", offset, 8).endswith(b"b")
        else:
            with pytest.raises(OSError, match="others answer for"):
                sources.part("mem", offset, 8)


@pytest.mark.parametrize(
    ("prefix", "path", "is_others"),
    [
        (b"", "comm", False),
        (b"", "task/7/comm", False),
        (b"", "../50/comm", True),
        (b"task/7", "../8/comm", False),
        (b"task/7", "../../../50/comm", True),
    ],
)
def test_what_is_of_other_processes_is_read_without_what_is_added(
    tmp_path: Path, prefix: bytes, path: str, is_others: bool
) -> None:
    (tmp_path / "40" / os.fsdecode(prefix)).mkdir(parents=True, exist_ok=True)
    place = Path(os.path.normpath(tmp_path / "40" / os.fsdecode(prefix) / path))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"name")
    entered: list[bool] = []

    @contextmanager
    def of_others() -> Iterator[None]:
        entered.append(True)
        yield

    process = os.open(tmp_path / "40", os.O_RDONLY)
    sources = ProcessSources(
        process, prefix, None, lambda: None, process, process, rights=Rights(of_others)
    )
    assert sources.read(path) == b"name"
    assert entered == [True] * is_others
    os.close(process)
