"""The library: what it promises in docs/API.md, against psutil, a captured tree and a mirror."""

from __future__ import annotations

import doctest
import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import psutil
import pytest

import procmirror
from procmirror import api
from procmirror.api import records
from procmirror.decoding.json_content import json
from tests.fixtures import FIXTURES, MACHINES, Fixture
from tests.harness import ROOT
from tests.mounting import mounted

EXAMPLES = [ROOT / "docs" / "API.md"]
CAPTURED = [
    fixture
    for fixture in FIXTURES
    if fixture.view.decode and fixture.suffix == "json" and fixture.folder.parent.name == "bookworm"
]


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.name)
def test_every_example_of_the_page_is_true(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    failures, tried = doctest.testfile(str(page), module_relative=False, report=True)
    assert (failures, tried > 10) == (0, True)


def test_the_example_of_the_package_is_true() -> None:
    assert doctest.testmod(procmirror).failed == 0


def test_every_public_name_is_there_and_documented() -> None:
    page = EXAMPLES[0].read_text(encoding="utf-8")
    for name in set(procmirror.__all__) - {"__version__"}:
        assert getattr(procmirror, name).__doc__
        assert getattr(procmirror, name) is getattr(api, name)
        assert name in page


def test_the_package_itself_loads_nothing_before_a_name_is_used() -> None:
    program = (
        "import sys, procmirror; "
        "assert not [name for name in sys.modules if name.startswith('procmirror.')]; "
        "assert {*procmirror.__all__} <= {*dir(procmirror)}; "
        "procmirror.list_views(); assert 'procmirror.api' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = procmirror.nothing


def test_the_library_works_without_fuse() -> None:
    program = (
        "import sys; sys.modules |= dict.fromkeys(('pyfuse3', 'trio')); import procmirror; "
        "print(procmirror.read('self/status').Pid)"
    )
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)


@pytest.mark.parametrize("fixture", CAPTURED, ids=str)
def test_decode_is_what_the_view_shows(fixture: Fixture) -> None:
    record = procmirror.decode(fixture.view.name, fixture.raw.read_bytes(), machine=fixture.machine)
    assert json(record) == fixture.expected.read_bytes()


def test_reading_agrees_with_psutil() -> None:
    me = psutil.Process()
    status = procmirror.read(f"{me.pid}/status")
    assert (status.Name, status.PPid, status.Threads) == (me.name(), me.ppid(), me.num_threads())
    assert procmirror.read("meminfo").MemTotal == psutil.virtual_memory().total
    assert procmirror.read("self/cmdline.json") == me.cmdline()
    visible = {process.pid for process in procmirror.processes()}
    assert {os.getpid(), 1} <= visible


def test_a_captured_tree_is_read_with_its_own_facts() -> None:
    facts = procmirror.Machine(page_size=65536)
    with procmirror.Tree(MACHINES / "tree", machine=facts) as tree:
        names = {process.comm for process in tree.read("tree.ndjson")}
        assert names == {"kthreadd", "sh", "tail", "cat", "true"}
        assert len(list(tree.read("memory"))) == 3


def _lasting(root: Path) -> list[str]:
    """The views of a procfs at whose path there is a file or a directory."""
    places = (f"{os.getpid()}/task/{os.getpid()}", f"{os.getpid()}")
    paths = [
        view.replace("PID/task/TID", places[0]).replace("PID", places[1])
        for view in procmirror.list_views()
    ]
    return [path for path in paths if (root / path).exists() and not path.endswith("/pagemap")]


@pytest.mark.root
def test_every_view_of_an_entry_can_be_read() -> None:
    """What the kernel says no to is refused to cat too."""
    read, refused = [], {}
    for path in _lasting(Path("/proc")):
        try:
            procmirror.read(path)
            read.append(path)
        except OSError as failed:
            refused[path] = os.strerror(failed.errno or 0)
    for path, reason in refused.items():
        raw = subprocess.run(["cat", f"/proc/{path}"], capture_output=True, text=True, check=False)
        assert reason in raw.stderr, path
    assert "mounts" in read and len(read) > 10 * len(refused)


@pytest.mark.mount
def test_a_mirror_is_a_root_too() -> None:
    with mounted() as mount:
        assert procmirror.read("self/status", root=mount.path).Pid == os.getpid()
        assert procmirror.read(f"{os.getpid()}/fd", root=mount.path)


def test_the_rights_are_the_callers() -> None:
    if os.geteuid():
        pytest.fail("run as root: the test becomes another user")
    program = (
        "import os\nimport procmirror\n"
        "os.setgroups([]); os.setgid(40001); os.setuid(40001)\n"
        "try: procmirror.read('1/environ')\n"
        "except PermissionError as refused: print(refused.errno)\n"
    )
    command = ["/usr/bin/env", sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == errno.EACCES


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("nothing", errno.ENOENT),
        ("self/nothing", errno.ENOENT),
        ("4194305/status", errno.ENOENT),
        ("../etc/passwd", errno.EINVAL),
        ("1/../1/status", errno.EINVAL),
    ],
)
def test_a_path_that_is_none_has_an_errno(path: str, number: int) -> None:
    with pytest.raises(OSError, match=r".") as refused:
        procmirror.read(path)
    assert refused.value.errno == number
    assert refused.value.filename == path


@pytest.mark.parametrize("root", ["/pr\0oc", "\ud800"], ids=["a NUL", "a lone surrogate"])
def test_a_root_that_is_no_path_has_an_errno(root: str) -> None:
    with pytest.raises(OSError, match=r".") as refused:
        procmirror.read("1/status", root=root)
    assert (refused.value.errno, refused.value.filename) == (errno.EINVAL, root)


def test_who_is_refused_a_source_is_told_the_path_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    for path in ("1/process", "1/environ", "loadavg", "sockets"):
        with pytest.raises(FileNotFoundError) as refused:
            procmirror.read(path, root=tmp_path)
        assert refused.value.filename == path
        assert refused.value.strerror == os.strerror(errno.ENOENT)


@pytest.mark.parametrize("left", [True, False], ids=["a link that leads nowhere", "no link"])
def test_the_network_of_a_captured_tree_needs_no_self(left: bool, tmp_path: Path) -> None:
    """A copy has the link of the program that copied, or none; `net` is a folder there."""
    (tmp_path / "net").symlink_to(MACHINES / "bookworm" / "net")
    if left:
        (tmp_path / "self").symlink_to("4711")
    found = {one.netid for one in procmirror.read("sockets", root=tmp_path)}
    assert found >= {"tcp", "tcp6", "udp", "netlink", "packet", "unix"}
    assert procmirror.read("machine", root=tmp_path).interfaces


def test_a_view_of_several_files_cannot_be_decoded_from_one() -> None:
    with pytest.raises(OSError, match=r".") as refused:
        procmirror.decode("PID/fd", b"")
    assert (refused.value.errno, refused.value.filename) == (errno.ENOTSUP, "PID/fd")


def test_text_in_place_of_bytes_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        procmirror.decode("PID/stat", cast("bytes", "1 (init) S"))


def test_a_file_that_does_not_decode_is_told_with_its_name() -> None:
    with pytest.raises(procmirror.DecodeError, match="uptime"):
        procmirror.decode("uptime", b"\xff\n")


def test_the_field_that_names_what_is_missing_is_one() -> None:
    named = re.findall(r"named in `(\w+)`", procmirror.processes.__doc__ or "")
    assert len(named) == 1 and set(named) <= set(procmirror.record("processes").__struct_fields__)


def test_no_descriptor_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        procmirror.read("self/stack" if os.geteuid() == 0 else "self/status")
        procmirror.read("self/smaps")
        next(procmirror.processes())
    with pytest.raises(OSError, match=r"."):
        procmirror.read("4194305/status")
    assert len(os.listdir("/proc/self/fd")) <= before  # others may be closed meanwhile
    assert records._directory("1/status") == ["1"]


def test_a_folder_without_processes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there are no processes") as refused:
        list(procmirror.processes(root=tmp_path))
    assert refused.value.filename == str(tmp_path)


def test_a_path_may_be_an_object() -> None:
    assert procmirror.read(Path("self/comm")) == procmirror.read("self/comm")
    with procmirror.Tree() as tree, pytest.raises(FileNotFoundError) as refused:
        tree.read(Path("4194305/status"))
    assert refused.value.filename == "4194305/status"
