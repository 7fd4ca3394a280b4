"""Put each fault of the table into a copy of the project and see that a test fails.

    python -m tests.mutants [--list] [--only NAME]… [--quarter N/4 | --quarter day] [-j JOBS]

Ends with 1 if a fault lives, if its text is not found exactly once, or if its tests fail without it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from queue import SimpleQueue

from tests.harness import ROOT
from tests.mutants.row import Mutant
from tests.mutants.table import TABLE
from tests.mutants.tree import MOST_SECONDS_OF_ALL, Run, Tree, copied
from tests.permissions import mutants as at_run_time
from tests.permissions.mutants.__main__ import MUTANTS

QUARTERS = 4
# Of the output of tests that fail without a fault.
_SHOWN = 40


def _say(*words: object, sep: str = " ", end: str = "\n") -> None:
    sys.stdout.write(sep.join(map(str, words)) + end)
    sys.stdout.flush()


def _quarter(text: str) -> int:
    """Which quarter, from 1: `N/4`, or `day` for that of the day of the year."""
    if text == "day":
        return time.gmtime().tm_yday % QUARTERS + 1
    number, slash, whole = text.partition("/")
    if slash and whole != str(QUARTERS):
        raise argparse.ArgumentTypeError(f"{text}: there are quarters only")
    if number not in map(str, range(1, QUARTERS + 1)):
        raise argparse.ArgumentTypeError(f"{text}: N is 1 to {QUARTERS}")
    return int(number)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    made.add_argument("--list", action="store_true", help="show the table and run nothing")
    made.add_argument("--only", metavar="NAME", action="append", help="this one; may be repeated")
    made.add_argument("--quarter", type=_quarter, metavar="N/4", help="a quarter; day: today's")
    made.add_argument("-j", dest="jobs", type=int, default=1, help="how many at a time (default 1)")
    return made


def chosen(only: Sequence[str] | None, quarter: int | None) -> list[Mutant]:
    """The mutants to run; KeyError for a name that the table does not have."""
    if only:
        named = {mutant.name: mutant for mutant in TABLE}
        return [named[name] for name in only]
    # Every fourth, so that each quarter has some of each layer.
    return list(islice(TABLE, quarter - 1, None, QUARTERS)) if quarter else list(TABLE)


def misplaced() -> list[str]:
    """What is wrong with the places of the whole table, a line each."""
    wrong = []
    for mutant in TABLE:
        try:
            mutant.applied((ROOT / "procmirror" / mutant.module).read_text(encoding="utf-8"))
        except (OSError, ValueError) as found:
            wrong.append(str(found))
    return wrong


def _show() -> None:
    width = max(map(len, (*MUTANTS, *(mutant.name for mutant in TABLE)))) + 2
    for mutant in TABLE:
        _say(f"{mutant.layer:10}{mutant.name:{width}}{mutant.why}")
    _say(f"\n{len(TABLE)} here, and {len(MUTANTS)} that {at_run_time.__name__} makes at run time")
    _say("(tests/permissions finds these in each run of the suite):")
    for name, change in MUTANTS.items():
        _say(f"{'':10}{name:{width}}{(change.__doc__ or '').splitlines()[0]}")


def _told(mutant: Mutant, run: Run) -> str:
    word = "found" if run.found else "LIVES" if run.passed else f"no test ran (pytest: {run.code})"
    return f"{word:7}{run.seconds:6.1f} s  {mutant.name} ({mutant.module}): {mutant.why}"


def _without_fault(tree: Tree, tests: Sequence[str]) -> set[str]:
    """The files of those of these tests that fail without a fault, twice.

    A test that asks a busy machine may fail once; what it finds is judged if it passes alone.
    """
    run = tree.run(tests, seconds=MOST_SECONDS_OF_ALL)
    _say(f"{'passed' if run.passed else 'FAILED':7}{run.seconds:6.1f} s  all tests without a fault")
    if run.passed:
        return set()
    _say(*run.output.splitlines()[-_SHOWN:], sep="\n")
    if not run.failing:
        # Nothing was collected, or the run did not end.
        return {test.partition("::")[0] for test in tests}
    failed = [test for test in tests if test.partition("::")[0] in run.failing]
    again = tree.run(failed, seconds=MOST_SECONDS_OF_ALL)
    _say(f"{'passed' if again.passed else 'FAILED':7}{again.seconds:6.1f} s  what failed, alone")
    return set() if again.passed else again.failing or run.failing


def _healthy(tree: Tree, mutants: Sequence[Mutant]) -> list[Mutant]:
    """The mutants whose tests pass without a fault: the others cannot be judged."""
    failing = _without_fault(tree, sorted({test for mutant in mutants for test in mutant.tests}))
    return [one for one in mutants if not failing & {test.partition("::")[0] for test in one.tests}]


def _found(trees: SimpleQueue[Tree], mutant: Mutant) -> bool:
    """Whether a test finds the mutant, in the first run or, which is told, in a second.

    A property over random bytes may miss a fault once.
    """
    tree = trees.get()
    try:
        run = tree.with_fault(mutant)
        _say(_told(mutant, run))
        if run.passed:
            run = tree.with_fault(mutant)
            _say(_told(mutant, run), "(second run)")
    finally:
        trees.put(tree)
    return run.found


def _run(mutants: Sequence[Mutant], jobs: int) -> list[Mutant]:
    """The mutants that are found; none of those whose tests fail without them too."""
    trees: SimpleQueue[Tree] = SimpleQueue()
    with ExitStack() as copies, ThreadPoolExecutor(jobs) as pool:
        first = copies.enter_context(copied())
        healthy = _healthy(first, mutants)
        trees.put(first)
        for _ in range(jobs - 1):
            trees.put(copies.enter_context(copied()))
        found = pool.map(lambda mutant: _found(trees, mutant), healthy)
        return [mutant for mutant, is_found in zip(healthy, found, strict=True) if is_found]


def main() -> int:
    """Run the command."""
    options = parser().parse_args()
    if options.list:
        _show()
        return 0
    try:
        mutants = chosen(options.only, options.quarter)
    except KeyError as unknown:
        sys.stderr.write(f"no mutant is called {unknown.args[0]}\n")
        return 2
    wrong = misplaced()
    _say(*wrong, sep="\n", end="\n" if wrong else "")
    placed = [mutant for mutant in mutants if not any(mutant.name in line for line in wrong)]
    found = _run(placed, max(1, options.jobs))
    missing = [mutant.name for mutant in mutants if mutant not in found]
    _say(f"{len(found)} of {len(mutants)} mutants are found", *missing, sep="\nnot found: ")
    return 1 if missing or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
