"""`python -m procmirror` is the command."""

import signal
import sys
from typing import NoReturn


def run() -> NoReturn:
    """Run the command and exit with its status."""
    # Ctrl-C ends the command without a traceback also while it is imported.
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from procmirror.cli.main import main  # noqa: PLC0415 - after that

    sys.exit(main())


if __name__ == "__main__":
    run()
