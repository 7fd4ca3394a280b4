"""`python -m tests.benchmarks [--quick | --full] [--write]`, as root."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys

from tests.benchmarks import rows, scene
from tests.benchmarks.contest import Pace, pin
from tests.benchmarks.table import Report


def main() -> int:
    """Measure, print, and say by the exit status whether every bar was reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, and less to rely on")
    parser.add_argument("--full", action="store_true", help="also with 10,000 processes")
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/PERFORMANCE.md"
    )
    options = parser.parse_args()
    if os.geteuid():
        parser.error("only root can read what is measured")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    pin()
    pace = Pace(15, 0.02) if options.quick else Pace(50, 0.03)
    sizes = [100, 1000, 10_000] if options.full else [100, 1000]
    report = Report()
    with scene.scratch() as folder:
        rows.measured(rows.Bench(report, pace, folder, *scene.compiled(folder)), sizes)
    where = f"Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs"
    load = "; load average {:.1f}, {:.1f}, {:.1f} at the end".format(*os.getloadavg())
    report.note(
        f"{pace.rounds} rounds of {pace.seconds:g} s, everything on one CPU. {where}{load}."
    )
    sys.stdout.write(report.plain())
    if options.write:
        report.write()
    for name in report.missed:
        sys.stdout.write(f"missed: {name}\n")
    return bool(report.missed)


if __name__ == "__main__":
    sys.exit(main())
