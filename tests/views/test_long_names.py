"""A text that is sorted as a whole is refused before its names take the memory of the worker."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EFBIG

import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.shares import MOST_NAMES
from procmirror.decoding.view import Machine
from procmirror.mirror.siblings import view_named
from procmirror.views.pid import smaps
from tests.readings import Imitated


def test_names_of_mappings_that_are_too_long_together() -> None:
    asked = 0

    def mappings() -> Iterator[smaps.Smap]:
        nonlocal asked
        for at in range(65_530):
            asked = at
            yield smaps.Smap(pathname="/" + f"{at:05}" * 800)

    with pytest.raises(OSError, match="longer names") as refused:
        smaps.text(mappings(), Machine())
    assert refused.value.errno == EFBIG
    assert asked * 4001 <= MOST_NAMES


def test_names_of_ordinary_mappings_are_all_shown() -> None:
    path = "/usr/lib/x86_64-linux-gnu/libc.so.6"
    lines = smaps.text((smaps.Smap(pathname=path) for _ in range(65_530)), Machine()).splitlines()
    assert len(lines) == 65_530 + 2


def test_names_of_descriptors_that_are_too_long_together() -> None:
    source = Imitated(
        {"status": b"Name:\tsleep\n", **{f"fd/{fd}": b"" for fd in range(5_000)}},
        {f"fd/{fd}": "/" + "n" * 4_000 for fd in range(5_000)},
    )
    view = view_named("PID/fd")
    with pytest.raises(OSError, match="longer names") as refused:
        "".join(map(str, rendered(view, "txt", view.record_of(source, Machine()), Machine())))
    assert refused.value.errno == EFBIG
