"""The jq module against real processes, with the kernel's own words as the oracle."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

import pytest

from procmirror.decoding.text import size
from tests.command import answer
from tests.harness import ROOT
from tests.mounting import Mount
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


def on(path: Path, program: str, user: int | None) -> str:
    """What jq says of a file of the mount, as a user."""
    done = ran("jq", "-r", "-L", MODULE, f'include "procmirror"; {program}', path, user=user)
    return done.out.removesuffix("\n") if done.code == 0 else done.err


@pytest.mark.root
@pytest.mark.mount
@pytest.mark.parametrize("by", ["root", "wes"])
def test_the_functions_work_on_a_mount_for_root_and_for_users(
    mirror: Mount, wes: int, by: str
) -> None:
    user = wes if by == "wes" else None
    with running("sleep", "600", user=wes, env=environment(KEY="a b")) as pid:
        process = mirror.path / str(pid)
        raw = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
        (soft,) = re.findall(r"^Max open files +(\d+) ", raw, re.MULTILINE)
        assert on(process / "limits.json", 'limit("NOFILE")', user) == soft
        assert on(process / "environ.json", 'env("KEY"), env("NONE")', user) == "a b"
        resident = int(on(process / "status.json", ".VmRSS", user))
        assert on(process / "status.json", ".VmRSS | human", user) == size(resident)
    assert int(on(mirror.path / "net/dev.json", 'iface("lo").receive.bytes', user)) >= 0
    own = mirror.path / str(os.getpid()) / "environ.json"
    refused = "Permission denied" in on(own, 'env("PATH")', user)
    assert refused == (by == "wes")


def test_the_page_names_every_function() -> None:
    page = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
    module = (MODULE / "procmirror.jq").read_text(encoding="utf-8")
    assert set(re.findall(r"^def (\w+)", module, re.MULTILINE)) == set(
        re.findall(r"^\| `(\w+)", page.split("## Functions for jq")[1], re.MULTILINE)
    )


def test_a_limit_is_the_one_of_the_process() -> None:
    soft, _ = resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)
    assert asked('limit("NOFILE")', answer("--print", f"{os.getpid()}/limits.json")) == str(soft)


def test_a_variable_is_found_by_its_name() -> None:
    with running("sleep", "600", env=environment(KEY="a b")) as pid:
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
