"""`python -m procmirror` is the command."""

import sys

from procmirror.cli.main import main

sys.exit(main())
