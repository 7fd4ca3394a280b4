"""Run parts on this kernel and write what each finds: `python -m tests.kernels.guest FOLDER PART…`."""

from __future__ import annotations

import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from tests.kernels.findings import Findings

# By part the unit of what it counts. Each is a module with a function `examined`, loaded when it
# runs: some need what not every machine has.
PARTS = {
    "views": "views",
    "waits": "programs",
    "copying": "ways to copy",
    "stacks": "frames",
    "confined": "answers",
    "containers": "answers",
    "rights": "answers",
    "prompt": "files",
    "modules": "questions",
    "selinux": "answers",
    "capture": "files",
}


def main() -> int:
    """Run each part; what ends one of them does not keep the others from running."""
    folder, *names = sys.argv[1:]
    failed = 0
    for name in names or list(PARTS):
        findings = Findings(name, PARTS[name])
        start = time.monotonic()
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        try:
            import_module(f"tests.kernels.guest.{name}").examined(findings)
        except Exception as broken:  # noqa: BLE001  (whatever it is, the other parts run)
            traceback.print_exc()
            findings.fail(f"the part ended: {type(broken).__name__}: {str(broken)[:300]}")
        findings.seconds = round(time.monotonic() - start, 1)
        findings.write(Path(folder))
        failed += findings.failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
