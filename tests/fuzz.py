"""`make fuzz`: every decoder against bytes that a coverage-guided fuzzer chooses, for a minute.

The first two bytes of an input choose the view, the rest is its source; the captured files are the
first inputs. What must come out is what tests/test_views.py asks of any bytes: a record that
renders in every format, or DecodeError. Further arguments go to libFuzzer (`python -m tests.fuzz
-max_total_time=3600`, or the file of a crash to repeat it).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["procmirror"], enable_loader_override=False):
    from procmirror.views import VIEWS
    from tests.fixtures import FIXTURES, JSON
    from tests.test_views import harmless

DECODED = [view for view in VIEWS if view.decode]
_LIMITS = (
    "-max_total_time=60",
    "-max_len=16384",
    "-timeout=10",
    "-rss_limit_mb=2048",
    "-print_final_stats=1",
)


def one(data: bytes) -> None:
    """One input."""
    harmless(DECODED[int.from_bytes(data[:2], "little") % len(DECODED)], data[2:])


def _captured(folder: Path) -> None:
    for number, fixture in enumerate(FIXTURES):
        if fixture.view.decode and fixture.suffix in JSON:
            (folder / str(number)).write_bytes(
                DECODED.index(fixture.view).to_bytes(2, "little") + fixture.raw.read_bytes()
            )


def main() -> int:
    """Run libFuzzer in a child, which it ends itself; the exit status is ours."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        found, captured = Path(folder) / "found", Path(folder) / "captured"
        found.mkdir()
        captured.mkdir()
        _captured(captured)
        arguments = sys.argv[1:]
        repeated = any(Path(argument).is_file() for argument in arguments)
        child = os.fork()
        if child == 0:
            atheris.Setup(
                [
                    sys.argv[0],
                    *_LIMITS,
                    *arguments,
                    *([] if repeated else [str(found), str(captured)]),
                ],
                one,
            )
            atheris.Fuzz()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
