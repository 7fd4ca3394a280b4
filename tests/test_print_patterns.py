"""What `--print` makes of patterns, of indexes and of names that there are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import live
from tests.command import answer, complaint, run
from tests.harness import ROOT

# No other process of the machine has such a name: what others do does not matter.
_NAME = "patterned-by-us"
_STRANGER = 65534


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """Two processes of one name."""
    program = tmp_path_factory.mktemp("named") / _NAME
    program.symlink_to("/bin/sleep")
    programs = [subprocess.Popen([program, "300"]) for _ in range(2)]
    for one in programs:
        while _NAME.encode() not in live.Live(f"/proc/{one.pid}").read("comm"):
            pass
    yield sorted(one.pid for one in programs)
    for one in programs:
        one.kill()
        one.wait()


def _pids(content: bytes) -> list[int]:
    decoder, text, found = json.JSONDecoder(), content.decode(), []
    while text:
        record, end = decoder.raw_decode(text)
        found.append(int(record["pid"]))
        text = text[end:].lstrip()
    return found


def test_a_pattern_prints_every_process_in_the_order_of_numbers(targets: list[int]) -> None:
    printed = _pids(run("--print", "[1-9]*/stat.json").stdout)
    assert printed == sorted(printed) and len(set(printed)) == len(printed)
    assert set(targets) < set(printed)


def test_an_index_leads_to_its_processes(targets: list[int]) -> None:
    assert _pids(answer("--print", f"by-name/{_NAME}/*/stat.json")) == targets
    single = answer("--print", f"by-name/{_NAME}/{targets[0]}/stat.json")
    assert _pids(single) == targets[:1]
    assert _pids(answer("--print", f"by-*/{_NAME[:6]}*/*/stat.json")) == targets
    assert (
        _pids(answer("--print", f"by-parent/{os.getpid()}/pid?/{targets[1]}/stat.json"))
        == targets[1:]
    )


def test_brackets_and_question_marks_match_within_a_name(targets: list[int]) -> None:
    pattern = f"{targets[0]}/stat[mu]"
    assert answer("--print", pattern) == Path(f"/proc/{targets[0]}/statm").read_bytes()
    assert answer("--print", f"{targets[0]}/com?.json") == b'{\n  "comm": "%s"\n}\n' % (
        _NAME[:15].encode()
    )


def test_a_pattern_of_the_network_finds_the_views_too() -> None:
    answer("--print", "net/tc*.txt")


@pytest.mark.parametrize("pattern", ["*/nothing", "by-name/[?]/*/comm", "se[l]f/comm", "self/f*"])
def test_a_pattern_that_matches_nothing_to_print_is_told(pattern: str) -> None:
    """Neither links of the root that repeat a process, nor directories."""
    expected = f"{pattern}: No such file or directory"
    if pattern == "self/f*":
        assert b"fdinfo" not in run("--print", pattern).stderr
    else:
        assert complaint("--print", pattern) == expected


def test_no_pattern_reads_what_has_no_end(targets: list[int]) -> None:
    """A read of kmsg would wait for ever, and a read of mem or pagemap would be endless."""
    done = run("--print", "k[mc]*", f"{targets[0]}/[mp]*[mp]")
    assert done.stderr.splitlines()[0] == b"procmirror: k[mc]*: No such file or directory"


@pytest.mark.root
@pytest.mark.usefixtures("targets")
def test_a_stranger_is_told_what_he_may_not_read_and_gets_the_rest() -> None:
    done = run("--print", f"by-name/{_NAME}/*/[ce][on][mv]*", user=_STRANGER)
    assert done.returncode == 1 and done.stdout.count(_NAME[:15].encode()) == 4
    refused = done.stderr.decode().splitlines()
    assert len(refused) == 6 and all(line.endswith(": Permission denied") for line in refused)


def test_a_directory_of_an_index_is_one() -> None:
    assert complaint("--print", f"by-name/{_NAME}") == f"by-name/{_NAME}: Is a directory"
    assert complaint("--print", "by-port/nothing/1") == (
        "by-port/nothing/1: No such file or directory"
    )
    for nobody in ("by-name/no process has this name", "by-exe/no/program/is/here"):
        assert complaint("--print", nobody) == f"{nobody}: No such file or directory"
    assert complaint("--print", "by-name/x/999999999/comm") == (
        "by-name/x/999999999/comm: No such file or directory"
    )


def test_a_path_that_is_nearly_right_is_asked_about() -> None:
    expected = "No such file or directory; did you mean"
    assert complaint("--print", "self/statuss.json") == (
        f"self/statuss.json: {expected} self/status.json?"
    )
    assert complaint("--print", "memifno.txt") == f"memifno.txt: {expected} meminfo.txt?"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("slf/fd.tx", "self/fd.txt"),
        ("by-nam/{name}", "by-name/{name}"),
        ("by-name/{name}s/*/fd.tx", "by-name/{name}/*/fd.txt"),
        ("by-name/{name}s", "by-name/{name}"),
        ("*/statuss.json", "*/status.json"),
        ("by-prot/tpc", "by-port/tcp"),
    ],
)
@pytest.mark.usefixtures("targets")
def test_every_name_of_a_path_is_asked_about(given: str, meant: str) -> None:
    given, meant = given.format(name=_NAME), meant.format(name=_NAME)
    said = f"{given}: No such file or directory; did you mean {meant}?"
    assert complaint("--print", given) == said


def test_what_is_not_there_to_be_watched_is_asked_about() -> None:
    said = "uptime.tx: No such file or directory; did you mean uptime.txt?"
    assert complaint("--watch", "1", "uptime.tx") == said


@pytest.mark.parametrize("path", ["999999999/status.txt", "nothing/alike", "*/zzzzz"])
def test_what_resembles_nothing_is_not_asked_about(path: str) -> None:
    assert complaint("--print", path) == f"{path}: No such file or directory"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--prnt self/comm", "unrecognized arguments: --prnt; did you mean --print?"),
        ("/mnt --forground", "unrecognized arguments: --forground; did you mean --foreground?"),
        ("/mnt -o vews=txt", "unknown mount option 'vews=txt'; did you mean views?"),
        ("/mnt -o zzzz", "unknown mount option 'zzzz'"),
        ("--explain PID/statuss", "no view 'PID/statuss'; did you mean PID/status? "),
    ],
)
def test_an_option_that_is_nearly_right_is_asked_about(words: str, said: str) -> None:
    assert said in run(*words.split()).stderr.decode().splitlines()[-1]


def test_a_process_that_ends_between_is_no_failure() -> None:
    """The pattern has matched it; as with hundreds of processes, some always end meanwhile."""
    program = """
import subprocess, sys
from procmirror.cli import main, printing
real, child = printing.Contents.of, subprocess.Popen(["sleep", "300"])
def of(self, path):
    if path.startswith(f"{child.pid}/") and child.poll() is None:
        child.kill(); child.wait()
    return real(self, path)
printing.Contents.of = of
sys.exit(main.main(["--print", f"{child.pid}/com*"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
