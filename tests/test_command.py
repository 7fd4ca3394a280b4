"""The command where it mounts nothing: what it says of the views and of itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from procmirror import __version__
from procmirror.cli.command_line import parse
from procmirror.cli.errors import CommandError, UsageError
from procmirror.cli.options import parser
from tests.command import answer, complaint, run
from tests.harness import ROOT, until


@pytest.mark.parametrize(
    ("path", "view"),
    [("PID/stat.json", "PID/stat"), ("stat.json", "stat"), ("net/tcp.json", "net/tcp")],
)
def test_a_schema_is_found_by_the_path_of_the_view(path: str, view: str) -> None:
    schema = json.loads(answer("--schema", path))
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == view


def test_a_view_that_there_is_not_is_one_line() -> None:
    assert (
        complaint("--schema", "PID/environment.json")
        == "no view 'PID/environment.json'; did you mean PID/environ.json? "
        "procmirror --list-views shows all"
    )


def test_the_directory_of_a_process_may_be_left_out_of_a_question() -> None:
    assert complaint("--explain", "status.json").startswith(
        "no view 'status.json'; did you mean PID/status.json? "
    )


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("PID/comm.txt", "PID/comm.json"),
        ("1/task/2/comm.txt", "PID/comm.json"),
        ("comm.txt", "PID/comm.json"),
        ("loadavg.xml", "loadavg.json"),
        ("stat.xml", "stat.json"),
        ("config.xml", "config.json"),
        ("PID/comm.jsn", "PID/comm.json"),
        ("PID/enviro.txt", "PID/environ.txt"),
    ],
)
def test_a_format_that_a_view_does_not_have_suggests_that_view(asked: str, meant: str) -> None:
    assert f"; did you mean {meant}? " in complaint("--schema", asked)


def test_a_number_that_is_no_view_is_named_as_it_was_asked_for() -> None:
    assert complaint("--explain", "1") == "no view '1'; procmirror --list-views shows all"
    assert complaint("--explain", "1/fd/7.json").startswith("no view '1/fd/7.json'; ")


def test_the_list_shows_every_format() -> None:
    lines = [line.split() for line in answer("--list-views").decode().splitlines()]
    assert ["SOURCE", "VIEWS", "CONTENT"] in lines
    assert any(words[:3] == ["PID/environ", "json", "txt"] for words in lines)


def test_a_reader_who_has_enough_ends_the_command_in_silence() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "procmirror", "--list-views"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=-1, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_ctrl_c_ends_a_comparison_in_silence(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "procmirror", "--diff", str(fifo), str(fifo)]
    with subprocess.Popen(command, cwd=ROOT, stderr=-1) as comparing:
        try:
            writing = until(lambda: _reader_of(fifo), "nobody reads")
            comparing.send_signal(signal.SIGINT)
            _, said = comparing.communicate(timeout=60)
        finally:
            comparing.kill()
    os.close(writing)
    assert (comparing.returncode, said) == (-signal.SIGINT, b"")


def _reader_of(fifo: Path) -> int | None:
    """The other end of a FIFO that somebody reads; None if nobody does."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_ctrl_c_while_the_command_is_imported_ends_it_in_silence(tmp_path: Path) -> None:
    interrupted = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "msgspec.py").write_text(interrupted, encoding="ascii")
    command = [sys.executable, "-m", "procmirror", "--print", "loadavg"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_full_disks_are_told() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "procmirror", "--list-views"],
            cwd=ROOT,
            stdout=full,
            stderr=-1,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        b"procmirror: standard output: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("words", "status", "out"),
    [("--print nothing self/comm", 1, True), ("--foo", 2, False), ("--diff /nix /nix", 1, False)],
)
def test_a_full_disk_behind_standard_error_changes_neither_output_nor_status(
    words: str, status: int, out: bool
) -> None:
    command = f"{sys.executable} -m procmirror {words} 2>/dev/full"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, stdout=-1, timeout=60, check=False)
    assert (done.returncode, bool(done.stdout)) == (status, out)


def test_without_standard_error_nothing_else_gets_its_lines() -> None:
    command = f"exec {sys.executable} -m procmirror --print nix 2>&-"
    done = subprocess.run(command, shell=True, cwd=ROOT, stdout=-1, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_the_version_and_the_help_are_printed() -> None:
    assert answer("--version").decode() == f"procmirror {__version__}\n"
    assert answer("--help").decode() == parser().format_help()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "a MOUNTPOINT is needed, and at most a SOURCE before it"),
        ("/proc /mnt /mnt", "a MOUNTPOINT is needed, and at most a SOURCE before it"),
        ("--explain stat --explain PID/io", "--explain is given twice"),
        ("--watch 1 stat.json --watch 2 vmstat.json", "--watch is given twice"),
        ("--diff a b --diff c d", "--diff is given twice"),
        ("--decode stat --decode stat", "--decode is given twice"),
        ("--list-views /mnt", "unexpected /mnt beside --list-views"),
        ("/mnt --print stat", "unexpected /mnt beside --print"),
        ("--diff a b c d", "unexpected c d beside --diff"),
        (
            "--decode PID/stat /proc/self/stat",
            "unexpected /proc/self/stat beside --decode, which reads standard input: < /proc/self/stat",
        ),
        ("--schema", "--schema: expected one argument"),
        ("--schema stat --list-views", "one thing at a time: schema or list-views"),
        ("--lst-views", "unrecognized arguments: --lst-views; did you mean --list-views?"),
    ],
)
def test_wrong_usage_is_told_in_one_line(words: str, said: str) -> None:
    done = run(*words.split())
    told = f"procmirror: {said} (see procmirror --help)\n"
    assert (done.returncode, done.stderr.decode(), done.stdout) == (2, told, b"")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--explain \udcff", "no view '\\xff'; "),
        ("/mnt -o x\udcff", "unknown mount option 'x\\xff'"),
        ("/mnt -o views=\udcff", "views: txt, json, txt+json or none, not '\\xff'"),
        ("--watch \udcff stat.json", "--watch: '\\xff' is not a number of seconds"),
        ("--color \udcff --print stat", "--color: invalid choice: '\\xff' "),
    ],
)
def test_bytes_that_are_no_utf8_are_told_as_bytes(words: str, said: str) -> None:
    done = run(*words.split())
    assert done.returncode and done.stderr.decode().startswith(f"procmirror: {said}")


def test_places_and_options_may_stand_in_any_order() -> None:
    first, second = (
        parse(["/proc", "/mnt", "-f", "-o", "rw,dev,timeout=7"]),
        parse(["-f", "-otimeout=7", "/mnt"]),
    )
    assert first == second
    assert (first.action, first.source, first.mountpoint, first.foreground, first.timeout) == (
        "mount",
        "/proc",
        "/mnt",
        True,
        7,
    )
    assert parse(["/proc", "-f", "/mnt"]).mountpoint == "/mnt"


def test_an_option_may_stand_before_the_paths_to_be_shown() -> None:
    first = parse(["--times", "2", "--watch", "1", "stat.json", "loadavg.json"])
    assert parse(["--watch", "1", "--times", "2", "stat.json", "loadavg.json"]) == first
    assert parse(["--watch", "1", "stat.json", "--times", "2", "loadavg.json"]) == first
    assert parse(["--print", "a", "--color", "never", "b"]).paths == ("a", "b")
    assert parse(["--print", "a", "--print", "b"]).paths == ("a", "b")
    for arguments in (["/mnt", "--watch", "1", "stat.json"], ["/mnt", "--print", "stat"]):
        with pytest.raises(UsageError):
            parse(arguments)


def test_what_is_behind_two_dashes_belongs_to_the_option_before() -> None:
    assert parse(["--print", "--", "-a", "b"]).paths == ("-a", "b")
    assert parse(["--print", "a", "--", "--print"]).paths == ("a", "--print")
    assert parse(["--print", "a", "--color", "never", "--", "-b"]).paths == ("a", "-b")
    assert parse(["--diff", "--", "-a", "b"]).paths == ("-a", "b")
    assert parse(["--decode", "--", "PID/stat"]).view == "PID/stat"
    assert parse(["--watch", "1", "--", "-a"]).paths == ("-a",)
    assert parse(["--watch", "--", "1", "stat.json"]).paths == ("stat.json",)
    assert (parse(["/proc", "--", "-f"]).mountpoint, parse(["--", "-f"]).source) == ("-f", "/proc")
    assert parse(["-f", "--", "-m"]).foreground


@pytest.mark.parametrize(
    "option",
    [
        "timeout=soon",
        "timeout=0",
        "timeout=nan",
        "timeout=3600",
        "writeback",
        "views=xml",
        "views=",
        "lsm=on",
        "links=magic",
        "write=yes",
        "ro,write",
    ],
)
def test_mount_options_that_mean_nothing_are_refused(option: str) -> None:
    with pytest.raises(
        CommandError, match=r"^(timeout|views|lsm|links|ro|write|unknown mount option)\b"
    ):
        parse(["/mnt", "-o", option])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("hide", "hide needs a value"),
        ("timeout", "timeout needs a value"),
        ("write=1", "write takes no value"),
        ("stamp=", "stamp takes no value"),
    ],
)
def test_a_mount_option_says_whether_it_has_a_value(option: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}$"):
        parse(["/mnt", "-o", option])


def test_mount_options_are_understood() -> None:
    words = "rw,dev,suid,noatime,_netdev,user=wes,x-foo,hide=kmsg:PID/mem::sys/*,views=txt+json,lsm=ignore,timeout=2"
    chosen = parse(["/mnt", "-o", words])
    assert chosen.hidden == ("kmsg", "PID/mem", "sys/*") and chosen.views == {
        "txt",
        "folded",
        "json",
        "ndjson",
    }
    assert (chosen.timeout, chosen.ignores_modules) == (2, True)
    assert not chosen.writes and not chosen.links_to_proc and not chosen.debug
    assert parse(["/mnt", "-d"]) == parse(["/mnt", "-o", "debug"])
    assert parse(["/mnt", "-d"]).debug and parse(["/mnt", "-d"]).foreground
    writing = parse(["/mnt", "-o", "write,rw", "-o", "links=proc"])
    assert writing.writes and writing.links_to_proc
    assert parse(["/mnt", "-o", "views=none"]).views == frozenset()
    assert parse(["/mnt", "-oviews=json,timeout=2", "--timeout", "3"]).timeout == 3


def test_a_view_that_resembles_none_is_not_guessed() -> None:
    said = complaint("--schema", "zzzzzzzz")
    assert said == "no view 'zzzzzzzz'; procmirror --list-views shows all"


def test_the_root_directory_is_no_mountpoint() -> None:
    assert complaint("/").startswith("/: a mount there would hide")
    assert complaint("/tmp/..").startswith("/: a mount there would hide")


_ANEW = "install it anew: pip install --force-reinstall --no-cache-dir 'procmirror[mount]'"


@pytest.mark.parametrize("name", ["pyfuse3", "trio"])
@pytest.mark.root
def test_a_package_of_which_a_directory_is_left_is_one_line(name: str, tmp_path: Path) -> None:
    """Python imports such a directory, as a package without anything in it."""
    (tmp_path / name).mkdir()
    program = f"""
import importlib.machinery, importlib.util, sys
left = importlib.machinery.PathFinder.find_spec({name!r}, [{str(tmp_path)!r}])
sys.modules[{name!r}] = importlib.util.module_from_spec(left)
from procmirror.cli.main import main
sys.exit(main([{str(tmp_path)!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    said = f"procmirror: what mounting needs does not load: {name} has no files; {_ANEW}\n"
    assert (done.returncode, done.stderr.decode()) == (1, said)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            "ModuleNotFoundError('no', name='pyfuse3')",
            "mounting needs pyfuse3; install it: pip install 'procmirror[mount]'",
        ),
        (
            "ImportError('libfuse3.so.3: cannot open shared object file')",
            (
                "libfuse3.so.3: cannot open shared object file; "
                "root can install it (Debian: apt-get install libfuse3-3); where libfuse is "
                f"another, {_ANEW}"
            ),
        ),
        (
            "ImportError('pyfuse3.so: undefined symbol')",
            f"what mounting needs does not load: pyfuse3.so: undefined symbol; {_ANEW}",
        ),
    ],
)
@pytest.mark.root
def test_what_mounting_lacks_is_one_line(failure: str, said: str, tmp_path: Path) -> None:
    program = f"""
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "pyfuse3":
            raise {failure}
sys.meta_path.insert(0, Missing())
from procmirror.cli.main import main
sys.exit(main([{str(tmp_path)!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (1, f"procmirror: {said}\n")
