#!/bin/sh
# Let updatedb (plocate, mlocate) pass over every mirror: adds fuse.procmirror to PRUNEFS in /etc/updatedb.conf, once.
# Run as root; $1 is another file.
file=${1:-/etc/updatedb.conf}
# Fedora has blanks around the sign; a second line of this name is an error.
name='^[[:blank:]]*PRUNEFS[[:blank:]]*='
grep -q "$name.*\bfuse\.procmirror\b" "$file" && exit 0
if grep -q "$name" "$file"; then
    sed -i "s/\($name[^\"]*\"[^\"]*\)\"/\1 fuse.procmirror\"/" "$file"
else
    echo 'PRUNEFS="fuse.procmirror"' >> "$file"
fi
