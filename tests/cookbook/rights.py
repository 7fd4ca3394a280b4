"""Secrets, capabilities, filters and namespaces."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cookbook.scene import Made, Scene, Scenes
from tests.programs import environment

SCENES = Scenes()


@SCENES.asked("Whose environment has the old API key?")
def _environment(made: Made) -> Scene:
    keys = [(None, "old-key"), (made.wes, "old-key"), (None, "new-key"), (made.wes, "new-key")]
    pids = [
        made.program("sleep", "600", user=user, env=environment(API_KEY=key)) for user, key in keys
    ]
    return Scene(pids[:2], pids[2:], his=pids[1:2])


@SCENES.asked("Who but root has CAP_SYS_ADMIN?")
def _capability(made: Made) -> Scene:
    def with_capability(name: str) -> int:
        given = (f"--inh-caps=+{name}", f"--ambient-caps=+{name}")
        return made.program(
            "setpriv", f"--reuid={made.wes}", "--clear-groups", *given, "sleep", "600", name="sleep"
        )

    mighty = with_capability("sys_admin")
    others = [
        with_capability("net_raw"),
        made.program("sleep", "600"),
        made.program("sleep", "600", user=made.wes),
    ]
    return Scene(
        [mighty], others, his=[mighty], lines=[rf"/{mighty}/process.txt:rights +cap_sys_admin$"]
    )


# A filter of one instruction: allow.
FILTER = """
import ctypes
libc = ctypes.CDLL(None)
code = ctypes.create_string_buffer(bytes.fromhex("060000000000ff7f"), 8)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(1, ctypes.addressof(code)))) == 0
print(flush=True)"""


@SCENES.asked("Which processes have a seccomp filter?")
def _filtered(made: Made) -> Scene:
    filtered, plain = made.python(FILTER), made.program("sleep", "600")
    # Where the tests themselves run under a filter, there is nobody without one.
    free = "Seccomp:\t0" in Path(f"/proc/{plain}/status").read_text()
    return Scene([filtered], [plain] if free else [], his=[filtered])


@SCENES.asked("Which of wes's processes could still gain rights by a setuid program?")
def _privileges(made: Made) -> Scene:
    free, roots = made.program("sleep", "600", user=made.wes), made.program("sleep", "600")
    bound = made.program("setpriv", "--no-new-privs", "sleep", "600", user=made.wes, name="sleep")
    return Scene([free], [bound, roots], his=[free])


@SCENES.asked("Who has memory that is writable and executable?")
def _writable_code(made: Made) -> Scene:
    script = "import mmap; kept = mmap.mmap(-1, 4096, prot=int(sys.argv[1])); print(flush=True)"
    return Scene([made.python(script, 7)], [made.python(script, 3), made.python(script, 5)], his=[])


def _contained(made: Made) -> tuple[int, int]:
    outer = made.program("unshare", "--pid", "--fork", "sleep", "600")
    return made.child(outer, "sleep"), outer


@SCENES.asked("Which processes are in a container?")
def _container(made: Made) -> Scene:
    inner, outer = _contained(made)
    return Scene(
        [inner], [outer, made.program("unshare", "--net", "sleep", "600", name="sleep")], his=[]
    )


@SCENES.asked("Which process is number 1 in its container?")
def _first_of_container(made: Made) -> Scene:
    inner, outer = _contained(made)
    return Scene([inner], [outer, 1], his=[inner])


@SCENES.asked("In which container is this process?")
def _cgroup(made: Made) -> Scene:
    pid = made.program("sleep", "600")
    paths = [one.split(":", 2)[2] for one in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    return Scene(pid=pid, lines=[rf" {re.escape(path)}$" for path in paths])


@SCENES.asked("Which capabilities does it have?")
def _capabilities(made: Made) -> Scene:
    given = ("--inh-caps=+net_raw", "--ambient-caps=+net_raw")
    command = ("setpriv", f"--reuid={made.wes}", "--clear-groups", *given, "sleep", "600")
    return Scene(pid=made.program(*command, name="sleep"), lines=[r"^  effective +cap_net_raw$"])


@SCENES.asked("Which processes act with the rights of another user?")
def _other_user(made: Made) -> Scene:
    script = "os.seteuid(int(sys.argv[1]))\nprint(flush=True)"
    acting, own = made.python(script, made.wes), made.python(script, 0)
    return Scene([acting], [own], his=[acting])


@SCENES.asked("Which programs were started from /tmp or from memory?")
def _from_tmp(made: Made) -> Scene:
    place = made.folder / "tmp"
    place.mkdir()
    copy = place / "sleep"
    copy.write_bytes(Path("/bin/sleep").read_bytes())
    copy.chmod(0o755)
    named = [made.program(copy, "600", name="sleep")]
    named.append(
        made.python("""
made = os.memfd_create("made", 0)
os.write(made, open("/bin/sleep", "rb").read())
print(flush=True)
os.execve(f"/proc/self/fd/{made}", ["sleep", "600"], {})""")
    )
    copy.unlink()
    words = [("/tmp", place)]
    return Scene(named, [made.program("sleep", "600")], his=[], words=words)
