"""Each file of examples/ run by those for whom it was written, on real processes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT, until
from tests.mounting import Mount
from tests.programs import PROCMIRROR, environment, free_port, listens, ran, running

EXAMPLES = ROOT / "examples"


def test_limits_are_compared(mirror: Mount) -> None:
    with (
        running("sleep", "600") as first,
        running("prlimit", "--nofile=123:456", "sleep", "600", name="sleep") as second,
    ):
        code, out, err = ran("sh", EXAMPLES / "compare_limits.sh", first, second, mirror.path)
        assert ran("sh", EXAMPLES / "compare_limits.sh", first, first, mirror.path) == (0, "", "")
    assert (code, err) == (1, "")
    assert {"123", "456"} <= set(re.findall(r"^[+].*?([0-9]+)", out, re.MULTILINE))


def test_an_environment_is_found(mirror: Mount, wes: int) -> None:
    script = EXAMPLES / "find_environ.py"
    with (
        running("sleep", "600", env=environment(SOUGHT="root's")) as roots,
        running("sleep", "600", user=wes, env=environment(SOUGHT="his")) as his,
    ):
        lines = [
            f"{pid:>7}  sleep            SOUGHT={value!r}\n"
            for pid, value in ((roots, "root's"), (his, "his"))
        ]
        assert ran(sys.executable, script, "SOUGHT", mirror.path) == (0, "".join(sorted(lines)), "")
        assert ran(sys.executable, script, "SOUGHT", mirror.path, user=wes) == (0, lines[1], "")
        assert ran(sys.executable, script, "SOUGHT=root's", mirror.path, user=wes) == (1, "", "")
    assert ran(sys.executable, script).code == 2


def test_who_listens_is_told(mirror: Mount) -> None:
    port = free_port()
    with running("nc", "-l", "127.0.0.1", port) as pid:
        until(lambda: listens(port), "nc does not listen")
        code, out, err = ran("sh", EXAMPLES / "listening.sh", mirror.path)
    assert (code, err) == (0, "")
    assert f"tcp\t127.0.0.1:{port}\tnc[{pid}]" in out.splitlines()


def test_psutil_reads_the_mirror(mirror: Mount) -> None:
    code, out, err = ran(sys.executable, EXAMPLES / "psutil_over_mirror.py", mirror.path)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 5 and all("MiB" in line for line in out.splitlines())


@pytest.mark.parametrize("there", [True, False], ids=["there already", "mounted first"])
def test_the_first_mount_shows_a_process(mirror: Mount, tmp_path: Path, *, there: bool) -> None:
    place = mirror.path if there else tmp_path / "proc"
    command = tmp_path / "procmirror"
    command.write_text(f'#!/bin/sh\ncd {ROOT} && exec {" ".join(PROCMIRROR)} "$@" > /dev/null\n')
    command.chmod(0o755)
    try:
        code, out, _ = ran("sh", EXAMPLES / "first_mount.sh", command, place)
    finally:
        if not there:
            ran("umount", place)
    assert code == 0
    assert out.startswith(f"mounted at {place}; to unmount: ")
    assert "API_KEY=only-root-and-you-see-this\n" in out and "sleep 5\n" in out


def test_every_example_is_tested_or_says_that_it_is_not() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    files = [
        path
        for path in sorted(EXAMPLES.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    # What a tested script names is run by it.
    tests += "".join(
        path.read_text() for path in files if path.suffix == ".sh" and path.name in tests
    )
    silent = [
        path.name
        for path in files
        if path.name not in tests and "NOT run by the tests" not in path.read_text()
    ]
    assert files and silent == []


@pytest.mark.parametrize(
    "before",
    [
        'PRUNE_BIND_MOUNTS="yes"\nPRUNEFS="NFS proc fuse.sshfs"\n',
        'PRUNEPATHS="/tmp"\n',
        # As Fedora writes it.
        'PRUNE_BIND_MOUNTS = "yes"\nPRUNEFS = "9p afs"\n',
        '# PRUNEFS="x"\n  PRUNEFS\t= "9p"\n',
    ],
)
def test_updatedb_is_told_once(before: str, tmp_path: Path) -> None:
    settings = tmp_path / "updatedb.conf"
    settings.write_text(before)
    for _ in range(2):
        assert ran("sh", EXAMPLES / "updatedb.conf.sh", settings) == (0, "", "")
        after = settings.read_text()
        told = re.findall(r'^\s*PRUNEFS\s*= ?"(.*)"$', after, re.MULTILINE)
        assert [one.split()[-1] for one in told] == ["fuse.procmirror"]
    assert set(before.split('"')) <= set(after.replace(" fuse.procmirror", "").split('"'))


@pytest.mark.parametrize(
    "command",
    [
        "find {} -xdev",
        "du -ax {}",
        "tar --one-file-system -cf - -C / .{} | tar -t",
        "cp -rx {} COPY && find COPY",
    ],
)
def test_what_stays_on_one_file_system_passes_over_a_mirror(
    mirror: Mount, tmp_path: Path, command: str
) -> None:
    """The mirror is the directory `proc` of the folder that is walked through."""
    folder = mirror.path.parent
    assert mirror.path.name == "proc"
    command = command.replace("COPY", str(tmp_path / "copy"))
    code, out, _ = ran("sh", "-c", command.replace("{}", str(folder)))
    assert code == 0 and "proc" in out
    assert not re.search(r"/proc/\S", out.replace(str(folder), ""))


def test_yaml_of_the_daemonset_names_what_the_image_does() -> None:
    text = (EXAMPLES / "containers/daemonset.yaml").read_text(encoding="utf-8")
    container = (EXAMPLES / "containers/Containerfile").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["/opt/procmirror/bin/procmirror", "-f"]' in container
    assert "args: [/host/proc, /host/mnt/proc]" in text and "hostPID: true" in text
    assert "mountPropagation: Bidirectional" in text
