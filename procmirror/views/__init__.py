"""The table of all views: the same tree as /proc, one module a source, one row a view.

The rows of `PID/` and `net/` stand in their own packages; those of the root and of its small directories stand here.
"""

from __future__ import annotations

from procmirror.view import View
from procmirror.views import net, pid

SYSTEM: tuple[View, ...] = ()

VIEWS: tuple[View, ...] = (*pid.VIEWS, *SYSTEM, *net.VIEWS)
