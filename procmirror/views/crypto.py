"""/proc/crypto: the algorithms of the kernel's crypto API (proc_crypto(5), crypto/proc.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import pairs, record_with_extra
from procmirror.decoding.table import paragraphs, pieces
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

BOOLEANS = ("internal", "fips", "async")
RENAMED = {"asynchronous": "async", "min_keysize": "min keysize", "max_keysize": "max keysize"}


class Algorithm(Record, frozen=True, rename=RENAMED):
    """One implementation of an algorithm; the later fields depend on its type."""

    name: Annotated[str, doc("The algorithm")]
    driver: Annotated[str | None, doc("This implementation of it")] = None
    module: Annotated[str | None, doc("The module it is in, or kernel")] = None
    priority: Annotated[int | None, doc("The highest of one name is taken")] = None
    refcnt: Annotated[int | None, doc("How many use it")] = None
    selftest: Annotated[str | None, doc("passed, or unknown as long as it was not tested")] = None
    type: Annotated[str | None, doc("cipher, skcipher, shash, aead, rng, larval, …")] = None
    internal: Annotated[bool | None, doc("For other algorithms only")] = None
    fips: Annotated[bool | None, doc("Allowed in FIPS mode")] = None
    asynchronous: Annotated[bool | None, doc("May finish later")] = None
    blocksize: Annotated[int | None, doc("Size of a block", "bytes")] = None
    min_keysize: Annotated[int | None, doc("Shortest key", "bytes")] = None
    max_keysize: Annotated[int | None, doc("Longest key", "bytes")] = None
    ivsize: Annotated[int | None, doc("Size of the initialization vector", "bytes")] = None
    chunksize: Annotated[int | None, doc("What it works on at a time", "bytes")] = None
    walksize: Annotated[int | None, doc("What it works on best", "bytes")] = None
    statesize: Annotated[int | None, doc("Size of the state between calls", "bytes")] = None
    digestsize: Annotated[int | None, doc("Size of the hash", "bytes")] = None
    maxauthsize: Annotated[int | None, doc("Longest authentication tag", "bytes")] = None
    seedsize: Annotated[int | None, doc("Size of the seed", "bytes")] = None
    geniv: Annotated[str | None, doc("How it makes initialization vectors")] = None
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Algorithm]:
    """The blocks in their order."""
    return pieces(
        paragraphs(raw, lambda line: line.startswith(b"name "), apart=True),
        lambda block: record_with_extra(Algorithm, dict(_values(block))),
    )


def _values(block: bytes) -> list[tuple[str, str | bool]]:
    found = [(name, decoded(value)) for name, value in pairs(block.strip(b"\n"))]
    return [(name, value == "yes" if name in BOOLEANS else value) for name, value in found]
