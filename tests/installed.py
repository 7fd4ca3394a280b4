"""procmirror as it is installed from a package.

Away from the checkout, with nothing but what the package brings.
"""

from __future__ import annotations

import email
import json
import os
import sys
import tempfile
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.command import answer
from tests.programs import Ran, ran, running
from tests.test_documents import links

# Nothing of the checkout may be found by its being the current folder or in Python's path.
ELSEWHERE = ("env", "--chdir=/", "--unset=PYTHONPATH", "--unset=PYTHONHOME")
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def done(*command: object, deadline: float = 120) -> str:
    """What a command writes that has to succeed, run elsewhere."""
    answered = ran(*ELSEWHERE, *command, deadline=deadline)
    assert answered.code == 0, f"{command}\n{answered.out}{answered.err}"
    return answered.out


# What documents name for who has the source.
_OF_THE_SOURCE = {"tests", "completions", ".ci", "procmirror"}


def dead_links(texts: dict[str, str], held: set[str]) -> set[str]:
    """The paths that installed documents name and that are not installed; all below the prefix."""
    dead = set()
    for name, text in texts.items():
        for path, _ in links(text):
            target = os.path.normpath(os.path.join(os.path.dirname(name), path))
            if path and not any(one == target or one.startswith(f"{target}/") for one in held):
                dead.add(os.path.relpath(target, "share/doc/procmirror"))
    return {one for one in dead if one.partition("/")[0] not in _OF_THE_SOURCE}


def requirements(package: Path | Distribution, extra: str = "") -> list[Requirement]:
    """What a wheel or an installed package declares to need to run, with one of its extras."""
    if isinstance(package, Path):
        with zipfile.ZipFile(package) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            lines = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])
    else:
        lines = package.requires or []
    every = map(Requirement, lines)
    return [one for one in every if not one.marker or one.marker.evaluate({"extra": extra})]


def needed(wheel: Path, extra: str) -> dict[str, Distribution]:
    """What a wheel needs and what that needs in turn, by normalised name.

    As the tests' own environment has it; with one of the wheel's extras.
    """
    found: dict[str, Distribution] = {}
    waiting = requirements(wheel, extra)
    for one in waiting:
        name = canonicalize_name(one.name)
        if name not in found:
            found[name] = distribution(name)
            waiting += requirements(found[name])
    return found


def clean_environment(folder: Path, wheel: Path, extra: str) -> Path:
    """A virtual environment into which pip has installed a wheel with one of its extras; its `bin`.

    What the wheel declares to need is linked from the tests' environment, where pip put the same
    files; nothing else is there.
    """
    done(sys.executable, "-m", "venv", "--without-pip", folder)
    (packages,) = folder.glob("lib/python3*/site-packages")
    for package in needed(wheel, extra).values():
        for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            (packages / top).symlink_to(Path(str(package.locate_file(top))))
    done(*PIP, "--python", folder / "bin/python", "install", "--no-index", "--no-deps", wheel)
    done(*PIP, "--python", folder / "bin/python", "check")
    return folder / "bin"


def answers_as_here(command: Path | str) -> None:
    """An installed command says of itself and of the views what the checkout's says, and shows them."""
    for word in ("--version", "--list-views"):
        assert done(command, word).encode() == answer(word)
    assert json.loads(done(command, "--schema", "PID/stack.json"))["title"] == "PID/stack"
    assert json.loads(done(command, "--print", "self/status.json"))["Name"] == "procmirror"


def mounts(user: int, *command: object) -> None:
    """An installed command mounts a mirror that root and a user read, each what is his.

    `{}` stands for the place.
    """
    with tempfile.TemporaryDirectory(prefix="procmirror-installed-") as folder:
        place = Path(folder) / "proc"
        place.mkdir()
        Path(folder).chmod(0o755)
        done(*(place if word == "{}" else word for word in command))
        try:
            his = ran("env", "HELLO=wes", "cat", place / "self/environ.txt", user=user)
            assert his.code == 0 and "HELLO=wes" in his.out.splitlines()
            with running("sleep", "600", env={"KEY": "root's", "PATH": os.environ["PATH"]}) as pid:
                views = [place / str(pid) / name for name in ("environ.txt", "syscall.txt")]
                assert ran("cat", *views, user=user).code == 1
                # For the second the table of calls and the names of their arguments are read.
                shown = done("cat", *views)
            assert "KEY=root's" in shown.splitlines() and "nanosleep(" in shown
        finally:
            assert ran("umount", place) == Ran(0, "", "")
