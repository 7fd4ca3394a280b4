"""Importing trio and pyfuse3 without what they load and this program never uses.

trio brings TLS, and with it OpenSSL, internet hosts, paths, files, programs and threads, and runs
ldconfig(8) to find the function that names a thread; pyfuse3 finds out its own version by a module
that imports those of mail, and names an error of pickle.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

# By package: the modules for which others stand in while it is imported.
_SPARED = {
    "trio": (
        "trio._ssl",
        "trio._channel",
        "trio._dtls",
        "trio._file_io",
        "trio._highlevel_generic",
        "trio._highlevel_open_tcp_listeners",
        "trio._highlevel_open_tcp_stream",
        "trio._highlevel_open_unix_stream",
        "trio._highlevel_serve_listeners",
        "trio._highlevel_socket",
        "trio._highlevel_ssl_helpers",
        "trio._path",
        "trio._socket",
        "trio._subprocess",
        "trio._threads",
        "trio._unix_pipes",
        "attr.validators",
        "attrs.validators",
        "sortedcontainers.sortedset",
        "ctypes.util",
        "idna",
    ),
    "pyfuse3": ("importlib.metadata", "pickle"),
}


class _NotFoundError(Exception):
    """`importlib.metadata.PackageNotFoundError` of the module that stands in."""


def _version(name: str) -> str:
    raise _NotFoundError(name)


def _find_library(_: str) -> None:
    """No library: threads keep the name of the program, as trio's are not used."""


def _instance_of(_: type) -> None:
    """No validator of a field: outcome has one that looks at each exception again."""


class _StandIn(ModuleType):
    """A module in which every name is that of an empty class, but for functions that are called."""

    PackageNotFoundError = _NotFoundError
    version = staticmethod(_version)
    find_library = staticmethod(_find_library)
    instance_of = staticmethod(_instance_of)

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def import_spared(name: str) -> ModuleType:
    """The package, imported without the modules that it is spared.

    A version of it that does not bear that is imported as it is. ImportError as that raises it.
    """
    # The package of ctypes.util, which has to be there first.
    import_module("ctypes")
    before = set(sys.modules)
    try:
        with _standing_in(_SPARED[name]):
            return import_module(name)
    except Exception:  # noqa: BLE001 - whatever another version does with a name
        packages = {one.partition(".")[0] for one in (name, *_SPARED[name])}
        for left in set(sys.modules) - before:
            if left.partition(".")[0] in packages:
                del sys.modules[left]
        return import_module(name)


@contextmanager
def _standing_in(names: tuple[str, ...]) -> Iterator[None]:
    """Within it, other modules stand in for those of `names` that are not imported yet."""
    put = {name: _StandIn(name) for name in names if name not in sys.modules}
    sys.modules.update(put)
    # `import package.name` sets the attribute of the package only where it loads the module.
    packages = {name: sys.modules.get(name.rpartition(".")[0]) for name in put}
    for name, package in packages.items():
        if package:
            setattr(package, name.rpartition(".")[2], put[name])
    try:
        yield
    finally:
        for name, package in packages.items():
            del sys.modules[name]
            if package:
                delattr(package, name.rpartition(".")[2])
