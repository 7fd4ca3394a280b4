"""What docs/VIEWS.md says of all views and of the indexes."""

from __future__ import annotations

UNITS = """\
Every size is in bytes and every duration in seconds, whatever the file counts in;
null is what is unlimited, unset or not available."""

RULES = f"""\
# The views

Beside an entry `X` of the mirrored /proc stand `X.json` and, where the raw file does not read well,
`X.txt`. This page is made from the table of views and their JSON Schemas
(`procmirror --list-views`, `procmirror --schema PID/status.json`).

## Rules for every view

- **Rights**: owner, group, mode and times are those of the source, and a view opens for exactly
  those who may open and read the source, else fails with the same error. Of a view of several
  sources the first decides; what the requester may not read of the others is `null`, in text
  `(not permitted)`.
- **Snapshot**: a view shows what was read when it was opened. Reading again from the beginning
  reads anew where the view is small, of one file, and an open file of /proc tells the same to
  whoever has it (`status.json`, `meminfo.txt`).
- **Units**: {UNITS.replace(chr(10), chr(10) + "  ")}
  The sysctl tree and counters of pages that are named as counts (`nr_…`, `pg…`) are as they are.
- **Names**: files of `Key: value` keep the kernel's own keys, files of columns have the names of
  proc(5) in snake_case. No name or type of a field changes within a major version.
- **Shapes**: tables and lists are arrays, all else objects; the order is the kernel's, and what is
  repeated there is repeated here.
- **Masks** are arrays of names, a bit without a name is `"0x40000"`; lists of CPUs and nodes are
  arrays of numbers.
- **Addresses** of memory and numbers of devices are strings: `"0x7ffd0c9f8000"`, `"253:0"`.
- **Newer kernels**: lines and columns that this version does not know appear under their own names
  or under `extra`, which is only present when there are any.
- **Encoding**: strict JSON in UTF-8, indented by two, a newline at the end. Bytes that are not
  UTF-8 appear as `\\xHH`; the raw file beside the view has them. Text for people has control
  characters escaped and one record a line.
- **Text**: a table has a header of capitals, a page one key a line. Each cell but the last is one
  word, `-` if there is nothing, a blank of a name `\\x20`; so are keys, sizes (`10.6MiB`, which
  `sort -h` orders), durations (`1m09s`) and dates (ISO 8601). `0` is nought of any unit. States
  are those of the JSON, of a process its letter. A cell of more than 40 characters, of
  24 in a table too wide for 80, moves the rest of its own row only.
- **Deleted files**: the kernel's mark ` (deleted)` stands in text only; in JSON a path is without
  it, and `deleted` is true. Texts of links without such a field (`exe`, `cwd`) are the kernel's.
- **Mismatch**: a source that does not have the shape known here is an input/output error (EIO) and
  a line in the log, never a guess.
- Kernel threads and zombies have the same views, with what they have.
"""

INDEX_RULES = """\
## Indexes: `by-…/` in the root

Directories in which each process stands by a property, as a link to its own directory:
`cat by-port/tcp/8080/*/environ.txt`, `ls by-name/nginx`,
`cat by-cgroup/system.slice/ssh.service/pids/*/cmdline.txt`.
"""

INDEX_DETAILS = """\
- **Rights**: a process stands where the kernel tells the requester what it takes to know that: only
  requesters that may trace a process are told its `exe` and `fd/`. For all others the link does not
  exist.
- **Found at once**: every directory with a possible name exists, even where nothing stands in it,
  and a link is found by a look at its process alone. A listing is made of all processes, and may be
  shown again to the very same requester (ids, groups, capabilities, namespaces, confinement) for
  five times as long as it took to make, and for a second at most.
- **Names** are escaped as in `.txt`; `/` becomes `\u2215` (U+2215). What is empty, `.`, `..` or
  `pids`, begins with `=`, or has a U+2215 of its own gets a `=` in front; so does a control group
  called by a number. A name of more than 255 bytes is cut to 236 and ends in `…` and 16 digits of
  the SHA-256 of the whole. Paths end at 4096 bytes.
- **Trees**: in `by-exe`, `by-file`, `by-cgroup` and `by-parent` the links of a directory stand in
  its `pids/`.
- **by-file** has each process that uses a file, by any descriptor, as cwd, root or exe, or by a
  mapping, by the path that the kernel names; a deleted file is where it was. `files.ndjson` tells
  the kind of use.
- **by-cgroup** has each process at the path of every hierarchy that it is in, version 1 or 2, as
  the requester's cgroup namespace shows it.
- **by-port** has the processes that hold a socket, whether it listens or is connected; `tcp` and
  `udp` are of both IP versions.
- **by-parent** has a directory for every process, under that of its parent, with its children's;
  those without a parent that the requester sees are at the top. Every directory is also found
  without the ones above it: `by-parent/1234/pids/` has the children of 1234.
- Threads other than the first stand nowhere, kernel threads and zombies not in `by-exe`. With
  `-o views=none` there are no indexes.
"""
