"""Views and entries without a mount: what `--print` and `--decode` say, and what they need for it."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.view import DecodeError, Machine, View
from procmirror.views import VIEWS
from tests import live
from tests.command import answer, complaint, run
from tests.fixtures import FIXTURES, Fixture
from tests.harness import ROOT

_VIEWS = {view.name: view for view in VIEWS}
_STRANGER = 65534


@pytest.fixture(scope="module")
def target() -> Iterator[int]:
    """A process that does nothing, with an environment and arguments to be shown."""
    environment = {"PLAIN": "value", "TWO": "lines\nof it", "EMPTY": ""}
    # Files of pytest's own may be open in a mount namespace that it left.
    with subprocess.Popen(
        ["/bin/sleep", "300"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while b"sleep" not in (live.Live(f"/proc/{process.pid}").read("comm")):
            pass
        yield process.pid
        process.kill()


@pytest.mark.parametrize(
    "name", ["environ", "cmdline", "limits", "maps", "auxv", "task/{}/comm", "net/route"]
)
def test_entries_come_byte_for_byte(target: int, name: str) -> None:
    path = f"{target}/{name.format(target)}"
    entry = Path("/proc") / path
    before, said, after = b"", b"", b"?"
    # Others may change the routes meanwhile.
    for _ in range(20):
        before, said, after = entry.read_bytes(), answer("--print", path), entry.read_bytes()
        if before == after:
            break
    assert before == said == after


@pytest.mark.parametrize(
    "name", ["environ", "cmdline", "uid_map", "maps", "auxv", "mountinfo", "fd", "cgroup"]
)
def test_views_are_those_of_the_mirror(target: int, name: str) -> None:
    view = _VIEWS[f"PID/{name}"]
    for suffix in view.suffixes:
        record = view.record_of(live.Live(f"/proc/{target}"), live.machine())
        expected = b"".join(rendered(view, suffix, record, live.machine()))
        assert answer("--print", f"{target}/{name}.{suffix}") == expected


def test_several_are_printed_one_after_the_other(target: int) -> None:
    both = answer("--print", f"/proc/{target}/environ.txt", f"{target}/task/{target}/comm.json")
    assert both == b'PLAIN=value\nTWO=lines\\nof it\nEMPTY=\n{\n  "comm": "sleep"\n}\n'


@pytest.mark.parametrize(
    "path",
    [
        *(
            "self/stat.json",
            "thread-self/status.json",
            "self/fd.json",
            "/proc/self//./stack.json",
            "mounts.json",
            "stat.json",
        ),
        *(
            "net/tcp.json",
            "self/net/unix.json",
            "net/dev_snmp6.json",
            "sockets.json",
            "pressure/cpu.json",
            "sys.json",
        ),
    ],
)
def test_every_place_has_its_views(path: str) -> None:
    json.loads(answer("--print", path))


@pytest.mark.root
def test_lines_of_all_processes() -> None:
    """In a pid namespace of their own: among others there may be one that makes its readers wait."""
    script = f"sleep 100 & exec {sys.executable} -m procmirror --print processes.ndjson"
    command = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "sh", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["pid"], second["pid"], second["cmdline"]) == (1, 2, ["sleep", "100"])


@pytest.mark.parametrize(
    "path",
    [
        "999999999/stat",
        "nothing",
        "self/task",
        "self/stat/comm",
        "fs",
        "self/q.xyz",
        "self/comm/",
    ],
)
def test_errors_have_the_words_of_cat(path: str) -> None:
    said = subprocess.run(
        ["cat", path], cwd="/proc", env={"LC_ALL": "C"}, stderr=-1, timeout=60, check=False
    ).stderr
    assert complaint("--print", path) == said.decode().removeprefix("cat: ").removesuffix("\n")


@pytest.mark.root
def test_what_is_refused_does_not_keep_the_rest(target: int) -> None:
    done = run(
        "--print",
        f"{target}/environ.txt",
        f"{target}/environ",
        f"{target}/comm",
        "nothing.json",
        user=_STRANGER,
    )
    assert done.returncode == 1 and done.stdout == b"sleep\n"
    assert done.stderr.decode().splitlines() == [
        f"procmirror: {target}/environ.txt: Permission denied",
        f"procmirror: {target}/environ: Permission denied",
        "procmirror: nothing.json: No such file or directory",
    ]


@pytest.mark.root
def test_a_joined_view_shows_a_stranger_only_what_he_may_see(target: int) -> None:
    done = run("--print", f"{target}/process.json", user=_STRANGER)
    process = json.loads(done.stdout)
    assert done.returncode == 0 and process["pid"] == target and process["exe"] is None


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/", "../etc/passwd", "/procedure", "self/../../etc/passwd"]
)
def test_nothing_else_is_printed(path: str) -> None:
    assert complaint("--print", path) == f"{path}: not below /proc"


def test_neither_libfuse_nor_an_event_loop_is_needed(target: int) -> None:
    program = (
        "import sys; sys.modules |= dict.fromkeys(('pyfuse3', 'trio')); "
        "from procmirror.cli.main import main; sys.exit(main())"
    )
    for words in (
        ["--print", f"{target}/stack.txt", "mounts.json"],
        ["--decode", "meminfo"],
        ["--schema", "stat"],
    ):
        with open("/proc/meminfo", "rb") as given:
            command = [sys.executable, "-c", program, *words]
            done = subprocess.run(
                command, cwd=ROOT, stdin=given, capture_output=True, timeout=60, check=False
            )
        assert (done.returncode, done.stderr) == (0, b"") and done.stdout


@pytest.mark.root
@pytest.mark.parametrize("options", ["subset=pid", "hidepid=2"])
def test_a_container_sees_its_own_processes(options: str) -> None:
    script = f"mount -t proc -o {options} proc /proc && exec {sys.executable} -m procmirror --print self/stat.json 1/comm.json"
    command = ["unshare", "--fork", "--pid", "--mount", "--kill-child", "sh", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    first, second = done.stdout.split(b"\n{", 1)
    assert done.returncode == 0 and json.loads(first)["pid"] == 1 and b"comm" in second
    assert json.loads(first)["started"] >= "2020"


def test_a_reader_who_has_enough_ends_it_in_silence() -> None:
    command = [sys.executable, "-m", "procmirror", "--print", "kallsyms.json", "nothing"]
    with subprocess.Popen(command, cwd=ROOT, stdout=-1, stderr=-1) as printing:
        assert printing.stdout and printing.stderr
        assert printing.stdout.read(1) == b"["
        printing.stdout.close()
        assert (printing.wait(60), printing.stderr.read()) == (-signal.SIGPIPE, b"")


def test_large_views_take_little_memory() -> None:
    lines = b"".join(b"%016x t symbol_%d\n" % (1 << 63 | at, at) for at in range(300_000))
    reading, writing = os.pipe()
    with open(reading, "rb") as given, open("/dev/null", "wb") as nowhere:
        command = [sys.executable, "-m", "procmirror", "--decode", "kallsyms.json"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=given, stdout=nowhere)
        with open(writing, "wb") as pipe:
            pipe.write(lines)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0 and usage.ru_maxrss < resource.getrusage(
        resource.RUSAGE_SELF
    ).ru_maxrss + (20 << 10)


def _captured(names: set[str]) -> list[Fixture]:
    return [one for one in FIXTURES if one.view.name in names and not one.machine.namespaces]


@pytest.mark.parametrize(
    "fixture",
    _captured({"PID/stat", "PID/statm", "meminfo", "PID/smaps", "kallsyms", "config.gz"}),
    ids=str,
)
def test_files_of_other_machines_are_decoded(fixture: Fixture) -> None:
    machine = fixture.machine
    facts = [
        "--page-size",
        machine.page_size,
        "--ticks",
        machine.ticks,
        "--boot-time",
        machine.boot_time,
    ]
    path = f"{fixture.view.name.removesuffix('.gz')}.{fixture.suffix}"
    assert (
        answer("--decode", path, *map(str, facts), given=fixture.raw.read_bytes())
        == fixture.expected.read_bytes()
    )


def test_addresses_of_a_machine_of_the_other_byte_order() -> None:
    row = (
        b"   0: 7F000001:0016 C0A80105:D431 01 00000000:00000000 00:00000000 00000000     0        0 "
        b"12345 1 00000000a1b2c3d4 100 0 0 10 0\n"
    )
    header = b"  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
    for order, local in (("big", "127.0.0.1"), ("little", "1.0.0.127")):
        said = answer("--decode", "net/tcp", "--byte-order", order, given=header + row)
        assert json.loads(said)[0]["local_address"] == local
    counters = struct.pack(">4I", 1, 2, 3, 4)
    said = answer("--decode", "net/rt_acct", "--byte-order", "big", given=counters)
    assert json.loads(said)[0]["i_packets"] == 4


def test_locks_and_system_calls_are_decoded_without_the_files_of_other_processes() -> None:
    locks = b"1: FLOCK  ADVISORY  WRITE 99999999 fe:00:77 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 5 fe:00:77 0 EOF\n"
    (lock,) = json.loads(answer("--decode", "locks", given=locks))
    assert (lock["pid"], lock["inode"], lock["comm"], lock["path"]) == (99999999, 77, None, None)
    assert [one["pid"] for one in lock["waiters"]] == [5]
    call = b"0 0x3 0x7ffe0000 0x20 0x0 0x0 0x0 0x7fff00000000 0x7f0000000000\n"
    found = json.loads(answer("--decode", "PID/syscall", given=call))
    assert (found["number"], found["arguments"][0]["value"]) == (0, "0x3")


def test_a_single_descriptor_is_decoded() -> None:
    given = b"pos:\t0\nflags:\t02000000\nmnt_id:\t15\nino:\t9\neventfd-count:                7\nnovel:\t1\n"
    for name in ("PID/fdinfo/7", "1/fdinfo/7.json", "/proc/1/task/2/fdinfo/7.json"):
        found = json.loads(answer("--decode", name, given=given))
        assert (found["ino"], found["eventfd"]["count"], found["extra"]) == (9, 7, {"novel": ["1"]})
    assert "ino      9\n" in answer("--decode", "PID/fdinfo/7.txt", given=given).decode()


def test_without_a_suffix_it_is_json() -> None:
    given = b"0.50 0.25 0.10 1/100 4242\n"
    assert answer("--decode", "loadavg", given=given) == answer(
        "--decode", "/proc/loadavg.json", given=given
    )


@pytest.mark.parametrize(
    "view", ["PID/fd", "7/stack.txt", "sockets", "processes.ndjson", "sys", "PID/pagemap.json"]
)
def test_views_of_several_files_cannot_be_decoded_from_one(view: str) -> None:
    with open("/proc/self/maps", "rb") as given:
        said = complaint("--decode", view, given=given.read())
    assert said == f"{view}: made from several files; on the machine itself --print shows it"


def test_what_does_not_decode_is_one_line() -> None:
    assert complaint("--decode", "loadavg", given=b"no loads\n").startswith(
        "loadavg: not as the kernel writes it ("
    )
    assert complaint("--decode", "PID/stat.txt").startswith(
        "PID/stat.txt: not as the kernel writes it ("
    )
    assert (
        complaint("--decode", "nonsense") == "no view 'nonsense'; procmirror --list-views shows all"
    )


_OF_ONE_FILE = [view for view in VIEWS if view.decode]
# Of several files, of which one alone is decoded.
_BESIDES = ("PID/smaps", "PID/auxv", "locks", "net/nf_conntrack")


@pytest.mark.parametrize("view", _OF_ONE_FILE, ids=lambda view: view.name)
def test_an_empty_file_is_decoded_only_where_the_kernel_writes_one(view: View) -> None:
    if view.empty:
        view.decoded(b"", Machine())
    else:
        with pytest.raises(DecodeError, match="it is empty"):
            view.decoded(b"", Machine())


def test_no_input_is_a_failure_where_a_file_is_never_empty() -> None:
    for name in ("meminfo", "net/tcp", "vmstat", "cpuinfo", "stat", "kallsyms.json"):
        said = complaint("--decode", name)
        assert said == f"{name}: not as the kernel writes it (it is empty)"
    for name in ("PID/environ", "PID/cmdline", "PID/maps", "net/route", *_BESIDES):
        assert answer("--decode", name) == b"[]\n"


@pytest.mark.parametrize(
    "words", ["--page-size 0", "--ticks -1", "--boot-time nan", "--boot-time -5"]
)
def test_facts_that_no_machine_has_are_refused(words: str) -> None:
    assert complaint("--decode", "loadavg", *words.split(), status=2).startswith(
        words.partition(" ")[0]
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--print self/comm -o hide=comm", "of the mount options, --print knows stamp only"),
        ("--print self/comm --timeout 3", "--timeout is for mounting"),
        ("--print self/comm --ticks 100", "--ticks is for --decode"),
        ("--print self/comm --byte-order big", "--byte-order is for --decode"),
        ("--decode loadavg -f", "--foreground is for mounting"),
        ("--list-views -o stamp", "-o is for mounting and --print"),
    ],
)
def test_an_option_without_effect_is_refused(words: str, said: str) -> None:
    assert complaint(*words.split(), status=2) == said


@pytest.mark.parametrize(
    "words", ["--help", "--version", "--list-views", "--schema loadavg", "--print self/comm"]
)
def test_an_output_that_takes_nothing_is_one_line_and_a_failure(words: str) -> None:
    command = f"{sys.executable} -m procmirror {words}"
    full = subprocess.run(
        ["sh", "-c", f"{command} > /dev/full"],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (full.returncode, full.stderr) == (
        1,
        b"procmirror: standard output: No space left on device\n",
    )
    closed = subprocess.run(
        ["sh", "-c", f"{command} >&-"], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (closed.returncode, closed.stderr) == (
        1,
        b"procmirror: standard output: Bad file descriptor\n",
    )


def test_the_help_can_be_read_whatever_the_locale() -> None:
    command = [sys.executable, "-m", "procmirror", "--help"]
    here = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    plain = {**os.environ, "PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}
    assert (
        subprocess.run(
            command, cwd=ROOT, capture_output=True, timeout=60, check=True, env=plain
        ).stdout
        == here.stdout
    )


def test_no_standard_input_is_one_line() -> None:
    command = f"{sys.executable} -m procmirror --decode loadavg <&-"
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        b"procmirror: standard input: Bad file descriptor\n",
    )


def test_a_vector_of_another_machine_is_decoded_without_its_memory() -> None:
    raw = Path("/proc/self/auxv").read_bytes()
    here, there = (
        json.loads(answer("--print", "self/auxv.json")),
        json.loads(answer("--decode", "PID/auxv", given=raw)),
    )
    assert [(one["name"], one["type"]) for one in there] == [
        (one["name"], one["type"]) for one in here
    ]
    assert [one["meaning"] for one in there if one["name"] == "AT_EXECFN"] == [None]


def test_when_a_process_of_another_machine_started_is_known_only_with_its_boot_time() -> None:
    raw = Path("/proc/self/stat").read_bytes()
    assert json.loads(answer("--decode", "PID/stat", given=raw))["started"] is None
    assert json.loads(answer("--decode", "PID/stat", "--boot-time", "1700000000", given=raw))[
        "started"
    ].startswith("2023-11-")
