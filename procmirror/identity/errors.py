"""Errors as system calls raise them."""

from __future__ import annotations

import os


class Unanswered(OSError):
    """The kernel was not asked, so the answer is the mirror's own.

    The requester is unknown or beyond a limit, the time is over, or the worker was lost.
    """


class Unlabelled(Unanswered):
    """No worker can take on the label that a security module gave the requester."""


class Hidden(OSError):
    """The kernel would answer, but the requester's own /proc hides this from the requester."""


def hidden(number: int) -> Hidden:
    """The error of an errno value with its text."""
    return Hidden(number, os.strerror(number))


def error(number: int) -> OSError:
    """The OSError of an errno, with the subclass and the text that Python itself uses."""
    return OSError(number, os.strerror(number))


class StillRunning(Exception):
    """A thread has made a request and does not wait for the answer yet: it is looked at again."""
