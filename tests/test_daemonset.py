"""The DaemonSet of examples/containers: its containers, run by crun as a kubelet asks for them.

The image is a root of bind mounts with this checkout as its command. What a cluster adds (the
scheduler, the runtime of a node, its network) is not there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

# jc, an oracle of the tests, needs it.
from ruamel.yaml import YAML

from procmirror.kernel.capabilities import NAMES
from tests.containers import CAPABILITIES, configuration
from tests.harness import ROOT
from tests.programs import ran

YAML_FILE = ROOT / "examples/containers/daemonset.yaml"
COMMAND = "opt/procmirror/bin/procmirror"
_PROPAGATION = {"Bidirectional": "rshared", "HostToContainer": "rslave"}
_EVERY = [name.upper() for name in NAMES]
# Runs in a mount namespace of its own; $1 is the folder of the bundles, $2 a stranger.
SCRIPT = """
set -e
mount -t tmpfs none "$1/node"; mount --make-shared "$1/node"
umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup
crun() { command crun --cgroup-manager=disabled --root "$1/state" "${@:2}"; }
begin() { crun "$1" run --detach --bundle "$1/procmirror" "$2" < /dev/null > "$1/$2.log" 2>&1
          for try in $(seq 300); do timeout 5 test -e "$1/node/proc/self/stat" && return; sleep 0.1; done
          cat "$1/$2.log"; exit 1; }
ended() { for name in place again first second third; do crun "$1" delete --force $name || true; done; }
trap 'ended "$1" 2> /dev/null' EXIT
crun "$1" run --bundle "$1/place" place
begin "$1" first
crun "$1" exec first PROBE && echo "the probe is answered"
head -n 1 "$1/node/proc/$$/status.txt"
setpriv --reuid $2 --regid $2 --clear-groups cat "$1/node/proc/1/environ.json" 2>&1 || true
crun "$1" exec first STOP
mountpoint -q "$1/node/proc" || echo "stopped, it is not mounted"
begin "$1" second
crun "$1" kill second KILL
for try in $(seq 100); do [ -e "$1/node/proc/self" ] || break; sleep 0.1; done
crun "$1" run --bundle "$1/place" again && echo "a place with a dead mirror is taken"
begin "$1" third
head -n 1 "$1/node/proc/$$/status.txt"
crun "$1" exec third STOP
"""


def _pod() -> dict[str, Any]:
    loaded = YAML(typ="safe").load(YAML_FILE)
    spec: dict[str, Any] = loaded["spec"]["template"]["spec"]
    return spec


def _allowed(names: list[str]) -> list[str]:
    """Those of the capabilities that this process may give away."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    bounding = int(status.partition("CapBnd:")[2].split()[0], 16)
    return [name for name in names if bounding >> _EVERY.index(name) & 1]


def _bundle(folder: Path, pod: dict[str, Any], container: dict[str, Any]) -> None:
    """What crun runs for a container of the pod; /mnt of the node is `node` here."""
    privileged = container.get("securityContext", {}).get("privileged", False)
    places = {one["name"]: one["hostPath"]["path"] for one in pod["volumes"]}
    made = configuration({}, (), _allowed(_EVERY if privileged else CAPABILITIES))
    made["process"]["args"] = [
        *container.get("command", [f"/{COMMAND}", "-f"]),
        *container.get("args", []),
    ]
    made["process"]["noNewPrivileges"] = not privileged
    made["linux"]["namespaces"] = [{"type": one} for one in ("network", "ipc", "uts", "mount")]
    if privileged:
        made["linux"] |= {"maskedPaths": [], "rootfsPropagation": "rshared"}
        made["mounts"].append(_mount("/dev", "/dev", "rprivate", "rw"))
    for one in container["volumeMounts"]:
        source = str(folder / "node") if places[one["name"]] == "/mnt" else places[one["name"]]
        shared = _PROPAGATION.get(one.get("mountPropagation", ""), "rprivate")
        rights = "ro" if one.get("readOnly") else "rw"
        made["mounts"].append(_mount(source, one["mountPath"], shared, rights))
    rootfs = folder / container["name"] / "rootfs"
    for mount in made["mounts"]:
        Path(f"{rootfs}{mount['destination']}").mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (rootfs / name).symlink_to(f"usr/{name}")
    command = rootfs / COMMAND
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m procmirror "$@"\n')
    command.chmod(0o755)
    (folder / container["name"] / "config.json").write_text(json.dumps(made))


def _mount(source: str, target: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": source, "options": ["rbind", *options]}


@pytest.mark.root
@pytest.mark.mount
def test_its_containers_mirror_the_node(tmp_path: Path) -> None:
    pod = _pod()
    assert pod["hostPID"]
    (tmp_path / "node").mkdir()
    for container in (*pod["initContainers"], *pod["containers"]):
        _bundle(tmp_path, pod, container)
    (main,) = pod["containers"]
    probe = " ".join(main["livenessProbe"]["exec"]["command"])
    stop = " ".join(main["lifecycle"]["preStop"]["exec"]["command"])
    script = SCRIPT.replace("PROBE", probe).replace("STOP", stop)
    tmp_path.chmod(0o755)
    apart = ("unshare", "--mount", "--propagation", "private")
    done = ran(*apart, "bash", "-c", script, "bash", tmp_path, 40001, deadline=120)
    told = done.out.splitlines()
    assert done.code == 0, done
    assert told[0] == "the probe is answered"
    assert told[1].split()[-1] == told[5].split()[-1] == "bash"
    assert told[2].endswith("/1/environ.json: Permission denied")
    assert told[3:5] == ["stopped, it is not mounted", "a place with a dead mirror is taken"]
