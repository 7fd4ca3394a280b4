"""prometheus-node-exporter on the mirror: the same metrics as on /proc."""

from __future__ import annotations

import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.mounting import Mount

# Metrics of the exporter's own process and of this very scrape: they say how it ran, not what it read.
OWN = re.compile(r"^(go_|process_|promhttp_|node_scrape_collector_duration_seconds|node_exporter_build_info)")
# Of what comes and goes with the tests themselves: mounts, and interfaces of network namespaces.
PASSING = re.compile(r'procmirror|fuse|veth|mountpoint="/(tmp|run)')


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def scrape(procfs: Path | str) -> dict[str, str]:
    """Value by name and labels of all that the exporter finds in `procfs`."""
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus-node-exporter", f"--path.procfs={procfs}", f"--web.listen-address={address}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as exporter:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
                        lines = answer.read().decode().splitlines()
                    break
                except urllib.error.URLError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
        finally:
            exporter.terminate()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs if not OWN.match(name) and not PASSING.search(name)}


def test_node_exporter_gives_the_same_metrics(mirror: Mount) -> None:
    before, through, after = scrape("/proc"), scrape(mirror.path), scrape("/proc")
    assert through.keys() >= before.keys() & after.keys()
    assert through.keys() <= before.keys() | after.keys()
    unmoved = {name for name, value in before.items() if after.get(name) == value}
    assert len(unmoved) > 200
    different = {name: (before[name], through[name]) for name in unmoved if through[name] != before[name]}
    assert len(different) <= len(unmoved) // 50, different
    assert {name for name in through if name.startswith("node_scrape_collector_success")} <= unmoved
    assert all(value == before[name] for name, value in through.items() if name.startswith("node_scrape_collector_success"))
