"""One user with very much of something: the others get what they ask for, at once."""

from __future__ import annotations

import time

import pytest

from tests.attack.scene import ATTACKER, attacker, measured, undisturbed
from tests.reliability.mirrors import mirrored


@pytest.mark.parametrize("kind", ["group", "groups", "descriptors"])
def test_nobody_else_notices(kind: str) -> None:
    with mirrored() as mirror, attacker("crowds", kind, mirror.path, ATTACKER), undisturbed(mirror):
        time.sleep(1)
        measured(mirror, 2).check()
