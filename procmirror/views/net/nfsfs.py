"""/proc/net/nfsfs/servers and volumes: the servers and file systems that the NFS client knows.

Source: nfs_server_list_show and nfs_volume_list_show in fs/nfs/client.c.

/proc/fs/nfsfs has links to them. Addresses and ports are hexadecimal there: `c0a80101`, `801`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import hexadecimal, ipv6, number
from procmirror.decoding.table import Row, Rows, columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

_IPV4, _IPV6 = 8, 32  # digits of an address


class Server(Record, frozen=True):
    """One server, for one version of NFS."""

    version: Annotated[str, doc("Version of NFS: `v3`, `v4`")]
    server: Annotated[str, doc("Its address")]
    port: Annotated[int, doc("Its port")]
    use: Annotated[int, doc("References to it: mounted file systems, and others of the kernel")]
    hostname: Annotated[str, doc("Its name, as it was given to mount(8)")]
    extra: Extra = UNSET


class Volume(Record, frozen=True):
    """One file system of a server."""

    version: Annotated[str, doc("Version of NFS")]
    server: Annotated[str, doc("Address of its server")]
    port: Annotated[int, doc("Port of its server")]
    device: Annotated[str, doc("Device number of the mount, major:minor, as in mountinfo")]
    fsid: Annotated[str, doc("The server's number of it, two hexadecimal numbers")]
    fscache: Annotated[bool, doc("Whether FS-Cache keeps it on a local disk")]
    extra: Extra = UNSET


def servers(raw: bytes, _: Machine) -> Rows[Server]:
    """The servers in the kernel's order."""
    columns_of(raw, "NV SERVER PORT USE HOSTNAME")
    return rows(raw, lambda line: _server(line.split(None, 4)), 1)


def _server(words: list[bytes]) -> Server:
    row = Row(("version", "server", "port", "use", "hostname"), words)
    return Server(
        version=row("version", _version),
        server=row("server", address),
        port=row("port", hexadecimal),
        use=row("use", number),
        hostname=row("hostname", decoded),
        extra=row.extra(),
    )


def volumes(raw: bytes, _: Machine) -> Rows[Volume]:
    """The file systems in the kernel's order."""
    columns_of(raw, "NV SERVER PORT DEV FSID")
    names = ("version", "server", "port", "device", "fsid", "fscache")
    return rows(raw, lambda line: _volume(Row(names, line.split())), 1)


def _volume(row: Row) -> Volume:
    return Volume(
        version=row("version", _version),
        server=row("server", address),
        port=row("port", hexadecimal),
        device=row("device", _device),
        fsid=row("fsid", decoded),
        fscache=row("fscache", _yes),
        extra=row.extra(),
    )


def address(digits: bytes) -> str:
    """An address by its digits in the order of the network; ValueError for what is none."""
    if len(digits) == _IPV4:
        return ".".join(map(str, bytes.fromhex(decoded(digits))))
    if len(digits) == _IPV6:
        return ipv6(digits)
    raise expected("an address in hexadecimal", digits)


def _version(word: bytes) -> str:
    if not word[:1] == b"v":
        raise expected("a version of NFS, v3", word)
    return decoded(word)


def _device(word: bytes) -> str:
    major, minor = map(number, word.split(b":"))
    return f"{major}:{minor}"


def _yes(word: bytes) -> bool:
    if word not in {b"yes", b"no"}:
        raise expected("yes or no", word)
    return word == b"yes"


text_of_servers = listing(
    "VERSION version",
    "ADDRESS server",
    "PORT port number",
    "USE use number",
    "SERVER hostname",
    none="no servers\n",
)
text_of_volumes = listing(
    "VERSION version",
    "SERVER server",
    "PORT port number",
    "DEVICE device",
    "FSCACHE fscache",
    "FSID fsid",
    none="no file systems\n",
)
