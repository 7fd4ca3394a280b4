"""The views of /proc/PID, one row each; those whose source exists under task/TID too stand there as well."""

from __future__ import annotations

from procmirror.view import View
from procmirror.views.pid import attr, environ, fd, maps, mountinfo, mounts, mountstats, ns, stack, stat, statm, status, wchan

VIEWS: tuple[View, ...] = (
    View("PID/environ", list[environ.Variable], environ.decode, text=environ.text),
    View("PID/attr", attr.Attr, join=attr.join, directory=True),
    View("PID/fd", list[fd.Descriptor], join=fd.join, text=fd.text, directory=True),
    View("PID/maps", list[maps.Mapping], maps.decode, text=maps.text),
    View("PID/mountinfo", list[mountinfo.Mount], mountinfo.decode, text=mountinfo.text),
    View("PID/mounts", list[mounts.Mount], mounts.decode),
    View("PID/mountstats", list[mountstats.Mount], mountstats.decode),
    View("PID/ns", list[ns.Namespace], join=ns.join, text=ns.text, directory=True),
    View("PID/stat", stat.Stat, stat.decode, text=stat.text),
    View("PID/stack", stack.Stacks, join=stack.join, text=stack.text),
    View("PID/statm", statm.Statm, statm.decode, text=statm.text),
    View("PID/wchan", wchan.Wchan, wchan.decode, text=wchan.text),
    View("PID/status", status.Status, status.decode, text=status.text),
)
