"""The threads of a user in `limits`: the number at which the kernel refuses fork(2)."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Mapping
from itertools import islice

import pytest

from procmirror.decoding.view import Machine
from procmirror.procfs.kept import Kept
from procmirror.views.pid import limits, user_threads
from tests.fixtures import MACHINES
from tests.mounting import Mount
from tests.programs import ran
from tests.readings import Imitated

# A user of whom nothing else runs.
NOBODY_ELSE = 61_734
# fork(2) works where the limit is above the number that the kernel counts.
SCRIPT = """
import json, os, resource, signal, sys, threading
children = []
for _ in range(3):
    if not (pid := os.fork()):
        signal.pause()
    children.append(pid)
if not (ended := os.fork()):
    os._exit(0)
os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
for _ in range(2):
    threading.Thread(target=signal.pause, daemon=True).start()
_, hard = resource.getrlimit(resource.RLIMIT_NPROC)
counted = 0
while True:
    resource.setrlimit(resource.RLIMIT_NPROC, (counted, hard))
    try:
        pid = os.fork()
    except BlockingIOError:
        counted += 1
        continue
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    break
told = [
    one["used"]
    for place in ("self", "thread-self")
    for one in json.load(open(f"{sys.argv[1]}/{place}/limits.json"))
    if one["resource"] == "RLIMIT_NPROC"
]
for pid in children:
    os.kill(pid, signal.SIGKILL)
print(json.dumps([counted - 1, *told]), flush=True)
os._exit(0)
"""


@pytest.mark.root
@pytest.mark.mount
def test_the_kernel_refuses_the_next_thread_at_the_number_that_is_told(mirror: Mount) -> None:
    asked = ran(sys.executable, "-c", SCRIPT, mirror.path, user=NOBODY_ELSE)
    # Three children, one that has ended, and three threads.
    assert json.loads(asked.out) == [7, 7, 7], asked.err


def status(uid: int, threads: int, more: str = "") -> bytes:
    lines = f"Name:\tx\nPPid:\t0\nUid:\t{uid}\t0\t0\t0\nGroups:\t\n{more}Threads:\t{threads}\n"
    return lines.encode()


EVERYBODY = b"         0          0 4294967295\n"
BOOTED = {"../1/status": status(0, 1), "../2/status": status(0, 1), "../self": b""}
MAPS = {f"{where}uid_map": EVERYBODY for where in ("", "../1/", "../2/")}


def counted(
    files: Mapping[str, object], links: Mapping[str, object], space: str | None = "user:[1]"
) -> tuple[int | None, list[str]]:
    found = user_threads.counted(Imitated({**BOOTED, **MAPS, **files}, links), 1000, space)
    return found.threads, [one.reason for one in found.incomplete]


def test_threads_of_other_users_and_namespaces_do_not_count() -> None:
    """In a namespace that the user made any user counts for it, such as a subordinate one."""
    files = {
        "../5/status": status(1000, 4),
        "../6/status": status(1001, 8),
        "../6/uid_map": EVERYBODY,
        "../7/status": status(1000, 16),
        "../8/status": status(100_000, 32),
        "../8/uid_map": b"         0       1000          1\n         1     100000      65536\n",
        "../9/status": status(100_000, 64),
        "../9/uid_map": EVERYBODY,
    }
    links = {"../5/ns/user": "user:[1]", "../7/ns/user": "user:[2]"}
    words = "threads in other user namespaces, which may count too: 48"
    assert counted(files, links) == (4, [words])


def test_a_process_that_ends_meanwhile_does_not_count() -> None:
    files = {"../5/status": status(1000, 4), "../6/status": status(1001, 8)}
    assert counted(files, {"../5/ns/user": errno.ENOENT}) == (0, [])


def test_a_process_whose_status_is_refused_is_told_of() -> None:
    """By a lease on it, say. One that has ended does not count."""
    files = {
        "../5/status": status(1000, 4),
        "../6/status": errno.EAGAIN,
        "../7/status": b"odd\n",
        "../8/status": errno.ESRCH,
    }
    words = "processes whose status may not be read: 2"
    assert counted(files, {"../5/ns/user": "user:[1]"}) == (4, [words])


def test_a_policy_that_refuses_the_users_of_a_namespace_is_told_of() -> None:
    files = {"../5/status": status(1001, 4), "../5/uid_map": errno.EACCES}
    words = "threads of other users, whose user namespace may not be read: 4"
    assert counted(files, {}) == (0, [words])


def test_processes_in_many_groups_are_not_all_looked_at() -> None:
    """The kernel takes milliseconds for the status of one in 65,536 groups."""
    groups = status(1000, 1, "X" * 450_000 + "\n")
    many: dict[str, object] = {f"../{number}/status": groups for number in range(10, 200)}
    few = dict(islice(many.items(), 18))
    links: dict[str, object] = {f"../{number}/ns/user": "user:[1]" for number in range(200)}
    assert counted(few, links) == (18, [])
    reading = Imitated({**BOOTED, **MAPS, **many}, links)
    found = user_threads.counted(reading, 1000, "user:[1]")
    words = "more than 8388608 bytes of status of all processes"
    assert (found.threads, [one.reason for one in found.incomplete]) == (None, [words])
    assert sum(path.endswith("/status") for path in reading.asked) < 30


def test_whose_namespace_may_not_be_read_is_said() -> None:
    files = {"../5/status": status(1000, 4), "../6/status": status(1000, 8)}
    words = "threads whose user namespace may not be read:"
    assert counted(files, {"../5/ns/user": "user:[1]", "../6/ns/user": 13}) == (12, [f"{words} 8"])
    assert counted(files, {}, None) == (12, [f"{words} 12"])


def test_after_some_refusals_no_other_namespace_is_asked_for() -> None:
    files = {f"../{number}/status": status(1000, 1) for number in range(10, 40)}
    reading = Imitated({**BOOTED, **MAPS, **files}, unnamed=errno.EACCES)
    assert user_threads.counted(reading, 1000, "user:[1]").threads == 30
    assert sum(path.endswith("ns/user") for path in reading.asked) == 8


@pytest.mark.parametrize(
    "second",
    [
        errno.ENOENT,
        status(0, 1, more="VmSize:\t5 kB\n"),
        status(0, 1).replace(b"PPid:\t0", b"PPid:\t1"),
    ],
)
def test_processes_that_are_not_seen_are_told_of(second: object) -> None:
    files = {"../5/status": status(1000, 4)}
    hidden = ["processes that you do not see count too"]
    links = {"../5/ns/user": "user:[1]"}
    assert counted(files, links) == (4, [])
    assert counted({**files, "../2/status": second}, links) == (4, hidden)
    refused = ["processes whose status may not be read: 1", *hidden]
    assert counted({**files, "../1/status": errno.EPERM}, links) == (4, refused)


def test_where_a_policy_refuses_the_first_process_no_other_is_tried() -> None:
    reading = Imitated({**BOOTED, "../1/status": errno.EACCES, "../5/status": status(1000, 4)})
    with pytest.raises(PermissionError):
        user_threads.counted(reading, 1000, "user:[1]")
    assert reading.asked == ["../1/status"]


def test_of_too_many_processes_none_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_threads, "MOST", 2)
    assert counted({"../5/status": status(1000, 4)}, {}) == (None, ["more than 2 processes"])


def test_who_sees_no_other_process_is_told_so() -> None:
    table = b"Limit Soft Limit Hard Limit Units\nMax processes             1  2  processes\n"
    told = (MACHINES / "bookworm" / "1201" / "status").read_bytes()
    for more, words in ((b"", "the real user is not known"), (told, "no other process is seen")):
        files = {"limits": table, **({"status": more} if more else {})}
        (one,) = limits.join(Imitated(files), Machine())
        assert (one.used, [part.reason for part in one.incomplete]) == (None, [words])


def test_what_is_kept_is_kept_for_its_requester_and_ten_times_as_long_as_it_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    made: list[float] = []

    def make() -> float:
        made.append(now[0])
        now[0] += 0.02
        return now[0]

    kept = Kept()
    first = kept.of("root")("a", make)
    assert kept.of("wes")("a", make) != first
    second = kept.of("root")("a", make)
    assert second != first
    assert kept.of("root")("b", make) != second
    now[0] += 0.17
    assert kept.of("root")("a", make) == second
    now[0] += 0.02
    assert kept.of("root")("a", make) != second
    assert len(made) == 5
