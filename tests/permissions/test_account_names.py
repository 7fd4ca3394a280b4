"""Names of accounts are told to those only whose own files have them.

The oracle is id(1), which reads those files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mounting import Mount
from tests.programs import ran, running

# The account `daemon` of every machine.
USER = 1
_ASK = """
import json, os, pwd, sys
mirror, pid = sys.argv[1:]
status = json.load(open(f"{mirror}/{pid}/status.json"))
try:
    named = pwd.getpwuid(1).pw_name
except KeyError:
    named = None
print(json.dumps([named, status["Uid"]["real_name"], status["Gid"]["real_name"], os.listdir(f"{mirror}/by-user")]))
"""


@pytest.fixture(scope="module")
def shown() -> Iterator[int]:
    """A process of the account."""
    with running("sleep", "600", user=USER) as pid:
        yield pid


def asked(mirror: Mount, shown: int, *within: str) -> Any:
    """What a requester that is started `within` something is told, and its own id(1) says."""
    said = ran(*within, sys.executable, "-c", _ASK, mirror.path, shown)
    assert said.code == 0, said.err
    return json.loads(said.out)


def in_namespace(script: str) -> tuple[str, ...]:
    return ("unshare", "-m", "--propagation", "private", "sh", "-ec", f'{script}; exec "$@"', "sh")


def test_who_has_the_files_of_the_daemon_is_told(mirror: Mount, shown: int) -> None:
    for within in ((), in_namespace("true"), in_namespace("mount --bind /etc /etc")):
        named, user, group, listed = asked(mirror, shown, *within)
        assert named == user == group == "daemon"
        assert "daemon" in listed


@pytest.mark.parametrize("file", ["passwd", "group"])
def test_who_has_another_file_is_told_numbers(
    mirror: Mount, shown: int, file: str, tmp_path: Path
) -> None:
    own = tmp_path / file
    own.write_text("other:x:1:1::/:/bin/sh\n", encoding="ascii")
    said = asked(mirror, shown, *in_namespace(f"mount --bind {own} /etc/{file}"))
    assert said[0] == ("other" if file == "passwd" else "daemon")
    assert said[1:3] == [None, None]
    assert str(USER) in said[3] and "daemon" not in said[3]


def test_another_root_directory_has_files_of_its_own(
    mirror: Mount, shown: int, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    for name in ("etc", "m"):
        (tmp_path / name).mkdir()
    shutil.copy("/bin/busybox", tmp_path / "busybox")
    subprocess.run(["mount", "--bind", mirror.path, tmp_path / "m"], check=True)
    try:
        asking = ("/busybox", "grep", "real_name", f"/m/{shown}/status.json")
        said = ran("chroot", tmp_path, *asking)
        assert said.out.count("null") == 2 and "daemon" not in said.out
        (tmp_path / "etc").rmdir()
        (tmp_path / "etc").symlink_to("/m/self/root/etc")
        assert "daemon" not in ran("chroot", tmp_path, *asking).out
    finally:
        subprocess.run(["umount", tmp_path / "m"], check=True)
