"""The views of /proc/PID/net, one row each."""

from __future__ import annotations

from procmirror.view import View

VIEWS: tuple[View, ...] = ()
