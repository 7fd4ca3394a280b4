#!/bin/sh
# Let updatedb (plocate, mlocate) pass over every mirror: adds fuse.procmirror to PRUNEFS in /etc/updatedb.conf, once.
# Run as root; $1 is another file.
file=${1:-/etc/updatedb.conf}
grep -q '^PRUNEFS=.*\bfuse\.procmirror\b' "$file" && exit 0
if grep -q '^PRUNEFS=' "$file"; then
    sed -i 's/^\(PRUNEFS *= *"[^"]*\)"/\1 fuse.procmirror"/' "$file"
else
    echo 'PRUNEFS="fuse.procmirror"' >> "$file"
fi
