"""The README's picture of a terminal: its script still runs, and it shows what the commands said."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.harness import ROOT, until
from tests.picture import Said, picture, session
from tests.programs import free_port

STORED = ROOT / "docs" / "session.svg"
_TEXT = "{http://www.w3.org/2000/svg}text"


def shown(svg: str) -> str:
    """What can be read in a picture."""
    return "".join("".join(one.itertext()) for one in ET.fromstring(svg).iter(_TEXT))


def unspaced(text: str) -> str:
    return re.sub(r"\s", "", text)


def shape(text: str) -> str:
    """The same for every run: no spaces, and what numbers are does not matter."""
    return re.sub(r"\d+", "N", unspaced(text))


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def said(port: int) -> list[Said]:
    return session(port)


def test_the_session_is_the_one_that_the_readme_promises(said: list[Said], port: int) -> None:
    answers = [(one.prompt, without_colours(one.answer)) for one in said]
    mounted, nc, denied, _, own, key, stack, files, status = answers
    pid = nc[1].removeprefix("[1] ").strip()
    assert mounted == ("#", "")
    assert denied == ("wes$", f"cat: /mnt/proc/{pid}/environ.txt: Permission denied\n")
    assert own == ("wes$", "HELLO=world\n") and key == ("#", "API_KEY=only-root-sees-this\n")
    assert stack[1].startswith(
        f"nc  {pid}  S (sleeping)  waits for a connection to accept\n  accept4(fd=3<tcp LISTEN 127.0.0.1:{port}>"
    )
    assert re.search(
        rf"^ +3  read-write  socket +- +- +tcp LISTEN 127\.0\.0\.1:{port}$", files[1], re.MULTILINE
    )
    assert re.fullmatch(r'{"Name":"nc","State":"S \(sleeping\)","VmRSS":[0-9]+}\n', status[1])


def test_everything_ends_with_the_session(said: list[Said]) -> None:
    jobs = [one.answer.removeprefix("[1] ").strip() for one in said if one.line.endswith("&")]
    assert len(jobs) == 2
    # Whoever inherits them when their shells have ended takes its time to hear of their end.
    until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in jobs),
        "a job has outlived its shell",
    )


def test_the_picture_shows_every_line_in_order(said: list[Said]) -> None:
    expected = "".join(f"{one.prompt}{one.line}{without_colours(one.answer)}" for one in said)
    assert unspaced(shown(picture(said))) == unspaced(expected)


def test_the_stored_picture_is_of_the_same_session_and_needs_nothing_else(said: list[Said]) -> None:
    svg = STORED.read_text(encoding="utf-8")
    asked = (re.escape(shape(f"{one.prompt} {one.line}")) for one in said)
    assert re.search(".*".join(asked), shape(shown(svg)))
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"@import|@font-face|<image|<script|url\((?!#)", svg)
