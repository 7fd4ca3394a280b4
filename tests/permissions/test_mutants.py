"""The comparison finds out every mirror that is broken on purpose.

One that it passes would be one that it cannot see.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.mounting import Mount, mounted
from tests.permissions.compare import Difference
from tests.permissions.entries import Entries
from tests.permissions.sessions import session
from tests.permissions.suite import compare
from tests.permissions.targets import Target, described

# For each mutant the requesters who notice.
NOTICED_BY = {
    "fsuid_only": ("another",),
    "capabilities_kept": ("root without capabilities",),
    "groups_kept": ("another", "another in group 0"),
    "namespaces_ignored": ("root of the owner's new user namespace",),
    "opened_by_the_daemon": ("another",),
    "answers_about_itself": ("another", "root without capabilities"),
    "rings_believed": ("ring warmed as root, then without capabilities",),
    "submitters_believed": ("ring inline of another, personality without capabilities",),
    "submitters_known_by_their_call": ("ring later of root, personality without capabilities",),
    "gate_ignored": ("another with capabilities by 32-bit calls",),
    "slack_of_any_thread": ("a thread of the owner's",),
    "slack_without_the_right": ("owner",),
    "access_as_effective": ("another with SYS_PTRACE and DAC_READ_SEARCH",),
    "names_for_everybody": ("another",),
}
# Who may be refused what the kernel allows: groups are few and lost where the daemon itself has
# none, and of oneself the kernel asks for no right.
REFUSING = {"another in group 0", "owner"}
ASKED = {"ordinary", "root's"}


def _notices(difference: Difference) -> bool:
    """Whether a requester sees by this that the mirror is broken."""
    return difference.leak or difference.requester in REFUSING


@pytest.fixture
def mutant(request: pytest.FixtureRequest) -> Iterator[Mount]:
    with mounted(program=("-m", "tests.permissions.mutants", request.param), quiet=False) as mount:
        yield mount


@pytest.mark.parametrize(
    ("mutant", "requesters"), NOTICED_BY.items(), ids=NOTICED_BY, indirect=["mutant"]
)
def test_a_broken_mirror_is_found_out(
    mutant: Mount, requesters: tuple[str, ...], everybody: list[Target]
) -> None:
    asked = [target for target in everybody if target.name in ASKED]
    asked += [described("daemon", pid) for pid in mutant.processes()[:1]]
    found = compare(
        requesters, Entries("/proc", str(mutant.path), every=True), asked, enough=_notices
    )
    assert any(map(_notices, found.differences))


@pytest.mark.parametrize("mutant", ["self_at_every_read"], indirect=True)
def test_a_right_on_oneself_that_outlives_an_exec_is_found_out(mutant: Mount) -> None:
    folder = Path(tempfile.mkdtemp(prefix="procmirror-"))
    folder.chmod(0o755)
    try:
        program = shutil.copy("/bin/sleep", folder / "setuid")
        os.chmod(program, 0o4755)
        with session("owner") as requester:
            answer = requester.one("before_exec", f"{mutant.path}:{program}", 1)
        assert "addresses" in msgspec.json.decode(answer.data, type=dict[str, str])["stat"]
    finally:
        shutil.rmtree(folder)
