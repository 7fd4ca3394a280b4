"""The jq module against real processes, with the kernel's own words as the oracle."""

from __future__ import annotations

import os
import resource

import pytest

from procmirror.decoding.text import size
from tests.command import answer
from tests.harness import ROOT
from tests.programs import environment, ran, running

MODULE = ROOT / "procmirror" / "api"


def asked(program: str, content: bytes) -> str:
    """What jq says of a content with the module included."""
    done = ran(
        "sh", "-c", 'printf %s "$3" | jq -r -L "$1" "$2"', "sh", MODULE,
        f'include "procmirror"; {program}', content.decode(),
    )  # fmt: skip
    assert (done.code, done.err) == (0, ""), done.err
    return done.out.removesuffix("\n")


def test_a_limit_is_the_one_of_the_process() -> None:
    soft, _ = resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)
    assert asked('limit("NOFILE")', answer("--print", f"{os.getpid()}/limits.json")) == str(soft)


def test_a_variable_is_found_by_its_name() -> None:
    with running("sleep", "60", env=environment(KEY="a b")) as pid:
        assert asked('env("KEY")', answer("--print", f"{pid}/environ.json")) == "a b"


def test_an_interface_is_found_by_its_name() -> None:
    assert asked('iface("lo").interface', answer("--print", "net/dev.json")) == "lo"


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 10 << 20, 1536 << 20, 3 << 50, 5 << 60])
def test_sizes_are_as_in_the_texts(count: int) -> None:
    assert asked("human", str(count).encode()) == size(count)


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5s"), (69, "1m09s"), (7500, "2h05m"), (90000, "1d01h")]
)
def test_ages_are_in_one_word(seconds: int, words: str) -> None:
    assert asked("age", str(seconds).encode()) == words
