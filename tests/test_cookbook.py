"""Every line of docs/COOKBOOK.md as it stands there, asked of processes that were made to be the answer, and of others."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cookbook import files, machine, network, resources, rights, waiting
from tests.cookbook.scene import Made, Scene
from tests.harness import ROOT, comes_true
from tests.mounting import Mount
from tests.programs import environment, ran

PAGE = ROOT / "docs" / "COOKBOOK.md"
# A question, its one line and the answer; whoever adds one below a heading without this shape is
# told so.
_QUESTION = re.compile(
    r"^### (?P<question>.+)\n\n```console\n# (?P<line>.+)\n(?P<answer>(?:.+\n)+)```\n\n(?P<remark>\S.+)",
    re.MULTILINE,
)
QUESTIONS = {
    one["question"]: one["line"] for one in _QUESTION.finditer(PAGE.read_text(encoding="utf-8"))
}
PLAIN = {"ls", "grep", "jq", "cat", "sort", "head", "tail", "awk", "readlink", "uniq", "procmirror"}
SCENES = (
    files.SCENES
    | machine.SCENES
    | network.SCENES
    | resources.SCENES
    | rights.SCENES
    | waiting.SCENES
)


@pytest.fixture
def made(tmp_path: Path, wes: int) -> Iterator[Made]:
    with ExitStack() as stack:
        yield Made(stack, tmp_path, wes)


def _asked(line: str, expected: Scene, mirror: Mount, user: int | None) -> str:
    """What the line answers on the mirror, told as if it were mounted where the page says."""
    for word, here in expected.words:
        line = line.replace(word, str(here))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = environment(pid=str(expected.pid), PATH=path)
    answer = ran("sh", "-c", line.replace("/mnt/proc", str(mirror.path)), user=user, env=env)
    return answer.out.replace(str(mirror.path), "/mnt/proc")


def _named(answer: str, process: re.Pattern[str]) -> list[int]:
    """The process of each line."""
    return [int(found[1]) for line in answer.splitlines() if (found := process.search(line))]


def _missing(answer: str, expected: Scene) -> list[str]:
    """What an answer lacks, or has that it should not have."""
    named = _named(answer, expected.process)
    return [
        *(f"process {pid} is not named" for pid in set(expected.named) - set(named)),
        *(f"process {pid} is named" for pid in set(expected.others) & set(named)),
        *([] if expected.exactly in {None, answer} else ["other words"]),
        *([] if expected.first in {0, *named[:1]} else ["another one is first"]),
        *(
            f"{line} is not there"
            for line in expected.lines
            if not re.search(line, answer, re.MULTILINE)
        ),
    ]


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_line_answers_the_question(question: str, mirror: Mount, made: Made) -> None:
    """As soon as the processes do what they were made for, which they say just before."""
    assert question in SCENES, f"nothing is made to ask it of: {question}"
    expected = SCENES[question](made)
    assert expected.named or expected.exactly is not None or expected.lines
    line, answers = QUESTIONS[question], [""]

    def is_answered() -> bool:
        answers.append(_asked(line, expected, mirror, None))
        return not _missing(answers[-1], expected)

    comes_true(is_answered)
    assert _missing(answers[-1], expected) == [], answers[-1]
    if expected.his is not None:
        told = _named(_asked(line, expected, mirror, made.wes), expected.process)
        assert set(told) & {*expected.named, *expected.others, *expected.his} == set(expected.his)


def test_the_page_has_all_questions_of_one_shape_and_no_scene_is_without_one() -> None:
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == list(QUESTIONS) and len(QUESTIONS) >= 79
    assert set(SCENES) <= set(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_line_needs_plain_tools_only(question: str) -> None:
    line = re.sub(r"'[^']*'", "''", QUESTIONS[question])
    used = {part.split()[0] for part in re.split(r"\||\$\(", line)}
    assert used <= PLAIN, used - PLAIN


# How many lines are known to be short enough.
LEAST_SHORT = 60
CLASSIC: dict[str, str] = dict(
    re.findall(
        r"^### (.+)$(?:(?!^### )[\s\S])*?^Classic: (.+)$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)


def test_each_question_has_the_line_of_the_classic_tool_beside_it() -> None:
    assert list(CLASSIC) == list(QUESTIONS)
    for classic in CLASSIC.values():
        assert classic == "none" or re.fullmatch(r"`.+`", classic)


def test_most_lines_are_not_much_longer_than_those_of_the_classic_tools(
    report: list[str],
) -> None:
    """At most one and a half times as long; a question that no tool answers has no limit."""
    short = [
        question
        for question, line in QUESTIONS.items()
        if CLASSIC[question] == "none" or len(line) <= 1.5 * (len(CLASSIC[question]) - 2)
    ]
    report.append(
        f"cookbook: {len(short)} of {len(QUESTIONS)} lines within 1.5 times the classic ones"
    )
    assert len(short) >= LEAST_SHORT, set(QUESTIONS) - set(short)
