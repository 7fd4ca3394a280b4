"""Names of modules that are imported when they are first used.

Most mounts are asked for a few of the views, and the modules of all of them take a third of the
time in which a mirror starts, and of its memory. Python has this for whole modules since 3.15
(`lazy import`, PEP 810).
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, get_args, get_origin

# What may be named late: the modules that decode.
_BELOW = ("procmirror.views", "procmirror.stack")


class Late:
    """A name in a module or package that need not be imported yet.

    Its attributes are names in it. A call imports it and calls it.
    """

    __slots__ = ("_name", "_within")

    def __init__(self, within: str, name: str) -> None:
        self._within, self._name = within, name

    def __getattr__(self, name: str) -> Late:
        """A name in this one, which is that of a module."""
        if name.startswith("_"):
            raise AttributeError(name)
        return Late(f"{self._within}.{self._name}", name)

    def __call__(self, *arguments: Any) -> Any:
        """What it returns; the module is imported if it has not been yet."""
        return found(self)(*arguments)


def found(value: Any) -> Any:
    """What a late name stands for, which is imported; another value is itself.

    The arguments of a generic type (`list[module.Record]`) may be late names.
    """
    if isinstance(value, Late):
        return getattr(import_module(value._within), value._name)  # noqa: SLF001 - of this module
    arguments = get_args(value)
    if not any(isinstance(one, Late) for one in arguments):
        return value
    generic: Any = get_origin(value)
    return generic[tuple(map(found, arguments))]


@contextmanager
def late(namespace: dict[str, Any]) -> Iterator[None]:
    """Within it, `from PACKAGE import MODULE` in the module of `namespace` names modules late.

    At its end the late names are taken from the namespace: a package has a module of itself as an
    attribute only when that is imported.
    """
    imported = builtins.__import__

    def named(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the name that Python gives it
        locals: Mapping[str, object] | None = None,  # noqa: A002 - the same
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if globals is namespace and name.startswith(_BELOW):
            return Late(*name.rsplit(".", 1))
        return imported(name, globals, locals, fromlist or (), level)

    builtins.__import__ = named
    try:
        yield
    finally:
        builtins.__import__ = imported
        for name in [name for name, value in namespace.items() if isinstance(value, Late)]:
            del namespace[name]
