"""Requesters whom SELinux confines, under a policy of three types.

The policy is made and loaded here: Debian's kernels have SELinux, and nothing in these files has a
label. One mirror may take on the confined type; another may not, and has to refuse such requesters.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kernels.findings import Findings
from tests.kernels.guest.patience import OPTIONS, PROGRAM
from tests.kernels.guest.programs import environment
from tests.mounting import Mount, mounted
from tests.permissions.entries import Entries
from tests.permissions.sessions import World, session
from tests.permissions.suite import Comparison, compare
from tests.permissions.targets import targets

TARGETS = ["ordinary", "root's", "another's"]
REQUESTERS = ["owner", "root", "another"]
# Mode and owner are shown without asking the kernel for each entry.
_ATTRIBUTES = {"lstat", "owner", "statx", "listxattr", "access", "faccessat", "target"}
_PLACE = Path("/sys/fs/selinux")
_PROCESS = """fork transition sigchld sigkill sigstop signull signal ptrace getsched setsched
getsession getpgid setpgid getcap setcap share getattr setexec setfscreate noatsecure siginh
setrlimit rlimitinh dyntransition setcurrent execmem execstack execheap setkeycreate setsockcreate
getrlimit"""
_FILE = """ioctl read write create getattr setattr lock relabelfrom relabelto append map unlink link
rename execute quotaon mounton audit_access open execmod watch"""
# The kernel's list of initial SIDs, in its order (security/selinux/include/initial_sid_to_string.h).
_SIDS = """kernel security unlabeled fs file file_labels init any_socket port netif netmsg node
igmp_packet icmp_socket tcp_socket sysctl_modprobe sysctl sysctl_fs sysctl_kernel sysctl_net
sysctl_net_unix sysctl_vm sysctl_dev kmod policy scmp_packet devnull"""
# What no class or permission stands for is allowed. `base_t` may do everything, `kept_t` all but
# take on another label, and `user_t` may not look at processes of other types. Their directories it
# may search; `ioctl` is what the kernel asks for when a process is sent a descriptor of one.
_RULES = """
allow base_t {base_t kept_t user_t file_t}:process *;
allow base_t {base_t kept_t user_t file_t}:{file dir lnk_file} *;
allow kept_t {base_t kept_t user_t file_t}:{file dir lnk_file} *;
allow kept_t {base_t kept_t user_t}:process ~{dyntransition setcurrent};
allow user_t {user_t file_t}:{file dir lnk_file} *;
allow user_t base_t:dir {getattr search ioctl};
allow user_t user_t:process *;
allow user_t base_t:process {sigchld};
"""


# What runcon(1) does where there is no configuration of SELinux.
_START = """
import os, sys
with open("/proc/thread-self/attr/exec", "w") as file: file.write(sys.argv[1])
os.execvp(sys.argv[2], sys.argv[2:])
"""


def context(type_: str) -> str:
    """The label of a type."""
    return f"user_u:base_r:{type_}"


def within(type_: str) -> list[str]:
    """What stands before a command that is to have the label of a type."""
    return [sys.executable, "-c", _START, context(type_)]


def _policy() -> str:
    classes = {"process": _PROCESS}
    classes |= {
        "file": f"{_FILE} execute_no_trans entrypoint",
        "dir": f"{_FILE} add_name remove_name reparent search rmdir",
        "lnk_file": _FILE,
    }
    sids = _SIDS.split()
    types = ["base_t", "kept_t", "user_t", "file_t"]
    return "\n".join(
        [
            *(f"class {name}" for name in classes),
            *(f"sid {name}" for name in sids),
            *(f"class {name} {{ {words} }}" for name, words in classes.items()),
            *(f"type {name};" for name in types),
            "role base_r;",
            *(f"role base_r types {name};" for name in types),
            _RULES,
            "user user_u roles { base_r };",
            *(
                f"sid {name} {context('base_t' if name in {'kernel', 'init'} else 'file_t')}"
                for name in sids
            ),
            "",
        ]
    )


def examined(findings: Findings) -> None:
    """Load the policy, and compare the answers of both mirrors with the kernel's."""
    _load(findings)
    with targets(TARGETS) as everybody:
        with mounted(*OPTIONS, program=PROGRAM, quiet=False) as mount:
            for name in REQUESTERS:
                entries = Entries("/proc", str(mount.path))
                result = compare([name], entries, everybody, within=within("user_t"))
                _judge(findings, name, result)
            findings.remarks += [f"log: {line[:200]}" for line in mount.complaints()[:5]]
            if any("no worker can" in line for line in mount.complaints()):
                findings.fail("the mirror that may take on the label does not")
        with _kept() as mount:
            _refused(findings, mount)


def _judge(findings: Findings, name: str, result: Comparison) -> None:
    """Fail for contents that are let in; count what README says does not work."""
    told = [one for one in result.leaks if one.item.operation.split()[0] in _ATTRIBUTES]
    let_in = [one for one in result.leaks if one not in told]
    for difference in let_in:
        findings.fail(f"{name}: {difference}")
    findings.count += result.answers
    findings.remarks.append(
        f"{name}: {result.answers} answers, {len(let_in)} let in, {len(told)} attributes told that "
        f"the policy hides, {len(result.others)} refused or shown otherwise"
    )
    kinds = Counter(one.item.operation for one in result.others)
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    findings.remarks.append(f"{name}: otherwise: {shown or 'nothing'}")
    findings.write(Path("/run/results"))


def _load(findings: Findings) -> None:
    Path("policy.conf").write_text(_policy(), encoding="ascii")
    subprocess.run(["mount", "-t", "selinuxfs", "selinuxfs", _PLACE], check=True)
    version = (_PLACE / "policyvers").read_text(encoding="ascii").strip()
    command = [
        "checkpolicy",
        "-U",
        "allow",
        "-c",
        min(version, "33"),
        "-o",
        "policy",
        "policy.conf",
    ]
    subprocess.run(command, check=True, env=environment())
    (_PLACE / "load").write_bytes(Path("policy").read_bytes())
    (_PLACE / "enforce").write_text("1", encoding="ascii")
    told = Path("/proc/self/attr/current").read_text(encoding="ascii").strip("\0\n")
    findings.remarks.append(f"policy {version} is enforced, this process is {told}")


@contextmanager
def _kept() -> Iterator[Mount]:
    """A mirror that may not take on another label."""
    start = "import os, sys; os.execv(sys.executable, [*{}, *sys.argv[1:]])"
    program = ("-c", start.format([*within("kept_t"), sys.executable, *PROGRAM]))
    with mounted(*OPTIONS, program=program, quiet=False) as mount:
        yield mount


def _refused(findings: Findings, mount: Mount) -> None:
    """What tells of processes is refused to another label, and the log says why."""
    confined = World({}, within("user_t"))
    with session("owner", confined) as requester:
        paths = {f"{requester.pid}/environ": "EACCES", "self/fd": "EACCES", "uptime": ""}
        for path, wanted in paths.items():
            answer = requester.one("read", f"{mount.path}/{path}")
            findings.count += 1
            if bool(answer.errno) != bool(wanted):
                findings.fail(f"without the right to take on a label: {path}: {answer}")
    lines = [line for line in mount.complaints() if "confin" in line or "label" in line]
    findings.remarks += [f"log of one that may not: {line[:200]}" for line in lines[:5]]
    if not lines:
        findings.fail("the log does not say why the confined requester was refused")
