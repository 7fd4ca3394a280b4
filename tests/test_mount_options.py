"""What the mount options change in the mirror."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from procmirror.views import VIEWS
from tests.mounting import mounted

_CONFINED = """
from procmirror.cli import main
from procmirror.identity import confinement
confinement.label_of = lambda proc, task: b"daemon" if task == b"self" else b"confined"
raise SystemExit(main.main())
"""


def test_hidden_names_are_neither_found_nor_listed() -> None:
    with mounted("-o", "hide=kmsg:PID/mem:environ:*.ndjson:net/t*:sys/kernel/*,rw,dev") as mount:
        mine = mount.path / "self"
        thread = mine / "task" / str(os.getpid())
        hidden = [
            mount.path / "kmsg",
            mount.path / "processes.ndjson",
            mount.path / "sys/kernel/hostname",
        ]
        hidden += [
            mine / "mem",
            thread / "mem",
            mine / "net/tcp",
            mine / "net/tcp.json",
            mount.path / "net/tcp6.txt",
        ]
        hidden += [
            place / name
            for place in (mine, thread)
            for name in ("environ", "environ.txt", "environ.json")
        ]
        for path in hidden:
            with pytest.raises(FileNotFoundError):
                path.lstat()
            assert path.name not in os.listdir(path.parent)
        for kept in (
            "kpagecount",
            "self/comm.json",
            "net/unix.json",
            "sys/kernel",
            "processes.txt",
            "self/process.json",
        ):
            (mount.path / kept).lstat()
        assert set(os.listdir(thread)) >= {"status", "status.json", "comm"}


@pytest.mark.parametrize(
    ("chosen", "suffixes"),
    [("txt", {"txt", "folded"}), ("json", {"json", "ndjson"}), ("none", set())],
)
def test_views_can_be_left_out(chosen: str, suffixes: set[str]) -> None:
    entries = {view.entry.removesuffix(".gz") for view in VIEWS}
    with mounted("-o", f"views={chosen}") as mount:
        for place in (
            mount.path,
            mount.path / "self",
            mount.path / "self/task" / str(os.getpid()),
            mount.path / "net",
        ):
            parts = [name.rpartition(".") for name in os.listdir(place)]
            shown = {suffix for stem, _, suffix in parts if stem in entries and suffix != "gz"}
            assert shown | (suffixes & {"ndjson", "folded"}) == suffixes
        for suffix in {"txt", "json", "ndjson"} - suffixes:
            assert not (mount.path / f"processes.{suffix}").exists()
        assert (mount.path / "self/stat").read_bytes()


def test_who_is_confined_is_refused_unless_that_is_to_be_ignored() -> None:
    program, before = ("-c", _CONFINED), Path("/proc/self/coredump_filter").read_bytes()
    with mounted("-o", "write", program=program, quiet=False) as mount:
        # A name that is refused would be dropped, with what others have mounted there.
        for name in ("environ", "environ.json"):
            with pytest.raises(OSError, match="Cannot allocate memory"):
                (mount.path / "self" / name).read_bytes()
        for name in ("kmsg", "processes.ndjson", "processes.txt", "sockets.json", "sockets.txt"):
            with pytest.raises(PermissionError):
                (mount.path / name).open("rb")
        assert (mount.path / "uptime.json").read_bytes()
        with pytest.raises(PermissionError):
            os.listdir(mount.path / "by-name/python")
        with pytest.raises(OSError, match="Cannot allocate memory"):
            (mount.path / f"by-user/root/{os.getpid()}").lstat()
        with pytest.raises(OSError, match="Cannot allocate memory"):
            (mount.path / "self/coredump_filter").write_bytes(before)
        assert Path("/proc/self/coredump_filter").read_bytes() == before
    with mounted("-o", "write,lsm=ignore", program=program) as mount:
        (mount.path / "self/coredump_filter").write_bytes(b"0x73")
        assert Path("/proc/self/coredump_filter").read_bytes() == b"00000073\n"
        (mount.path / "self/coredump_filter").write_bytes(b"0x" + before)
        assert Path("/proc/self/coredump_filter").read_bytes() == before
        assert (mount.path / "self/environ").read_bytes() == Path("/proc/self/environ").read_bytes()
        assert os.readlink(mount.path / "self/exe") == os.path.realpath(sys.executable)
