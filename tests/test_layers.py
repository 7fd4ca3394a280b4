"""The layers of the architecture: which module may import which, checked in the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "procmirror"
MODULES = sorted(PACKAGE.rglob("*.py"))
# Layer by layer, each may import those after it (and modules of its own name); pure ones do no I/O and know no clock.
LAYERS = [
    {"cli", "manual"},
    {"daemon", "options", "printing"},
    {"loop", "filesystem"},
    {"writing"},
    {"contents", "listings"},
    {"signposts"},
    {"dispatch"},
    {"inodes", "workers"},
    {"streams"},
    {"worker"},
    {"indexed"},
    {"mirror"},
    {"mapped"},
    {"sources"},
    {"proc", "machine", "budget", "patience"},
    {"credentials"},
    {"linux"},
    {"catalogue"},
    {"render", "index"},
    {"views"},
    {"stack"},
    {"view"},
    {"shapes", "text", "kernel"},
]
PURE = {"catalogue", "render", "index", "views", "stack", "view", "shapes", "text", "kernel"}
FORBIDDEN_IN_PURE = {"os", "io", "time", "pathlib", "subprocess", "threading", "select", "ctypes", "pyfuse3", "trio", "shutil"}


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rank(name: str) -> int:
    return next(at for at, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("module", [one for one in MODULES if part(one) not in {"__init__", "__main__"}], ids=str)
def test_imports_go_down_the_layers_only(module: Path) -> None:
    own = part(module)
    for name in imported(module):
        first, _, rest = name.partition(".")
        if first == "procmirror":
            other = rest.partition(".")[0]
            if other == "__version__":
                continue
            assert other == own or rank(other) > rank(own), f"{own} imports {other}"
        if own in PURE:
            assert first not in FORBIDDEN_IN_PURE, f"{own} is pure and imports {first}"
        if first == "ctypes":
            assert own == "linux"
        if first in {"pyfuse3", "trio"}:
            assert own in {"filesystem", "loop", "workers", "streams", "daemon"}
        if first == "socket" and own in PURE:
            assert rest in {"inet_ntop", "AF_INET", "AF_INET6"}, "only the notation of addresses"
    if own in PURE:
        calls = [node for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        assert not any(isinstance(call.func, ast.Name) and call.func.id == "open" for call in calls)
