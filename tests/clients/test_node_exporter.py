"""prometheus-node-exporter on the mirror: the same metrics as on /proc."""

from __future__ import annotations

import re
from pathlib import Path

from tests.clients import exporters
from tests.mounting import Mount

# Of this very scrape, and of what comes and goes with the tests themselves: mounts, and interfaces
# of network namespaces.
PASSING = re.compile(
    r'^(node_scrape_collector_duration_seconds|node_exporter_build_info)|procmirror|fuse|veth|mountpoint="/(tmp|run)'
)


def scrape(procfs: Path | str) -> dict[str, str]:
    found = exporters.scrape("prometheus-node-exporter", procfs)
    return {name: value for name, value in found.items() if not PASSING.search(name)}


def test_node_exporter_gives_the_same_metrics(mirror: Mount) -> None:
    before, through, after = scrape("/proc"), scrape(mirror.path), scrape("/proc")
    assert through.keys() >= before.keys() & after.keys()
    assert through.keys() <= before.keys() | after.keys()
    unmoved = {name for name, value in before.items() if after.get(name) == value}
    assert len(unmoved) > 200
    different = {
        name: (before[name], through[name]) for name in unmoved if through[name] != before[name]
    }
    assert len(different) <= len(unmoved) // 50, different
    assert {name for name in through if name.startswith("node_scrape_collector_success")} <= unmoved
    assert all(
        value == before[name]
        for name, value in through.items()
        if name.startswith("node_scrape_collector_success")
    )
