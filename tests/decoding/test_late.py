"""What is named late is imported when it is used, and is then what it would have been at once."""

from __future__ import annotations

import builtins
import errno
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any

import pytest

from procmirror.decoding import late as module
from procmirror.decoding.late import Late, found, late
from procmirror.mirror.places import PLACES, view_places
from procmirror.views import VIEWS

TEXT = """
from procmirror.decoding.late import late
with late(globals()):
    import errno
    from late_example.inner import part as renamed
    from late_example.inner.part import Record
    rows = renamed.decode, list[renamed.Record], dict[str, Record], Record, errno.EIO
"""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package that names its own module late."""
    package = tmp_path / "late_example" / "inner"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(TEXT)
    (package / "part.py").write_text("class Record: pass\ndef decode(raw): return raw + 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "_BELOW", ("late_example.inner",))
    yield import_module("late_example.inner")
    for name in [name for name in sys.modules if name.startswith("late_example")]:
        del sys.modules[name]


def test_what_is_named_late_is_imported_by_its_first_use(example: Any) -> None:
    decode = example.rows[0]
    assert "late_example.inner.part" not in sys.modules
    assert decode(1) == 2
    assert sys.modules["late_example.inner.part"] is example.part


def test_a_type_with_a_late_name_in_it_is_found(example: Any) -> None:
    found(example.rows[3])
    record: Any = example.part.Record
    array, mapping, alone, other = map(found, example.rows[1:])
    assert array == GenericAlias(list, (record,))
    assert mapping == GenericAlias(dict, (str, record))
    assert alone is record and other == errno.EIO


def test_no_late_name_is_left_where_a_module_will_be(example: ModuleType) -> None:
    assert not [name for name, value in vars(example).items() if isinstance(value, Late)]
    namespace = {"Record": Late("late_example.inner.part", "Record")}
    imports = builtins.__import__
    with pytest.raises(KeyError), late(namespace):
        raise KeyError
    assert not namespace and builtins.__import__ is imports


def test_every_late_name_of_the_tables_is_there() -> None:
    for view in VIEWS:
        view.load()
        assert not isinstance(view.record, Late), view.name


def test_what_the_daemon_decodes_itself_is_not_late() -> None:
    """A thread that acts as a requester may be unable to read the files of a package."""
    prompt = {
        name: place.prompt | ({b"stat", b"cmdline", b"environ"} if name == "PID" else set())
        for name, place in PLACES.items()
    }
    here = [
        view
        for view in VIEWS
        for name, names in prompt.items()
        if view.place in view_places(name) and view.entry.encode() in names and not view.join
    ]
    assert len(here) > 20
    assert not [view.name for view in here if view.is_late]
