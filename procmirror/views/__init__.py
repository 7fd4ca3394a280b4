"""The table of all views: the same tree as /proc, one module a source, one row a view.

The rows of `PID/` and `net/` stand in their own packages; those of the root and of its small directories stand here.
"""

from __future__ import annotations

from procmirror.view import View
from procmirror.views import cpuinfo, loadavg, meminfo, net, pid, stat, uptime, version

SYSTEM: tuple[View, ...] = (
    View("cpuinfo", list[cpuinfo.Processor], cpuinfo.decode),
    View("loadavg", loadavg.Loadavg, loadavg.decode, text=loadavg.text),
    View("meminfo", meminfo.Meminfo, meminfo.decode, text=meminfo.text),
    View("stat", stat.Stat, stat.decode, text=stat.text),
    View("uptime", uptime.Uptime, uptime.decode, text=uptime.text),
    View("version", version.Version, version.decode),
)

VIEWS: tuple[View, ...] = (*pid.VIEWS, *SYSTEM, *net.VIEWS)
