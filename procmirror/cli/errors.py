"""How a command ends other than by doing what it was asked."""

from __future__ import annotations


class CommandError(Exception):
    """A failure; its text is the one line on stderr before the exit status `status`."""

    status = 1


class UsageError(CommandError):
    """A command line that makes no sense."""

    status = 2


class HelpRequested(Exception):
    """A question about the command itself; its text goes to stdout, and nothing else is done."""
