"""The comparison of all requesters with all targets, as one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from threading import Event

from tests.permissions.compare import IMPOSSIBLE, Difference, judged
from tests.permissions.entries import Entries
from tests.permissions.operations import Item, some_of
from tests.permissions.requesters import REQUESTERS
from tests.permissions.sessions import World, session
from tests.permissions.targets import Target

# Shown to be impossible (test_impossibilities.py): not among those who are compared.
UNSEEN = {"landlocked owner", "landlocked root"}
BY_RING = {"lstat", "read", "peek", "listdir"}
NEVER = Event()


def never(_: Difference) -> bool:
    """No difference is enough: everything is asked."""
    return False


@dataclass
class Comparison:
    """How many answers were compared, and those that differ; the impossible ones apart."""

    answers: int = 0
    differences: list[Difference] = field(default_factory=list)
    impossible: list[Difference] = field(default_factory=list)

    @property
    def leaks(self) -> list[Difference]:
        """What the mirror lets in and the kernel refuses."""
        return [difference for difference in self.differences if difference.leak]

    @property
    def others(self) -> list[Difference]:
        """What is refused, named or shown otherwise."""
        return [difference for difference in self.differences if not difference.leak]

    def add(self, other: Comparison) -> None:
        """What another comparison found as well."""
        self.answers += other.answers
        self.differences += other.differences
        self.impossible += other.impossible


def ask(
    name: str,
    entries: Entries,
    targets: Sequence[Target],
    world: World,
    *,
    read_only: bool = True,
    stopped: Event = NEVER,
    enough: Callable[[Difference], bool] = never,
) -> Comparison:
    """One requester about all targets, the machine and itself.

    It ends early if it is `stopped`, or at a difference that is `enough`.
    """
    number = list(REQUESTERS).index(name)
    result = Comparison()
    with session(name, world) as requester:
        about = (entries.about(target, number + place) for place, target in enumerate(targets))
        items: Iterable[Item] = chain(
            *about, entries.everywhere(number), entries.oneself(requester.pid, number)
        )
        if REQUESTERS[name].ring:
            items = (item for item in items if item.operation in BY_RING)
        for item, outcome in requester.ask(some_of(items, REQUESTERS[name].one_in)):
            if stopped.is_set():
                break
            result.answers += 1
            difference = judged(name, requester.pid, item, outcome, read_only=read_only)
            if difference is not None:
                covered = any(impossible.covers(difference) for impossible in IMPOSSIBLE)
                if not covered:
                    difference = replace(difference, again=requester.once_more(item))
                (result.impossible if covered else result.differences).append(difference)
                if not covered and enough(difference):
                    break
    return result


def compare(
    names: Iterable[str],
    entries: Entries,
    targets: Sequence[Target],
    *,
    neighbours: Sequence[Target] = (),
    within: Sequence[str] = (),
    read_only: bool = True,
    enough: Callable[[Difference], bool] = never,
) -> Comparison:
    """Several requesters, two at a time; Ctrl-C ends all of them at once.

    A requester ends at a difference that is `enough`. `neighbours` are the processes whose
    namespaces the requesters may have to enter. `within` stands before the commands of requesters
    that have to be started in another mount namespace.
    """
    result = Comparison()
    world = World({target.name: target.pid for target in (*targets, *neighbours)}, within)
    stopped = Event()

    def asked(name: str) -> Comparison:
        return ask(
            name, entries, targets, world, read_only=read_only, stopped=stopped, enough=enough
        )

    with ThreadPoolExecutor(2) as pool:
        try:
            for one in pool.map(asked, names):
                result.add(one)
        except BaseException:
            stopped.set()
            raise
    return result


def told(differences: Sequence[Difference], targets: Sequence[Target]) -> str:
    """The first differences for people, the targets by name: the worst first, in the first line.

    A log that is cut tells one of them all the same.
    """
    names = {str(target.pid): f" ({target.name})" for target in targets}
    worst = sorted(differences, key=lambda difference: not difference.leak)
    lines = [
        f"{'let in' if one.leak else 'different'}: {one}{names.get(one.entry[0], '')}"
        for one in worst[:40]
    ]
    return "\n".join([*lines[:1], f"{len(differences)} in all", *lines[1:]])


def agree(differences: Sequence[Difference], targets: Sequence[Target]) -> None:
    """Fail with what `told` says of differences, if there are any, and with nothing else."""
    __tracebackhide__ = True
    if differences:
        raise AssertionError(told(differences, targets))
