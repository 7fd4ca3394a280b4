"""Confinement by a security module."""

from __future__ import annotations

import pytest

from procmirror.identity import own_process
from procmirror.identity.confinement import Confinement, take_on
from procmirror.identity.errors import Unlabelled
from tests.identity.folders import FakeProc


def test_without_a_module_nobody_is_confined(fake: FakeProc) -> None:
    confinement = Confinement(fake.descriptor)
    fake.write(40, "attr/current", "docker-default (enforce)\n")
    assert (confinement.exists, confinement.differs(40)) == (False, False)


def test_a_label_is_compared_with_ours(fake: FakeProc) -> None:
    fake.write("self", "attr/current", "unconfined\n")
    confinement = Confinement(fake.descriptor)
    fake.write(40, "attr/current", "unconfined\n\0")
    assert confinement.exists
    assert not confinement.differs(40)
    fake.write(40, "attr/current", "docker-default (enforce)\n")
    assert confinement.differs(40)
    assert confinement.label_of(40) == b"docker-default (enforce)"
    # Nothing to be read of a requester is no agreement.
    assert confinement.differs(41)


def test_apparmor_comes_before_other_modules(fake: FakeProc) -> None:
    fake.write("self", "attr/current", "system_u:system_r:init_t\n")
    fake.write("self", "attr/apparmor/current", "unconfined\n")
    confinement = Confinement(fake.descriptor)
    fake.write(40, "attr/current", "other\n")
    fake.write(40, "attr/apparmor/current", "unconfined\n")
    assert not confinement.differs(40)


@pytest.mark.parametrize("apparmor", [False, True])
def test_apparmor_alone_hides_no_attributes(fake: FakeProc, *, apparmor: bool) -> None:
    places = ["attr/current", *(["attr/apparmor/current"] if apparmor else [])]
    for place in places:
        fake.write("self", place, "one\n")
        fake.write(40, place, "one\n")
        fake.write(41, place, "another\n")
    confinement = Confinement(fake.descriptor)
    assert not confinement.hides_attributes(40)
    assert confinement.hides_attributes(41) == (not apparmor)


def test_modules_can_be_ignored(fake: FakeProc) -> None:
    fake.write("self", "attr/current", "unconfined\n")
    fake.write(40, "attr/current", "docker-default (enforce)\n")
    confinement = Confinement(fake.descriptor, ignored=True)
    assert (confinement.exists, confinement.differs(40)) == (False, False)


def test_the_label_of_who_is_confined_otherwise_is_told(fake: FakeProc) -> None:
    fake.write("self", "attr/current", "unconfined\n")
    confinement = Confinement(fake.descriptor)
    fake.write(40, "attr/current", "web (enforce)\n")
    fake.write(41, "attr/current", "unconfined\n")
    assert confinement.other_label_of(40) == b"web (enforce)"
    assert confinement.other_label_of(41) == b""
    with pytest.raises(Unlabelled):
        confinement.other_label_of(42)


@pytest.mark.parametrize(
    ("label", "place", "written"),
    [
        ("web (enforce)", "attr/apparmor/current", "changeprofile web"),
        ("a b (x)//&:ns:c (mixed)", "attr/apparmor/current", "changeprofile a b (x)//&:ns:c"),
        ("web//&:ns:unconfined", "attr/apparmor/current", "changeprofile web//&:ns:unconfined"),
        ("unconfined", "attr/apparmor/current", "changeprofile unconfined"),
        ("web (complain)", "attr/current", "changeprofile web"),
        ("system_u:system_r:httpd_t:s0", "attr/current", "system_u:system_r:httpd_t:s0"),
    ],
)
def test_a_label_is_taken_on_in_the_words_of_its_module(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch, label: str, place: str, written: str
) -> None:
    monkeypatch.setattr(own_process, "forbid_new_privileges", lambda: None)
    fake.write("self", "attr/current", "")
    fake.write("self", place, "")
    take_on(fake.descriptor, label.encode())
    assert (fake.folder / "self" / place).read_text() == written
