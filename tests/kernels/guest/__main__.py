"""Run parts on this kernel and write what each finds: `python -m tests.kernels.guest FOLDER PART…`."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.kernels.findings import Findings
from tests.kernels.guest import confined, containers, copying, rights, stacks, views, waits

PARTS: dict[str, tuple[str, Callable[[Findings], None]]] = {
    "views": ("views", views.examined),
    "waits": ("programs", waits.examined),
    "copying": ("ways to copy", copying.examined),
    "stacks": ("frames", stacks.examined),
    "confined": ("answers", confined.examined),
    "containers": ("answers", containers.examined),
    "rights": ("answers", rights.examined),
}


def main() -> int:
    """Run each part; what ends one of them does not keep the others from running."""
    folder, *names = sys.argv[1:]
    failed = 0
    for name in names or list(PARTS):
        unit, examined = PARTS[name]
        findings = Findings(name, unit)
        start = time.monotonic()
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        try:
            examined(findings)
        except Exception as broken:  # noqa: BLE001  (whatever it is, the other parts run)
            traceback.print_exc()
            findings.fail(f"the part ended: {type(broken).__name__}: {str(broken)[:300]}")
        findings.seconds = round(time.monotonic() - start, 1)
        findings.write(Path(folder))
        failed += findings.failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
