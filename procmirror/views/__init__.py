"""The table of all views: the same tree as /proc, one module a source, one row a view.

The rows of `PID/` and `net/` stand in their own packages; those of the root and of its small directories stand here.
"""

from __future__ import annotations

from procmirror.view import View
from procmirror.views import (
    buddyinfo,
    cgroups,
    cmdline,
    consoles,
    cpuinfo,
    crypto,
    devices,
    diskstats,
    dma,
    execdomains,
    fb,
    filesystems,
    interrupts,
    iomem,
    loadavg,
    meminfo,
    misc,
    modules,
    net,
    partitions,
    pid,
    sockets,
    softirqs,
    stat,
    uptime,
    version,
    vmstat,
)

SYSTEM: tuple[View, ...] = (
    View("buddyinfo", list[buddyinfo.Zone], buddyinfo.decode),
    View("cgroups", list[cgroups.Controller], cgroups.decode),
    View("cmdline", cmdline.Cmdline, cmdline.decode, text=cmdline.text),
    View("consoles", list[consoles.Console], consoles.decode),
    View("cpuinfo", list[cpuinfo.Processor], cpuinfo.decode),
    View("crypto", list[crypto.Algorithm], crypto.decode),
    View("devices", list[devices.Device], devices.decode),
    View("diskstats", list[diskstats.Disk], diskstats.decode, text=diskstats.text),
    View("dma", list[dma.Channel], dma.decode),
    View("execdomains", list[execdomains.Domain], execdomains.decode),
    View("fb", list[fb.Framebuffer], fb.decode),
    View("filesystems", list[filesystems.Filesystem], filesystems.decode),
    View("interrupts", list[interrupts.Interrupt], interrupts.decode, text=interrupts.text),
    View("iomem", list[iomem.Resource], iomem.decode),
    View("ioports", list[iomem.Resource], iomem.decode),
    View("loadavg", loadavg.Loadavg, loadavg.decode, text=loadavg.text),
    View("meminfo", meminfo.Meminfo, meminfo.decode, text=meminfo.text),
    View("misc", list[misc.Misc], misc.decode),
    View("modules", list[modules.Module], modules.decode),
    View("partitions", list[partitions.Partition], partitions.decode),
    View("sockets", list[sockets.Socket], join=sockets.join, text=sockets.text, virtual=True),
    View("softirqs", list[softirqs.Softirq], softirqs.decode),
    View("stat", stat.Stat, stat.decode, text=stat.text),
    View("uptime", uptime.Uptime, uptime.decode, text=uptime.text),
    View("version", version.Version, version.decode),
    View("vmstat", dict[str, int], vmstat.decode, text=vmstat.text),
)

VIEWS: tuple[View, ...] = (*pid.VIEWS, *SYSTEM, *net.VIEWS)
