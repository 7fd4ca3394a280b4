"""Nobody finds out by links of its own processes what is in a directory that is closed to it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.attack.scene import ATTACKER
from tests.reliability.mirrors import mirrored

# Root of a user namespace has a process with other mounts, where the paths are directories, and
# follows the links of that: a worker must not walk them with rights of that namespace only.
_ASKING = """
exec 3< <(unshare --mount sh -c '
    mount -t tmpfs none "$0" && mkdir -p "$0/closed/secret" "$0/closed/absent" &&
    : > "$0/closed/secret/x" && : > "$0/closed/absent/x" &&
    exec 8< "$0/closed/secret/x" 9< "$0/closed/absent/x" && echo $$ && exec sleep 30' "$1")
read -r pid <&3
for name in 8 9 8 9; do readlink "$2/$pid/fd/$name"; done
kill "$pid"
"""


def test_the_text_of_a_link_does_not_tell_which_files_exist() -> None:
    with mirrored() as mirror, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed/secret").touch()
        who = ("setpriv", f"--reuid={ATTACKER}", f"--regid={ATTACKER}", "--clear-groups")
        command = [*who, "unshare", "--user", "--map-root-user", "bash", "-c", _ASKING, "bash"]
        done = subprocess.run(
            [*command, folder, mirror.path], capture_output=True, check=True, text=True, timeout=60
        )
        texts = done.stdout.splitlines()
        assert len(texts) == 4 and "secret" in texts[0], done
        shown = [text.replace("secret", "…").replace("absent", "…") for text in texts]
        assert len(set(shown)) == 1, texts
