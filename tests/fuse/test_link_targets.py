"""Sockets and namespaces behind links, without a mount: who is told of which, and for how long."""

from __future__ import annotations

import errno
import os
import stat
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse import link_targets
from procmirror.fuse.link_targets import LinkTargets
from procmirror.fuse.nodes import ROOT, Node, Nodes
from procmirror.identity.errors import error
from procmirror.mirror.traits import directory
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Process

_SOCKET, _NET = b"socket:[4711]", b"net:[4026531840]"


def asking(thread: int, uid: int = 0) -> Any:
    return SimpleNamespace(pid=thread, uid=uid, gid=uid)


class _Kernel:
    """A process with a link in each directory, and what a requester is told of links."""

    def __init__(self) -> None:
        self.dropped: list[tuple[int, bytes]] = []
        self.nodes = Nodes(directory(""), lambda _: None)
        self.targets = LinkTargets(self.nodes, lambda *name: self.dropped.append(name))
        self.process = Process(b"40", 1)
        traits = directory("PID")
        self.top = self.nodes.add(self.nodes.root, b"40", self.process, b"", traits, None)
        self.fd, self.ns = self.folder(b"fd"), self.folder(b"ns")
        self.link = self.nodes.add(self.fd, b"3", self.process, b"fd/3", None, None)
        self.net = self.nodes.add(self.ns, b"net", self.process, b"ns/net", None, None)
        self.texts = {b"3": _SOCKET, b"net": _NET}
        self.refused = 0

    def folder(self, name: bytes) -> Node:
        traits = directory(f"PID/{name.decode()}")
        return self.nodes.add(self.top, name, self.process, name, traits, None)

    async def _read(self, link: Node, _: Any) -> bytes:
        if self.refused:
            raise error(self.refused)
        return self.texts[link.name]

    def found(self, parent: Node, name: bytes, thread: int = 7) -> Attributes | None:
        return trio.run(self.targets.found, parent, name, asking(thread), self._read)

    def followed(self, link: Node, thread: int = 7) -> Attributes | None:
        assert link.parent
        text = self.texts[link.name]
        self.targets.remember(link, text, asking(thread))
        return self.found(link.parent, text, thread)


@pytest.fixture
def kernel() -> _Kernel:
    return _Kernel()


def test_what_was_told_is_found_with_type_and_number(kernel: _Kernel) -> None:
    socket, namespace = kernel.followed(kernel.link), kernel.followed(kernel.net)
    assert socket and namespace
    assert (socket.mode, socket.inode) == (stat.S_IFSOCK | 0o777, 4711)
    assert (namespace.mode, namespace.inode) == (stat.S_IFREG | 0o444, 4026531840)
    assert kernel.targets.attributes(4711) == socket


def test_another_user_whose_thread_has_that_number_now_is_told_nothing(kernel: _Kernel) -> None:
    kernel.targets.remember(kernel.link, _SOCKET, asking(7))
    other = asking(7, 1000)
    assert trio.run(kernel.targets.found, kernel.fd, _SOCKET, other, kernel._read) is None
    assert kernel.found(kernel.fd, _SOCKET)


def test_nothing_is_found_that_was_not_told_to_this_thread_in_this_directory(
    kernel: _Kernel,
) -> None:
    assert kernel.found(kernel.fd, _SOCKET) is None
    assert kernel.followed(kernel.link)
    assert kernel.found(kernel.fd, _SOCKET, thread=8) is None
    assert kernel.found(kernel.ns, _SOCKET) is None
    assert kernel.found(kernel.fd, b"socket:[4712]") is None


def test_the_kernel_is_asked_again_at_each_look(kernel: _Kernel) -> None:
    """Who may not read the link any more does not find its target; another socket is not it."""
    assert kernel.followed(kernel.link)
    kernel.refused = errno.EACCES
    with pytest.raises(PermissionError):
        kernel.found(kernel.fd, _SOCKET)
    kernel.refused, kernel.texts[b"3"] = 0, b"socket:[99]"
    assert kernel.found(kernel.fd, _SOCKET) is None


def test_one_look_right_after_the_link_was_read_asks_no_more(
    kernel: _Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_targets, "_WALK_SECONDS", 60.0)
    kernel.targets.remember(kernel.link, _SOCKET, asking(7))
    kernel.refused = errno.EACCES
    assert kernel.found(kernel.fd, _SOCKET)
    with pytest.raises(PermissionError):
        kernel.found(kernel.fd, _SOCKET)
    monkeypatch.setattr(link_targets, "_WALK_SECONDS", 0.0)
    kernel.targets.remember(kernel.link, _SOCKET, asking(7))
    with pytest.raises(PermissionError):
        kernel.found(kernel.fd, _SOCKET)


def test_what_was_told_long_ago_is_not_found(
    kernel: _Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_targets, "_SECONDS", -1.0)
    assert kernel.followed(kernel.link) is None


@pytest.mark.parametrize(
    "text",
    [b"pipe:[4711]", b"anon_inode:[eventfd]", b"/etc/passwd", b"socket:[1]", b"socket:[0]"],
)
def test_pipes_and_other_texts_lead_nowhere(kernel: _Kernel, text: bytes) -> None:
    """A pipe of that name would be another one, at whose opening a program would wait."""
    kernel.texts[b"3"] = text
    assert kernel.followed(kernel.link) is None


def test_links_elsewhere_lead_nowhere(kernel: _Kernel) -> None:
    exe = kernel.nodes.add(kernel.top, b"exe", kernel.process, b"exe", None, None)
    kernel.texts[b"exe"] = _SOCKET
    assert kernel.followed(exe) is None


def test_a_number_means_one_thing(kernel: _Kernel) -> None:
    """A node of ours has it, or another kind of target."""
    kernel.texts[b"3"] = b"socket:[%d]" % kernel.fd.number
    assert kernel.followed(kernel.link) is None
    assert kernel.followed(kernel.net)
    kernel.texts[b"3"] = b"socket:[4026531840]"
    assert kernel.followed(kernel.link) is None
    kernel.texts[b"3"] = b"socket:[%d]" % (kernel.net.number + 2)
    assert kernel.followed(kernel.link)
    numbers = [
        kernel.nodes.add(kernel.fd, b"%d" % at, kernel.process, b"fd/9", None, None).number
        for at in range(4)
    ]
    assert kernel.net.number + 2 not in numbers and len(set(numbers)) == 4


def test_a_listed_number_that_is_a_sockets_by_now_is_given_to_nothing_else(
    kernel: _Kernel,
) -> None:
    """Who makes two milliards of pipes has sockets with numbers like ours."""
    number = kernel.nodes.listed.numbers(ROOT)[b"version"]
    kernel.texts[b"3"] = b"socket:[%d]" % number
    target = kernel.followed(kernel.link)
    assert target and target.inode == number
    node = kernel.nodes.add(kernel.nodes.root, b"version", None, b"version", None, None)
    assert node.number != number
    assert not kernel.targets.attributes(node.number)


def test_numbers_of_ours_keep_off_those_of_sockets_and_namespaces(kernel: _Kernel) -> None:
    kernel.nodes._next = 0xEFFFFFFF
    last = kernel.nodes.add(kernel.fd, b"7", kernel.process, b"fd/7", None, None)
    beyond = kernel.nodes.add(kernel.fd, b"8", kernel.process, b"fd/8", None, None)
    assert ROOT < 1 << 31 <= kernel.top.number < last.number < 0xF0000000
    assert beyond.number > 1 << 32


def test_a_target_is_forgotten_with_its_last_lookup(kernel: _Kernel) -> None:
    for _ in range(3):
        kernel.followed(kernel.link)
    assert kernel.targets.forget(4711, 2) and kernel.targets.attributes(4711)
    assert kernel.targets.forget(4711, 1) and not kernel.targets.attributes(4711)
    assert not kernel.targets.forget(4711, 1) and not kernel.targets.forget(kernel.fd.number, 1)


def test_none_of_it_can_be_opened_changed_or_executed(kernel: _Kernel) -> None:
    kernel.followed(kernel.link)
    kernel.followed(kernel.net)
    with pytest.raises(PermissionError):
        kernel.targets.refuse(4026531840)
    assert kernel.targets.check(4711, os.R_OK | os.W_OK | os.X_OK)
    assert kernel.targets.check(4026531840, os.R_OK)
    for mode in (os.W_OK, os.X_OK):
        with pytest.raises(PermissionError):
            kernel.targets.check(4026531840, mode)
    assert not kernel.targets.check(kernel.fd.number, os.R_OK)
    kernel.targets.refuse(kernel.fd.number)


def test_not_more_is_kept_than_some(kernel: _Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_targets, "_MOST_KNOWN", 3)
    monkeypatch.setattr(link_targets, "_MOST_READ", 3)
    for number in range(100, 110):
        kernel.texts[b"3"] = b"socket:[%d]" % number
        assert kernel.followed(kernel.link)
    assert len(kernel.targets._read) == 3
    assert kernel.dropped[:2] == [
        (kernel.fd.number, b"socket:[100]"),
        (kernel.fd.number, b"socket:[101]"),
    ]
