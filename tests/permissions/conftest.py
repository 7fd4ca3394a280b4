"""The processes that are asked about, running for the length of the tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.permissions.targets import Target, targets


@pytest.fixture(scope="package")
def everybody() -> Iterator[list[Target]]:
    """Every target."""
    with targets() as running:
        yield running
