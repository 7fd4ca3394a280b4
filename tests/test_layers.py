"""The layers of the architecture, one row a folder.

Imports go downwards only, and some folders do no input or output.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT

PACKAGE = ROOT / "procmirror"
MODULES = sorted(PACKAGE.rglob("*.py"))
# From the top to the bottom: a folder imports from itself and from rows below its own.
LAYERS = [
    {"cli"},
    {"api", "fuse"},
    {"workers"},
    {"mirror"},
    {"procfs"},
    {"views"},
    {"stack", "identity"},
    {"decoding", "kernel"},
]
# Folders that do no input or output and know no clock.
PURE = {"mirror/index", "views", "stack", "decoding", "kernel"}
FORBIDDEN_IN_PURE = {
    *("os", "io", "time", "pathlib", "subprocess", "threading", "select", "ctypes", "shutil"),
    *("pyfuse3", "trio"),
}
# The only folders that import these.
RESERVED = {"ctypes": {"fuse", "identity"}, "pyfuse3": {"fuse"}, "trio": {"fuse", "workers"}}
MOST_FOLDERS, MOST_LAYERS = 12, 8
# Lines of functions: the median, nine of ten, and the longest.
LENGTHS = (5, 15, 35)


def functions(module: Path) -> Iterator[tuple[int, str]]:
    """The length of each function from `def` to its last line, without the docstring."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                first = node.body[0]
                lines -= (first.end_lineno or 0) - first.lineno + 1
            yield lines, f"{module.relative_to(PACKAGE)}:{node.lineno} {node.name}"


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0]


def rank(name: str) -> int:
    return next(at for at, layer in enumerate(LAYERS) if name in layer)


def is_pure(module: Path) -> bool:
    path = module.relative_to(PACKAGE).as_posix()
    return any(path.startswith(f"{name}/") for name in PURE)


def test_the_package_consists_of_the_folders_of_the_table() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert files == {"__init__.py", "__main__.py", "py.typed"}
    assert folders == set().union(*LAYERS)
    assert len(folders) <= MOST_FOLDERS and len(LAYERS) <= MOST_LAYERS


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES if module.parent != PACKAGE],
    ids=lambda module: module.relative_to(PACKAGE).as_posix(),
)
def test_imports_go_down_the_layers_only(module: Path) -> None:
    own = folder(module)
    for name in imported(module):
        first, _, rest = name.partition(".")
        if first == "procmirror" and rest != "__version__":
            other = rest.partition(".")[0]
            assert other == own or rank(other) > rank(own), f"{own} imports {other}"
        assert own in RESERVED.get(first, {own}), f"{own} imports {first}"
        if is_pure(module):
            assert first not in FORBIDDEN_IN_PURE, f"{own} is pure and imports {first}"
            if first == "socket":
                assert rest in {"inet_ntop", "AF_INET", "AF_INET6"}, (
                    "only the notation of addresses"
                )
    if is_pure(module):
        calls = [
            node
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
        ]
        opened = [
            call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "open"
        ]
        assert not opened, "a pure module opens a file"


def test_functions_are_short() -> None:
    found = sorted(function for module in MODULES for function in functions(module))
    lengths = [length for length, _ in found]
    median, most, longest = LENGTHS
    assert statistics.median(lengths) <= median
    beyond = [name for length, name in found if length > most]
    assert len(beyond) <= len(found) / 10, f"{len(beyond)} of {len(found)} have over {most} lines"
    assert lengths[-1] <= longest, [name for length, name in found if length > longest]


def test_every_module_is_used_by_another() -> None:
    """What nothing imports is left over, but for what is run by its name."""
    used = {name for module in MODULES for name in imported(module)}
    used |= {name.rpartition(".")[0] for name in used}
    names = {
        ".".join(module.relative_to(ROOT).with_suffix("").parts)
        for module in MODULES
        if module.name not in {"__init__.py", "__main__.py"}
    }
    assert names - used == {"procmirror.cli.manual"}
