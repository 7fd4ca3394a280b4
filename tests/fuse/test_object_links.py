"""Where the texts of links lead, without a mount: what is asked again, and what is remembered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse import object_links
from procmirror.fuse.links import Links
from procmirror.fuse.object_links import ObjectLinks
from procmirror.procfs.link_targets import Link
from procmirror.workers.entry_operations import ReadObjectLink

_NONE: Any = SimpleNamespace()
_FILE = Link(b"/etc/passwd", (29, "254:0", 12))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The questions where a path leads; the answer is that it leads to the object 12."""
    questions: list[Any] = []

    async def leads_there(_links: object, _node: object, found: Link, _who: object) -> bool:
        questions.append(found)
        return bool(found.object and found.object[2] == 12)

    local = SimpleNamespace(mount_id=1, fs_type=b"ext4")
    seen = SimpleNamespace(way=lambda _: [local]), b"/etc/passwd"
    monkeypatch.setattr(ObjectLinks, "_mounts_of", lambda *_: seen)
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
    """Where the kernel knows NFS, the object of a path is looked at in a worker."""
    read: list[tuple[type, bool]] = []

    async def perform(_node: object, _who: object, operation: Any, **how: Any) -> Any:
        read.append((type(operation), how["waits"]))
        return Link(text) if isinstance(operation, ReadObjectLink) else text

    dispatch: Any = SimpleNamespace(
        perform=perform,
        refusals=SimpleNamespace(refuse_confined=lambda _: None),
        self_access=SimpleNamespace(capabilities=lambda *_: 0),
    )
    requesters: Any = SimpleNamespace(namespaces=None)
    objects = ObjectLinks(_NONE, lambda: True, _NONE, dispatch, requesters)
    links: Any = Links(_NONE, -1, dispatch, _NONE, objects, leads_to_proc=False)
    place = SimpleNamespace(
        is_index=False, pattern="PID/fd", place=SimpleNamespace(links_wait=False)
    )
    process = SimpleNamespace()
    parent = SimpleNamespace(parent=SimpleNamespace(), process=process)
    node: Any = SimpleNamespace(
        place=place, process=process, parent=parent, path=b"fd/3", name=b"3"
    )
    assert trio.run(links.text, node, SimpleNamespace()) == text
    assert ((ReadObjectLink, True) in read) == looked_at
    assert all(waits is (kind is ReadObjectLink) for kind, waits in read)
