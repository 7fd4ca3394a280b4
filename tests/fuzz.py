"""`make fuzz`: every decoder against bytes that a coverage-guided fuzzer chooses, for a minute.

The first two bytes of an input choose the view, or a source of a captured view of several sources;
the rest is its content. The captured files are the first inputs. What must come out is what
tests/test_views.py asks of any bytes: a record that renders in every format, or DecodeError; a view
of several sources has to answer whatever is in one of them. Further arguments go to libFuzzer (`python -m tests.fuzz
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
    from tests.test_parts import JOINED
    from tests.test_views import harmless
    from tests.views.test_odd_parts import sources, still_answers

DECODED = [view for view in VIEWS if view.decode]
NAMES = [view.name for view in DECODED]
SOURCES = [(fixture, path, raw) for fixture in JOINED for path, raw in sources(fixture).items()]
_LIMITS = (
    "-max_total_time=60",
    "-max_len=16384",
    "-timeout=10",
    "-rss_limit_mb=2048",
    "-print_final_stats=1",
)


def one(data: bytes) -> None:
    """One input."""
    chosen = int.from_bytes(data[:2], "little") % (len(DECODED) + len(SOURCES))
    if chosen < len(DECODED):
        harmless(DECODED[chosen], data[2:])
        return
    fixture, path, _ = SOURCES[chosen - len(DECODED)]
    still_answers(fixture, path, data[2:])


def _captured(folder: Path) -> None:
    for number, fixture in enumerate(FIXTURES):
        if fixture.view.decode and fixture.suffix in JSON:
            chosen = NAMES.index(fixture.row).to_bytes(2, "little")
            (folder / str(number)).write_bytes(chosen + fixture.raw.read_bytes())
    for number, (_, _, raw) in enumerate(SOURCES):
        chosen = (len(DECODED) + number).to_bytes(2, "little")
        (folder / f"source-{number}").write_bytes(chosen + raw)


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
