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

ARCHIVE = "http://deb.debian.org/debian"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
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
    """A kernel to boot: its image, its initial file system, and the folder of all its modules."""

    release: str
    version: str
    image: Path
    initrd: Path
    modules: Path


def fetched(release: str, folder: Path) -> Kernel:
    """The newest amd64 kernel of a release of Debian's, from `folder` where it is there already.

    Raises subprocess.CalledProcessError where apt, dpkg-deb, depmod or cpio fails.
    """
    made = folder / "version"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "lists/partial").mkdir(parents=True)
        version = _unpacked(release, folder)
        _initial(folder, version)
        made.write_text(version, encoding="ascii")
    version = made.read_text(encoding="ascii")
    return Kernel(release, version, folder / "kernel", folder / "initrd.gz", folder / "modules")


def _unpacked(release: str, folder: Path) -> str:
    """Fetch and unpack the kernel and a static busybox; the version of the kernel."""
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {ARCHIVE} {release} main\n", encoding="ascii")
    # An empty list of what is installed, so that nothing of this machine's own is preferred.
    installed = folder / "installed"
    installed.touch()
    options = [
        *("-o", f"Dir::State::status={installed}"),
        *("-o", "APT::Sandbox::User=root", "-o", f"Dir::Etc::sourcelist={sources}"),
        *("-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={folder / 'lists'}"),
    ]
    _run("apt-get", *options, "--quiet", "update", cwd=folder)
    image = _needed("linux-image-amd64", "linux-image-", options, folder)[0]
    # From Linux 7 on the image and its modules are packages of their own.
    binaries = _needed(image, "linux-binary-", options, folder)
    version = image.removeprefix("linux-image-")
    modules = [f"linux-modules-{version}"] if binaries else []
    wanted = ["busybox-static", image, *binaries, *modules]
    _run("apt-get", *options, "--quiet", "download", *wanted, cwd=folder)
    for package in folder.glob("*.deb"):
        _run("dpkg-deb", "--extract", package, folder / "packages", cwd=folder)
        package.unlink()
    next((folder / "packages").glob("**/vmlinuz*")).rename(folder / "kernel")
    found = next((folder / "packages").glob(f"**/lib/modules/{version}"))
    (folder / "modules/lib/modules").mkdir(parents=True)
    found.rename(folder / "modules/lib/modules" / version)
    _run("depmod", "--basedir", folder / "modules", version, cwd=folder)
    return version


def _needed(package: str, start: str, options: list[str], folder: Path) -> list[str]:
    """The packages that one depends on, of those whose names begin so."""
    told = _run("apt-cache", *options, "depends", package, cwd=folder)
    names = [line.partition("Depends: ")[2].strip() for line in told.splitlines()]
    return [name for name in names if name.startswith(start)]


def _initial(folder: Path, version: str) -> None:
    """Make the initial file system of busybox and the modules that it needs."""
    root = folder / "initial"
    for name in ("bin", "proc", "sys", "dev", "host", "rw", "new", f"lib/modules/{version}"):
        (root / name).mkdir(parents=True)
    shutil.copy(next((folder / "packages").glob("**/bin/busybox")), root / "bin")
    for module in _files_of_modules(folder, version):
        place = root / module.relative_to(folder / "modules")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, place)
        _unpack(place)
    _run("depmod", "--basedir", root, version, cwd=folder)
    init = root / "init"
    init.write_text(INIT.format(modules=" ".join(MODULES)), encoding="ascii")
    init.chmod(0o755)
    archive = "find . | cpio --create --format=newc --quiet | gzip -1 > ../initrd.gz"
    _run("sh", "-c", archive, cwd=root)
    shutil.rmtree(folder / "packages")
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
        _run("xz", "--decompress", module, cwd=module.parent)
    if module.suffix == ".zst":
        _run("zstd", "--quiet", "--decompress", "--rm", module, cwd=module.parent)


def _run(*command: str | Path, cwd: Path) -> str:
    """What a command says; CalledProcessError with its last words where it fails."""
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr[-2000:])
    return ran.stdout
