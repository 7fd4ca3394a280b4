"""Each part of the report: a function that measures and writes its rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import msgspec

from procmirror.decoding.render import rendered
from procmirror.decoding.view import Machine, View
from procmirror.stack import cfi
from procmirror.stack import process as stacks
from procmirror.stack.elf import Elf
from procmirror.stack.symbols import symbol
from procmirror.stack.target import Blob
from procmirror.views import VIEWS
from procmirror.views.pid import stack
from tests.attack.scene import ATTACKER, attacker
from tests.benchmarks import clients, programs, readers, scene, steps
from tests.benchmarks.contest import Action, Pace, clocked, contest, repeated
from tests.benchmarks.table import Report, written
from tests.live import machine
from tests.live_target import LiveTarget
from tests.mounting import mounted
from tests.programs import running

_PROC = Path("/proc")


@dataclass(frozen=True)
class Bench:
    """What every part needs: where things are, how long to take, where to write."""

    report: Report
    pace: Pace
    folder: Path
    peer: Path
    targets: Path

    def compare(
        self, name: str, peer: str, kernel: Action | None, theirs: Action, ours: Action
    ) -> None:
        """One row of a contest."""
        if kernel is None:
            their, our = contest(self.pace, theirs, ours)
            return self.report.ratio(name, our, peer, their, None)
        raw, their, our = contest(self.pace, kernel, theirs, ours)
        return self.report.ratio(name, our, peer, their, raw)


def requests(bench: Bench, mirror: Path, other: Path, pid: int) -> None:
    """Single files: against the C file system's raw ones."""
    process, c = mirror / str(pid), other / str(pid)
    raw = _PROC / str(pid)
    of = "passthrough_ll"
    stats, reads = clients.stats, clients.reads
    bench.compare(
        "stat of PID/status",
        of,
        stats(raw / "status"),
        stats(c / "status"),
        stats(process / "status"),
    )
    for name in ("status", "status.json", "environ", "environ.txt", "cmdline", "cmdline.txt"):
        source = name.partition(".")[0]
        row = f"open, read, close of PID/{name}"
        bench.compare(row, of, reads(raw / source), reads(c / source), reads(process / name))
    with scene.target(bench.targets, "mappings", 178) as mapped:
        raw, c, ours = (place / str(mapped) for place in (_PROC, other, mirror))
        for name in ("maps", "maps.json", "smaps_rollup"):
            source = name.partition(".")[0]
            row = f"the same of {name}, 200 mappings"
            bench.compare(row, of, reads(raw / source), reads(c / source), reads(ours / name))
        sources = clients.descriptors
        row = "fd.txt, against its files and links"
        bench.compare(row, of, sources(raw), sources(c), reads(ours / "fd.txt"))


def listings(bench: Bench, mirror: Path, other: Path) -> None:
    """Ls -l of the root, which has more entries here."""
    actions = [clients.lists(place) for place in (_PROC, other, mirror)]
    counts = [action() for action in actions]
    samples = [
        sample.per(count)
        for sample, count in zip(contest(bench.pace, *actions), counts, strict=True)
    ]
    kernel, theirs, ours = samples
    bench.report.ratio("ls -l of the root, an entry", ours, "passthrough_ll", theirs, kernel)


def decoders(bench: Bench, mirror: Path, pid: int) -> None:
    """Whole machines and commands, against what people use for them today."""
    count = len(clients.pids("/proc"))
    statuses, processes = clients.statuses_decoded, clients.processes_decoded
    by_msgspec = msgspec.json.Decoder().decode
    for row, peer, ours, theirs in (
        (
            "status.json of every process",
            "psutil",
            statuses(mirror, by_msgspec),
            clients.statuses_of_psutil,
        ),
        (
            "the same, parsed by json.loads",
            "psutil",
            statuses(mirror, json.loads),
            clients.statuses_of_psutil,
        ),
        ("the same, but psutil", "8 fields", statuses(mirror, by_msgspec), clients.eight_of_psutil),
        ("processes.ndjson", "psutil", processes(mirror, by_msgspec), clients.processes_of_psutil),
        (
            "it, parsed by json.loads",
            "psutil",
            processes(mirror, json.loads),
            clients.processes_of_psutil,
        ),
        (
            "it, but psutil",
            "again",
            processes(mirror, by_msgspec),
            clients.processes_of_psutil_again,
        ),
    ):
        their, our = contest(bench.pace, theirs, ours)
        bench.report.ratio(row, our.per(count), peer, their.per(count), None)
    path = mirror / str(pid) / "status.json"
    bench.compare("cat status.json", "jc", None, clients.of_jc(pid), clients.command("cat", path))


def crowded(bench: Bench) -> None:
    """Views that walk over five hundred processes: against smem(8), and against the clock."""
    with scene.target(bench.targets, "processes", 500), mounted() as mount:
        count = len(clients.pids("/proc"))
        ours = clients.command("cat", mount.path / "memory.txt")
        their, our = contest(replace(bench.pace, rounds=5), clients.command("smem"), ours)
        row = "memory.txt of 500 processes, a process"
        bench.report.ratio(row, our.per(count), "smem", their.per(count), None)


def _decoded(view: View, raw: bytes, facts: Machine) -> bytes:
    assert view.decode is not None
    return b"".join(rendered(view, "json", view.decode(raw, facts), facts))


def decoding(bench: Bench, pid: int) -> None:
    """What decoding and rendering take of a processor, without any request."""
    facts = machine()
    with scene.target(bench.targets, "mappings", 178) as mapped:
        raws = {
            name: Path(f"/proc/{pid}/{name}").read_bytes() for name in ("status", "stat", "environ")
        }
        raws["maps"] = b"".join(
            Path(f"/proc/{mapped}/maps").read_bytes().splitlines(keepends=True)[:200]
        )
    for name, raw in raws.items():
        view = next(view for view in VIEWS if view.name == f"PID/{name}")
        [sample] = contest(bench.pace, partial(_decoded, view, raw, facts))
        row = f"decode and render {name}" + (
            f", {raw.count(bytes([10]))} mappings" if name == "maps" else ""
        )
        bench.report.value(row, 1e6 * sample.best, "us")


def handling(bench: Bench, mirror: Path, other: Path) -> None:
    """What a request takes: on its way there and back, and in the daemon's handlers."""
    bench.report.part("of a request", "us")
    with steps.actions() as actions:
        statfs = [partial(os.statvfs, place) for place in (mirror, other)]
        ours, theirs, own, *handlers = contest(
            bench.pace, *statfs, partial(os.statvfs, "/proc"), *actions.values()
        )
    # A STATFS has nothing to do but to ask the kernel the same.
    bench.report.row(
        "there and back: kernel, libfuse, pyfuse3, loop", written(1e6 * (ours.best - own.best))
    )
    bench.report.row(
        "there and back: kernel, libfuse, passthrough_ll", written(1e6 * (theirs.best - own.best))
    )
    for name, sample in zip(actions, handlers, strict=True):
        bench.report.row(name, written(1e6 * sample.best))


def starting(bench: Bench) -> None:
    """From the command to the mount, and what a daemon weighs before its first request."""
    times, imports = [], []
    python = [sys.executable, "-c"]
    # Bytecode is kept, as it is where the package is installed.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = partial(
        subprocess.run,
        check=True,
        env=kept | {"PYTHONPYCACHEPREFIX": str(bench.folder / "bytecode")},
    )
    imported = "from procmirror.cli.mounting import _daemon; _daemon()"
    run([*python, imported])
    for number in range(min(bench.pace.rounds, 5)):
        point = bench.folder / f"start{number}"
        point.mkdir()
        command = [sys.executable, "-m", "procmirror", "/proc", str(point)]
        times.append(clocked(partial(run, command)))
        subprocess.run(["umount", point], check=True)
        whole = clocked(partial(run, [*python, imported]))
        imports.append(whole - clocked(partial(run, [*python, "pass"])))
    bench.report.value("from the command to a mount that answers", 1e3 * median(times), "ms")
    bench.report.value("imports of the daemon", 1e3 * median(imports), "ms")
    with mounted() as mount:
        time.sleep(0.3)
        processes = mount.processes()
        bench.report.value(
            "memory of the daemon and its workers before the first request",
            scene.memory(processes),
            "MiB",
        )
        bench.report.value("memory of the daemon alone", scene.memory(processes[:1]), "MiB")


def scale(bench: Bench, sizes: list[int]) -> None:
    """The same work with more and more processes."""
    names: list[str] = []
    found: dict[int, list[float]] = {}
    weight = 0.0
    for size in sizes:
        with scene.target(bench.targets, "processes", size), mounted() as mount:
            count = len(clients.pids("/proc"))
            actions = _scaling(mount.path)
            names = list(actions)
            best = [repeated(action, 1.0) / count for action in actions.values()]
            weight = scene.memory(mount.processes())
            first = 1e3 * repeated(clients.begins(mount.path / "processes.ndjson"), 0.5)
            found[size] = [*(1e6 * one for one in best), first, weight]
    bench.report.part("us a process, with more processes", *(f"{size:,}" for size in sizes))
    for at, name in enumerate(
        [*names, "ms until processes.ndjson begins", "MiB of the daemon and its workers"]
    ):
        bench.report.row(name, *(written(found[size][at]) for size in sizes))
    bench.report.part("with more processes", f"{sizes[-1]:,} against {sizes[0]:,}", "bar", "")
    for at, name in enumerate(names):
        bench.report.value(
            f"growth of the time a process: {name}",
            found[sizes[-1]][at] / found[sizes[0]][at],
            "times",
        )
    bench.report.value("memory of the daemon and its workers afterwards", weight, "MiB")


def _scaling(path: Path) -> dict[str, Action]:
    return {
        "ls": lambda: os.listdir(path),
        "ls -l": clients.lists(path),
        "cat of every status.json": clients.every(path, "status.json"),
        "processes.ndjson": clients.reads(path / "processes.ndjson"),
        "grep -l over environ.txt": clients.command(
            "sh", "-c", f"exec grep -l VARIABLE_7 {path}/[0-9]*/environ.txt"
        ),
    }


def waits_of_all(bench: Bench) -> None:
    """Who waits for whom among five hundred processes."""
    with scene.target(bench.targets, "processes", 500), mounted() as mount:
        seconds = repeated(clients.reads(mount.path / "waits.txt"), 2.0)
    bench.report.value("waits.txt of 500 processes", seconds, "s")


@contextmanager
def _busy(*actions: Action) -> Iterator[Callable[[], bool]]:
    """Carry out actions in threads; gives whether any still runs."""
    threads = [threading.Thread(target=action, daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    yield lambda: any(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join()


def _slowest(reads: Action, others: Callable[[], bool], least: float) -> float:
    worst, start = 0.0, time.monotonic()
    while others() or time.monotonic() - start < least:
        worst = max(worst, clocked(reads))
    return worst


def _beside_a_crowd(mirror: Path, reads: Action) -> float:
    """The median of many small reads while a thousand threads of another user read."""
    with attacker("crowds", "threads", mirror, ATTACKER):
        time.sleep(2)
        return median(clocked(reads) for _ in range(300))


def _refused(path: Path) -> Action:
    def attempt() -> None:
        try:
            clients.content(str(path))
        except OSError:
            return

    return attempt


def waiting(bench: Bench, mirror: Path, pid: int) -> None:
    """The slowest of many small reads while others ask for what takes long or never comes."""
    reads = clients.reads(mirror / str(pid) / "status.json")
    bench.report.value("slowest read with nobody beside", _slowest(reads, lambda: False, 0.5), "s")
    with _busy(clients.command("cat", mirror / "kallsyms.json")) as others:
        bench.report.value("slowest read beside kallsyms.json", _slowest(reads, others, 0), "s")
    with (
        scene.target(bench.targets, "mappings", 20_000) as large,
        _busy(clients.command("cat", mirror / str(large) / "smaps.json")) as others,
    ):
        bench.report.value(
            "slowest read beside smaps.json of 20,000 mappings", _slowest(reads, others, 0), "s"
        )
    with scene.stuck(bench.folder) as hanging:
        environment = mirror / str(hanging) / "environ.txt"
        with _busy(*[clients.command("cat", environment)] * 40) as others:
            slowest = _slowest(clients.reads(mirror / str(pid) / "environ.txt"), others, 0.5)
            bench.report.value("slowest read while 40 wait for a stuck target", slowest, "s")
    crowded = _beside_a_crowd(mirror, reads)
    bench.report.value("median read while 1,000 threads of another user read", crowded, "s")


def stacked(bench: Bench) -> None:
    """stack.txt in process, without any request: what reading, unwinding and naming take."""
    facts = machine()

    def made(pid: int) -> float:
        start = time.process_time()
        "".join(stack.text(stack.join(LiveTarget(f"/proc/{pid}"), facts), facts))
        return time.process_time() - start

    programs = [
        ["sleep", "99"],
        ["cat"],
        ["sort"],
        ["tail", "-f", "/dev/null"],
        ["dash", "-c", "read x; true"],
    ]
    programs += [
        ["bash", "-c", "read x; true"],
        ["perl", "-e", "sleep 99"],
        [sys.executable, "-c", "input()"],
    ]
    with ExitStack() as all_of_them:
        pids = [
            all_of_them.enter_context(running(*program, stdin=subprocess.PIPE))
            for program in programs
        ]
        time.sleep(0.3)
        cold, warm = [], []
        for pid in pids:
            stacks.FILES._known.clear()
            cold.append(made(pid))
            warm.append(median(made(pid) for _ in range(min(bench.pace.rounds, 20))))
    bench.report.value(
        "stack.txt of a process of one thread, nothing known", 1e3 * median(cold), "ms"
    )
    bench.report.value(
        "stack.txt of a process of one thread, its files known", 1e3 * median(warm), "ms"
    )
    with scene.target(bench.targets, "threads", 100) as pid:
        made(pid)
        bench.report.value(
            "stack.txt of 100 threads, files known", 1e3 * min(made(pid) for _ in range(5)), "ms"
        )

    with running(sys.executable, "-c", _FOUR_THREADS) as pid:
        time.sleep(0.3)
        made(pid)
        bench.report.value(
            "stack.txt of four threads of Python, files known",
            1e3 * median(made(pid) for _ in range(min(bench.pace.rounds, 20))),
            "ms",
        )
    bench.report.value(
        "first look at libc: unwind data and a name",
        1e3 * median(_first_look() for _ in range(5)),
        "ms",
    )


_FOUR_THREADS = """import threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(99,)).start()
time.sleep(99)"""


def _first_look() -> float:
    """Seconds for the rules and the name of one address of libc, of which nothing is known."""
    path = next(
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        if "/libc.so" in line
    )
    file = Blob(Path(path).read_bytes())
    start = time.process_time()
    elf = Elf(file)
    code = elf.by_name[b".text"]
    address = code.address + code.size // 2
    row = cfi.row(elf, address)
    symbol(elf, address, row and row.start, lambda: None)
    return time.process_time() - start


def measured(bench: Bench, sizes: list[int]) -> None:
    """Everything."""
    report = bench.report
    heads = ("kernel us", "theirs us", "ours us", "ratio: median", "of the best rounds", "bar", "")
    with scene.target(bench.targets, "mappings", 1) as pid, mounted() as mount:
        with scene.passthrough(bench.peer, bench.folder) as other:
            report.part("work", "against", *heads)
            requests(bench, mount.path, other, pid)
            listings(bench, mount.path, other)
            decoders(bench, mount.path, pid)
            programs.measured(report, bench.pace, mount.path, other)
            crowded(bench)
            readers.measured(report, bench.pace, mount, other, pid)
            handling(bench, mount.path, other)
        report.part("alone", "figure", "bar", "")
        decoding(bench, pid)
        stacked(bench)
        waits_of_all(bench)
        starting(bench)
    with scene.target(bench.targets, "mappings", 1) as pid, mounted(quiet=False) as mount:
        waiting(bench, mount.path, pid)
    scale(bench, sizes)
