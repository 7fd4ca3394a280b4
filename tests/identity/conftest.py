"""What the tests of identities share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.identity.folders import FakeProc


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeProc]:
    """A folder that stands for /proc."""
    made = FakeProc(tmp_path)
    yield made
    os.close(made.descriptor)
