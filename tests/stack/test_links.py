"""Which functions a call leads to, where unwind data and files contradict each other."""

from __future__ import annotations

import errno

import pytest

from procmirror.stack.links import Links
from procmirror.stack.process import Process
from tests.stack.crafted import TEXT, Crafted, cie, elf_of, fde

BASE = 0x400000
MAPS = b"400000-402000 r-xp 00000000 00:01 5 /x\n"


def links(file: bytes) -> Links:
    return Links(Process(Crafted(MAPS, b"", BASE, file)))


def file_of(length: int, size: int) -> bytes:
    """A file of `size` bytes with one function at TEXT that claims to be `length` long."""
    first = cie()
    entries = first + fde(len(first) + 4, TEXT, length, b"") + b"\0" * 4
    return elf_of(entries.ljust(size - len(elf_of(b"")), b"\0"))


def test_a_function_leads_nowhere_if_its_code_has_no_jump() -> None:
    assert links(file_of(64, TEXT + 64)).leads(BASE + TEXT, BASE) is False


@pytest.mark.parametrize("size", [TEXT - 64, TEXT + 63])
def test_a_function_longer_than_its_file_is_unknown(size: int) -> None:
    assert links(file_of(64, size)).leads(BASE + TEXT, BASE) is None


def test_a_file_that_cannot_be_read_any_more_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = links(file_of(64, TEXT + 65))
    image = found.process.image(BASE)
    assert image
    read = image.elf.file.pread

    def refused(size: int, offset: int) -> bytes:
        if offset >= TEXT:
            raise OSError(errno.EIO, "Input/output error")
        return read(size, offset)

    monkeypatch.setattr(image.elf.file, "pread", refused)
    assert found.leads(BASE + TEXT, BASE) is None
