"""What a service manager is told: the mount answers, its state, a sign of life (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping

log = logging.getLogger("procmirror")


class ServiceManager:
    """The manager that an environment names, if it names any.

    `beat_seconds` is how often it wants to hear that the daemon lives, twice as often as it has to
    (WATCHDOG_USEC); without that it is told how the daemon is every ten seconds. 0 if there is no
    manager.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watched = _watched(environment)
        self.beat_seconds = (self._watched or 10.0) if self._address else 0.0

    def ready(self) -> None:
        """Tell that the mount answers."""
        self._tell(b"READY=1\n")

    def beat(self, state: str) -> None:
        """Tell that the daemon lives, and how it is."""
        lives = b"WATCHDOG=1\n" if self._watched else b""
        self._tell(lives + b"STATUS=" + state.encode() + b"\n")

    def _tell(self, message: bytes) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
                manager.sendto(message, re.sub("^@", "\0", self._address))
        except OSError as refused:
            log.warning("NOTIFY_SOCKET: %s", refused.strerror)


def _watched(environment: Mapping[str, str]) -> float:
    """Half of the time within which a sign of life is wanted, in seconds; 0 if none is."""
    pid = environment.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return 0.0
    try:
        return max(int(environment.get("WATCHDOG_USEC", "0")), 0) / 2e6
    except ValueError:
        return 0.0
