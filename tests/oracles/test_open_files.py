"""What fd.json says of files against os.fstat of the same files, and against lsof(8)."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.harness import until
from tests.mounting import Mount
from tests.programs import ran, running


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


def test_a_file_in_huge_pages_is_in_memory_and_no_server_is_suspected(mirror: Mount) -> None:
    """Its mount is the kernel's own, as that of other files in memory: no mountinfo has it."""
    memory = os.memfd_create("kept", os.MFD_HUGETLB)
    try:
        os.truncate(memory, 1 << 30)
        listed = json.loads((mirror.path / str(os.getpid()) / "fd.json").read_text())
    finally:
        os.close(memory)
    (told,) = (one for one in listed if one["fd"] == memory)
    assert (told["type"], told["size"], told["incomplete"]) == ("memfd", 1 << 30, [])


def test_another_user_is_not_told_what_root_holds(mirror: Mount, wes: int) -> None:
    told = ran("cat", mirror.path / str(os.getpid()) / "fd.txt", user=wes)
    assert told.code == 1 and "Permission denied" in told.err


USES = {"cwd": "cwd", "rtd": "root", "txt": "exe", "mem": "map", "DEL": "map"}


def without_descriptor(mirror: Mount, pid: int, user: int | None) -> list[dict[str, Any]]:
    told = ran("cat", mirror.path / str(pid) / "fd.json", user=user)
    assert told.code == 0, told.err
    return [one for one in json.loads(told.out) if one["use"] != "fd"]


def listed_by_lsof(pid: int) -> set[tuple[str, str, int, int]]:
    """Use, name, size and inode of what lsof(8) lists without a number."""
    found, row = set(), {"f": ""}
    for line in [*ran("lsof", "-nP", "-F", "fsin", "-p", pid).out.splitlines(), "f"]:
        if line[:1] == "f":
            if row["f"] in USES:
                found.add((USES[row["f"]], row["n"], int(row["s"]), int(row["i"])))
            row = {}
        row[line[:1]] = line[1:]
    return found


@pytest.mark.parametrize("by", ["root", "wes"])
def test_files_in_use_without_a_descriptor_are_those_of_lsof(
    mirror: Mount, wes: int, by: str
) -> None:
    with running("env", "-C", "/usr/lib", "sleep", "1000", user=wes, name="sleep") as pid:
        found = without_descriptor(mirror, pid, wes if by == "wes" else None)
        program = next(one["target"] for one in found if one["use"] == "exe")
        assert {
            (one["use"], one["target"], one["size"], one["inode"])
            for one in found
            if (one["use"], one["target"]) != ("map", program)
        } == listed_by_lsof(pid)
        for one in found:
            real = os.stat(one["target"])
            assert one["device"] == f"{os.major(real.st_dev)}:{os.minor(real.st_dev)}"
            assert (one["allocated"], one["links"]) == (real.st_blocks * 512, real.st_nlink)
        assert [one["incomplete"] for one in found if one["incomplete"]] == []


# mmap.mmap of Python keeps a descriptor of the file.
MAPS = """
import ctypes, mmap, os, sys, time
call = ctypes.CDLL(None).mmap
call.restype, call.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
def mapped(file, flags=mmap.MAP_PRIVATE, size=4096, offset=0):
    prot = mmap.PROT_READ | (mmap.PROT_WRITE if flags == mmap.MAP_SHARED else 0)
    assert call(None, size, prot, flags, file.fileno(), offset) != ctypes.c_void_p(-1).value
"""
MAPS_THREE = (
    MAPS
    + """
os.chdir(sys.argv[1])
for name, size in ("gone", 5000), ("replaced", 6000), ("shared", 7000):
    with open(name, "w+b") as file:
        file.write(b"x" * size)
        file.flush()
        mapped(file, mmap.MAP_SHARED if name == "shared" else mmap.MAP_PRIVATE, size)
os.unlink("gone")
with open("new", "wb") as file:
    file.write(b"another")
os.rename("new", "replaced")
time.sleep(1000)
"""
)


def test_a_mapped_file_without_its_name_has_a_size_for_root_and_a_reason_for_others(
    mirror: Mount, wes: int
) -> None:
    with TemporaryDirectory() as place, ExitStack() as stack:
        Path(place).chmod(0o777)
        program = running(sys.executable, "-c", MAPS_THREE, place, user=wes)
        pid = stack.enter_context(program)
        until(
            lambda: "replaced (deleted)" in Path(f"/proc/{pid}/maps").read_text(),
            "nothing is mapped",
        )
        told = {
            by: {
                Path(one["target"]).name: one
                for one in without_descriptor(mirror, pid, by)
                if one["target"].startswith(place) and one["use"] == "map"
            }
            for by in (None, wes)
        }
    sizes = {by: {name: one["size"] for name, one in found.items()} for by, found in told.items()}
    assert sizes[None] == {"gone": 5000, "replaced": 6000, "shared": 7000}
    assert sizes[wes] == {"gone": None, "replaced": None, "shared": 7000}
    for found in told.values():
        reached = {name: one["reached"] for name, one in found.items()}
        assert reached == {"gone": 8192, "replaced": 8192, "shared": None}
    lost = [{"part": "fstat", "reason": "ESTALE"}]
    assert (told[wes]["gone"]["incomplete"], told[wes]["replaced"]["incomplete"]) == (lost, lost)
    assert (told[wes]["gone"]["deleted"], told[wes]["replaced"]["deleted"]) == (True, True)
    assert {name: one["access"] for name, one in told[None].items()} == {
        "gone": "r--p",
        "replaced": "r--p",
        "shared": "rw-s",
    }


MAPS_WHAT_IS_OPEN = (
    MAPS
    + """
os.chdir(sys.argv[1])
kept = open("open", "w+b")
os.truncate("open", 20_000_000)
mapped(kept, size=20_000_000)
os.unlink("open")
with open("closed", "w+b") as file:
    os.truncate("closed", 30_000)
    mapped(file), mapped(file, offset=16384)
os.unlink("closed")
time.sleep(1000)
"""
)


def test_a_deleted_file_that_is_mapped_and_open_has_its_size_for_its_user_too(
    mirror: Mount, wes: int
) -> None:
    with TemporaryDirectory() as place, ExitStack() as stack:
        Path(place).chmod(0o777)
        program = Path(place, "program")
        program.write_bytes(Path(sys.executable).resolve().read_bytes())
        program.chmod(0o755)
        pid = stack.enter_context(running(program, "-c", MAPS_WHAT_IS_OPEN, place, user=wes))
        until(
            lambda: "closed (deleted)" in Path(f"/proc/{pid}/maps").read_text(),
            "nothing is mapped",
        )
        program.unlink()
        real = os.stat(f"/proc/{pid}/exe")
        told = {
            Path(one["target"]).name: one
            for one in without_descriptor(mirror, pid, wes)
            if one["use"] == "map"
        }
        text = ran("cat", mirror.path / str(pid) / "fd.txt", user=wes).out
    assert (told["program"]["size"], told["program"]["links"]) == (real.st_size, 0)
    assert (told["open"]["size"], told["open"]["incomplete"]) == (20_000_000, [])
    assert (told["closed"]["size"], told["closed"]["reached"]) == (None, 16384 + 4096)
    assert "closed (deleted); incomplete: fstat: " in text
    assert "; mapped as far as 20.0KiB\n" in text


def test_a_directory_that_another_process_serves_is_named_and_not_asked(mirror: Mount) -> None:
    with running("env", "-C", mirror.path / "bus", "sleep", "1000", name="sleep") as pid:
        cwd, *_ = without_descriptor(mirror, pid, None)
        text = ran("cat", mirror.path / str(pid) / "fd.txt").out
    assert "; incomplete: fstat: another process or machine may serve the file" in text
    assert (cwd["use"], cwd["target"], cwd["size"]) == ("cwd", str(mirror.path / "bus"), None)
    assert cwd["incomplete"] == [{"part": "fstat", "reason": "EREMOTE"}]
