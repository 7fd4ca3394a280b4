r"""The library: the views as typed records, without a mount and without FUSE.

    >>> from procmirror import api
    >>> api.decode("PID/comm", b"nc\n")
    Comm(comm='nc')

Everything is read with the rights of the calling thread. docs/API.md describes it with examples.
"""

from __future__ import annotations

from procmirror.api.records import Tree, decode, list_views, processes, read, schema
from procmirror.decode.view import DecodeError, Machine, Record

__all__ = [
    "DecodeError",
    "Machine",
    "Record",
    "Tree",
    "decode",
    "list_views",
    "processes",
    "read",
    "schema",
]
