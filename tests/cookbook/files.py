"""Deleted and open files, locks, pipes and watches."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.cookbook.scene import Made, Scene, Scenes
from tests.harness import until

SCENES = Scenes()

MAPPED = """
import mmap
with open(sys.argv[1], "rb") as file:
    kept = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
if sys.argv[2:]:
    os.unlink(sys.argv[1])
print(flush=True)"""


@SCENES.asked("Which process still uses the deleted libssl?")
def _deleted_library(made: Made) -> Scene:
    libssl, kept, libother = (
        made.folder / name for name in ("libssl.so.3", "libssl.so.1", "libother.so")
    )
    for path in (libssl, kept, libother):
        shutil.copy(sys.executable, path)
    one, two = made.python(MAPPED, libssl, "gone"), made.python(MAPPED, kept)
    return Scene([one], [two, made.python(MAPPED, libother, "gone")], his=[])


@SCENES.asked("Whose program was replaced under it?")
def _replaced_program(made: Made) -> Scene:
    for name in ("server", "server.new", "kept"):
        shutil.copy("/bin/sleep", made.folder / name)
    old, kept = made.program(made.folder / "server", 600), made.program(made.folder / "kept", 600)
    os.replace(made.folder / "server.new", made.folder / "server")
    return Scene([old], [kept, made.program(made.folder / "server", 600)], his=[])


LOGS = """
file = open(sys.argv[1], sys.argv[2])
if sys.argv[3:]:
    os.unlink(sys.argv[1])
if file.writable():
    file.write("x" * 100_000), file.flush()
print(flush=True)"""


@SCENES.asked("Who holds the deleted log that fills the disk, and how big is it?")
def _deleted_log(made: Made) -> Scene:
    names = [made.folder / f"{name}.log" for name in ("app", "kept", "read")]
    names[2].touch()
    writer = made.python(LOGS, names[0], "a", "gone")
    others = [made.python(LOGS, names[1], "a"), made.python(LOGS, names[2], "r", "gone")]
    return Scene(
        [writer],
        others,
        his=[],
        lines=[
            rf"/{writer}/.* 97\.7KiB +100000 +.*/app\.log \(deleted\).*holds [0-9.]+KiB on disk"
        ],
    )


@SCENES.asked("Who has a file open below /srv/data?")
def _open_files(made: Made) -> Scene:
    (made.folder / "data").mkdir()
    inside, outside = (
        made.python(LOGS, made.folder / name, "w") for name in ("data/table", "data.old")
    )
    return Scene([inside], [outside], his=[], words=[("/srv/data", made.folder / "data")])


@SCENES.asked("Who stands in /srv/data, so that it cannot be unmounted?")
def _working_directory(made: Made) -> Scene:
    places = [made.folder / name for name in ("data", "data/deep", "data.old")]
    for place in places:
        place.mkdir()
    one, deep, outside = (
        made.python("os.chdir(sys.argv[1]); print(flush=True)", place) for place in places
    )
    return Scene([one, deep], [outside], his=[], words=[("/srv/data", made.folder / "data")])


@SCENES.asked("Who still has /srv/data mounted in a mount namespace of its own?")
def _mounted(made: Made) -> Scene:
    def mounting(name: str) -> int:
        place = made.folder / name
        place.mkdir()
        script = 'mount -t tmpfs none "$0" && exec sleep 600'
        return made.program(
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            place,
            name="sleep",
        )

    others = [mounting("data.old"), made.program("sleep", "600")]
    return Scene([mounting("data")], others, words=[("/srv/data", made.folder / "data")])


LOCKER = """
import fcntl
file = open(sys.argv[1], "w")
print(flush=True)
fcntl.lockf(file, fcntl.LOCK_EX)"""


def locking(made: Made) -> tuple[Path, int, int]:
    """A file, who has locked it and who waits."""
    path = made.folder / "db.lock"

    def listed(mark: str) -> int:
        pid = made.python(LOCKER, path)
        until(
            lambda: f"{mark}POSIX  ADVISORY  WRITE {pid} " in Path("/proc/locks").read_text(),
            "the lock does not show",
        )
        return pid

    return path, listed(""), listed("-> ")


@SCENES.asked("Which process holds this lock, and who waits for it?")
def _lock(made: Made) -> Scene:
    path, holder, waiter = locking(made)
    other = made.python(LOCKER, made.folder / "other.lock")
    return Scene(
        [holder],
        [other],
        lines=[rf"^\S+ +{holder} +- +POSIX +WRITE ", rf"^  \S+ +{waiter} +{holder} +POSIX "],
        words=[("/srv/data/db.lock", path)],
    )


@SCENES.asked("Does it leak descriptors?")
def _leak(made: Made) -> Scene:
    path = made.folder / "table"
    script = "kept = [open(sys.argv[1], 'w') for _ in range(300)]\nprint(flush=True)"
    return Scene(pid=made.python(script, path), lines=[rf"^ *300 {path}\n\Z"])


@SCENES.asked("How near is it to its limit of open files?")
def _limit(made: Made) -> Scene:
    pid = made.program("prlimit", "--nofile=64:128", "sleep", "600", name="sleep")
    return Scene(pid=pid, exactly=f"descriptors  {len(os.listdir(f'/proc/{pid}/fd'))} of 64\n")


@SCENES.asked("Who is at the other end of this pipe?")
def _pipe(made: Made) -> Scene:
    shells = [made.program("sh", "-c", "sleep 600 | cat; :") for _ in range(2)]
    (writer, reader), others = [
        (made.child(pid, "sleep"), made.child(pid, "cat")) for pid in shells
    ]
    return Scene(
        [writer, reader],
        others,
        pid=reader,
        lines=[rf"/{writer}/fd.txt: +1 +write", rf"/{reader}/fd.txt: +0 +read"],
    )


WATCHER = """
import ctypes
libc = ctypes.CDLL(None)
instance = libc.inotify_init()
for number in range(int(sys.argv[2])):
    path = f"{sys.argv[1]}/{number}"
    open(path, "w").close()
    assert libc.inotify_add_watch(instance, path.encode(), 2) > 0
print(flush=True)"""


@SCENES.asked("Who has more than a hundred inotify watches?")
def _watches(made: Made) -> Scene:
    many, few = (made.python(WATCHER, made.folder, number) for number in (150, 3))
    return Scene(
        [many],
        [few],
        his=[],
        lines=[rf"/{many}/fd.txt: *\d+ +read +inotify .*; watches 150: "],
    )


@SCENES.asked("Where does its output go?")
def _output(made: Made) -> Scene:
    path = made.folder / "out.log"
    line = 'exec > "$0" 2> /dev/null; echo hello; exec sleep 600'
    pid = made.program("sh", "-c", line, path, name="sleep")
    lines = [rf"^ *1 +write +file +6B +6 +{path}$", r"^ *2 +write +char +- +- +/dev/null$"]
    return Scene(pid=pid, lines=lines)
