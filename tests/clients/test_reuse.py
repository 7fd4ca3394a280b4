"""Who stands in the directory of a process that is gone sees what /proc shows him, and never the next one of that number."""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import pytest

from tests.programs import ran

ALONE = ("unshare", "-mpf", "--propagation", "private", "--mount-proc", "--kill-child")


@pytest.fixture(scope="module")
def answers() -> Any:
    with tempfile.TemporaryDirectory(prefix="procmirror-") as place:
        code, out, err = ran(
            *ALONE, sys.executable, "-m", "tests.clients.reused", place, deadline=40
        )
    assert (code, err) == (0, "")
    return json.loads(out)


@pytest.mark.parametrize(
    "moment", range(4), ids=["gone", "reused at once", "gone again", "reused later"]
)
def test_the_mirror_answers_as_proc(answers: Any, moment: int) -> None:
    answer = answers[moment]
    del answer["native"]["listing"], answer["mirror"]["listing"]
    assert answer["mirror"] == answer["native"]
    assert answer["native"]["cwd environ"] == "ESRCH"


@pytest.mark.parametrize(
    "moment", range(4), ids=["gone", "reused at once", "gone again", "reused later"]
)
def test_views_answer_as_the_files_beside_them(answers: Any, moment: int) -> None:
    views = answers[moment]["views"]
    assert {outcome for name, outcome in views.items() if name.startswith(("cwd", "O_PATH"))} == {
        "ESRCH"
    }


@pytest.mark.parametrize("moment", [1, 3], ids=["at once", "later"])
def test_the_successor_is_shown_by_its_number(answers: Any, moment: int) -> None:
    assert answers[moment]["fresh"] == "WORD=successor\n"
    assert answers[moment]["again"].split("\0")[-2] == "successor"


def test_nothing_of_the_successor_reaches_who_held_the_predecessor(answers: Any) -> None:
    for answer in answers:
        for who in ("native", "mirror", "views"):
            assert "successor" not in json.dumps(answer[who])
