"""Listeners, queues and connections."""

from __future__ import annotations

from tests.cookbook.scene import IN_SOCKETS, Made, Scene, Scenes
from tests.programs import free_port

SCENES = Scenes()

LISTENER = """
import socket
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
accepted = listener.accept()"""
CLIENT = """
import socket
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(b"x" * int(sys.argv[2]))
print(flush=True)"""


@SCENES.asked("Who listens on port 8080?")
def _listener(made: Made) -> Scene:
    port = free_port()
    listener, client = made.python(LISTENER, port), made.python(CLIENT, port, 0)
    other = made.python(LISTENER, free_port())
    return Scene([listener], [client, other], his=[], words=[("8080", port)], process=IN_SOCKETS)


# A server that never accepts and has room for one, which is the first; the second gets no answer.
BUSY = """
import socket
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1]))), listener.listen(0)
print(flush=True)"""
EAGER = """
import socket
client = socket.socket()
client.setblocking(False)
client.connect_ex(("127.0.0.1", int(sys.argv[1])))
print(flush=True)"""


def _full(made: Made) -> tuple[int, int, int, int]:
    """The server, its port, the client that waits for it and the one that is not heard."""
    port = free_port()
    server = made.python(BUSY, port)
    return server, port, made.python(EAGER, port), made.python(EAGER, port)


@SCENES.asked("Which server leaves its connections waiting?")
def _queue(made: Made) -> Scene:
    server, port, heard, unheard = _full(made)
    idle = made.python(BUSY, free_port())
    return Scene(
        [server],
        [idle, heard, unheard],
        lines=[rf"^tcp +LISTEN +127\.0\.0\.1:{port} .*\({server}\) +1 "],
        process=IN_SOCKETS,
    )


@SCENES.asked("Whose attempts to connect get no answer?")
def _no_answer(made: Made) -> Scene:
    server, _, heard, unheard = _full(made)
    return Scene([unheard], [server, heard], his=[], process=IN_SOCKETS)


@SCENES.asked("Which connections have data that their program does not read?")
def _unread(made: Made) -> Scene:
    ports = [free_port(), free_port()]
    hanging, idle = (made.python(LISTENER, port) for port in ports)
    clients = [made.python(CLIENT, port, size) for port, size in zip(ports, (5000, 0), strict=True)]
    line = rf"^tcp +ESTABLISHED .* 127\.0\.0\.1:{ports[0]} .*\({hanging}\) +4\.9KiB "
    return Scene([hanging], [idle, *clients], lines=[line], process=IN_SOCKETS)


@SCENES.asked("Which connections does this process have?")
def _connections(made: Made) -> Scene:
    port = free_port()
    made.python(LISTENER, port)
    client = made.python(CLIENT, port, 0)
    return Scene(pid=client, lines=[rf"tcp ESTABLISHED 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:{port}$"])


@SCENES.asked("Who serves the Unix socket /run/app.sock?")
def _unix_socket(made: Made) -> Scene:
    script = """
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1]), listener.listen()
print(flush=True)"""
    path = made.folder / "app.sock"
    server, other = (made.python(script, name) for name in (path, f"{path}.old"))
    client = made.python(
        "import socket\nkept = socket.socket(1)\nkept.connect(sys.argv[1])\nprint(flush=True)", path
    )
    return Scene(
        [server], [other, client], his=[], words=[("/run/app.sock", path)], process=IN_SOCKETS
    )


@SCENES.asked("Which services are open to the network?")
def _open(made: Made) -> Scene:
    everywhere = LISTENER.replace("127.0.0.1", "0.0.0.0")
    for_all, local = (made.python(script, free_port()) for script in (everywhere, LISTENER))
    return Scene([for_all], [local], his=[], process=IN_SOCKETS)


LOSING = """
import socket
receiver = socket.socket(type=socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
receiver.bind(("127.0.0.1", int(sys.argv[1])))
sender = socket.socket(type=socket.SOCK_DGRAM)
for _ in range(int(sys.argv[2])):
    sender.sendto(b"x" * 500, receiver.getsockname())
print(flush=True)"""


@SCENES.asked("Which UDP sockets lose packets?")
def _lost(made: Made) -> Scene:
    losing, whole = free_port(), free_port()
    made.python(LOSING, losing, 100), made.python(LOSING, whole, 1)
    lines = [rf"^CLOSE .* 127\.0\.0\.1:{losing} .* [1-9][0-9]+$"]
    absent = rf"\A(?![\s\S]*127\.0\.0\.1:{whole} )"
    return Scene(lines=[*lines, absent])
