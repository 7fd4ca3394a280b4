"""The library: the views as typed records, without a mount and without FUSE.

`import procmirror` offers the names of this package. Everything is read with the rights of the
calling thread.
"""

from __future__ import annotations

from procmirror.api.records import (
    Tree,
    decode,
    list_views,
    processes,
    read,
    record,
    schema,
)
from procmirror.decoding.view import DecodeError, Machine, Record

__all__ = [
    "DecodeError",
    "Machine",
    "Record",
    "Tree",
    "decode",
    "list_views",
    "processes",
    "read",
    "record",
    "schema",
]
