"""/proc/slabinfo: the caches of kernel objects (proc_slabinfo(5), mm/slab_common.c).

Version 2.1 since Linux 2.6.10. SLUB, the only allocator since 6.8, has no tunables and shows 0.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.reasons import LineError, found
from procmirror.decoding.shapes import lines, scaled
from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Cache(Record, frozen=True):
    """One cache."""

    name: Annotated[str, doc("Its name; caches of the same size may share one")]
    active_objs: Annotated[int, doc("Objects in use")]
    num_objs: Annotated[int, doc("Objects")]
    objsize: Annotated[int, doc("Size of an object", "bytes")]
    objperslab: Annotated[int, doc("Objects in a slab")]
    slabsize: Annotated[int, doc("Size of a slab", "bytes")]
    limit: Annotated[int, doc("Objects that a CPU may keep (SLAB)")]
    batchcount: Annotated[int, doc("Objects that a CPU fetches at once (SLAB)")]
    sharedfactor: Annotated[int, doc("Size of the array shared by CPUs (SLAB)")]
    active_slabs: Annotated[int, doc("Slabs with objects in use")]
    num_slabs: Annotated[int, doc("Slabs")]
    sharedavail: Annotated[int, doc("Objects in the shared array (SLAB)")]
    size: Annotated[int, doc("All slabs of the cache together", "bytes")]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Cache]:
    """The lines after the version and the header."""
    version, header = [*lines(raw)[:2], b"", b""][:2]
    known = version.startswith(b"slabinfo - version: 2.")
    if not known and not header.startswith(b"#"):
        raise LineError(1, f"expected slabinfo of version 2, found {found(version)}")
    return rows(raw, lambda line: _cache(decoded(line), machine), 2 if known else 0)


def _cache(row: str, machine: Machine) -> Cache:
    name, tunables, slabdata, *others = row.split(" : ")
    name, active, objects, size, per_slab, pages = name.rsplit(None, 5)
    limit, batch, shared = map(int, tunables.removeprefix("tunables").split())
    active_slabs, slabs, available = map(int, slabdata.removeprefix("slabdata").split())
    slab = int(pages) * machine.page_size
    return Cache(
        name=name,
        active_objs=int(active),
        num_objs=int(objects),
        objsize=int(size),
        objperslab=int(per_slab),
        slabsize=slab,
        limit=limit,
        batchcount=batch,
        sharedfactor=shared,
        active_slabs=active_slabs,
        num_slabs=slabs,
        sharedavail=available,
        size=scaled(str(slabs), slab),
        extra={title: rest for title, _, rest in (other.partition(" ") for other in others)}
        or UNSET,
    )


text = listing(
    "NAME name",
    "SIZE size bytes",
    "ACTIVE active_objs number",
    "OBJECTS num_objs number",
    "EACH objsize bytes",
    "SLABS num_slabs number",
    most="size",
    none="no caches\n",
)
