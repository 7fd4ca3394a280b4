"""What trio and pyfuse3 load and this program never uses is not loaded, and nothing else is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Of these no daemon has a use.
UNUSED = [
    "ssl",
    "_ssl",
    "asyncio",
    "email",
    "http",
    "idna",
    "zipfile",
    "pathlib",
    "pickle",
    "subprocess",
    "tempfile",
    "shutil",
    "difflib",
    "_hashlib",
    "ctypes.util",
    "importlib.metadata",
    "importlib.resources",
    "attr.validators",
    "sortedcontainers.sortedset",
    "trio._ssl",
    "trio._channel",
    "trio._dtls",
    "trio._path",
    "trio._threads",
    "trio._subprocess",
]


def said(program: str, *folders: Path) -> str:
    """What a new interpreter prints that finds modules in `folders` first."""
    beside = f"import sys; sys.path[:0] = {[str(folder) for folder in folders]!r}\n"
    return subprocess.check_output([sys.executable, "-c", beside + program], text=True).strip()


def test_the_daemon_loads_nothing_that_it_never_uses() -> None:
    loaded = said(
        "from procmirror.cli.mounting import _daemon\n_daemon()\nprint(*sorted(sys.modules))"
    ).split()
    assert {"trio", "pyfuse3", "procmirror.fuse.daemon"} <= set(loaded)
    assert not set(UNUSED) & set(loaded)


def test_the_daemon_loads_no_view_that_only_workers_make() -> None:
    loaded = said(
        "from procmirror.cli.mounting import _daemon\n_daemon()\nprint(*sorted(sys.modules))"
    ).split()
    assert "procmirror.views.pid.status_fast" in loaded
    late = ("procmirror.stack.unwind", "procmirror.views.net.sctp", "procmirror.views.sockets")
    assert not set(late) & set(loaded)
    decoding = [
        name for name in loaded if name.startswith(("procmirror.views", "procmirror.stack"))
    ]
    assert len(decoding) < 50, decoding


def test_what_was_spared_can_be_loaded_afterwards() -> None:
    program = """
from procmirror.cli.spared_imports import import_spared
import_spared("trio"), import_spared("pyfuse3")
import ctypes.util, idna, importlib.metadata, pickle, ssl, trio, trio._path, trio._ssl
print(ctypes.util.find_library.__module__, pickle.loads(pickle.dumps(1)), trio._path.Path("a"))
print(trio._ssl.SSLStream.__init__.__module__, importlib.metadata.version("trio") > "0")
print(idna.encode("a.b"), ssl.OP_ALL > 0)
"""
    assert said(program).split("\n") == ["ctypes.util 1 a", "trio._ssl True", "b'a.b' True"]


def test_what_was_loaded_before_stays() -> None:
    program = """
import importlib.metadata as before
from procmirror.cli.spared_imports import import_spared
import_spared("pyfuse3")
import importlib.metadata as after
print(before is after is sys.modules["importlib.metadata"], import_spared("pyfuse3").__version__ != "unknown")
"""
    assert said(program) == "True True"


@pytest.mark.parametrize(
    "odd", ["from trio._ssl import X\nX.none", "import idna\nassert idna.__file__"]
)
def test_a_version_that_does_not_bear_it_is_loaded_as_it_is(tmp_path: Path, odd: str) -> None:
    """Here one that looks into what others only name."""
    for name, text in {
        "trio/__init__.py": f"from trio import _ssl\n{odd}\nfrom trio._ssl import X",
        "trio/_ssl.py": "class X: none = 1",
        "idna.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    program = """
from procmirror.cli.spared_imports import import_spared
found = import_spared("trio")
print(found.X.none, found is sys.modules["trio"], sys.modules["trio._ssl"].__file__ is not None)
"""
    assert said(program, tmp_path) == "1 True True"


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "trio.py").write_text("import no_such_module")
    program = """
from procmirror.cli.spared_imports import import_spared
try:
    import_spared("trio")
except ImportError as missing:
    print(missing.name)
"""
    assert said(program, tmp_path) == "no_such_module"
