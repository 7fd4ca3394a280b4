"""/proc/crypto: the algorithms of the kernel's crypto API (proc_crypto(5), crypto/proc.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from procmirror.decode.shapes import blocks, known, pairs
from procmirror.decode.text import decoded
from procmirror.decode.view import Machine, Record, doc

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
    internal: Annotated[bool | UnsetType, doc("For other algorithms only")] = UNSET
    fips: Annotated[bool | UnsetType, doc("Allowed in FIPS mode")] = UNSET
    asynchronous: Annotated[bool | UnsetType, doc("May finish later")] = UNSET
    blocksize: Annotated[int | UnsetType, doc("Size of a block", "bytes")] = UNSET
    min_keysize: Annotated[int | UnsetType, doc("Shortest key", "bytes")] = UNSET
    max_keysize: Annotated[int | UnsetType, doc("Longest key", "bytes")] = UNSET
    ivsize: Annotated[int | UnsetType, doc("Size of the initialization vector", "bytes")] = UNSET
    chunksize: Annotated[int | UnsetType, doc("What it works on at a time", "bytes")] = UNSET
    walksize: Annotated[int | UnsetType, doc("What it works on best", "bytes")] = UNSET
    statesize: Annotated[int | UnsetType, doc("Size of the state between calls", "bytes")] = UNSET
    digestsize: Annotated[int | UnsetType, doc("Size of the hash", "bytes")] = UNSET
    maxauthsize: Annotated[int | UnsetType, doc("Longest authentication tag", "bytes")] = UNSET
    seedsize: Annotated[int | UnsetType, doc("Size of the seed", "bytes")] = UNSET
    geniv: Annotated[str | UnsetType, doc("How it makes initialization vectors")] = UNSET
    extra: Annotated[dict[str, str] | UnsetType, doc("Lines that have no field here")] = UNSET


def decode(raw: bytes, _: Machine) -> list[Algorithm]:
    """The blocks in their order."""
    return [known(Algorithm, dict(_values(block))) for block in blocks(raw)]


def _values(block: bytes) -> list[tuple[str, str | bool]]:
    found = [(name, decoded(value)) for name, value in pairs(block.strip(b"\n"))]
    return [(name, value == "yes" if name in BOOLEANS else value) for name, value in found]
