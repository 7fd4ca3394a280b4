"""A kernel of Debian's made bootable: fetched by apt, unpacked, with an initial file system.

The initial file system mounts the files of this machine over virtio-9p, read-only below a tmpfs,
and starts the script that the kernel's command line names. Nothing of this machine is changed and
nothing is installed: packages are unpacked by dpkg-deb below the folder that is given.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.kernels import userland
from tests.kernels.apt import Apt, run

# What the initial file system loads; some of these are built into one kernel or another.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "fuse")
# The tmpfs above the files of this machine holds what the tests write there.
INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in {modules}; do modprobe $module 2>/dev/null; done
share() {{ mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,$2 $1 $3 || poweroff -f; }}
share host ro,cache=loose /host
mount -t tmpfs -o size=3g tmpfs /rw; mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work overlay /new || poweroff -f
mkdir -p /new/proc /new/sys /new/dev
for folder in proc sys dev; do mount --move /$folder /new/$folder; done
exec switch_root /new /bin/sh "$(sed -n 's/.*guest=\\([^ ]*\\).*/\\1/p' /new/proc/cmdline)"
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel to boot: its image, its initial file system, and the folder of all its modules.

    `root` is the folder that the machine has for its root directory.
    """

    version: str
    architecture: str
    image: Path
    initrd: Path
    modules: Path
    root: Path

    def within(self, path: Path) -> Path:
        """A path as the machine has it."""
        return Path("/") / path.relative_to(self.root)


def fetched(machine: str, folder: Path) -> Kernel:
    """The newest kernel of a release of Debian's, from `folder` where it is there already.

    `machine` is the name of the release, followed by `-arm64` for one of that architecture, whose
    root directory is fetched as well; one of amd64 has the files of this machine. Raises
    subprocess.CalledProcessError where apt, dpkg-deb, depmod, cpio or pip fails.
    """
    release, _, architecture = machine.partition("-")
    root = folder / "root" if architecture else Path("/")
    modules = root / userland.HOME / "kernel" if architecture else folder / "modules"
    made = folder / "version"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        apt = Apt(release, architecture or "amd64", folder)
        version = _unpacked(apt, architecture or "amd64", folder)
        _initial(folder, version)
        if architecture:
            userland.fetched(apt, root)
            (folder / "modules").rename(modules)
        made.write_text(version, encoding="ascii")
    version = made.read_text(encoding="ascii")
    return Kernel(
        version, architecture or "amd64", folder / "kernel", folder / "initrd.gz", modules, root
    )


def _unpacked(apt: Apt, architecture: str, folder: Path) -> str:
    """Fetch and unpack the kernel and a static busybox; the version of the kernel."""
    image = apt.needed(f"linux-image-{architecture}", "linux-image-")[0]
    # From Linux 7 on the image and its modules are packages of their own.
    binaries = apt.needed(image, "linux-binary-")
    version = image.removeprefix("linux-image-")
    modules = [f"linux-modules-{version}"] if binaries else []
    packages = folder / "unpacked"
    apt.unpacked(["busybox-static", image, *binaries, *modules], packages)
    next(packages.glob("**/vmlinuz*")).rename(folder / "kernel")
    found = next(packages.glob(f"**/lib/modules/{version}"))
    (folder / "modules/lib/modules").mkdir(parents=True)
    found.rename(folder / "modules/lib/modules" / version)
    run("depmod", "--basedir", folder / "modules", version, cwd=folder)
    return version


def _initial(folder: Path, version: str) -> None:
    """Make the initial file system of busybox and the modules that it needs."""
    root = folder / "initial"
    for name in ("bin", "proc", "sys", "dev", "host", "rw", "new", f"lib/modules/{version}"):
        (root / name).mkdir(parents=True)
    shutil.copy(next((folder / "unpacked").glob("**/bin/busybox")), root / "bin")
    for module in _files_of_modules(folder, version):
        place = root / module.relative_to(folder / "modules")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, place)
        _unpack(place)
    run("depmod", "--basedir", root, version, cwd=folder)
    init = root / "init"
    init.write_text(INIT.format(modules=" ".join(MODULES)), encoding="ascii")
    init.chmod(0o755)
    archive = "find . | cpio --create --format=newc --quiet | gzip -1 > ../initrd.gz"
    run("sh", "-c", archive, cwd=root)
    shutil.rmtree(folder / "unpacked")
    shutil.rmtree(root)


def _files_of_modules(folder: Path, version: str) -> list[Path]:
    """The files of the modules that the initial file system loads, with all that they need."""
    told = [
        subprocess.run(
            ["modprobe", "-d", folder / "modules", "-S", version, "--show-depends", name],
            check=False,
            capture_output=True,
            text=True,
        ).stdout
        for name in MODULES
    ]
    lines = [line.split() for text in told for line in text.splitlines()]
    return sorted({Path(words[1]) for words in lines if words[0] == "insmod"})


def _unpack(module: Path) -> None:
    """Replace a compressed module by itself uncompressed, which busybox can load."""
    if module.suffix == ".xz":
        run("xz", "--decompress", module, cwd=module.parent)
    if module.suffix == ".zst":
        run("zstd", "--quiet", "--decompress", "--rm", module, cwd=module.parent)
