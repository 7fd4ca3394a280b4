"""Where an operation runs, what it may wait for, and that it is the same value everywhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from procmirror.fuse import process_names, self_access
from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.identity.errors import Unanswered, Unlabelled
from procmirror.identity.identity import CAP_SYS_PTRACE, Identity
from procmirror.identity.requester import Requester
from procmirror.mirror.traits import directory
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Process
from procmirror.workers.entry_operations import CheckAccess, ReadLink
from procmirror.workers.file_operations import Open, Read
from procmirror.workers.operation import Context, Descriptors, Operation, kept_open
from procmirror.workers.placement import IN_DAEMON, Placement
from procmirror.workers.protocol import Request, decode_request, encode
from procmirror.workers.result import Result

ALICE = Identity(1000, 1000, (), 0)
ROOT = Identity(0, 0, (), (1 << 41) - 1)
NET = "net:[5]"


class House:
    """A dispatch among objects that answer what a test wants."""

    def __init__(self) -> None:
        self.acting: list[tuple[Identity, int]] = []
        self.differs: dict[str, str] = {}
        self.owned: set[bytes] = set()
        self.requests: list[tuple[Request, list[int], Placement, object]] = []
        self.answer = Result(b"answer")
        self.refusal: OSError | None = None
        namespaces = SimpleNamespace(
            differing_of=self.differing_of, all_of=lambda _, __=None: {"net": NET, "pid": "pid:[4]"}
        )
        self.labels: dict[int, bytes] = {}
        confinement = SimpleNamespace(
            exists=False,
            differs=lambda tid: tid in self.labels,
            other_label_of=lambda tid: self.labels.get(tid, b""),
        )
        requesters: Any = SimpleNamespace(
            namespaces=namespaces,
            confinement=confinement,
            worker_identity=lambda requester: requester.identity,
            proc=-1,
        )
        credentials: Any = SimpleNamespace(
            privileged=True,
            permitted=ROOT.capabilities,
            equals=lambda identity: identity == ROOT,
            acting_as=self.acting_as,
        )
        roots: Any = SimpleNamespace(own=-1, may_be_owned=lambda name: name in self.owned)
        proc: Any = SimpleNamespace(
            number=lambda tid, _: b"%d" % tid,
            directory=lambda _: 9,
            descriptors=lambda _: (9,),
            root=8,
            hides="invisible",
            has=lambda _: False,
            is_thread=lambda *_: False,
        )
        workers: Any = SimpleNamespace(call=self.call)
        # What a test changes afterwards.
        self.proc, self.credentials = proc, credentials
        self.dispatch = Dispatch(proc, credentials, requesters, workers, roots)

    def differing_of(self, _: int, kinds: Sequence[str] | None = None) -> dict[str, str]:
        """What differs of some kinds of namespaces, or of all."""
        return {kind: link for kind, link in self.differs.items() if kinds is None or kind in kinds}

    @contextmanager
    def acting_as(self, identity: Identity, self_capabilities: int = 0) -> Iterator[None]:
        """Take down as whom something runs."""
        self.acting.append((identity, self_capabilities))
        yield

    async def call(
        self, request: Request, at: Descriptors, placement: Placement, lock: object
    ) -> Result:
        """Take down what a worker is to do; one under a label may be refused."""
        self.requests.append((request, list(at()), placement, lock))
        if placement.label and self.refusal:
            raise self.refusal
        return self.answer


@pytest.fixture
def house() -> House:
    return House()


def process(number: bytes = b"42", *, own: bool = False) -> Process:
    made = Process(number, 1)
    made.own = own
    return made


def node(place: str, name: bytes, about: Process | None = None, *, joined: bool = False) -> Any:
    """A name in a directory; with `joined`, that of a view of several files beside it."""
    view = SimpleNamespace(name=f"{place}/view", reads=())
    return SimpleNamespace(
        process=about,
        place=directory(place),
        name=name,
        source=name,
        path=name,
        sibling=SimpleNamespace(view=view) if joined else None,
        is_joined_view=joined,
        is_view_of_all=False,
    )


def requester(identity: Identity = ALICE, *, foreign: bool = False) -> Requester:
    return Requester(7, 7, identity, "user:[1]", foreign=foreign)


class Number(Operation[int], tag="number", frozen=True):
    """An operation that returns its field, and the descriptors that it got."""

    value: int

    def run(self, at: Sequence[int], context: Context) -> int:
        """Return the field and the first descriptor."""
        del context
        return self.value + at[0]


def test_only_what_cannot_wait_runs_in_the_daemon(house: House) -> None:
    here = house.dispatch.runs_here
    assert here(process(), IN_DAEMON, waits=False)
    assert here(None, IN_DAEMON, waits=False)
    assert not here(process(), IN_DAEMON, waits=True)


def test_what_namespaces_of_the_requester_decide_runs_in_them(house: House) -> None:
    placement = Placement(7, ALICE, 1000, {"net": NET})
    assert not house.dispatch.runs_here(None, placement, waits=False)


def test_about_the_daemon_only_a_requester_with_its_rights_is_answered_here(house: House) -> None:
    """The kernel asks no question about oneself, so that the daemon would be told everything."""
    here, daemon = house.dispatch.runs_here, process(own=True)
    as_root = Placement(7, ROOT, 0, {})
    assert not here(daemon, Placement(7, ALICE, 1000, {}), waits=False, equal=True)
    assert not here(daemon, as_root, waits=False)
    assert here(daemon, as_root, waits=False, equal=True)


@pytest.mark.parametrize(
    ("identity", "here"),
    [
        (ALICE, False),
        (ALICE._replace(uid=0, euid=1000), False),
        (ALICE._replace(euid=0), True),
        (ROOT, True),
    ],
)
def test_what_the_effective_id_decides_is_not_done_here(
    house: House, identity: Identity, *, here: bool
) -> None:
    """The owner of a user namespace has all rights in it (cap_capable, security/commoncap.c)."""
    house.owned.add(b"42")
    placement = Placement(7, identity, 1000, {})
    assert house.dispatch.runs_here(process(), placement, waits=False) is here
    assert house.dispatch.runs_here(process(b"43"), placement, waits=False)
    assert house.dispatch.runs_here(None, placement, waits=False)


def test_what_depends_on_another_pid_namespace_is_refused(house: House) -> None:
    house.differs = {"pid": "pid:[5]"}
    with pytest.raises(PermissionError):
        house.dispatch.placement_of(requester(), ("net", "pid"))
    assert house.dispatch.placement_of(requester(), ("net",)).differing == {}


def test_a_requester_of_another_user_namespace_is_served_in_all_of_its_own(house: House) -> None:
    house.differs = {"net": NET, "mnt": "mnt:[6]"}
    own = house.dispatch.differing_of(requester(foreign=True), ())
    assert own == {"net": NET, "mnt": "mnt:[6]", "user": "user:[1]"}
    assert house.dispatch.differing_of(requester(), ("net",)) == {"net": NET}
    assert house.dispatch.differing_of(requester(), ()) == {}


def test_a_directory_is_marked_in_which_somebody_in_other_namespaces_asks(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Attributes(*[0] * 11)
    house.answer = Result(seen)
    monkeypatch.setattr("procmirror.procfs.proc.attributes", lambda *_: seen)
    settings, parent = directory("sys/net"), node("sys", b"net")
    parent.asked_apart = False

    async def is_marked() -> bool:
        await house.dispatch.attributes_as(requester(), parent, settings, b"sys/net/a", b"a")
        return bool(parent.asked_apart)

    assert not trio.run(is_marked)
    house.differs = {"net": NET}
    assert trio.run(is_marked)
    house.differs = {}
    assert trio.run(is_marked)


def test_the_placement_of_one_requester_is_not_that_of_the_next(house: House) -> None:
    """The number of a thread may be another requester's by now."""
    first = requester()
    placement = house.dispatch.placement_of(first, ())
    assert house.dispatch.placement_of(first, ()) is placement
    other = house.dispatch.placement_of(requester(ROOT), ())
    assert (other.identity, other.account) == (ROOT, 0)
    assert (placement.identity, placement.account) == (ALICE, 1000)


def test_the_lock_is_that_of_the_file(house: House) -> None:
    lock, about = house.dispatch.lock_of_content, process()
    assert lock(node("PID", b"environ", about), 1000) == (about, "memory")
    assert lock(node("PID", b"stack", about), 1000) == (about, "exec")
    assert lock(node("PID", b"stack.txt", about, joined=True), 1000) == (about, "PID/view")
    assert lock(node("", b"processes.txt", joined=True), 1000) == ("joined", 1000)
    assert lock(node("", b"uptime"), 1000) is None


def test_a_prompt_file_is_read_here_and_another_by_a_worker(house: House) -> None:
    placement, about = house.dispatch.placement_of(requester(), ()), process()
    content = house.dispatch.execution_of_content
    limits = node("PID", b"limits", about)
    assert content(limits, requester(), placement, written=False).here
    assert not content(limits, requester(), placement, written=True).here
    # Who reads the status of a process that is killed may wait for what held its memory.
    for name, lock in ((b"environ", "memory"), (b"status", "end")):
        sent = content(node("PID", name, about), requester(), placement, written=False)
        assert (sent.here, sent.lock, sent.namespaces) == (False, (about, lock), {})
    joined = content(
        node("PID", b"ns.txt", about, joined=True), requester(), placement, written=False
    )
    assert (joined.here, joined.namespaces) == (False, {"net": NET, "pid": "pid:[4]"})


def test_an_operation_runs_here_as_the_requester(house: House) -> None:
    execution = Execution(ALICE, None, IN_DAEMON, here=True, self_capabilities=4)
    assert trio.run(house.dispatch.run, Number(3), kept_open(20), execution) == 23
    assert (house.acting, house.requests) == ([(ALICE, 4)], [])


@pytest.mark.parametrize(
    ("number", "here"),
    [(b"41", True), (b"42", False), (b"%d" % os.getpid(), False)],
    ids=["another", "of an owner", "itself"],
)
def test_a_process_is_looked_up_by_who_is_neither_it_nor_its_owner(
    house: House, number: bytes, *, here: bool
) -> None:
    """A process is never hidden from itself; the owner of its namespace by the effective id."""
    house.owned.add(b"42")
    operation = Number(3)
    house.answer = Result(11)
    found = trio.run(house.dispatch.of_number, number, requester(), operation)
    assert found == 11
    assert [request.target for request, *_ in house.requests] == ([] if here else [number])


def test_a_process_finds_itself_where_it_may_not_be_traced(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr("procmirror.procfs.proc.attributes", lambda _, name: asked.append(name))
    source: Any = SimpleNamespace(root=8, hides="invisible", directory=lambda _: 9)
    names = process_names.ProcessNames(source, house.dispatch)
    trio.run(names.attributes, b"7", requester())
    assert (asked, house.acting, house.requests) == ([b"7"], [], [])
    # Under a label the policy decides about oneself, too.
    house.labels[7] = b"web"
    house.answer = Result((0,) * 11)
    trio.run(names.attributes, b"7", requester())
    assert [request.target for request, *_ in house.requests] == [b"7"]


@pytest.mark.parametrize("thread", [True, False])
def test_a_thread_that_is_looked_at_as_a_process_is_ones_own(*, thread: bool) -> None:
    source: Any = SimpleNamespace(
        number=lambda tid, _: b"%d" % tid,
        is_thread=lambda process, number: thread and (process.name, number) == (b"42", b"7"),
    )
    access = self_access.SelfAccess(source, -1)
    assert access.is_own(process(), requester()) == thread


def test_a_number_that_is_anothers_by_now_is_not_listed_as_ones_own(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has an open directory of the root from a process that has ended begins again."""
    inodes = {b"7": 100}

    def attributes(_: int, name: bytes) -> SimpleNamespace:
        if name not in inodes:
            raise FileNotFoundError
        return SimpleNamespace(inode=inodes[name])

    monkeypatch.setattr("procmirror.procfs.proc.attributes", attributes)
    source: Any = SimpleNamespace(root=8, hides="invisible")
    names = process_names.ProcessNames(source, house.dispatch)
    reader, execution = names.reader(requester()), Execution(ALICE, None, IN_DAEMON)
    house.answer = Result([])
    assert [name for name, _ in trio.run(names.listed, execution, reader)] == [b"7"]
    inodes[b"7"] = 200
    assert trio.run(names.listed, execution, reader) == []
    del inodes[b"7"]
    assert trio.run(names.listed, execution, reader) == []
    assert trio.run(names.listed, execution, names.reader(requester())) == []


def test_the_same_operation_is_sent_with_whom_and_about_whom(house: House) -> None:
    placement = Placement(7, ALICE, 1000, {"net": NET})
    execution = Execution(
        ALICE, process(), placement, "lock", self_capabilities=4, namespaces={"net": NET}
    )
    operation = Read(5, 6)
    assert trio.run(house.dispatch.run, operation, kept_open(20), execution) == b"answer"
    ((request, at, where, lock),) = house.requests
    assert (at, where, lock, house.acting) == ([20], placement, "lock", [])
    assert request.operation is operation
    assert decode_request(encode(request)) == Request(operation, ALICE, 4, b"42", {"net": NET})


CONFINED = Placement(7, ROOT, 0, {}, b"web (enforce)")


@pytest.mark.parametrize("may_lack_label", [False, True])
def test_without_a_worker_under_the_label_only_what_everybody_may_read_is_read(
    house: House, *, may_lack_label: bool
) -> None:
    house.refusal = Unlabelled(errno.EACCES, "no")
    execution = Execution(ALICE, None, CONFINED, may_lack_label=may_lack_label)
    try:
        trio.run(house.dispatch.run, Read(0, 6), kept_open(20), execution)
    except Unlabelled:
        assert not may_lack_label
    asked = [(request.identity, placement.label) for request, _, placement, _ in house.requests]
    expected = [(ALICE, CONFINED.label), (ALICE, b"")]
    assert asked == (expected if may_lack_label else expected[:1])


@pytest.mark.parametrize(
    ("capabilities", "opens", "policy", "again"),
    [
        (4, (), False, True),
        (4, (b"environ",), True, True),
        (4, (b"environ",), False, False),
        (4, None, True, False),
        # Of another process the right to trace decides.
        (0, (b"environ",), True, False),
    ],
)
def test_who_is_refused_himself_by_the_check_of_tracing_only_is_not(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    *,
    capabilities: int,
    opens: tuple[bytes, ...] | None,
    policy: bool,
    again: bool,
) -> None:
    told: list[tuple[bytes, bytes, bool]] = []

    def may_read(label: bytes, path: bytes, *, owned: bool) -> bool:
        told.append((label, path, owned))
        return policy

    monkeypatch.setattr(self_access, "may_read", may_read)
    house.refusal = PermissionError(errno.EACCES, "no")
    directory, own = (os.open(path, os.O_PATH) for path in ("/proc/self", "/proc"))
    house.dispatch.self_access._own = own
    execution = Execution(ROOT, process(), CONFINED, self_capabilities=capabilities, opens=opens)
    try:
        trio.run(house.dispatch.run, Read(0, 6), kept_open(directory), execution)
    except PermissionError:
        assert not again
    os.close(directory)
    os.close(own)
    assert len(house.requests) == 1 + again
    if again:
        # No capability but those for the look at oneself goes round the label.
        request, _, placement, _ = house.requests[1]
        assert (request.identity, placement.label) == (ROOT._replace(capabilities=0), b"")
    if told:
        assert told == [(CONFINED.label, b"/proc/%d/environ" % os.getpid(), True)]


def test_an_open_file_for_which_the_daemon_has_no_room_is_an_error(house: House) -> None:
    house.answer = Result(None)
    execution = Execution(ALICE, process(), IN_DAEMON)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        trio.run(house.dispatch.run, Open(b"environ"), kept_open(20), execution)


@pytest.mark.parametrize(("place", "waits"), [("PID", False), ("PID/map_files", True)])
def test_an_operation_on_an_entry_runs_where_its_directory_says(
    house: House, place: str, *, waits: bool
) -> None:
    house.answer = Result(None)
    about = node(place, b"comm", process(b"7"))
    done: list[str] = []

    async def perform() -> None:
        try:
            await house.dispatch.perform(
                about, requester(), CheckAccess(b"comm", 4), source=b"comm", of_oneself=True
            )
        except OSError:  # descriptor 9 is nothing, as the operation that runs here finds out
            done.append("here")

    trio.run(perform)
    assert (len(house.requests), done) == ((1, []) if waits else (0, ["here"]))
    assert house.acting == ([] if waits else [(ALICE, CAP_SYS_PTRACE)])


def test_a_worker_in_namespaces_has_the_identity_only_where_a_user_namespace_asks_for_it() -> None:
    net = Placement(7, ALICE, 1000, {"net": NET})
    assert net.key() == Placement(8, ROOT, 0, {"net": NET}).key()
    user = Placement(7, ALICE, 1000, {"net": NET, "user": "user:[1]"})
    assert user.key() != Placement(8, ROOT, 0, {"net": NET, "user": "user:[1]"}).key()
    assert Placement(7, ALICE, 1000, {}).key() == ()


def test_namespaces_are_held_until_they_are_released() -> None:
    own = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        link = os.readlink("/proc/self/ns/net")
        placement = Placement(os.getpid(), ALICE, 1000, {"net": link})
        placement.hold(own)
        descriptor = placement.opened["net"]
        assert os.fstat(descriptor).st_ino == os.stat("/proc/self/ns/net").st_ino
        placement.release()
        assert placement.opened == {}
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(descriptor)
        changed = Placement(os.getpid(), ALICE, 1000, {"net": "net:[1]"})
        with pytest.raises(Unanswered) as refused:
            changed.hold(own)
        assert (refused.value.errno, changed.opened) == (errno.EACCES, {})
    finally:
        os.close(own)


@pytest.mark.parametrize(
    ("identity", "about", "place", "at_rest"),
    [
        (ROOT, process(), "PID/fd", True),
        (ALICE, process(), "PID/fd", False),
        (ROOT._replace(capabilities=4), process(), "PID/fd", False),
        (ROOT, process(own=True), "PID/fd", True),
        (ALICE, process(own=True), "PID/fd", False),
        (ROOT, process(), "PID/map_files", False),
        (ROOT, None, "sys", False),
    ],
)
def test_who_has_all_rights_of_the_daemon_is_answered_by_it_as_it_is(
    house: House, identity: Identity, about: Process | None, place: str, *, at_rest: bool
) -> None:
    house.answer = Result(Attributes(*range(11)))
    entry = node(place, b"self", about)

    async def perform() -> None:
        with suppress(OSError):  # descriptor 9 is nothing
            await house.dispatch.perform(entry, requester(identity), ReadLink(b"3"), source=b"3")
        with suppress(OSError):
            parent: Any = SimpleNamespace(process=about)
            await house.dispatch.attributes_as(requester(identity), parent, entry.place, b"3", b"3")

    trio.run(perform)
    assert (not house.acting and not house.requests) == at_rest


def test_nobody_of_another_namespace_or_confined_is_answered_by_the_daemon_as_it_is(
    house: House,
) -> None:
    fd = directory("PID/fd")
    assert house.dispatch.runs_at_rest(requester(ROOT), fd)
    assert not house.dispatch.runs_at_rest(requester(ROOT, foreign=True), fd)
    confinement: Any = house.dispatch._requesters.confinement
    confinement.exists = True
    assert not house.dispatch.runs_at_rest(requester(ROOT), fd)


@pytest.mark.parametrize(
    ("name", "by_ring", "added", "controlled", "native", "expected"),
    [
        (b"status", True, 0, True, True, True),
        (b"status", True, 4, False, True, True),
        (b"status.json", True, 0, True, True, True),
        (b"status", True, 0, False, True, False),
        # Its number here is not that of the mirrored procfs.
        (b"status", True, 0, True, False, False),
        (b"status", False, 4, True, True, False),
        (b"stat", True, 4, True, True, False),
        (b"environ", True, 4, True, True, False),
    ],
)
def test_what_may_end_a_memory_is_read_here_while_nothing_can_keep_it_from_ending(
    house: House,
    name: bytes,
    *,
    by_ring: bool,
    added: int,
    controlled: bool,
    native: bool,
    expected: bool,
) -> None:
    """The memory of the requester's own process, and of what the daemon's user has started."""
    house.proc.native = native
    house.credentials.controls = {42: controlled}.__getitem__
    about = process()
    wanted = node("PID", name, about)
    wanted.source = name.removesuffix(b".json")
    execution = Execution(ALICE, about, IN_DAEMON, by_ring=by_ring, self_capabilities=added)
    assert house.dispatch.may_read_now(wanted, execution) is expected


def test_what_is_read_now_is_read_here(house: House) -> None:
    execution = Execution(ALICE, None, IN_DAEMON, by_ring=True, now=True, self_capabilities=4)
    assert trio.run(house.dispatch.run, Number(3), kept_open(20), execution) == 23
    assert (house.acting, house.requests) == ([(ALICE, 4)], [])


def test_what_a_worker_starts_from_is_asked_for_by_who_sends_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the directory of the process may be closed, and its number another's."""
    asked: list[int] = []

    def directory() -> list[int]:
        asked.append(20)
        return [20]

    async def call(request: Request, at: Descriptors, *given: Any) -> Result:
        assert not asked
        return await house.call(request, at, *given)

    monkeypatch.setattr(house.dispatch._workers, "call", call)
    execution = Execution(ALICE, process(), Placement(7, ALICE, 1000, {}), "lock")
    assert trio.run(house.dispatch.run, Read(5, 6), directory, execution) == b"answer"
    assert house.requests[0][1] == [20]


def test_where_it_starts_the_daemon_finds_as_itself(house: House) -> None:
    """A mount may hide a process from the requester, who may still hold its file open."""

    def directory() -> list[int]:
        assert not house.acting
        return [20]

    execution = Execution(ALICE, None, IN_DAEMON, here=True)
    assert trio.run(house.dispatch.run, Number(3), directory, execution) == 23


class Closing:
    """A ring of which closes of an account end after some questions, and the waits of a request."""

    def __init__(self, house: House, questions: int) -> None:
        self.left = questions
        self.waiting: list[int] = []
        self.pauses = 0
        house.dispatch._by_ring = self  # type: ignore[assignment]
        workers: Any = SimpleNamespace(waiting=self.scope, pause=self.pause)
        house.dispatch._workers = workers

    def has_unclosed(self, account: int) -> bool:
        assert account == ALICE.uid
        self.left -= 1
        return self.left >= 0

    @contextmanager
    def scope(self, account: int) -> Iterator[None]:
        self.waiting.append(account)
        yield
        self.waiting.remove(account)

    async def pause(self) -> None:
        assert self.waiting == [ALICE.uid]
        self.pauses += 1
        await trio.sleep(0.01)


@pytest.mark.parametrize("questions", [0, 1, 50])
def test_what_is_closed_late_is_waited_for(house: House, questions: int) -> None:
    """On a busy machine the kernel's threads take their time; that is no reason to refuse."""
    closing = Closing(house, questions)
    trio.run(house.dispatch.wait_for_closing, requester(), clock=MockClock(autojump_threshold=0))
    assert closing.pauses == max(0, questions - 1) and not closing.waiting


def test_what_is_not_closed_within_a_second_is_refused(house: House) -> None:
    closing = Closing(house, 1000)
    with pytest.raises(Unanswered, match="does not close") as refused:
        trio.run(
            house.dispatch.wait_for_closing, requester(), clock=MockClock(autojump_threshold=0)
        )
    assert refused.value.errno == errno.EBUSY
    assert 90 < closing.pauses < 110
