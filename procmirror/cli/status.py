"""`--status MOUNTPOINT`: what a daemon tells of itself, as text, JSON or metrics of Prometheus."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from procmirror.cli.errors import CommandError
from procmirror.cli.mountpoint import is_served, within_bounds
from procmirror.decoding.text import duration, printable, size

_FILE = ".procmirror.json"


def status(mountpoint: str, form: str) -> bytes:
    """The state of the mirror at a mountpoint in a form: text, json or prometheus.

    Raises CommandError where there is no mirror, where the caller may not ask it, and where it does
    not answer in time.
    """
    try:
        content = within_bounds(mountpoint, lambda: _content(mountpoint))
    except FileNotFoundError:
        missing = "no mirror of this version is mounted there"
        raise CommandError(f"{mountpoint}: {missing}") from None
    except PermissionError as refused:
        words = (
            "only the user who mounted it may ask" if _is_mirror(mountpoint) else refused.strerror
        )
        raise CommandError(f"{mountpoint}: {words}") from None
    except OSError as refused:
        raise CommandError(f"{mountpoint}: {refused.strerror}") from None
    try:
        return _FORMS[form](json.loads(content)).encode()
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{mountpoint}: its daemon is of another version") from None


def _content(mountpoint: str) -> bytes:
    with open(os.path.join(mountpoint, _FILE), "rb") as file:
        return file.read()


def _is_mirror(mountpoint: str) -> bool:
    with suppress(OSError):
        return is_served(os.path.realpath(mountpoint))
    return False


def _text(state: dict[str, Any]) -> str:
    memory = sum(process["resident"] for process in state["processes"])
    waiting = sum(state["waiting"].values())
    rows = [
        ("version", state["version"]),
        ("daemon", state["pid"]),
        ("up", duration(state["uptime"])),
        ("requests", state["requests"]),
        ("errors", " ".join(f"{name}:{count}" for name, count in state["errors"].items()) or "-"),
        ("waiting", waiting),
        ("slow targets", " ".join(state["slow"]) or "-"),
        ("refused accounts", " ".join(map(str, state["refused"])) or "-"),
        ("workers", state["workers"]),
        ("open files", state["open_files"]),
        ("resident memory", f"{size(memory)} in {len(state['processes'])} processes"),
    ]
    return "".join(f"{name:18}{printable(str(value))}\n" for name, value in rows)


def _json(state: dict[str, Any]) -> str:
    return json.dumps(state, indent=2) + "\n"


def _prometheus(state: dict[str, Any]) -> str:
    return "".join(f"{line}\n" for line in _metrics(state))


def _metrics(state: dict[str, Any]) -> Iterator[str]:
    memory = sum(process["resident"] for process in state["processes"])
    for name, kind, meaning, value in (
        ("uptime_seconds", "gauge", "Since the daemon began.", state["uptime"]),
        ("requests_total", "counter", "Requests of the kernel.", state["requests"]),
        ("waiting_requests", "gauge", "Requests that wait.", sum(state["waiting"].values())),
        ("slow_targets", "gauge", "Targets waited for.", len(state["slow"])),
        ("refused_accounts", "gauge", "Accounts refused for a while.", len(state["refused"])),
        ("workers", "gauge", "Worker processes.", state["workers"]),
        ("open_files", "gauge", "Files and directories held open.", state["open_files"]),
        ("resident_bytes", "gauge", "Resident memory of all its processes.", memory),
    ):
        yield f"# HELP procmirror_{name} {meaning}"
        yield f"# TYPE procmirror_{name} {kind}"
        yield f"procmirror_{name} {value}"
    yield "# HELP procmirror_errors_total Requests that failed, by errno."
    yield "# TYPE procmirror_errors_total counter"
    for errno, count in state["errors"].items():
        yield f'procmirror_errors_total{{errno="{errno}"}} {count}'


_FORMS: dict[str, Callable[[dict[str, Any]], str]] = {
    "text": _text,
    "json": _json,
    "prometheus": _prometheus,
}
