"""The table of other libraries in docs/API.md, and the classes of records."""

from __future__ import annotations

import psutil
import pytest

import procmirror
from procmirror.views import VIEWS
from tests.peers import PAGE, PEERS, renewed


def test_the_table_is_that_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page) and page.count("\n| `") == len(
        [peers for peers in PEERS.values() if set(peers) != {"-"}]
    ), "renew it: python -m tests.peers"


def test_it_names_views_that_there_are() -> None:
    assert set(PEERS) <= {view.name for view in VIEWS}


@pytest.mark.parametrize("name", sorted({peers[0] for peers in PEERS.values()} - {"-"}))
def test_psutil_has_what_the_table_says(name: str) -> None:
    owner, _, attribute = name.rpartition(".")
    assert hasattr(psutil.Process if owner else psutil, attribute)


def test_every_record_is_an_instance_of_the_class_of_its_view() -> None:
    for view in ("self/status", "self/stat", "net/tcp", "meminfo", "self/fd", "uptime"):
        read = procmirror.read(view)
        kind = procmirror.record(view)
        assert issubclass(kind, procmirror.Record)
        assert all(isinstance(one, kind) for one in (read if isinstance(read, list) else [read]))


def test_most_views_have_a_class() -> None:
    without = []
    for view in VIEWS:
        try:
            procmirror.record(view.name)
        except TypeError:
            without.append(view.name)
    assert len(without) < len(VIEWS) / 6, without
    with pytest.raises(FileNotFoundError):
        procmirror.record("nothing")
