"""/proc/crypto: the algorithms of the kernel's crypto API (proc_crypto(5), crypto/proc.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import blocks, known, pairs
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc

BOOLEANS = ("internal", "fips", "async")
RENAMED = {"asynchronous": "async", "min_keysize": "min keysize", "max_keysize": "max keysize"}


class Algorithm(Record, frozen=True, rename=RENAMED):
    """One implementation of an algorithm; which of the later fields there are depends on its type."""

    name: Annotated[str, doc("The algorithm")]
    driver: Annotated[str, doc("This implementation of it")]
    module: Annotated[str, doc("The module it is in, or kernel")]
    priority: Annotated[int, doc("The highest of one name is taken")]
    refcnt: Annotated[int, doc("How many use it")]
    selftest: Annotated[str, doc("passed, or unknown as long as it was not tested")]
    type: Annotated[str, doc("cipher, skcipher, shash, aead, rng, larval, …")]
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
    return [known(Algorithm, dict(_values(block))) for block in blocks(raw)]


def _values(block: bytes) -> list[tuple[str, str | bool]]:
    found = [(name, decoded(value)) for name, value in pairs(block.strip(b"\n"))]
    return [(name, value == "yes" if name in BOOLEANS else value) for name, value in found]
