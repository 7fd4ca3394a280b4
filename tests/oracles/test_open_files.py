"""Sizes, links, devices and kinds in fd.json against os.fstat of the same files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.mounting import Mount
from tests.programs import ran


def test_what_an_open_file_is_and_holds_is_what_fstat_says(mirror: Mount, tmp_path: Path) -> None:
    gone, sparse = tmp_path / "gone", tmp_path / "sparse"
    gone.write_bytes(b"x" * 300_000)
    sparse.write_bytes(b"")
    os.truncate(sparse, 5_000_000)
    with gone.open("rb") as one, sparse.open("rb") as two, Path("/dev/null").open("rb") as null:
        gone.unlink()
        directory, memory = os.open(tmp_path, os.O_RDONLY), os.memfd_create("kept")
        os.write(memory, b"y" * 5000)
        listed = mirror.path / str(os.getpid()) / "fd.json"
        found = {each["fd"]: each for each in json.loads(listed.read_text())}
        for number in (one.fileno(), two.fileno(), null.fileno(), directory, memory):
            told, real = found[number], os.fstat(number)
            assert told["links"] == real.st_nlink
            assert told["device"] == f"{os.major(real.st_dev)}:{os.minor(real.st_dev)}"
            if told["type"] != "char":
                assert (told["size"], told["allocated"]) == (real.st_size, real.st_blocks * 512)
        assert found[null.fileno()]["special"] == "1:3"
        assert [found[number]["type"] for number in (null.fileno(), directory, memory)] == [
            "char",
            "directory",
            "memfd",
        ]
        text = (mirror.path / str(os.getpid()) / "fd.txt").read_text()
        assert f"{gone} (deleted); holds " in text
        os.close(directory)
        os.close(memory)


def test_another_user_is_not_told_what_root_holds(mirror: Mount, wes: int) -> None:
    told = ran("cat", mirror.path / str(os.getpid()) / "fd.txt", user=wes)
    assert told.code == 1 and "Permission denied" in told.err
