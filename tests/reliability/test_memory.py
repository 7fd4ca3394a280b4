"""Where memory is really short: the kernel ends a worker, one view fails, and the mirror goes on."""

from __future__ import annotations

import pytest

from tests.attack.scene import measured, undisturbed
from tests.reliability.giants import giant
from tests.reliability.memory_group import memory_group
from tests.reliability.mirrors import living, mirrored
from tests.reliability.readers import Job, ask, read

_MAPPINGS = 30_000
_ROOM = 24 << 20


def test_a_worker_is_ended_where_memory_is_short_and_the_mirror_goes_on() -> None:
    with memory_group() as group:
        if group is None:
            pytest.skip("no memory cgroup can be made here")
        with mirrored() as mirror, giant("mappings", _MAPPINGS) as pid:
            measured(mirror, 1).check()
            group.take(living(mirror))
            group.limit(_ROOM)
            with undisturbed(mirror):
                view = read(mirror.path / f"{pid}/smaps.json")
                ((first, second),) = ask([Job([view] * 2)], 60)
                assert group.killed() > 0
                assert {first.error, second.error} <= {"", "EIO"}
                measured(mirror, 1).check()
