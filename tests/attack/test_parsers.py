"""What users write into their files is parsed without rights, and for the requester alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.scene import ATTACKER, undisturbed
from tests.harness import comes_true, parent_of, until
from tests.mounting import Mount
from tests.programs import children
from tests.reliability.mirrors import mirrored, parser_server_of, workers_of
from tests.reliability.readers import Job, ask, read

# A mirror whose parsers do what somebody who took one over would do.
_TAKEN = """
import os, runpy, socket
from procmirror.stack.user_side import HereParser
def user_side(self, job):
    ORDER
HereParser.user_side = user_side
runpy.run_module("procmirror", None, "__main__")
"""
# One whose parsers wait on when there is nothing more to do.
_OUTLIVING = """
import runpy, threading
from procmirror.workers.parser_process import Parsing
serve = Parsing.serve
def serve_on(self):
    serve(self)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
Parsing.serve = serve_on
runpy.run_module("procmirror", None, "__main__")
"""
_ORDERS = {
    "open": 'os.open("/etc/shadow", os.O_RDONLY)',
    "socket": "socket.socket(socket.AF_INET)",
    "signal": "os.kill(os.getppid(), 9)",
    "nonsense": 'self.process.target._channel._socket.sendmsg([b"\\0\\xc1"])',
    "end": "os._exit(0)",
    "memory": "bytearray(1 << 40)",
    "drip": 'while True: self.process.target._channel._socket.sendmsg([b"\\1"])',
}


def _as(user: int) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


@contextlib.contextmanager
def waiting(*command: str) -> Iterator[int]:
    """A command that says a line when it is as it shall be looked at."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as program:
        assert program.stdout
        try:
            assert program.stdout.readline()
            yield program.pid
        finally:
            program.kill()


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """A program without names, and beside it a place for its debug file."""
    folder = Path(tempfile.mkdtemp(prefix="parsed-"))
    folder.chmod(0o755)
    (folder / "program.c").write_text(
        "#include <unistd.h>\n"
        '__attribute__((noinline)) int secret_name(void) { write(1, "\\n", 1); return pause(); }\n'
        "int main(void) { return secret_name() + 1; }\n"
    )
    made = folder / "program"
    subprocess.run(["gcc", "-O0", "-Wl,--build-id", "-o", made, folder / "program.c"], check=True)
    subprocess.run(["objcopy", "--only-keep-debug", made, folder / "real"], check=True)
    renamed = "--redefine-sym=secret_name=attacker_says_hello"
    subprocess.run(["objcopy", renamed, folder / "real", folder / "false"], check=True)
    subprocess.run(["strip", made], check=True)
    shutil.copyfile(folder / "real", folder / "program.debug")
    subprocess.run(["objcopy", f"--add-gnu-debuglink={folder / 'program.debug'}", made], check=True)
    (folder / "program.debug").unlink()
    (folder / "real").chmod(0o600)
    (folder / ".debug").mkdir(mode=0o755)
    yield made
    shutil.rmtree(folder)


def _with_debug_file(program: Path, name: str, mode: str) -> str:
    """A script that runs the program where a debug file stands beside it for itself alone."""
    place = program.parent / ".debug"
    return (
        f"mount -t tmpfs -o mode={mode} none {place} && "
        f"cp {program.parent / name} {place}/program.debug && exec {program}"
    )


def shown(mirror: Mount, pid: int, user: int = 0) -> str:
    """The `stack.txt` of a process, as a user reads it."""
    command = ["cat", f"{mirror.path}/{pid}/stack.txt"]
    who = _as(user) if user else []
    done = subprocess.run([*who, *command], capture_output=True, check=True, timeout=60)
    return done.stdout.decode()


def test_a_name_of_a_closed_debug_file_is_told_to_nobody_else(program: Path) -> None:
    script = _with_debug_file(program, "real", "0700")
    with (
        mirrored() as mirror,
        waiting("unshare", "-m", "sh", "-c", script) as roots,
        waiting(*_as(ATTACKER), str(program)) as own,
    ):
        for _ in range(3):
            assert "secret_name+" in shown(mirror, roots)
            mine = shown(mirror, own, ATTACKER)
            assert "program+0x" in mine
            assert "secret_name" not in mine


def test_a_name_of_a_users_debug_file_is_not_told_of_other_processes(program: Path) -> None:
    script = _with_debug_file(program, "false", "0755")
    with (
        mirrored() as mirror,
        waiting(*_as(ATTACKER), "unshare", "-Urm", "sh", "-c", script) as attackers,
        waiting(str(program)) as roots,
    ):
        for _ in range(3):
            assert "attacker_says_hello+" in shown(mirror, attackers)
            mine = shown(mirror, roots)
            assert "program+0x" in mine
            assert "attacker_says_hello" not in mine


def parsers_of(mirror: Mount) -> tuple[int, list[int]]:
    """The server of parsers, and its parsers."""
    server = until(lambda: parser_server_of(mirror), "no server of parsers")
    return server, list(children(server))


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_the_parsing_process_has_no_capability_no_uid_of_roots_and_no_file(program: Path) -> None:
    with mirrored() as mirror, waiting(str(program)) as pid:
        assert "(complete)" in shown(mirror, pid)
        server, parsers = parsers_of(mirror)
        assert parsers
        for one in (server, *parsers):
            said = _status(one)
            assert {said[f"Cap{kind}"] for kind in ("Prm", "Eff", "Bnd", "Inh", "Amb")} == {
                "0" * 16
            }
            assert "0" not in said["Uid"].split() + said["Gid"].split()
            assert (said["Groups"], said["NoNewPrivs"]) == ("", "1")
            # Nobody with that user id may look into it.
            assert os.stat(f"/proc/{one}/environ").st_uid == 0
        for one in parsers:
            assert _status(one)["Seccomp"] == "2"
            files = [os.readlink(file) for file in Path(f"/proc/{one}/fd").iterdir()]
            assert [file.partition(":")[0] for file in files] == ["socket"]
            assert parent_of(one) == server


@pytest.mark.parametrize("order", _ORDERS)
def test_a_parser_that_is_taken_over_costs_its_frames_alone(program: Path, order: str) -> None:
    taken = ("-c", _TAKEN.replace("ORDER", _ORDERS[order]))
    with (
        mirrored(program=taken) as mirror,
        undisturbed(mirror),
        waiting(str(program)) as pid,
    ):
        for _ in range(3):
            text = shown(mirror, pid)
            assert "frames are missing)" in text
            assert "pause()" in text
            assert "#1" not in text
        (answers,) = ask(
            [Job([read(mirror.path / "version"), read(mirror.path / "1/status.json")])]
        )
        assert not any(answer.error for answer in answers)


def test_a_parser_that_computes_for_ever_is_ended(program: Path) -> None:
    taken = ("-c", _TAKEN.replace("ORDER", "\n    while True: pass"))
    with mirrored(program=taken) as mirror, waiting(str(program)) as pid:
        assert "took too long: frames are missing)" in shown(mirror, pid)
        assert comes_true(lambda: parsers_of(mirror)[1] == [])


@pytest.mark.parametrize("program_of_mirror", [("-m", "procmirror"), ("-c", _OUTLIVING)])
def test_a_parser_ends_with_its_worker_whatever_it_does(
    program: Path, program_of_mirror: tuple[str, str]
) -> None:
    with mirrored(program=program_of_mirror) as mirror, waiting(str(program)) as pid:
        assert "(complete)" in shown(mirror, pid)
        assert parsers_of(mirror)[1]
        for worker in workers_of(mirror):
            os.kill(worker, signal.SIGKILL)
        assert comes_true(lambda: parsers_of(mirror)[1] == [])
        assert "(complete)" in shown(mirror, pid)


def test_a_lost_server_of_parsers_is_replaced(program: Path) -> None:
    with mirrored() as mirror, waiting(str(program)) as pid:
        whole = shown(mirror, pid)
        server, _ = parsers_of(mirror)
        os.kill(server, signal.SIGKILL)
        meanwhile = shown(mirror, pid)
        assert "frames are missing)" in meanwhile or meanwhile == whole
        assert comes_true(lambda: shown(mirror, pid) == whole)
        assert parsers_of(mirror)[0] != server


def test_the_server_of_parsers_starts_when_a_stack_is_asked_for(program: Path) -> None:
    with mirrored() as mirror, waiting(str(program)) as pid:
        assert (mirror.path / f"{pid}/environ.txt").read_bytes()
        assert not parser_server_of(mirror)
        assert "(complete)" in shown(mirror, pid)
        assert parser_server_of(mirror)
