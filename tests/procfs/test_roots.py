"""Which processes may be in a user namespace of somebody's, and which are."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from procmirror.procfs.roots import ProcRoots
from tests.harness import until
from tests.programs import running

pytestmark = pytest.mark.root
UID = 40104


@pytest.fixture
def roots() -> Iterator[ProcRoots]:
    descriptor = os.open("/proc", os.O_PATH)
    yield ProcRoots(descriptor, descriptor)
    os.close(descriptor)


def test_a_process_in_a_namespace_with_other_ids_may_be_owned(roots: ProcRoots) -> None:
    with (
        running("unshare", "-Ur", "sleep", "60", user=UID, name="sleep") as own,
        running("sleep", "60", user=UID) as other,
    ):
        inside, outside = b"%d" % own, b"%d" % other
        assert until(lambda: roots.may_be_owned(inside), "it is in none")
        assert not roots.may_be_owned(outside)
        assert (roots.is_owned(inside, UID), roots.is_owned(inside, UID + 1)) == (True, False)
        assert not roots.is_owned(outside, UID)
    assert not roots.may_be_owned(inside)


def test_no_link_is_read_for_that(roots: ProcRoots, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link of a namespace waits for as long as its process is held in execve(2)."""
    monkeypatch.setattr(os, "readlink", lambda *_, **__: pytest.fail("a link is read"))
    assert not roots.may_be_owned(b"%d" % os.getpid())
