"""Of a requester who is asked little every kind of operation is asked."""

from __future__ import annotations

from tests.permissions.operations import Item, some_of


def test_one_question_of_so_many_and_the_first_of_each_kind() -> None:
    kinds = ["lstat", *["read"] * 20, "access W", *["read"] * 10]
    items = [Item(str(at), str(at), kind) for at, kind in enumerate(kinds)]
    chosen = some_of(items, 8)
    assert {item.operation for item in chosen} == set(kinds)
    assert [int(item.native) for item in chosen] == [0, 1, 8, 16, 21, 24]
    assert some_of(items, 1) == items
