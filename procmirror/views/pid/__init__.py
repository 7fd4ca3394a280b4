"""The views of /proc/PID, one row each; those whose source exists under task/TID too stand there as well."""

from __future__ import annotations

from procmirror.view import View
from procmirror.views.pid import environ, statm, status, wchan

VIEWS: tuple[View, ...] = (
    View("PID/environ", list[environ.Variable], environ.decode, text=environ.text),
    View("PID/statm", statm.Statm, statm.decode, text=statm.text),
    View("PID/wchan", wchan.Wchan, wchan.decode, text=wchan.text),
    View("PID/status", status.Status, status.decode, text=status.text),
)
