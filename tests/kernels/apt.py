"""apt with lists of its own: packages of any release and architecture, and nothing installed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

ARCHIVE = "http://deb.debian.org/debian"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Apt:
    """The packages of one release of Debian's for one architecture, fetched into a folder."""

    def __init__(self, release: str, architecture: str, folder: Path) -> None:
        self._folder = folder
        sources = folder / "sources.list"
        line = f"deb [signed-by={KEYS}] {ARCHIVE} {release} main\n"
        sources.write_text(line, encoding="ascii")
        # An empty list of what is installed, so that nothing of this machine's own is preferred.
        installed = folder / "installed"
        installed.touch()
        for name in ("lists/partial", "packages/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        told = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "Dir::State::status": str(installed),
            "Dir::State::lists": str(folder / "lists"),
            "Dir::Cache::archives": str(folder / "packages"),
            "Dir::Etc::sourcelist": str(sources),
            "Dir::Etc::sourceparts": "/dev/null",
        }
        self._options = [word for name, value in told.items() for word in ("-o", f"{name}={value}")]
        self._get("update")

    def _get(self, *words: str) -> None:
        run("apt-get", *self._options, "--quiet", "--yes", *words, cwd=self._folder)

    def needed(self, package: str, start: str) -> list[str]:
        """The packages that one depends on, of those whose names begin so."""
        told = run("apt-cache", *self._options, "depends", package, cwd=self._folder)
        names = [line.partition("Depends: ")[2].strip() for line in told.splitlines()]
        return [name for name in names if name.startswith(start)]

    def unpacked(self, packages: Sequence[str], target: Path, *, whole: bool = False) -> None:
        """Unpack packages below `target`; with `whole`, all that they need as well."""
        if whole:
            self._get("--no-install-recommends", "--download-only", "install", *packages)
            found = sorted(self._folder.glob("packages/*.deb"))
        else:
            self._get("download", *packages)
            found = sorted(self._folder.glob("*.deb"))
        # base-files has the links, such as /bin, that others need to be there.
        for package in sorted(found, key=lambda one: not one.name.startswith("base-files")):
            run("dpkg-deb", "--extract", package, target, cwd=self._folder)
            package.unlink()


def run(*command: str | Path, cwd: Path) -> str:
    """What a command says; CalledProcessError with its last words where it fails."""
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr[-2000:])
    return ran.stdout
