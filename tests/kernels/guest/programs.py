"""The programs that set things up, which are not installed in this machine."""

from __future__ import annotations

import os

PLACE = os.environ.get("PROCMIRROR_TESTS_PROGRAMS", "")


def environment() -> dict[str, str]:
    """The environment of a program that may call them."""
    places = [f"{PLACE}/{name}" for name in ("sbin", "bin", "usr/sbin", "usr/bin")]
    return {**os.environ, "PATH": ":".join([*places, os.environ["PATH"]])}
