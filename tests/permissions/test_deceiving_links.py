"""A link whose text would lead its reader to another object has a text that leads nowhere.

The oracle is the kernel: what `/proc/PID/fd/N` leads to is what the mirror's link leads to, or the
mirror's leads nowhere. In each scene a user makes a link read like a file of root's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import until
from tests.mounting import Mount, mounted
from tests.programs import ran

ATTACKER = 61031
_USER = ("setpriv", f"--reuid={ATTACKER}", f"--regid={ATTACKER}", "--clear-groups")
PRECIOUS = "root's important data\n"


def is_no_shell(pid: int) -> None:
    """Wait until a shell that has said that it is ready runs its last program."""
    until(lambda: not os.readlink(f"/proc/{pid}/exe").endswith("bash"), "it runs no other program")


class Scene:
    """A folder with a directory of root's, one of the user's, and a directory that is nobody's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.precious, self.mine, self.open = folder / "precious", folder / "mine", folder / "open"
        for one, mode in ((self.precious, 0o755), (self.mine, 0o777), (self.open, 0o777)):
            one.mkdir()
            one.chmod(mode)
        (self.precious / "data").write_text(PRECIOUS)
        (self.mine / "data").write_text("the user's\n")
        shutil.copy("/bin/sleep", self.precious / "program")
        shutil.copy("/bin/sleep", self.mine / "program")
        (self.precious / "folder").mkdir()
        (self.precious / "folder" / "kept").write_text(PRECIOUS)
        (self.mine / "folder").mkdir(mode=0o777)
        for path in self.mine.iterdir():
            os.chown(path, ATTACKER, ATTACKER)

    def untouched(self) -> None:
        assert (self.precious / "data").read_text() == PRECIOUS
        assert os.listdir(self.precious / "folder") == ["kept"]
        assert sorted(os.listdir(self.precious)) == ["data", "folder", "program"]

    @contextlib.contextmanager
    def user(self, script: str, *, own: bool = True) -> Iterator[int]:
        """A shell of the user's, in namespaces of its own, which says when it is ready."""
        inside = ("unshare", "-Urm") if own else ()
        words = (*_USER, *inside, "bash", "-c", f"{script}; echo; exec sleep 1000")
        program = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=self.folder)
        assert program.stdout
        try:
            assert program.stdout.readline() == b"\n"
            is_no_shell(program.pid)
            yield program.pid
        finally:
            program.kill()
            program.wait()
            program.stdout.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="deceiving-"))
    folder.chmod(0o755)
    yield Scene(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mounted() as mount:
        yield mount


def same_or_nowhere(own_mirror: Mount, link: str) -> bool:
    """Whether the mirror's link leads nowhere; otherwise it leads where the kernel's leads."""
    try:
        found = os.stat(own_mirror.path / link)
    except FileNotFoundError:
        return True
    native = os.stat(f"/proc/{link}")
    assert (found.st_dev, found.st_ino) == (native.st_dev, native.st_ino), link
    return False


BOUND = "mount --bind {mine} {precious}"


def test_a_file_bound_over_the_path_of_roots(own_mirror: Mount, scene: Scene) -> None:
    script = BOUND.format(**vars(scene)) + f"; exec 3<>{scene.precious}/data"
    with scene.user(script) as pid:
        link = own_mirror.path / f"{pid}/fd/3"
        assert os.readlink(f"/proc/{pid}/fd/3") == str(scene.precious / "data")
        assert os.readlink(link) == f"(unreachable){scene.precious}/data"
        assert same_or_nowhere(own_mirror, f"{pid}/fd/3")
        assert ran("sh", "-c", f": > {link}").code != 0
        assert ran("cp", "/etc/hostname", link).code != 0
        scene.untouched()
        # The user's own view of it is as the kernel's.
        inside = ("nsenter", "-t", str(pid), "-U", "-m", "--preserve-credentials", "readlink")
        shown = subprocess.run(
            [*_USER, *inside, link], capture_output=True, check=False, text=True
        ).stdout
        assert shown in {f"{scene.precious}/data\n", ""}


def test_a_working_directory(own_mirror: Mount, scene: Scene) -> None:
    script = BOUND.format(**vars(scene)) + f"; cd {scene.precious}/folder"
    with scene.user(script) as pid:
        link = own_mirror.path / f"{pid}/cwd"
        assert same_or_nowhere(own_mirror, f"{pid}/cwd")
        assert ran("cp", "/etc/hostname", f"{link}/").code != 0
        assert ran("rm", "-r", f"{link}/kept").code != 0
        scene.untouched()


def test_a_root_directory(own_mirror: Mount, scene: Scene) -> None:
    script = f"mount --bind {scene.mine} {scene.precious}; exec 9< {scene.precious}/folder"
    chroot = f"{script}; exec {sys.executable} -c 'import os; os.fchdir(9); os.chroot(\".\"); print(flush=True); input()'"
    words = (*_USER, "unshare", "-Urm", "bash", "-c", chroot)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stdout.readline() == b"\n"
        assert os.readlink(f"/proc/{program.pid}/root") == f"{scene.precious}/folder"
        assert same_or_nowhere(own_mirror, f"{program.pid}/root")
        assert ran("rm", "-r", own_mirror.path / f"{program.pid}/root/kept").code != 0
        scene.untouched()
        program.kill()


def test_a_program_and_its_mappings(own_mirror: Mount, scene: Scene) -> None:
    script = BOUND.format(**vars(scene)) + f"; exec {scene.precious}/program 1000"
    words = (*_USER, "unshare", "-Urm", "bash", "-c", f"echo; {script}")
    with subprocess.Popen(words, stdout=subprocess.PIPE) as program:
        assert program.stdout
        program.stdout.readline()
        path = f"/proc/{program.pid}/exe"
        while os.readlink(path) != f"{scene.precious}/program":
            pass
        assert os.readlink(own_mirror.path / f"{program.pid}/exe").startswith("(unreachable)/")
        assert same_or_nowhere(own_mirror, f"{program.pid}/exe")
        assert same_or_nowhere(own_mirror, f"{program.pid}/task/{program.pid}/exe")
        names = [
            name
            for name in os.listdir(f"/proc/{program.pid}/map_files")
            if os.readlink(f"/proc/{program.pid}/map_files/{name}").endswith("/program")
        ]
        assert names
        assert all(same_or_nowhere(own_mirror, f"{program.pid}/map_files/{name}") for name in names)
        program.kill()


def test_a_descriptor_that_was_passed_out_of_the_namespace(own_mirror: Mount, scene: Scene) -> None:
    receiver = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
        "print(flush=True); c, _ = s.accept(); _, fds, _, _ = socket.recv_fds(c, 1, 1)\n"
        "import os; os.dup2(fds[0], 50); print(flush=True); input()"
    )
    address = str(scene.open / "socket")
    words = (*_USER, sys.executable, "-c", receiver, address)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as program:
        assert program.stdout
        program.stdout.readline()
        sender = (
            f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{address}')\n"
            "socket.send_fds(s, [b'x'], [3])"
        )
        script = BOUND.format(**vars(scene)) + f"; exec 3<>{scene.precious}/data"
        with scene.user(f'{script}; {sys.executable} -c "{sender}"'):
            program.stdout.readline()
            # The process is in root's mount namespace; what it holds is not.
            assert os.readlink(f"/proc/{program.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
            assert same_or_nowhere(own_mirror, f"{program.pid}/fd/50")
            assert ran("sh", "-c", f": > {own_mirror.path}/{program.pid}/fd/50").code != 0
            scene.untouched()
        program.kill()


def test_a_file_that_does_not_exist_for_the_reader(own_mirror: Mount, scene: Scene) -> None:
    script = BOUND.format(**vars(scene)) + f"; exec 3<>{scene.precious}/new"
    with scene.user(script) as pid:
        assert os.readlink(f"/proc/{pid}/fd/3") == str(scene.precious / "new")
        assert ran("sh", "-c", f": > {own_mirror.path}/{pid}/fd/3").code != 0
        scene.untouched()


def test_a_link_where_a_deleted_file_was(own_mirror: Mount, scene: Scene) -> None:
    place = scene.open / "gone"
    script = f"exec 3<>{place}; rm {place}; ln -s {scene.precious}/data '{place} (deleted)'"
    with scene.user(script, own=False) as pid:
        assert os.readlink(f"/proc/{pid}/fd/3") == f"{place} (deleted)"
        assert ran("sh", "-c", f": > {own_mirror.path}/{pid}/fd/3").code != 0
        scene.untouched()


def test_a_deleted_file_is_still_told_as_deleted(own_mirror: Mount, scene: Scene) -> None:
    place = scene.open / "gone"
    with scene.user(f"exec 3<>{place}; rm {place}", own=False) as pid:
        assert os.readlink(own_mirror.path / f"{pid}/fd/3") == f"{place} (deleted)"
    with scene.user(f"exec 3<>{place}; rm {place}; echo new > {place}", own=False) as pid:
        assert os.readlink(own_mirror.path / f"{pid}/fd/3") == f"{place} (deleted)"


def test_a_file_that_was_mounted_over(own_mirror: Mount, scene: Scene) -> None:
    with scene.user(f"exec 3<>{scene.mine}/data", own=False) as pid:
        assert os.readlink(own_mirror.path / f"{pid}/fd/3") == f"{scene.mine}/data"
        subprocess.run(["mount", "--bind", scene.precious, scene.mine], check=True)
        try:
            assert same_or_nowhere(own_mirror, f"{pid}/fd/3")
            assert ran("sh", "-c", f": > {own_mirror.path}/{pid}/fd/3").code != 0
            scene.untouched()
        finally:
            subprocess.run(["umount", scene.mine], check=True)
        assert os.readlink(own_mirror.path / f"{pid}/fd/3") == f"{scene.mine}/data"


def test_a_directory_with_other_mounts_below(own_mirror: Mount, scene: Scene) -> None:
    """Root and working directory are root's own; what is mounted in them is the user's."""
    script = BOUND.format(**vars(scene)) + f"; exec 3<{scene.folder}; cd {scene.folder}"
    with scene.user(script) as pid:
        kept = scene.precious / "folder/kept"
        for link, below in (("root", kept), ("cwd", kept.relative_to(scene.folder))):
            assert os.stat(f"/proc/{pid}/{link}/{below.parent}".replace("//", "/"))
            assert same_or_nowhere(own_mirror, f"{pid}/{link}")
            assert same_or_nowhere(own_mirror, f"{pid}/task/{pid}/{link}")
            assert ran("rm", "-r", f"{own_mirror.path}/{pid}/{link}/{below}").code != 0
        assert same_or_nowhere(own_mirror, f"{pid}/fd/3")
        scene.untouched()


def test_a_directory_of_a_users_namespace_in_a_process_outside(
    own_mirror: Mount, scene: Scene
) -> None:
    with scene.user(f"{BOUND.format(**vars(scene))}; cd {scene.folder}") as inside:
        # Opened by root, whom every link of /proc lets through.
        opened = os.open(f"/proc/{inside}/cwd", os.O_RDONLY)
        try:
            assert os.readlink(f"/proc/self/fd/{opened}") == str(scene.folder)
            assert os.listdir(opened)
            for link in (f"{os.getpid()}/fd/{opened}", f"self/fd/{opened}"):
                assert os.readlink(own_mirror.path / link).startswith("(unreachable)/")
        finally:
            os.close(opened)


def test_a_private_copy_of_the_mounts_changes_nothing(own_mirror: Mount, scene: Scene) -> None:
    # As services with PrivateTmp= have one: other mounts, which root has made, the same files.
    script = f"exec 3<>{scene.mine}/data; cd {scene.mine}/folder; echo; exec sleep 1000"
    command = ("unshare", "-m", "--propagation", "private", *_USER, "bash", "-c", script)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout
        program.stdout.readline()
        is_no_shell(program.pid)
        for name in ("fd/3", "cwd", "exe", "root"):
            link = f"{program.pid}/{name}"
            assert os.readlink(own_mirror.path / link) == os.readlink(f"/proc/{link}")
            assert not same_or_nowhere(own_mirror, link)
        program.kill()


def test_files_in_a_users_copy_of_the_mounts_are_the_same(own_mirror: Mount, scene: Scene) -> None:
    with scene.user(f"exec 3<>{scene.mine}/data; cd {scene.mine}/folder") as pid:
        for name in ("fd/3", "exe"):
            assert os.readlink(own_mirror.path / f"{pid}/{name}") == os.readlink(
                f"/proc/{pid}/{name}"
            )
            assert not same_or_nowhere(own_mirror, f"{pid}/{name}")


def test_a_reader_in_another_root_directory(own_mirror: Mount, scene: Scene) -> None:
    with scene.user(f"exec 3<>{scene.mine}/data", own=False) as pid:
        program = (
            "import os, sys\n"
            f"proc, mirror = os.open('/proc/{pid}/fd', 0), os.open('{own_mirror.path}/{pid}/fd', 0)\n"
            "os.chroot(sys.argv[1])\n"
            "print(os.readlink('3', dir_fd=proc)); print(os.readlink('3', dir_fd=mirror))"
        )
        within = ran(sys.executable, "-c", program, scene.folder).out.splitlines()
        assert within == ["/mine/data", "/mine/data"]
        # The kernel's text leads to another file of the reader's root directory, if there is one.
        outside = ran(sys.executable, "-c", program, scene.precious).out.splitlines()
        assert outside[1] == f"(unreachable){scene.mine}/data"


def test_another_user_sees_it_too(own_mirror: Mount, scene: Scene) -> None:
    # Of the requester's own processes: the rule is for every requester.
    script = BOUND.format(**vars(scene)) + f"; exec 3<>{scene.precious}/data"
    with scene.user(script) as pid:
        shown = subprocess.run(
            [*_USER, "readlink", f"{own_mirror.path}/{pid}/cwd"], capture_output=True, check=False
        )
        native = subprocess.run(
            [*_USER, "readlink", f"/proc/{pid}/cwd"], capture_output=True, check=False
        )
        assert shown.returncode == native.returncode
