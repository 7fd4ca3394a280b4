"""Namespaces of requesters and the numbers in them."""

from __future__ import annotations

import pytest

from procmirror.identity.errors import Unanswered
from procmirror.identity.namespaces import Namespaces, from_namespace, into_namespace
from tests.identity.folders import USER_NAMESPACE, FakeProc

MAP = [(0, 100000, 1000), (1000, 1000, 1), (2000, 500000, 10)]


@pytest.mark.parametrize(
    ("inside", "outside"),
    [(0, 100000), (999, 100999), (1000, 1000), (2000, 500000), (2009, 500009)],
)
def test_numbers_of_an_id_map(inside: int, outside: int) -> None:
    assert into_namespace(MAP, outside) == inside
    assert from_namespace(MAP, inside) == outside


@pytest.mark.parametrize("outside", [0, 999, 1001, 99999, 101000, 499999, 500010, -1])
def test_an_id_without_a_number_inside_is_refused(outside: int) -> None:
    with pytest.raises(Unanswered, match="no number"):
        into_namespace(MAP, outside)


def test_what_has_no_number_in_a_namespace_is_roots() -> None:
    """Its own user 65534 would be the owner of all that is root's, and may have leases on it."""
    assert from_namespace([(0, 100_000, 65_536)], 65_534) == 0
    assert from_namespace([(0, 100_000, 65_536)], 65_533) == 165_533


@pytest.mark.parametrize("inside", [1001, 1999, 2010])
def test_a_number_that_a_map_lacks_stays(inside: int) -> None:
    assert from_namespace(MAP, inside) == inside


def test_id_maps(fake: FakeProc) -> None:
    fake.task()
    namespaces = Namespaces(fake.descriptor)
    assert namespaces.id_maps_of(40) == (
        [(0, 100000, 65536), (5000, 1000, 1)],
        [(0, 200000, 65536)],
    )
    assert namespaces.root_of(40, "user:[7]") == 100000
    assert namespaces.root_of(40, USER_NAMESPACE) == 0
    fake.write(40, "uid_map", "1 1 1\n")
    assert namespaces.root_of(40, "user:[7]") == -1
    fake.write(40, "gid_map", "what\n")
    with pytest.raises(Unanswered, match="id maps"):
        namespaces.id_maps_of(40)
    with pytest.raises(Unanswered, match="id maps"):
        namespaces.id_maps_of(41)


def test_differing_namespaces(fake: FakeProc) -> None:
    namespaces = Namespaces(fake.descriptor)
    fake.task()
    assert namespaces.differing_of(40) == {}
    fake.namespaces("40", USER_NAMESPACE, net="net:[2]", pid="pid:[3]", uts="uts:[4]")
    assert namespaces.differing_of(40) == {"net": "net:[2]", "uts": "uts:[4]"}
    assert namespaces.differing_of(40, ("pid", "mnt")) == {"pid": "pid:[3]"}
    assert namespaces.differing_of(40, ()) == {}
    assert namespaces.all_of(40)["pid"] == "pid:[3]"
    assert set(namespaces.all_of(40)) == {"net", "uts", "ipc", "cgroup", "mnt", "pid", "user"}
    differing = namespaces.differing_of(40)
    assert namespaces.all_of(40, differing) == namespaces.all_of(40)
    assert namespaces.all_of(41) == {}
    (fake.folder / "40" / "ns" / "net").unlink()
    with pytest.raises(Unanswered, match="namespaces of requester 40"):
        namespaces.differing_of(40)


def test_a_kind_that_this_kernel_lacks_differs_never(fake: FakeProc) -> None:
    """The folder has no time namespaces, as no kernel before 5.6 has."""
    fake.task()
    assert Namespaces(fake.descriptor).own["time"] is None
    assert Namespaces(fake.descriptor).differing_of(40, ("time",)) == {}
