"""Threads that never sleep: their frames by one sample, held against what the program does."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procmirror.procfs.perf_event import _first
from procmirror.stack.frames import RSP
from procmirror.stack.sample import ARCHITECTURES, SampledMemory, attributes, parsed
from procmirror.stack.samples import Samples
from procmirror.stack.thread_stack import ThreadStack
from tests.harness import DEADLINE, Limit, until
from tests.stack.targets import compiled, seen, started


def sampled(pid: int) -> ThreadStack:
    """What the view says of a busy process, which now and then does not get a processor in time."""
    limit = Limit(DEADLINE)
    while True:
        (thread,) = seen(pid).values()
        if thread.sampled or limit.left() <= 0:
            return thread


@contextmanager
def busy(folder: Path, *words: str, flags: Sequence[str] = ("-O1",)) -> Iterator[int]:
    """The program, begun: the dynamic linker has done its work."""
    with started(compiled("busy.c", folder, *flags), *words) as pid:
        until(
            lambda: any(frame.symbol == "spin" for frame in sampled(pid).user or ()),
            "it does not begin",
        )
        yield pid


@pytest.mark.parametrize(
    "flags", [("-O0",), ("-Og",), ("-O2", "-fno-optimize-sibling-calls"), ("-O1", "-static")]
)
def test_every_frame_of_a_busy_thread(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Each is proven, but for the third where the first is between its `pop` and its `ret`.

    Then the place of the frame pointer is below the stack pointer, of which a sample has nothing,
    and the frame is found by its call.
    """
    third = []
    with busy(tmp_path, "7", flags=flags) as pid:
        for _ in range(5):
            thread = sampled(pid)
            assert thread.sampled and thread.complete, thread.reason
            names = [frame.symbol for frame in thread.user or ()]
            inner = names.index("spin")
            assert names[:inner] in (["burn"], [])
            assert names[inner + 1 : inner + 9] == ["climb"] * 8
            assert names[inner + 9 :][0] == "main" and names[-1] == "_start"
            marks = [frame.mark for frame in thread.user or ()]
            third.append(marks.pop(2))
            assert set(marks) == {"proven"}
            assert thread.waits_for is None
    assert "proven" in third and {"proven", "repaired"} >= set(third)


def test_a_thread_in_the_kernel_is_shown_with_both_sides(tmp_path: Path) -> None:
    with busy(tmp_path, "2", "8", "kernel") as pid:
        for _ in range(200):
            thread = sampled(pid)
            names = [frame.symbol for frame in thread.user or ()]
            assert thread.complete and "climb" in names
            if thread.kernel:
                break
    assert thread.kernel


def test_a_stack_longer_than_a_sample_says_so(tmp_path: Path) -> None:
    with busy(tmp_path, "100", "4096", flags=["-O0"]) as pid:
        thread = sampled(pid)
    assert (thread.complete, thread.reason) == (False, "a sample has 63 KiB of stack")
    assert 10 < len(thread.user or ()) < 20


class Busy:
    """A target whose threads run, and of which each sample takes all its time."""

    now = 0.0

    def clock(self) -> float:
        return self.now

    def sample(self, tid: int, attributes: bytes, seconds: float) -> None:
        del tid, attributes
        self.now += seconds


class Known:
    """A thread that has not ended."""

    def read(self, name: str) -> bytes:
        return name.encode()


def test_the_time_for_samples_is_shared() -> None:
    """A thread that did not run is told from one that was not waited for."""
    samples = Samples(Busy(), "x86_64")  # type: ignore[arg-type]
    said = [samples.of(Known(), 1) for _ in range(7)]  # type: ignore[arg-type]
    assert said[:5] == ["running, but not within 50 ms of its sample"] * 5
    assert said[5:] == ["running; the 250 ms for samples are over"] * 2


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            PermissionError(13, "x"),
            "running; a sample is not permitted (kernel.perf_event_paranoid)",
        ),
        (OSError(38, "Function not implemented"), "running; no sample: Function not implemented"),
        (OSError(95, "x"), "running"),
    ],
)
def test_what_the_kernel_refuses_is_named(refusal: OSError, said: str) -> None:
    class Refusing(Busy):
        def sample(self, tid: int, attributes: bytes, seconds: float) -> None:
            del tid, attributes, seconds
            raise refusal

    samples = Samples(Refusing(), "x86_64")  # type: ignore[arg-type]
    assert samples.of(Known(), 1) == said  # type: ignore[arg-type]


def written(
    calls: list[int] | None, abi: int, registers: list[int], stack: bytes, copied: int
) -> bytes:
    """A record as the kernel writes it: how much it copied stands behind the room for the stack."""
    words = [] if calls is None else [len(calls), *calls]
    words += [abi, *registers, len(stack)]
    behind = struct.pack("=Q", copied) if stack else b""
    return struct.pack(f"={len(words)}Q", *words) + stack + behind


def records(architecture: str, *, kernel: bool) -> st.SearchStrategy[bytes]:
    """Whole records, and some that are cut off or have another byte somewhere."""
    word, count = st.integers(0, (1 << 64) - 1), len(ARCHITECTURES[architecture])
    whole = st.builds(
        written,
        calls=st.lists(word, max_size=4) if kernel else st.none(),
        abi=st.integers(0, 3),
        registers=st.lists(word, min_size=count, max_size=count),
        stack=st.binary(max_size=64),
        copied=st.integers(0, 80) | word,
    )
    spoilt = st.tuples(whole, st.integers(0, 600), st.binary(max_size=1)).map(
        lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] + 1 :]
    )
    cut = st.tuples(whole, st.integers(0, 600)).map(lambda drawn: drawn[0][: drawn[1]])
    return whole | spoilt | cut


@given(st.data(), st.sampled_from(sorted(ARCHITECTURES)), st.booleans())
def test_any_record_is_refused_or_read(
    data: st.DataObject, architecture: str, kernel: bool
) -> None:
    record = data.draw(records(architecture, kernel=kernel) | st.binary(max_size=600))
    try:
        sample = parsed(record, architecture, kernel=kernel)
    except (struct.error, OverflowError):  # the second of a size near 2^63, which no kernel writes
        return
    if sample:
        memory = SampledMemory(sample.registers[RSP], sample.stack)
        assert memory.end - sample.registers[RSP] <= len(record)
        assert memory.word(memory.end - 7) is None


@given(st.sampled_from(sorted(ARCHITECTURES)), st.binary(max_size=64), st.integers(0, 80))
def test_a_stack_is_as_long_as_the_kernel_could_copy(
    architecture: str, stack: bytes, copied: int
) -> None:
    registers = [*range(len(ARCHITECTURES[architecture]))]
    for calls in (None, [7]):
        record = written(calls, 2, registers, stack, copied)
        sample = parsed(record, architecture, kernel=calls is not None)
        assert sample and (sample.kernel, sample.stack) == (calls, stack[:copied])


@given(st.binary(max_size=200))
def test_any_ring_ends(records: bytes) -> None:
    assert len(_first(records) or b"") <= len(records)


def test_the_sample_is_found_behind_other_records() -> None:
    lost = struct.pack("=IHHQQ", 2, 0, 24, 1, 1)
    assert _first(lost + struct.pack("=IHH", 9, 2, 12) + b"body" + lost) == b"body"


def test_the_kernel_is_asked_for_the_programs_side_only() -> None:
    exclude_kernel = 1 << 5
    flags = [
        struct.unpack_from("=Q", attributes("x86_64", kernel=kernel), 40)[0]
        for kernel in (True, False)
    ]
    assert [bool(flag & exclude_kernel) for flag in flags] == [False, True]
