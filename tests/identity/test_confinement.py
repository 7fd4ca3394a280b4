"""Confinement by a security module."""

from __future__ import annotations

from procmirror.identity.confinement import Confinement
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


def test_modules_can_be_ignored(fake: FakeProc) -> None:
    fake.write("self", "attr/current", "unconfined\n")
    fake.write(40, "attr/current", "docker-default (enforce)\n")
    confinement = Confinement(fake.descriptor, ignored=True)
    assert (confinement.exists, confinement.differs(40)) == (False, False)
