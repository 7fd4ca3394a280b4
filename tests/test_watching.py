"""`--watch` and `--diff`: what is new, gone and changed, and what counters of real processes count."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from procmirror.cli import difference, watching
from procmirror.decoding.render import schema
from procmirror.decoding.view import DecodeError, View
from procmirror.mirror.find import find
from procmirror.views import VIEWS
from tests.command import answer, complaint
from tests.fixtures import FIXTURES, Fixture
from tests.harness import ROOT, until
from tests.programs import PROCMIRROR, running

_JSON = {".json", ".ndjson"}
WRITER = """
import os, sys
out = os.open(os.devnull, os.O_WRONLY)
print(flush=True)
while True:
    os.write(out, b"x" * 65536)
"""


def process(pid: int, start: float, **more: Any) -> dict[str, Any]:
    return {
        "pid": pid,
        "stat": {"comm": "one", "starttime": start, "utime": 1.0, "state": "S", **more},
    }


def lines(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def found(old: bytes, new: bytes) -> list[tuple[str, str, str]]:
    view = find("processes.ndjson")
    changes = difference.changes(difference.reading(view, old), difference.reading(view, new))
    return [(one.kind, one.who, one.field) for one in changes]


def test_who_is_new_gone_changed_and_what_was_counted() -> None:
    old = lines(process(1, 5), process(2, 5), process(3, 5))
    new = lines(process(1, 5, utime=2.5, state="R"), process(3, 5), process(4, 6))
    assert found(old, new) == [
        ("gone", "one(2)", ""),
        ("counted", "one(1)", "stat.utime"),
        ("changed", "one(1)", "stat.state"),
        ("new", "one(4)", ""),
    ]


def test_another_process_with_the_same_number_is_not_the_same() -> None:
    assert found(lines(process(1, 5)), lines(process(1, 6, utime=0.0))) == [
        ("gone", "one(1)", ""),
        ("new", "one(1)", ""),
    ]


def test_the_stat_of_another_process_with_the_same_number_is_new() -> None:
    old = {"pid": 7, "comm": "sh", "starttime": 5.0, "utime": 9.0}
    assert changed("7/stat.json", old, old | {"starttime": 6.0, "utime": 1.0}) == [
        ("gone", ""),
        ("new", ""),
    ]


@pytest.mark.parametrize(
    ("unit", "words"), [("bytes", "1.0KiB/s"), ("seconds", "102400.0%"), ("", "1024/s")]
)
def test_a_rate_has_the_unit_of_its_counter(unit: str, words: str) -> None:
    assert difference.rate(difference.Change("counted", "", "", 0, 2048, unit), 2) == words


def test_a_large_rate_has_no_exponent() -> None:
    assert difference.rate(difference.Change("counted", "", "", 0, 123_456, ""), 1) == "123456/s"


def test_a_terminal_shows_who_counted_most_of_each_counter() -> None:
    came = [difference.Change("new", f"a({number})") for number in range(30)]
    moved = [
        difference.Change("counted", f"b({number})", field, 0, number, "", at)
        for at, field in enumerate(("utime", "rchar"))
        for number in range(1, 30)
    ]
    text = difference.watched([*came, *moved], 1, room=6)
    assert [line.split()[1:] for line in text.splitlines()[1:-1]] == [
        [str(number), field, f"b({number})"] for field in ("utime", "rchar") for number in (29, 28)
    ]
    assert text.splitlines()[-1] == "30 new, 0 gone; 4 of 58 counters shown"
    assert len(difference.watched([*came, *moved], 1).splitlines()) == 89
    assert difference.watched([], 1) == "no change\n"


def test_a_row_is_known_by_no_counter() -> None:
    cpus = [{"cpu": number, "user": 1.5, "softirq": 0.5 + number} for number in (0, 1)]
    later = [cpu | {"user": 2.5, "softirq": 1.5} for cpu in cpus]
    assert changed("stat.json", {"cpus": cpus}, {"cpus": later}) == [
        ("counted", f"cpus[{number}].{field}")
        for number in (0, 1)
        for field in ("user", "softirq")
        if (number, field) != (1, "softirq")
    ]


def test_files_without_a_descriptor_are_known_by_their_use_and_name() -> None:
    rows = [{"fd": None, "use": "map", "target": name, "size": 1} for name in ("/a", "/b")]
    grown = [rows[1], rows[0] | {"size": 2}]
    assert changed("self/fd.json", rows, grown) == [("changed", "size")]


def test_of_many_files_of_a_process_it_is_said_which_one_is_gone() -> None:
    row = {"pid": 7, "comm": "cat", "use": "fd", "fd": 3, "path": "/srv/data"}
    view = find("files.ndjson")
    old, new = (difference.reading(view, lines(*rows)) for rows in ([row, row | {"fd": 4}], [row]))
    assert [one.who for one in difference.changes(old, new)] == ["cat(7):fd:4:/srv/data"]


def changed(path: str, old: Any, new: Any) -> list[tuple[str, str]]:
    before, after = (
        difference.reading(find(path), json.dumps(each).encode()) for each in (old, new)
    )
    return [(one.kind, one.field) for one in difference.changes(before, after)]


def test_a_counter_that_fell_has_no_rate() -> None:
    assert difference.rate(difference.Change("counted", "", "", 5, 1, ""), 1) == "-"


def marked(part: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(part, list):
        return [one for below in part for one in marked(below, path)]
    if not isinstance(part, dict):
        return []
    own = [(path, part)] if part.get("counter") else []
    return own + [one for name, below in part.items() for one in marked(below, f"{path}.{name}")]


def names(view: View) -> str:
    return view.name


@pytest.mark.parametrize("view", VIEWS, ids=names)
def test_what_is_marked_as_a_counter_is_a_number(view: View) -> None:
    for path, part in marked(schema(view)):
        kinds = set(re.findall(r'"type": "(\w+)"', json.dumps(part)))
        assert kinds <= {"integer", "number", "null", "object"} and kinds - {"null"}, path


COUNTING = [view for view in VIEWS if marked(schema(view))]


@pytest.mark.parametrize("view", COUNTING, ids=names)
def test_what_is_marked_as_a_counter_is_counted(view: View) -> None:
    saved = [one.expected for one in FIXTURES if one.view is view and one.expected.suffix in _JSON]
    readings = [difference.reading(view, path.read_bytes()) for path in saved]
    assert any(
        one.unit is not None and type(one.value) in {int, float}
        for reading in readings
        for _, fields in reading.values()
        for one in fields.values()
    )


# A variable twice, two mounts at one place, two routes alike, ids that end at a mask of two digits;
# what before some version, or for ordinary users, has nothing to know it by.
ALIKE = {
    "bookworm/1200/environ.json",
    "bookworm/1300/mounts.json",
    "bookworm/1300/mountstats.json",
    "bookworm/1302/mounts.json",
    "bookworm/1302/mountstats.json",
    "bookworm/mounts.json",
    "bookworm/net/fib_trie.json",
    "documented/1202/auxv.json",
    "documented/keys.json",
    "documented/net/softnet_stat.json",
    "documented/vmallocinfo.json",
    "fresh/net/ipv6_route.json",
}
ARRAYS = [
    one
    for one in FIXTURES
    if one.expected.suffix in _JSON and one.expected.read_bytes().startswith(b"[\n  {")
]


@pytest.mark.parametrize("fixture", ARRAYS, ids=str)
def test_no_two_records_are_taken_for_one_another(fixture: Fixture) -> None:
    document = fixture.expected.read_bytes()
    known = [key for *key, _ in difference.reading(fixture.view, document)]
    assert (len(set(map(tuple, known))) == len(known)) == (str(fixture) not in ALIKE)


def test_a_socket_between_two_others_leaves_them_as_they_are() -> None:
    rows = [
        {
            "sl": number,
            "local_address": "127.0.0.1",
            "local_port": 8125 + number,
            "rem_address": "0.0.0.0",
            "rem_port": 0,
            "inode": 77 + number,
            "drops": number,
        }
        for number in range(3)
    ]
    one, between, other = rows
    dropped = [one, between, other | {"drops": 5}]
    assert changed("net/udp.json", [one, other], dropped) == [("new", ""), ("counted", "drops")]


def test_of_vmstat_only_what_counts_events_is_counted() -> None:
    old = dict.fromkeys(("nr_free_pages", "nr_dirtied", "workingset_nodes", "pswpout"), 1)
    assert [kind for kind, _ in changed("vmstat.json", old, dict.fromkeys(old, 2))] == [
        "changed",
        "counted",
        "changed",
        "counted",
    ]


def test_counters_stand_in_the_schemas_of_what_is_watched() -> None:
    wanted = (
        "PID/io",
        "PID/stat",
        "net/dev",
        "diskstats",
        "interrupts",
        "vmstat",
        "stat",
        "processes",
    )
    assert all(marked(schema(find(name))) for name in wanted)


def test_watching_shows_who_writes_and_how_much() -> None:
    # It is another where the tests run beneath coverage.
    name = os.path.basename(sys.executable)
    with running(sys.executable, "-c", WRITER) as pid:
        watch = ("--times", "1", "--watch", "0.5", "processes.ndjson", f"{pid}/io.json")

        def written() -> list[list[str]]:
            """What it wrote, if it was told of and the kernel gave it a tick of a processor."""
            rows = [line.split(None, 3) for line in answer(*watch).decode().splitlines()]
            if ["stat.stime", f"{name}({pid})"] not in [row[2:] for row in rows]:
                return []
            return [row for row in rows if row[2:3] == ["wchar"]]

        (row,) = until(written)
    assert re.fullmatch(r"[0-9.]+[KMG]iB/s", row[0])


def watching_of(*arguments: str) -> subprocess.Popen[str]:
    """The command that watches, with its output in a pipe."""
    return subprocess.Popen(
        [*PROCMIRROR, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=-1, text=True
    )


def test_what_a_pattern_matches_no_more_is_gone() -> None:
    with running("sleep", "100") as pid:
        pattern = f"{pid}/st[a]t.json"
        command = watching_of("--times", "3", "--watch", "0.5", pattern)
        assert command.stdout
        first = command.stdout.readline()
    out, err = command.communicate(timeout=60)
    shown = [line.split() for line in (first + out).splitlines() if line]
    assert (command.returncode, err) == (0, "")
    assert shown[-2][1:] == [f"{pid}/stat.json"] and shown[-1] == ["gone"]


def test_watching_without_standard_output_is_one_line() -> None:
    command = f"{sys.executable} -m procmirror --times 1 --watch 0.1 meminfo.json >&-"
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    said = b"procmirror: standard output: Bad file descriptor\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_a_new_process_of_an_index_is_watched(tmp_path: Path) -> None:
    program = tmp_path / f"watched-{os.getpid() % 1_000_000}"
    shutil.copy("/bin/sleep", program)
    with running(program, "100") as first:
        pattern = f"by-name/{program.name}/*/stat.json"
        command = watching_of("--times", "6", "--watch", "0.5", pattern)
        assert command.stdout and command.stdout.readline().endswith(f"/{first}/stat.json\n")
        with running(program, "100") as second:
            out, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (0, "")
    assert "2 views" in out or f"/{second}/stat.json" in out


def test_of_several_views_those_without_a_change_are_left_out() -> None:
    contents = {"1/io.json": 5, "2/io.json": 5, "3/io.json": 5}

    def content_of(path: str) -> list[bytes]:
        return [json.dumps({"wchar": contents[path]}).encode()]

    watched = watching.Watched(content_of, lambda: list(contents))
    assert not list(watched.step())
    assert list(watched.step()) == [("3 views", "no change\n")]
    contents["2/io.json"] += 2048
    assert [path for path, _ in watched.step()] == ["2/io.json"]
    del contents["2/io.json"]
    contents["3/io.json"] = 0
    gone, (path, text) = watched.step()
    assert (gone, path) == (("2/io.json", "gone\n"), "3/io.json")
    assert text.splitlines()[1].split() == ["-", "-5B", "wchar"]
    assert list(watched.step()) == [("2 views", "no change\n")]
    contents.clear()
    ended = [("1/io.json", "gone\n"), ("3/io.json", "gone\n")]
    assert [list(watched.step()), list(watched.step())] == [ended, ended]
    contents["1/io.json"] = 1
    assert list(watched.step()) == []
    assert list(watched.step()) == [("1/io.json", "no change\n")]


def test_saved_views_are_compared(tmp_path: Path) -> None:
    old, new = tmp_path / "old.processes.ndjson", tmp_path / "processes.ndjson.2"
    first = {"host": "a", "boot_id": "b", "time": "2026-11-29T06:00:00Z"}
    second = {**first, "time": "2026-11-29T06:00:10Z"}
    old.write_bytes(lines(first | process(7, 1)))
    new.write_bytes(lines(second | process(7, 1, utime=6.0)))
    (row,) = [
        line
        for line in answer("--diff", str(old), str(new)).decode().splitlines()
        if "utime" in line
    ]
    assert row.split() == ["50.0%", "5.00s", "stat.utime", "one(7)"]


def test_a_saved_view_of_any_name_is_known_by_its_fields(tmp_path: Path) -> None:
    shown = json.loads(answer("--print", "self/io.json"))
    old, new = tmp_path / "before", tmp_path / "after"
    old.write_text(json.dumps(shown))
    new.write_text(json.dumps(shown | {"rchar": shown["rchar"] + 2048}))
    rows = answer("--diff", str(old), str(new)).decode().splitlines()[1:]
    assert [row.split() for row in rows] == [["-", "2.0KiB", "rchar"]]


def test_that_time_went_by_is_no_difference(tmp_path: Path) -> None:
    old, new = tmp_path / "processes.ndjson", tmp_path / "processes.ndjson.2"
    old.write_bytes(lines({"time": "2026-11-29T06:00:00Z", "elapsed": 5.0, **process(7, 1)}))
    new.write_bytes(lines({"time": "2026-11-29T06:00:10Z", "elapsed": 15.0, **process(7, 1)}))
    assert answer("--diff", str(old), str(new)) == b""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--watch", "x", "stat.json"), "--watch: 'x' is not a number of seconds"),
        (("--watch", "1"), "--watch: SECONDS between 0.01 and 86400, and a PATH after it"),
        (("--times", "2", "--print", "stat"), "--times is for --watch"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    assert words in complaint(*arguments, status=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--times", "1", "--watch", "1", "nix.json"), "nix.json: No such file or directory"),
        (("--times", "1", "--watch", "1", "1/oom_score"), "1/oom_score: not JSON"),
        (("--diff", "/etc/passwd", "/etc/passwd"), "/etc/passwd: not JSON"),
        (("--diff", "/nix", "/etc/passwd"), "/nix: No such file or directory"),
    ],
)
def test_what_cannot_be_watched_or_compared_is_one_line(
    arguments: tuple[str, ...], words: str
) -> None:
    assert words in complaint(*arguments)


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ('{"rchar": 1}', '{"rchar": 1%s}' % ("0" * 400), [["-", "1->1%s…" % ("0" * 58), "rchar"]]),
        ('{"rchar": 1}', '{"rchar": NaN}', [["-", "1->NaN", "rchar"]]),
        ('[{"pid": 7, "stat": "x"}]', '[{"pid": 7, "stat": [1]}]', [["-", "x->[1]", "stat", "7"]]),
        ('[{"pid": 7, "stat": 1}]', "[]", [["-", "gone", "-", "7"]]),
        (
            '{"pid": 7, "stat": {"starttime": [1]}}',
            '{"pid": 7, "stat": {"starttime": {"a": 1}}}',
            [["-", "gone", "-", "7"], ["-", "new", "-", "7"]],
        ),
    ],
)
def test_any_json_is_compared(old: str, new: str, rows: list[list[str]], tmp_path: Path) -> None:
    first, second = tmp_path / "old.io.json", tmp_path / "io.json"
    first.write_text(old)
    second.write_text(new)
    shown = answer("--diff", str(first), str(second)).decode().splitlines()[1:]
    assert [line.split() for line in shown] == rows


@pytest.mark.parametrize("saved", ["5", "null", '"pid"', "true"])
def test_a_saved_value_that_is_no_view_is_one_line(saved: str, tmp_path: Path) -> None:
    file = tmp_path / "io.json"
    file.write_text(saved)
    assert f"{file}: not JSON" in complaint("--diff", str(file), str(file))


def test_two_readings_in_the_wrong_order_have_no_rate() -> None:
    assert difference.rate(difference.Change("counted", "", "", 1, 2, "bytes"), -5.0) == "-"


def test_a_view_that_does_not_decode_any_more_is_gone() -> None:
    contents: dict[str, Any] = {"1/io.json": b"{}", "2/io.json": b"{}"}

    def content_of(path: str) -> list[bytes]:
        if contents[path] is None:
            raise DecodeError("PID/io", "nothing")
        return [contents[path]]

    watched = watching.Watched(content_of, lambda: list(contents))
    assert not list(watched.step())
    contents["2/io.json"] = None
    assert list(watched.step()) == [("2/io.json", "gone\n"), ("1/io.json", "no change\n")]


def test_a_saved_view_without_measure_is_one_line(tmp_path: Path) -> None:
    saved = tmp_path / "stat.json"
    saved.write_bytes(b"[" * 200_000)
    assert f"{saved}: not JSON" in complaint("--diff", str(saved), str(saved))
