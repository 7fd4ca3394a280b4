"""Root's secret in the environment of a listening nc.

Root reads it, wes is denied as by /proc, and reads that of processes of wes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT, until
from tests.mounting import Mount
from tests.programs import environment, free_port, listens, ran, running, shell

SECRET = "only-root-sees-this"
FILES = ["environ", "environ.txt", "environ.json"]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def listener(port: int) -> Iterator[int]:
    """Root's `nc -l`, with a secret in its environment."""
    with running("nc", "-l", "127.0.0.1", port, env=environment(API_KEY=SECRET)) as pid:
        until(lambda: listens(port), "nc does not listen")
        yield pid


@pytest.mark.parametrize("name", FILES)
def test_wes_is_denied_roots_environment(mirror: Mount, wes: int, listener: int, name: str) -> None:
    path = mirror.path / str(listener) / name
    said = f"cat: {path}: Permission denied\n"
    as_wes = ["setpriv", f"--reuid={wes}", f"--regid={wes}", "--clear-groups"]
    assert ran(*as_wes, "cat", path) == (1, "", said)
    assert ran("su", "wes", "-c", f"cat {path}") == (1, "", said)
    assert ran(*as_wes, "cat", f"/proc/{listener}/environ").code == 1


ROWS = re.findall(
    r"^\| .* \| `(.*/mnt/proc.*)` \|$",
    (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Keep out of it\n")[0],
    re.MULTILINE,
)


def test_the_readme_has_a_table_of_what_is_typed() -> None:
    assert len(ROWS) >= 10


@pytest.mark.parametrize("line", ROWS)
def test_what_the_readme_types_says_something(
    mirror: Mount, wes: int, port: int, listener: int, tmp_path: Path, line: str
) -> None:
    used = tmp_path / "db.lock"
    used.touch()
    with (
        running("sleep", "600", user=wes, env=environment(OLDKEY="old")),
        running("flock", used, "sleep", "60", name="flock"),
    ):
        line = line.replace("/mnt/proc", str(mirror.path)).replace("8080", str(port))
        line = line.replace("/srv/data/db.lock", str(used))
        said = shell(re.sub(r"\bPID\b", str(listener), line))
    assert said.out.strip()
    # jq says null for a field that is not there; in a whole record a value may be null.
    assert not re.search(r'(?<!":)(?<!/dev/)\bnull\b', said.out)
    # Some process ends while all are looked at.
    assert said.code == 0 or "[0-9]*" in line


@pytest.mark.parametrize("name", FILES)
def test_root_reads_it(mirror: Mount, listener: int, name: str) -> None:
    code, out, err = ran("cat", mirror.path / str(listener) / name)
    assert (code, err) == (0, "")
    assert SECRET in out


def test_views_say_what_the_file_says(mirror: Mount, listener: int) -> None:
    directory = mirror.path / str(listener)
    variables = [
        one.split("=", 1) for one in (directory / "environ").read_text().rstrip("\0").split("\0")
    ]
    assert [
        [one["name"], one["value"]] for one in json.loads((directory / "environ.json").read_text())
    ] == variables
    assert f"API_KEY={SECRET}" in (directory / "environ.txt").read_text().splitlines()


@pytest.mark.parametrize("name", FILES)
def test_wes_reads_his_own(mirror: Mount, wes: int, name: str) -> None:
    with running("sleep", "600", user=wes, env=environment(API_KEY="mine")) as pid:
        code, out, err = ran("cat", mirror.path / str(pid) / name, user=wes)
    assert (code, err) == (0, "")
    assert "mine" in out


def test_wes_reads_himself(mirror: Mount, wes: int) -> None:
    script = 'export API_KEY=mine; cat "$1/self/environ.txt" && readlink "$1/self" && echo $$ && cat "$1/$$/comm"'
    code, out, err = shell(script, mirror.path, user=wes)
    assert (code, err) == (0, "")
    *variables, link, shell_pid, comm = out.splitlines()
    assert "API_KEY=mine" in variables
    assert int(link) > 0 and link != shell_pid
    assert comm == "sh"


def test_wes_sees_what_everybody_may_see(mirror: Mount, wes: int, listener: int, port: int) -> None:
    directory = mirror.path / str(listener)
    assert ran("cat", directory / "cmdline.txt", user=wes) == (0, f"nc -l 127.0.0.1 {port}\n", "")
    assert json.loads(ran("cat", directory / "status.json", user=wes).out)["Uid"]["real"] == 0


def test_the_listening_socket_names_nc_to_root_only(
    mirror: Mount, wes: int, listener: int, port: int
) -> None:
    def holders(user: int | None) -> list[int]:
        sockets = json.loads(ran("cat", mirror.path / "sockets.json", user=user).out)
        (one,) = [
            socket
            for socket in sockets
            if socket["local"] == f"127.0.0.1:{port}" and socket["state"] == "LISTEN"
        ]
        return [process["pid"] for process in one["processes"]]

    assert holders(None) == [listener]
    assert holders(wes) == []


def test_wes_cannot_list_roots_descriptors(mirror: Mount, wes: int, listener: int) -> None:
    for path in (Path("/proc"), mirror.path):
        answer = ran("ls", path / str(listener) / "fd", user=wes).on(mirror.path)
        assert answer == (
            2,
            "",
            f"ls: cannot open directory '/proc/{listener}/fd': Permission denied\n",
        )
