r"""A FUSE mirror of /proc with decoded views, and the same views as a library.

    >>> import procmirror
    >>> procmirror.decode("PID/comm", b"nc\n")
    Comm(comm='nc')

The functions read with the rights of the calling thread. docs/API.md describes them with examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from procmirror.api import (
        DecodeError,
        Machine,
        Record,
        Tree,
        decode,
        list_views,
        processes,
        read,
        record,
        schema,
    )

__version__ = "0.1.0"
__all__ = [
    "DecodeError",
    "Machine",
    "Record",
    "Tree",
    "__version__",
    "decode",
    "list_views",
    "processes",
    "read",
    "record",
    "schema",
]


def __getattr__(name: str) -> Any:
    """The library, loaded when a name of it is first used: the command starts without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    from procmirror import api  # noqa: PLC0415 - not before it is needed

    value = globals()[name] = getattr(api, name)
    return value


def __dir__() -> list[str]:
    """The names of the library, loaded or not."""
    return sorted({*globals(), *__all__})
