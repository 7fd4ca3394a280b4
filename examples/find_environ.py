"""Find the processes that have a variable in their environment.

`find_environ.py NAME[=VALUE] [MOUNT]`.

Shows what the caller may see; a process that has ended is left out.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path


def matching(mount: Path, name: str, value: str | None) -> list[tuple[int, str]]:
    """Pid and value of each process with the variable (of that value, if one is given)."""
    found: list[tuple[int, str]] = []
    for directory in mount.glob("[0-9]*"):
        with suppress(OSError):
            variables = json.loads((directory / "environ.json").read_bytes())
            found += [
                (int(directory.name), variable["value"])
                for variable in variables
                if variable["name"] == name and value in {None, variable["value"]}
            ]
    return sorted(found)


def main() -> int:
    """Print a line a process; 1 if there is none, 2 for wrong arguments."""
    if len(sys.argv) not in {2, 3}:
        print(__doc__, file=sys.stderr)
        return 2
    name, equals, value = sys.argv[1].partition("=")
    mount = Path(sys.argv[2] if len(sys.argv) > 2 else "/mnt/proc")
    found = matching(mount, name, value if equals else None)
    for pid, content in found:
        comm = (mount / str(pid) / "comm").read_text(errors="replace").strip()
        print(f"{pid:>7}  {comm:<15}  {name}={content!r}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
