"""The picture of the source in docs/DESIGN.md, made from the tree and the docstrings in it.

`python -m tests.house` renews it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.harness import ROOT

PACKAGE = ROOT / "procmirror"
DESIGN = ROOT / "docs" / "DESIGN.md"
WIDTH = 100
# The modules below these are not listed one by one: docs/VIEWS.md has a row for each.
LISTED_ELSEWHERE = {PACKAGE / "views"}
_PICTURE = re.compile(r"(?<=\n```\n)procmirror/\n(?:.*\n)*?(?=```\n)")


def subject(module: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].removesuffix(".")


def _lines(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    indent = "  " * depth
    yield (
        f"{'  ' * (depth - 1)}{folder.name}/",
        subject(folder / "__init__.py") if depth > 1 else "",
    )
    if folder in LISTED_ELSEWHERE:
        return
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if (path / "__init__.py").exists():
            yield from _lines(path, depth + 1)
        elif path.suffix == ".py" and path.name != "__init__.py":
            yield f"{indent}{path.name}", subject(path)


def picture() -> str:
    """The tree of the package: a line for each folder and module with what it is about."""
    rows = list(_lines(PACKAGE, 1))
    column = max(len(name) for name, _ in rows) + 2
    return "".join(f"{_cut(f'{name:{column}}{about}')}\n" for name, about in rows)


def _cut(line: str) -> str:
    line = line.rstrip()
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1].rpartition(' ')[0]} …"


def shown() -> str:
    """The picture that docs/DESIGN.md has."""
    found = _PICTURE.search(DESIGN.read_text(encoding="utf-8"))
    assert found, "docs/DESIGN.md has no picture of procmirror/"
    return found[0]


def renew() -> None:
    """Replace the picture in docs/DESIGN.md."""
    text = DESIGN.read_text(encoding="utf-8")
    DESIGN.write_text(text.replace(shown(), picture()), encoding="utf-8")


if __name__ == "__main__":
    renew()
