"""The indexes of a mounted mirror, compared with what ps(1), ss(8) and psutil say of real processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.harness import DEADLINE, ROOT, load, until
from tests.mounting import Mount, mounted
from tests.programs import environment, free_port, listens, ran, running, shell
from tests.reliability.mirrors import parser_server_of, workers_of
from tests.reliability.stuck import stuck

INDEXES = ("by-cgroup", "by-exe", "by-file", "by-name", "by-parent", "by-port", "by-user")
SLASH = "\u2215"
# After so many seconds no listing is shown again.
KEPT = 1.05
# The user id of a process without rights: one that no user has.
NOBODY = 0xFFFFFFFE
# A group that nobody has had yet makes its member somebody for whom no listing is kept.
_STRANGERS = itertools.count(70_000)
# What a process may call itself, and the directory in which it then stands.
HOSTILE = {
    b"line\nbreak": r"line\nbreak",
    b"a/b": f"a{SLASH}b",
    f"a{SLASH}b".encode(): f"=a{SLASH}b",
    b".": "=.",
    b"..": "=..",
    b"pids": "=pids",
    b"=x": "==x",
    b"\xff\xfe": r"\xff\xfe",
    b"\x1b[2J": r"\x1b[2J",
    "\u202egpj".encode(): r"\u202egpj",
    b"\0": "=",
    b"123": "123",
}
# A child for each name on its command line; they end with their standard input.
_FAMILY = """
import json, os, sys
pids = {}
for name in json.loads(sys.argv[1]):
    raw = name.encode("latin-1")
    said, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/comm", "wb", buffering=0) as comm:
            comm.write(raw)
        os.write(says, b"x")
        sys.stdin.read()
        os._exit(0)
    os.read(said, 1)
    pids[name] = pid
print(json.dumps(pids), flush=True)
sys.stdin.read()
for pid in pids.values():
    os.kill(pid, 9)
"""


def links(path: Path) -> dict[str, set[int]]:
    """All links below a directory of an index by the path of where they stand, each of which leads to its process."""
    found: dict[str, set[int]] = {}
    for line in ran(
        "setpriv",
        f"--groups={next(_STRANGERS)}",
        "find",
        path,
        "-type",
        "l",
        "-printf",
        "%P\\t%l\\0",
    ).out.split("\0")[:-1]:
        name, text = line.split("\t")
        place, _, pid = name.rpartition("/")
        if text:  # a process that ended meanwhile has none
            assert text == "../" * (name.count("/") + 1) + pid
        found.setdefault(place, set()).add(int(pid))
    return found


def by_ps(*columns: str) -> dict[int, list[str]]:
    """What ps(1) says of all processes."""
    options = [part for column in ("pid", *columns) for part in ("-o", f"{column}=")]
    rows = [line.split(None, len(columns)) for line in ran("ps", "-eww", *options).out.splitlines()]
    return {int(pid): rest for pid, *rest in rows}


Truth = Callable[[], dict[int, set[str]]]


def compare(path: Path, truth: Truth, *, all_told: bool = True) -> int:
    """How many processes stand where `truth` says, which tells of all.

    Those that came, went or changed do not count. A listing may be shown again that lacks who came
    since: then it is asked once more.
    """
    with suppress(AssertionError):
        return _compared(path, truth, all_told=all_told)
    time.sleep(KEPT)
    return _compared(path, truth, all_told=all_told)


def _compared(path: Path, truth: Truth, *, all_told: bool) -> int:
    before = truth()
    shown: dict[int, set[str]] = {}
    for place, pids in links(path).items():
        for pid in pids:
            shown.setdefault(pid, set()).add(place)
    after = truth()
    lasting = {pid: places for pid, places in before.items() if after.get(pid) == places and places}
    assert {pid: shown.get(pid) for pid in lasting} == lasting
    gone = {pid for pid in shown if not Path(f"/proc/{pid}").exists()}
    assert not all_told or shown.keys() <= before.keys() | after.keys() | gone
    return len(lasting)


@pytest.fixture(scope="module")
def family() -> Iterator[dict[bytes, int]]:
    """The pids of processes with hostile names."""
    names = json.dumps([name.decode("latin-1") for name in HOSTILE])
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", _FAMILY, names], stdin=pipe, stdout=pipe, text=True
    ) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        pids = json.loads(parent.stdout.readline())
        yield {name.encode("latin-1"): pid for name, pid in pids.items()}
        parent.stdin.close()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def listener(port: int) -> Iterator[int]:
    with running("nc", "-l", "127.0.0.1", port, env=environment(API_KEY="of-root")) as pid:
        until(lambda: listens(port), "nc does not listen")
        yield pid


def test_who_listens_on_a_port_and_with_what_environment_is_one_line(
    mirror: Mount, port: int, listener: int
) -> None:
    code, out, err = shell(f"cat {mirror.path}/by-port/tcp/{port}/*/environ.txt")
    assert (code, err) == (0, "")
    assert "API_KEY=of-root" in out.splitlines()
    assert ran("ls", mirror.path / f"by-port/tcp/{port}") == (0, f"{listener}\n", "")


def test_wes_sees_no_more_of_it_than_natively(
    mirror: Mount, wes: int, port: int, listener: int
) -> None:
    place = mirror.path / f"by-port/tcp/{port}"
    assert ran("ls", place, user=wes) == (0, "", "")
    assert ran("readlink", place / str(listener), user=wes).code == 1
    assert ran("stat", place / str(listener), user=wes).err.endswith("No such file or directory\n")
    assert str(port) not in ran("ls", mirror.path / "by-port/tcp", user=wes).out.split()
    own = free_port()
    with running("nc", "-l", "127.0.0.1", own, user=wes, env=environment(API_KEY="of-wes")) as pid:
        until(lambda: listens(own), "nc does not listen")
        time.sleep(KEPT)
        assert shell(f"ls -l {mirror.path}/by-port/tcp/{own}/", user=wes).out.endswith(
            f" {pid} -> ../../../{pid}\n"
        )
        assert (
            "API_KEY=of-wes"
            in shell(f"cat {mirror.path}/by-port/tcp/{own}/*/environ.txt", user=wes).out
        )
        assert ran("ls", mirror.path / f"by-port/tcp/{own}").out == f"{pid}\n"


def test_indexes_stand_in_the_root_and_no_name_there_begins_with_a_digit(mirror: Mount) -> None:
    names = os.listdir(mirror.path)
    assert tuple(sorted(name for name in names if name.startswith("by-"))) == INDEXES
    assert all(name.isdigit() for name in names if name[0].isdigit())
    for name in INDEXES:
        found = (mirror.path / name).lstat()
        assert (found.st_mode, found.st_uid, found.st_gid, found.st_nlink) == (0o40555, 0, 0, 1)
        assert found.st_mtime == (mirror.path / name).lstat().st_mtime


def test_by_name(mirror: Mount, family: dict[bytes, int]) -> None:
    place = mirror.path / "by-name"
    for raw, name in HOSTILE.items():
        assert str(family[raw]) in os.listdir(place / name)
        assert os.readlink(place / name / str(family[raw])) == f"../../{family[raw]}"
        assert (place / name / str(family[raw]) / "comm").read_bytes() == raw.rstrip(b"\0") + b"\n"
    assert set(HOSTILE.values()) <= set(os.listdir(place))
    assert not (place / "a" / str(family[b"a/b"])).is_symlink()

    def truth() -> dict[int, set[str]]:
        """Of names that need no escape: ps has its own. Those of kworkers change with every work."""
        rows = {pid: "".join(row) for pid, row in by_ps("comm").items()}
        plain = {
            pid: comm
            for pid, comm in rows.items()
            if re.fullmatch("[a-z][a-z/0-9]*", comm) and comm != "pids"
        }
        return {
            pid: {comm.replace("/", SLASH)}
            for pid, comm in plain.items()
            if not comm.startswith("kworker")
        }

    assert compare(place, truth, all_told=False) > 10


def test_by_user(mirror: Mount, wes: int) -> None:
    with running("sleep", "600", user=wes) as pid, running("sleep", "600", user=61007) as nobody:
        assert (
            compare(
                mirror.path / "by-user",
                lambda: {one: {user} for one, (user,) in by_ps("euser:32").items()},
            )
            > 10
        )
        for name, one in (("wes", pid), (str(wes), pid), ("61007", nobody)):
            assert os.readlink(mirror.path / "by-user" / name / str(one)) == f"../../{one}"
            assert str(one) in os.listdir(mirror.path / "by-user" / name)
        assert {"wes", "61007"} <= set(os.listdir(mirror.path / "by-user")) and str(
            wes
        ) not in os.listdir(mirror.path / "by-user")
        assert not (mirror.path / f"by-user/root/{pid}").is_symlink()


USES = """
import mmap, os, sys, time
os.chdir("cwd")
opened = open("../opened")
with open("../map\\nped", "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
gone = open("../gone")
os.unlink("../gone")
os.pipe()
print(flush=True)
time.sleep(600)
"""


def test_by_file(mirror: Mount, tmp_path: Path) -> None:
    """Every kind of use, as lsof(8) tells them."""
    (tmp_path / "cwd").mkdir()
    for name in ("opened", "map\nped", "gone", "unused"):
        (tmp_path / name).write_text("text")
    place, inside = mirror.path / "by-file", mirror.path / f"by-file{tmp_path}"
    command = [sys.executable, "-c", USES]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"\n"
        pid = str(process.pid)
        for name in ("cwd", "opened", r"map\nped", "gone"):
            assert os.readlink(inside / name / "pids" / pid).endswith(f"../{pid}"), name
            assert os.listdir(inside / name / "pids") == [pid]
        assert not (inside / "unused/pids" / pid).is_symlink()
        assert sorted(os.listdir(inside)) == sorted(["cwd", "opened", r"map\nped", "gone"])
        exe = os.path.realpath(sys.executable)
        assert (place / exe[1:] / "pids" / pid).is_symlink()
        assert (place / "pids" / pid).is_symlink()
        told = subprocess.run(
            ["lsof", "-p", pid, "-Fn"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        files = {one[1:].removesuffix(" (deleted)") for one in told if one.startswith("n/")}
        assert len(files) > 8
        # lsof finds nothing behind the kernel's name for a newline.
        for file in (one for one in files if one != "/" and "012ped" not in one):
            assert (place / file[1:] / "pids" / pid).is_symlink(), file
        process.kill()


def test_by_exe(mirror: Mount, tmp_path: Path) -> None:
    place = mirror.path / "by-exe"
    strange = tmp_path / "pids" / "=a\n b"
    strange.parent.mkdir()
    shutil.copy("/bin/sleep", strange)
    gone = Path(shutil.copy("/bin/sleep", tmp_path / "gone"))
    inside = place / str(tmp_path)[1:]
    with running(strange, "600", name=strange.name) as first, running(gone, "600") as second:
        assert (inside / "gone/pids" / str(second)).is_symlink()
        gone.unlink()
        time.sleep(KEPT)
        assert os.listdir(inside / "=pids" / r"==a\n b" / "pids") == [str(first)]
        assert sorted(os.listdir(inside)) == ["=pids", "gone (deleted)"]
        assert os.listdir(inside / "gone (deleted)/pids") == [str(second)]
        assert not (inside / "gone/pids" / str(second)).is_symlink()

        def truth() -> dict[int, set[str]]:
            found = {}
            for process in psutil.process_iter():
                try:
                    exe = os.readlink(f"/proc/{process.pid}/exe")
                except OSError:
                    continue
                found[process.pid] = {exe[1:].replace("/pids/=a\n b", r"/=pids/==a\n b") + "/pids"}
            return found

        assert compare(place, truth) > 5
    assert "2" not in {pid for pids in links(place).values() for pid in map(str, pids)}


def test_by_cgroup(mirror: Mount) -> None:
    made: list[Path] = []
    with running("sleep", "600") as pid:
        try:
            # In whatever hierarchy this machine lets us make a group.
            for top in (
                "/sys/fs/cgroup/unified",
                "/sys/fs/cgroup",
                "/sys/fs/cgroup/pids",
                "/sys/fs/cgroup/freezer",
            ):
                group = Path(top) / f"procmirror-{os.getpid()}"
                try:
                    for one in (group, group / "pids", group / "pids" / "42"):
                        one.mkdir()
                        made.append(one)
                    (made[-1] / "cgroup.procs").write_text(str(pid))
                    break
                except OSError:
                    while made:
                        made.pop().rmdir()

            def truth() -> dict[int, set[str]]:
                found: dict[int, set[str]] = {}
                for process in psutil.process_iter():
                    with contextlib.suppress(OSError):
                        lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
                        paths = [
                            line.split(":", 2)[2].replace("/pids/42", "/=pids/=42")
                            for line in lines
                        ]
                        found[process.pid] = {f"{path}/pids".lstrip("/") for path in paths}
                return found

            assert compare(mirror.path / "by-cgroup", truth) > 5
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
            assert not made or any(
                line.endswith(f"/procmirror-{os.getpid()}/pids/42") for line in lines
            )
        finally:
            if made:
                (made[0].parent / "cgroup.procs").write_text(str(pid))
            while made:
                made.pop().rmdir()


def test_another_cgroup_namespace_has_paths_of_its_own(mirror: Mount) -> None:
    with running("sleep", "600") as pid:
        script = (
            'cut -d: -f3- "/proc/$2/cgroup"; echo; find "$1/by-cgroup" -name "$2" -printf "/%P\n"'
        )
        code, out, err = ran("unshare", "-C", "sh", "-c", script, "sh", mirror.path, pid)
        assert (code, err) == (0, "")
        native, shown = (set(part.split("\n")) for part in out.rstrip("\n").split("\n\n"))
        assert shown == {f"{path.replace('..', '=..').rstrip('/')}/pids/{pid}" for path in native}


def test_by_parent_is_a_tree(mirror: Mount, family: dict[bytes, int]) -> None:
    place = mirror.path / "by-parent"

    def truth() -> dict[int, set[str]]:
        parents = {pid: int(ppid) for pid, (ppid,) in by_ps("ppid").items()}
        found = {}
        for pid in parents:
            above = [pid]
            while (parent := parents.get(above[-1], 0)) in parents:
                above.append(parent)
            found[pid] = {"/".join([*map(str, reversed(above[1:])), "pids"])}
        return found

    assert compare(place, truth) > 10
    parent = psutil.Process(family[b"=x"]).ppid()
    children = {str(pid) for pid in family.values()}
    assert set(os.listdir(place / str(parent))) == children | {"pids"}
    assert set(os.listdir(place / str(parent) / "pids")) == children
    assert os.listdir(place / str(family[b"=x"])) == []
    assert not (place / "1" / "pids" / str(family[b"=x"])).is_symlink()


def by_ss() -> dict[int, set[str]]:
    """The sockets of each process as ss(8) tells them."""
    found: dict[int, set[str]] = {}
    for line in ran("ss", "-Htuanp").out.splitlines():
        netid, _, _, _, local, *_ = line.split()
        for pid in re.findall(r"pid=(\d+)", line):
            found.setdefault(int(pid), set()).add(f"{netid}/{local.rpartition(':')[2]}")
    return found


def test_by_port(mirror: Mount, port: int, listener: int) -> None:
    place = mirror.path / "by-port"
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(
            socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        )
        client = stack.enter_context(
            socket.create_connection(("127.0.0.1", listening.getsockname()[1]))
        )
        stack.enter_context(listening.accept()[0])
        datagrams = [
            stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            for family in (socket.AF_INET, socket.AF_INET6)
        ]
        for one in datagrams:
            one.bind(("", 0))
        assert compare(place, by_ss) >= 2
        mine = by_ss()[os.getpid()]
        assert mine >= {f"tcp/{one.getsockname()[1]}" for one in (listening, client)}
        assert mine >= {f"udp/{one.getsockname()[1]}" for one in datagrams}
    assert sorted(os.listdir(place)) == ["tcp", "udp", "udplite"]
    assert (
        not (place / f"tcp/{port}/{os.getpid()}").is_symlink()
        and (place / f"tcp/{port}/{listener}").is_symlink()
    )


def test_another_network_namespace_has_ports_of_its_own(
    mirror: Mount, port: int, listener: int
) -> None:
    """The same number there is another socket; neither is seen from the other side."""
    look = 'ls "$1/by-port/tcp/$2" | wc -l; cat "$1/by-port/tcp/$2"/*/comm'
    listens_there = 'until ss -Htln "sport = :$2" | grep -q .; do sleep 0.1; done'
    script = f'ip link set lo up; nc -l 127.0.0.1 "$2" & {listens_there}; {look}; kill $!'
    code, out, _ = ran("unshare", "-n", "sh", "-c", script, "sh", mirror.path, port)
    assert (code, out) == (0, "1\nnc\n")
    assert ran("unshare", "-n", "ls", mirror.path / f"by-port/tcp/{port}") == (0, "", "")
    assert ran("unshare", "-n", "stat", mirror.path / f"by-port/tcp/{port}/{listener}").code == 1
    assert os.listdir(mirror.path / f"by-port/tcp/{port}") == [str(listener)]


def test_what_cannot_be_does_not_exist(mirror: Mount) -> None:
    own = os.getpid()
    thread = next(
        (one for one in os.listdir(f"/proc/{mirror.daemon}/task") if one != str(mirror.daemon)),
        None,
    )
    comm = Path("/proc/self/comm").read_text().rstrip("\n")
    for path in (
        "by-name/pids",
        "by-name/=x",
        "by-port/sctp",
        "by-port/tcp/http",
        "by-parent/x",
        "by-name/x/y",
        "by-exe/a/pids/b",
    ):
        assert not (mirror.path / path).exists()
    for path in (
        "by-name/nobody is called so",
        "by-exe/no/such/program/pids",
        "by-port/tcp/1",
        "by-parent/4194304",
    ):
        assert os.listdir(mirror.path / path) == []
        assert (
            ran("test", "-w", mirror.path / path, user=61007).code
            == 1
            == 1 - ran("test", "-x", mirror.path / path).code
        )
    assert (mirror.path / f"by-name/{comm}/{own}").is_symlink()
    assert not (mirror.path / f"by-name/{comm}/{own}/").parent.joinpath("4194304").is_symlink()
    assert thread is None or not (mirror.path / f"by-user/root/{thread}").is_symlink()


CALLS = re.compile(
    r'(openat|readlinkat|newfstatat|readlink|statx)\((?:\d+|AT_FDCWD)(?:<[^>]*>)?, "([^"]*)"'
)


def traced(mount: Mount, action: Callable[[], object]) -> list[str]:
    """The paths that the daemon and its workers open, stat or read as links meanwhile."""
    log = mount.path.parent / "trace"
    pids = [f"--attach={pid}" for pid in mount.processes()]
    with subprocess.Popen(
        [
            "strace",
            "-qf",
            "-o",
            log,
            "-e",
            "trace=openat,readlink,readlinkat,newfstatat,statx",
            *pids,
        ]
    ) as tracer:
        until(
            lambda: all(
                "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
                for pid in mount.processes()
            ),
            "not traced",
        )
        action()
        tracer.terminate()
        tracer.wait(DEADLINE * load())
    paths = [found[2] for line in log.read_text().splitlines() if (found := CALLS.search(line))]
    log.unlink()
    # Now and then the daemon looks which of the processes that it knows have ended, by their
    # numbers alone, and how SOURCE is mounted; after its first request it imports the rest of its
    # modules.
    apart = re.compile(r"\.?|\d+|/(?!proc/).*|self/(fdinfo/\d+|mountinfo)")
    return [path for path in paths if not apart.fullmatch(path)]


def test_a_directory_is_looked_up_without_looking_and_a_link_with_a_look_at_its_process(
    mirror: Mount, listener: int, port: int
) -> None:
    with running("sleep", "600") as pid:
        (mirror.path / f"by-name/sleep/{pid}").lstat()
        for name in (
            "by-name/who",
            "by-user/nobody",
            "by-exe/a/b/pids",
            "by-file/a/b/pids",
            "by-cgroup/c/pids",
            "by-port/tcp/77",
            "by-parent/1/2/3/pids",
        ):
            path = mirror.path / name
            opened = traced(mirror, lambda path=path: os.stat(path))  # type: ignore[misc]
            # The requester is identified by its own files, also to find its account; a requester in
            # another mount namespace may have a /proc that hides something.
            of_requester = {f"{os.getpid()}/{file}" for file in ("ns/mnt", "ns/user", "status")}
            of_requester.add("ns/user")
            assert set(opened) <= of_requester, name
        wanted = {
            f"by-name/sleep/{pid}",
            f"by-exe{os.path.realpath('/bin/sleep')}/pids/{pid}",
            f"by-file/dev/null/pids/{pid}",
            f"by-user/root/{pid}",
        }
        wanted |= {f"by-parent/{os.getpid()}/pids/{pid}", f"by-port/tcp/{port}/{listener}"}
        for name in wanted:
            number = name.rpartition("/")[2]
            path = mirror.path / name
            opened = traced(mirror, lambda path=path: os.lstat(path))  # type: ignore[misc]
            # The requester is identified by its own files.
            others = [
                one
                for one in opened
                if re.match(r"\d+/", one) and one.split("/")[0] not in {number, str(os.getpid())}
            ]
            assert others == [] and any(one.startswith(f"{number}/") for one in opened), name


def test_no_worker_of_the_daemon_is_shown_as_the_process_of_whom_it_serves() -> None:
    with mounted() as mount:
        ours = {str(pid) for pid in mount.processes()}
        for _ in range(5):
            shown = ran("ls", mount.path / "by-user/61013", user=61013).out.split()
            assert shown and not ours & set(shown)
            records = map(
                json.loads, ran("cat", mount.path / "processes.ndjson", user=61013).out.splitlines()
            )
            users = {record["pid"]: record["status"]["Uid"]["effective"] for record in records}
            # Those that parse have no rights, and the user id of nobody.
            workers = ours - {str(parser_server_of(mount))}
            assert {users.get(int(pid), 0) for pid in workers} == {0}
            assert {users.get(int(pid), 0) for pid in ours} <= {0, NOBODY}


def test_a_stuck_process_is_listed_and_holds_up_nobody(mirror: Mount) -> None:
    with stuck(user=61003) as (target,):
        exe = os.readlink(f"/proc/{target.pid}/exe")
        comm = Path(f"/proc/{target.pid}/comm").read_text().rstrip("\n")
        for name in (f"by-exe{exe}/pids", f"by-name/{comm}", "by-user/61003", "by-cgroup/pids"):
            assert str(target.pid) in ran("ls", mirror.path / name).out.split()
        for name in ("by-port/tcp", "by-parent"):
            assert ran("ls", mirror.path / name).code == 0


@pytest.mark.parametrize("chosen", ["none", "json"])
def test_indexes_go_with_the_views(chosen: str) -> None:
    hidden = "by-exe:by-port/udp:by-name/sl*:PID/environ"
    with (
        mounted("-o", f"views={chosen},hide={hidden},write") as mount,
        running("sleep", "600") as pid,
    ):
        shown = sorted(name for name in os.listdir(mount.path) if name.startswith("by-"))
        assert shown == ([] if chosen == "none" else [name for name in INDEXES if name != "by-exe"])
        assert not (mount.path / "by-exe").exists()
        assert (mount.path / "by-name").exists() == (chosen != "none")
        if shown:
            assert (
                "udp" not in os.listdir(mount.path / "by-port")
                and not (mount.path / "by-port/udp").exists()
            )
            assert (
                "sleep" not in os.listdir(mount.path / "by-name")
                and not (mount.path / f"by-name/sleep/{pid}").is_symlink()
            )
            assert (mount.path / f"by-user/root/{pid}").is_symlink()
            for change in (os.unlink, os.utime):
                with pytest.raises(OSError, match="Read-only file system"):
                    change(
                        mount.path / "by-user/root" / str(pid)
                        if change is os.unlink
                        else mount.path / "by-user/root"
                    )


def test_hidden_processes_are_hidden_here_too() -> None:
    with running("sleep", "600") as pid, mounted("-o", f"hide={pid}") as mount:
        assert str(pid) not in os.listdir(mount.path / "by-name/sleep")
        assert not (mount.path / f"by-name/sleep/{pid}").is_symlink()


def test_a_procfs_of_another_pid_namespace(tmp_path: Path) -> None:
    """Its processes stand there by its own numbers."""
    script = 'mount -t proc proc "$1" && exec sleep 777'
    inner = subprocess.Popen(
        ["unshare", "-pf", "--kill-child", "sh", "-c", script, "sh", tmp_path], cwd=ROOT
    )
    try:
        until(
            lambda: os.path.ismount(tmp_path) and (tmp_path / "1/comm").read_text() == "sleep\n",
            "no procfs",
        )
        with mounted(source=str(tmp_path)) as mount:
            assert os.listdir(mount.path / "by-name") == ["sleep"]
            assert os.readlink(mount.path / "by-name/sleep/1") == "../../1"
            assert sorted(os.listdir(mount.path / "by-parent")) == ["1", "pids"]
            assert (mount.path / "by-user/root/1/cmdline.txt").read_text() == "sleep 777\n"
            assert os.listdir(mount.path / "by-port/tcp") == []
    finally:
        inner.kill()
        inner.wait()
        ran("umount", tmp_path)


def test_grep_through_them_ends_and_follows_no_link(mirror: Mount) -> None:
    code, out, _ = ran("grep", "-rs", "", *(mirror.path / name for name in INDEXES))
    assert code in {1, 2} and not out
    assert len(workers_of(mirror)) < 8
