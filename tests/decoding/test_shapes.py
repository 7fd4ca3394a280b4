"""Edges of the shapes in which the kernel prints."""

from __future__ import annotations

import pytest

from procmirror.decoding import shapes

NAMES = {1: "FIRST", 4: "THIRD"}


def test_bits_have_their_names_and_those_without_one_their_number() -> None:
    assert shapes.flags(0, NAMES) == []
    assert shapes.flags(0b1111, NAMES) == ["FIRST", "0x2", "THIRD", "0x8"]
    assert shapes.flags(1 << 127, NAMES) == [hex(1 << 127)]


@pytest.mark.parametrize("mask", [1 << 128, 1 << 4000, -1])
def test_a_mask_that_no_kernel_has_is_refused(mask: int) -> None:
    with pytest.raises(ValueError, match="128 bits"):
        shapes.flags(mask, NAMES)


def test_empty_entries_of_a_list_stay() -> None:
    assert shapes.nul_list(b"") == []
    assert shapes.nul_list(b"a\0\0b\0\0") == [b"a", b"", b"b", b""]
    assert shapes.nul_list(b"a\0b") == [b"a", b"b"]
