"""What FUSE asks of /proc, as values: the daemon and a worker run the same objects.

Each operation has only the fields that it needs. The process that runs it already acts as the
requester.
"""

from __future__ import annotations

from procmirror.workers.directory_operations import ListEntries, ListNames, OpenDir, ReadNames
from procmirror.workers.entry_operations import (
    CheckAccess,
    GetAttributes,
    LeadsElsewhere,
    MountsAlong,
    MountsOf,
    ReadLink,
    ReadLinks,
    ReadObjectLink,
    SetAttributes,
)
from procmirror.workers.file_operations import Open, Read, ReadInOrder, ReadWhole, Write
from procmirror.workers.view_operations import Answer, CheckLink, DecodeFile, MakeTable, MakeView

AnyOperation = (
    GetAttributes
    | ReadLink
    | ReadLinks
    | ReadObjectLink
    | LeadsElsewhere
    | MountsAlong
    | MountsOf
    | CheckAccess
    | ListEntries
    | ListNames
    | OpenDir
    | ReadNames
    | Open
    | Read
    | ReadInOrder
    | ReadWhole
    | Write
    | SetAttributes
    | DecodeFile
    | MakeView
    | MakeTable
    | CheckLink
    | Answer
)
