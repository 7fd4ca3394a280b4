"""Where the texts of links lead, without a mount: what is asked again, and what is remembered."""

from __future__ import annotations

import errno
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse import object_links
from procmirror.fuse.links import Links
from procmirror.fuse.object_links import ObjectLinks
from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import Identity
from procmirror.identity.requester import Requester
from procmirror.procfs.link_targets import Link
from procmirror.workers import entry_operations
from procmirror.workers.entry_operations import MountsOf, ReadObjectLink

_NONE: Any = SimpleNamespace()
_PROCESS = SimpleNamespace(own=False)
_NODE: Any = SimpleNamespace(
    place=SimpleNamespace(is_index=False, pattern="PID/fd", links_wait=False),
    process=_PROCESS,
    parent=SimpleNamespace(parent=SimpleNamespace(), process=_PROCESS),
    path=b"fd/3",
    name=b"3",
)
_FILE = Link(b"/etc/passwd", (29, "254:0", 12))


async def not_known(*_: object) -> bool:
    """Whether the kernel has the object of a text in its cache."""
    return False


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The questions where a path leads; the answer is that it leads to the object 12."""
    questions: list[Any] = []

    async def leads_there(
        _links: object, _node: object, found: Link, _who: object, *, asks: bool = True
    ) -> bool:
        del asks
        questions.append(found)
        return bool(found.object and found.object[2] == 12)

    local = SimpleNamespace(mount_id=1, fs_type=b"ext4")

    async def way_of(*_: object) -> tuple[Any, bytes]:
        return [local], b"/etc/passwd"

    monkeypatch.setattr(ObjectLinks, "_way_of", way_of)
    monkeypatch.setattr(ObjectLinks, "_is_object", not_known)
    monkeypatch.setattr(ObjectLinks, "_leads_there", leads_there)
    within = iter([(b"mnt:[1]", b"/")] * 6 + [(b"mnt:[2]", b"/")])
    monkeypatch.setattr(ObjectLinks, "_within", lambda *_: next(within))
    monkeypatch.setattr(object_links, "_LED_SECONDS", 60)
    return questions


def test_where_a_text_leads_is_asked_once_in_a_moment_for_each_object(asked: list[Any]) -> None:
    requesters: Any = SimpleNamespace(namespaces=SimpleNamespace(own={"mnt": "mnt:[1]"}))
    links: Any = ObjectLinks(_NONE, lambda: False, _NONE, _NONE, requesters)

    def text(found: Link, requester: Any) -> bytes:
        told: bytes = trio.run(links.text, SimpleNamespace(), found, requester)
        return told

    assert [text(_FILE, "one") for _ in range(3)] == [b"/etc/passwd"] * 3
    assert len(asked) == 1
    text(_FILE, "two")
    assert len(asked) == 2
    # Another object behind the same text; that it leads elsewhere is asked each time.
    other = Link(b"/etc/passwd", (29, "254:0", 13))
    assert [text(other, "one") for _ in range(2)] == [b"(unreachable)/etc/passwd"] * 2
    assert len(asked) == 4
    # The same thread in another mount namespace.
    text(_FILE, "one")
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("text", "looked_at"), [(b"socket:[8]", False), (b"pipe:[9]", False), (b"/etc/passwd", True)]
)
def test_what_is_no_path_waits_for_no_server(text: bytes, looked_at: bool) -> None:
    """Of its own process a requester is answered here, unless an object is to be looked at."""
    read: list[tuple[type, bool]] = []

    async def perform(_node: object, _who: object, operation: Any, **how: Any) -> Any:
        read.append((type(operation), how["waits"]))
        return Link(text) if isinstance(operation, ReadObjectLink) else text

    dispatch: Any = SimpleNamespace(
        perform=perform,
        refusals=SimpleNamespace(refuse_confined=lambda _: None),
        self_access=SimpleNamespace(capabilities=lambda *_: 0, is_own=lambda *_: True),
        kernel_threads=SimpleNamespace(is_one=lambda _: False),
    )
    requesters: Any = SimpleNamespace(namespaces=None)
    objects = ObjectLinks(_NONE, lambda: True, _NONE, dispatch, requesters)
    links: Any = Links(_NONE, -1, dispatch, _NONE, objects, leads_to_proc=False)
    assert trio.run(links.text, _NODE, SimpleNamespace()) == text
    assert ((ReadObjectLink, True) in read) == looked_at
    assert all(waits is (kind is ReadObjectLink) for kind, waits in read)


@pytest.mark.parametrize(
    ("own", "kernel", "asks", "waits"),
    [
        (False, False, False, True),
        (False, False, True, True),
        (True, False, False, True),
        (False, True, False, False),
    ],
)
def test_an_object_of_a_process_is_not_opened_here(
    *, own: bool, kernel: bool, asks: bool, waits: bool
) -> None:
    """The kernel waits for its exec lock (call_proc_get_link, fs/proc/base.c).

    A thread of the requester's own process may close it meanwhile.
    """
    read: list[tuple[type, bool]] = []

    async def perform(_node: object, _who: object, operation: Any, **how: Any) -> Any:
        read.append((type(operation), how["waits"]))
        return Link(b"socket:[8]")

    dispatch: Any = SimpleNamespace(
        perform=perform,
        self_access=SimpleNamespace(is_own=lambda *_: own),
        kernel_threads=SimpleNamespace(is_one=lambda _: kernel),
    )
    objects: Any = SimpleNamespace(asks=lambda: asks, text=_text)
    links: Any = Links(_NONE, -1, dispatch, _NONE, objects, leads_to_proc=False)
    assert trio.run(links.text, _NODE, SimpleNamespace()) == b"socket:[8]"
    assert read == [(ReadObjectLink, waits)]


async def _text(_node: object, found: Link, _requester: object) -> bytes:
    return found.text


_OWN, _THEIRS = b"mnt:[1]", b"mnt:[2]"


def _objects(own_mounts: Any = _NONE) -> Any:
    """Links of objects, for a daemon in a mount namespace and a user namespace of numbers 1."""
    namespaces = SimpleNamespace(own={"mnt": _OWN.decode()}, user_link=b"user:[1]", proc=-1)
    requesters: Any = SimpleNamespace(namespaces=namespaces)
    source: Any = SimpleNamespace(directory=lambda _: -1)
    return ObjectLinks(source, lambda: False, own_mounts, _NONE, requesters)


@pytest.mark.parametrize("known", [True, False])
def test_mounts_of_others_are_read_where_the_kernel_does_not_know_where_a_text_leads(
    monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Reading them takes longer than all the rest."""
    read: list[bytes] = []

    async def leads_there(*_: object, asks: bool = True) -> bool:
        return known or asks

    async def way_of(*_: object) -> tuple[Any, bytes]:
        read.append(b"mountinfo")
        return [SimpleNamespace(mount_id=1, fs_type=b"ext4")], b"/"

    objects = _objects()
    monkeypatch.setattr(ObjectLinks, "_leads_there", leads_there)
    monkeypatch.setattr(ObjectLinks, "_way_of", way_of)
    monkeypatch.setattr(ObjectLinks, "_is_object", not_known)
    monkeypatch.setattr(ObjectLinks, "_within", lambda *_: (_THEIRS, b"/"))
    told = trio.run(objects.text, _NODE, _FILE, "one")
    assert (told, bool(read)) == (_FILE.text if known else b"/", not known)


@pytest.mark.parametrize(
    ("namespace", "mount", "owner", "trusted"),
    [
        (_OWN, 29, b"user:[1]", True),
        (_OWN, 31, b"user:[1]", False),
        (_OWN, 29, b"user:[2]", False),
        (_THEIRS, 31, b"user:[1]", True),
        (_THEIRS, 29, b"user:[1]", False),
        (_THEIRS, 31, b"user:[2]", False),
    ],
)
def test_a_directory_is_trusted_on_a_mount_of_roots_in_the_namespace_of_its_process(
    monkeypatch: pytest.MonkeyPatch, namespace: bytes, mount: int, owner: bytes, trusted: bool
) -> None:
    """The mounts of the daemon's own namespace are known, those of another are read."""
    line = b"31 1 0:5 / / rw - tmpfs none rw\n"
    monkeypatch.setattr(os, "readlink", lambda _, **__: namespace)
    monkeypatch.setattr(entry_operations, "owner_of_mounts", lambda *_: owner)
    monkeypatch.setattr(object_links, "owner_of_mounts", lambda *_: owner)
    monkeypatch.setattr(entry_operations, "read_file", lambda *_: line)

    async def at_rest(_node: object, _who: object, operation: MountsOf) -> object:
        return operation.run((-1,), _NONE)

    own_mounts = SimpleNamespace(all=lambda: SimpleNamespace(has=lambda number: number == 29))
    found = Link(b"/etc", (mount, "254:0", 12), is_directory=True)
    objects = _objects(own_mounts)
    objects._dispatch = SimpleNamespace(at_rest=at_rest)
    assert trio.run(objects._is_trusted, _NODE, found, "one") is trusted
    assert trio.run(objects._is_trusted, _NODE, found._replace(is_directory=False), "one")


def test_where_a_thread_is_counts_for_a_moment_and_for_that_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    asked: list[bytes] = []

    def readlink(path: bytes, **_: object) -> bytes:
        asked.append(path)
        return b"%d" % len(asked)

    monkeypatch.setattr(os, "readlink", readlink)
    objects = _objects()
    nobody = Identity(0, 0, (), 0)
    one, other = (Requester(tid, tid, nobody, "", foreign=False) for tid in (7, 8))
    first = objects._within(one)
    assert objects._within(one) == first == (b"1", b"2")
    assert objects._within(other) == (b"3", b"4")
    assert objects._within(one) == (b"5", b"6")
    clock.now += 0.002
    assert objects._within(one) == (b"7", b"8")
    assert asked[:4] == [b"7/ns/mnt", b"7/root", b"8/ns/mnt", b"8/root"]


@pytest.mark.parametrize("within", [_OWN, _THEIRS])
def test_whose_objects_cannot_be_closed_has_none_opened(
    monkeypatch: pytest.MonkeyPatch, within: bytes
) -> None:
    """It is told so, and not that a text leads nowhere."""

    async def refuse(_: object) -> None:
        raise Unanswered(errno.EBUSY, "")

    objects = _objects()
    objects._dispatch = SimpleNamespace(wait_for_closing=refuse)
    objects._namespaces.proc = os.open("/proc", os.O_PATH)
    monkeypatch.setattr(ObjectLinks, "_within", lambda *_: (within, b"/"))
    requester: Any = SimpleNamespace(tid=os.getpid())
    with pytest.raises(Unanswered):
        trio.run(objects._leads_there, _NODE, _FILE, requester)
    with pytest.raises(Unanswered):
        trio.run(objects._is_object, _FILE, requester)
    os.close(objects._namespaces.proc)
