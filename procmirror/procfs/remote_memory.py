"""The address ranges whose files others than this kernel serve, by the text of `maps`."""

from __future__ import annotations

import re
from functools import lru_cache

from procmirror.procfs.local_files import Mounts

# A line of maps with a file: first address, end, device, as in proc_pid_maps(5).
_FILE_MAPPING = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ (\S+) [1-9]\d* ", re.MULTILINE)
# Of how long a `maps` the ranges are kept for the next request.
_KEPT_MAPS = 1 << 17


def decimal(device: str) -> str:
    """A device in the decimal form of mountinfo, from the hexadecimal form of maps."""
    return ":".join(str(int(part, 16)) for part in device.split(":"))


def _ranges(maps: bytes) -> dict[str, list[tuple[int, int]]]:
    """The address ranges of files by the device of the file, in the decimal form of mountinfo."""
    found: dict[bytes, list[tuple[int, int]]] = {}
    for start, end, device in _FILE_MAPPING.findall(maps):
        found.setdefault(device, []).append((int(start, 16), int(end, 16)))
    return {decimal(device.decode()): ranges for device, ranges in found.items()}


_kept_ranges = lru_cache(8)(_ranges)


def remote_ranges(maps: bytes, mounts: Mounts) -> list[tuple[int, int]]:
    """The address ranges of a `maps` whose files are not on a local file system."""
    found = _kept_ranges(maps) if len(maps) < _KEPT_MAPS else _ranges(maps)
    return [
        one for device, ranges in found.items() if not mounts.is_local(device) for one in ranges
    ]
