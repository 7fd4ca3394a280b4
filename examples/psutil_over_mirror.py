"""psutil on the mirror instead of /proc.

`psutil_over_mirror.py [MOUNT]` prints the five largest processes.
"""

from __future__ import annotations

import sys

import psutil


def main() -> None:
    """Point psutil at the mount; everything else is psutil as it is."""
    psutil.PROCFS_PATH = sys.argv[1] if len(sys.argv) > 1 else "/mnt/proc"
    processes = psutil.process_iter(["pid", "name", "username", "memory_info"])
    known = [process for process in processes if process.info["memory_info"]]
    for process in sorted(known, key=lambda one: one.info["memory_info"].rss, reverse=True)[:5]:
        info = process.info
        memory = f"{info['memory_info'].rss / 2**20:8.1f} MiB"
        print(f"{info['pid']:>7}  {info['username'] or '?':<10}  {memory}  {info['name']}")


if __name__ == "__main__":
    main()
