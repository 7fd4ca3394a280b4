"""Whose numbers get the names of this machine's accounts, without root."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from procmirror.fuse.account_names import AccountNames
from procmirror.identity.identity import Identity
from procmirror.identity.namespaces import Namespaces
from procmirror.identity.requester import Requester
from tests.identity.folders import USER_NAMESPACE, FakeProc


class Scene:
    """A requester, whose place can be changed, and the time."""

    def __init__(self, folder: Path) -> None:
        self.proc = FakeProc(folder)
        for task in ("self", "40"):
            self.proc.namespaces(task, USER_NAMESPACE)
            (folder / task / "root").symlink_to("/")
        self.now = 0.0
        self.names = AccountNames(
            self.proc.descriptor, Namespaces(self.proc.descriptor), lambda: True
        )
        self.requester = Requester(
            40, 40, Identity(1000, 1000, (), 0), USER_NAMESPACE, foreign=False
        )

    def are_told(self) -> bool:
        return self.names.are_of(self.requester)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    return made


def test_whoever_is_in_the_same_place_is_told(scene: Scene) -> None:
    assert scene.are_told()
    assert not scene.names.are_of(scene.requester._replace(foreign=True))


def test_whoever_is_in_another_mount_namespace_is_not(scene: Scene) -> None:
    scene.proc.namespaces("40", USER_NAMESPACE, mnt="mnt:[2]")
    assert not scene.are_told()


def test_whoever_has_another_root_directory_is_not(scene: Scene) -> None:
    root = scene.proc.folder / "40" / "root"
    root.unlink()
    root.symlink_to("/srv")
    assert not scene.are_told()


def test_the_place_is_looked_at_again_after_a_moment(scene: Scene) -> None:
    assert scene.are_told()
    scene.proc.namespaces("40", USER_NAMESPACE, mnt="mnt:[2]")
    scene.now = 0.009
    assert scene.are_told()
    scene.now = 0.011
    assert not scene.are_told()


def test_the_place_of_another_thread_of_that_number_is_looked_at(scene: Scene) -> None:
    assert scene.are_told()
    scene.proc.namespaces("40", USER_NAMESPACE, mnt="mnt:[2]")
    scene.requester = scene.requester._replace(tgid=41)
    assert not scene.are_told()
