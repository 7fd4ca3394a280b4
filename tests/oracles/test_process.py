"""The views of a process against tools that read the same processes: psutil, procps, libcap, util-linux, the C library."""

from __future__ import annotations

import signal
import subprocess

import pytest

from procmirror.kernel import capabilities, signals


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_a_signal_has_the_name_that_bash_gives_it(number: int) -> None:
    assert output("bash", "-c", f"kill -l {signals.name(number)}").strip() == str(number)


@pytest.mark.parametrize("mask", [0, 1, 0x1FFFFFFFFFF, 0xA80425FB, 1 << 40, 1 << 41, 1 << 63])
def test_capabilities_have_the_names_of_capsh(mask: int) -> None:
    theirs = output("capsh", f"--decode={mask:016x}").strip().partition("=")[2]
    ours = [name if name.startswith("cap_") else str(int(name, 16).bit_length() - 1) for name in capabilities.names(mask)]
    assert ours == (theirs.split(",") if theirs else [])
