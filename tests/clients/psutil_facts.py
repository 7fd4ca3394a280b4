"""All that psutil says with its procfs at a directory, as JSON.

`python -m tests.clients.psutil_facts DIRECTORY`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import psutil

PROCESS = [
    *(
        "cmdline",
        "cpu_affinity",
        "cpu_num",
        "cpu_times",
        "create_time",
        "cwd",
        "environ",
        "exe",
        "gids",
        "io_counters",
    ),
    *(
        "ionice",
        "memory_full_info",
        "memory_info",
        "memory_maps",
        "name",
        "net_connections",
        "nice",
        "num_ctx_switches",
    ),
    *(
        "num_fds",
        "num_threads",
        "open_files",
        "parents",
        "ppid",
        "status",
        "terminal",
        "threads",
        "uids",
        "username",
    ),
]
SYSTEM: dict[str, Callable[[], Any]] = {
    "boot_time": psutil.boot_time,
    "cpu_count": psutil.cpu_count,
    "cpu_cores": lambda: psutil.cpu_count(logical=False),
    "cpu_stats": psutil.cpu_stats,
    "cpu_times": lambda: psutil.cpu_times(percpu=True),
    "disk_io": lambda: psutil.disk_io_counters(perdisk=True),
    "disks": lambda: psutil.disk_partitions(all=True),
    "memory": psutil.virtual_memory,
    "swap": psutil.swap_memory,
    "net_io": lambda: psutil.net_io_counters(pernic=True),
    "pids": psutil.pids,
    "sockets": lambda: sorted(map(str, psutil.net_connections("all"))),
}


def answer(question: Callable[[], Any]) -> Any:
    """What comes of it, or the kind of its error."""
    try:
        return question()
    except (psutil.Error, OSError) as error:
        return type(error).__name__


def facts() -> dict[str, Any]:
    """The system's, and each process's by its number."""
    processes = {}
    for pid in psutil.pids():
        process = answer(lambda pid=pid: psutil.Process(pid))  # type: ignore[misc]
        processes[pid] = (
            process
            if isinstance(process, str)
            else {one: answer(getattr(process, one)) for one in PROCESS}
        )
    return {
        "system": {name: answer(question) for name, question in SYSTEM.items()},
        "processes": processes,
    }


def plain(value: Any) -> Any:
    """A process by its number: what else psutil says of it is asked of it itself."""
    return value.pid if isinstance(value, psutil.Process) else str(value)


if __name__ == "__main__":
    psutil.PROCFS_PATH = sys.argv[1]
    json.dump(facts(), sys.stdout, default=plain)
