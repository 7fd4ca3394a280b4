"""The words in which a text says why a part is missing."""

from __future__ import annotations

import errno

import pytest

from procmirror.decoding.reasons import refusal, why


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errno.EACCES, "not permitted"),
        (errno.EPERM, "not permitted"),
        (errno.EBUSY, "no answer in time: the kernel makes its readers wait"),
        (errno.ETIMEDOUT, "no answer in time: the kernel makes its readers wait"),
        (errno.EREMOTE, "another process or machine may serve the file, and is not asked"),
        (errno.ESTALE, "the name leads to another file or none"),
        (errno.EFBIG, "more than is shown of one process"),
        (errno.EIO, "EIO"),
    ],
)
def test_an_errno_that_is_met_often_has_words_in_a_text(error: int, words: str) -> None:
    assert refusal(why(OSError(error, ""))) == words


def test_a_reason_in_words_stays_as_it_is() -> None:
    assert refusal("expected a number, found 'x'") == "expected a number, found 'x'"
