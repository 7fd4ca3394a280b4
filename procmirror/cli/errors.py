"""The ways in which a command ends without doing what it was asked."""

from __future__ import annotations


class CommandError(Exception):
    """A failure; its text is the one line on stderr before the exit status `status`."""

    status = 1


class UsageError(CommandError):
    """A command line without a meaning."""

    status = 2


class Ended(BaseException):
    """The end of a command by a signal, before it has mounted; its text is the line on stderr.

    As KeyboardInterrupt, it is no failure that others may catch.
    """

    status = 1


class HelpRequested(Exception):
    """A question about the command itself; its text goes to stdout, and nothing else is done."""
