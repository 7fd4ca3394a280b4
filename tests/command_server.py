"""A process that has imported the command, and forks for each time that it is to run.

`python -m tests.command_server DESCRIPTOR`: a socket that brings four files, the request and the
three standard streams, and takes the wait status. Each child is what `python -m procmirror` is when
it has imported all that it may need, so nothing of one run is in another.
"""

from __future__ import annotations

import gc
import os
import pickle
import socket
import sys
import traceback
from collections.abc import Sequence

# Everything that the command imports late, so that no run has to: the interpreter and the views take
# most of the time of a short one.
from procmirror.cli import captured, catalogue, explaining, main, printing
from procmirror.stack import calls
from procmirror.views import VIEWS

LOADED = (captured, catalogue, explaining, printing)
for view in VIEWS:
    view.load()


def _as_user(user: int) -> None:
    """Become another user, who may be unable to read where the package is installed."""
    calls.load(os.uname().machine)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def _status(arguments: Sequence[str]) -> int:
    try:
        return main.main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ended.code is not None
    except BaseException:  # noqa: BLE001 - what the interpreter does at its end
        traceback.print_exc()
        return 1


def _run(request: int, streams: Sequence[int]) -> None:
    """One run of the command, in a child."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    with open(request, "rb") as file:
        arguments, environment, user = pickle.load(file)
    for stream in streams:
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    if user:
        _as_user(user)
    status = _status(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve(channel: socket.socket) -> None:
    """Run the command as often as it is asked for, one after the other."""
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 1, 4)
        if not message:
            return
        child = os.fork()
        if child == 0:
            channel.close()
            try:
                _run(descriptors[0], descriptors[1:])
            finally:
                os._exit(70)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(b"%d" % child)
        channel.send(b"%d" % os.waitpid(child, 0)[1])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
