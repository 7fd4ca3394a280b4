"""The query of AppArmor's policy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procmirror.identity import policy
from procmirror.identity.policy import may_read


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[bytes, bool]]:
    """What was asked; a policy that allows owners alone to read environ."""
    questions: list[tuple[bytes, bool]] = []

    def allowed(question: bytes, owned: bool) -> int:
        questions.append((question, owned))
        return 4 if owned and question.endswith(b"environ") else 0x100

    monkeypatch.setattr(policy, "_QUERY", str(tmp_path / "missing"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(policy, "_allowed", allowed)
    return questions


def test_the_policy_is_asked_for_the_path_by_the_name_of_the_label(
    asked: list[tuple[bytes, bool]],
) -> None:
    label, path = b"web server//&base (mixed)", b"/proc/7/environ"
    assert may_read(label, path, owned=True)
    assert not may_read(label, path, owned=False)
    assert not may_read(label, b"/proc/7/maps", owned=True)
    assert asked[0] == (b"label\0web server//&base\0\x02/proc/7/environ", True)


@pytest.mark.parametrize(
    ("label", "path"),
    [
        # The query leaves other namespaces out, and would allow all.
        (b":container:web (enforce)", b"/proc/7/environ"),
        (b"web//&:container:web (enforce)", b"/proc/7/environ"),
        (b"web (enforce)", b"(unreachable)/7/environ"),
    ],
)
def test_what_cannot_be_asked_is_not_allowed(
    asked: list[tuple[bytes, bool]], label: bytes, path: bytes
) -> None:
    assert not may_read(label, path, owned=True)
    assert not asked


def test_without_a_policy_nothing_is_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(policy, "_QUERY", str(tmp_path / "missing"))
    assert not may_read(b"web (enforce)", b"/proc/7/environ", owned=True)
