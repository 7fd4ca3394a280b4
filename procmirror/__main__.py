"""`python -m procmirror` is the command."""

import sys

from procmirror.cli import main

sys.exit(main())
