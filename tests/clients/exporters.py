"""Prometheus exporters as examples/prometheus starts them, but for the place of the procfs."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.harness import DEADLINE, ROOT, Limit
from tests.programs import free_port

EXAMPLES = ROOT / "examples" / "prometheus"
# Metrics of the exporter's own process: they say how it ran, not what it read.
OWN = re.compile(r"^(go_|process_|promhttp_)")


def arguments(program: str, procfs: Path | str) -> list[str]:
    """ARGS of the example for /etc/default, with `procfs` for /mnt/proc, and process-exporter.yml from there too."""
    found = re.search(
        r'^ARGS="(.*)"$', (EXAMPLES / program).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found and "/mnt/proc" in found[1]
    return shlex.split(
        found[1].replace("/mnt/proc", str(procfs)).replace("/etc/prometheus", str(EXAMPLES))
    )


def scrape(program: str, procfs: Path | str) -> dict[str, str]:
    """Value by name and labels of all that the exporter finds in `procfs`."""
    address = f"127.0.0.1:{free_port()}"
    listen = (
        "--web.listen-address" if program == "prometheus-node-exporter" else "-web.listen-address"
    )
    command = [program, *arguments(program, procfs), f"{listen}={address}"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as exporter:
        try:
            limit = Limit(DEADLINE)
            while True:
                try:
                    with urllib.request.urlopen(
                        f"http://{address}/metrics", timeout=DEADLINE
                    ) as answer:
                        lines = answer.read().decode().splitlines()
                    break
                except urllib.error.URLError:
                    assert limit.left() > 0
                    time.sleep(0.05)
        finally:
            exporter.terminate()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs if not OWN.match(name)}
