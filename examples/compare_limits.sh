#!/bin/sh
# The limits in which two processes differ: compare_limits.sh PID PID [MOUNT].
[ $# -ge 2 ] || { echo "usage: $0 PID PID [MOUNT]" >&2; exit 2; }
mount=${3:-/mnt/proc}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
for pid in "$1" "$2"; do
    jq -S . "$mount/$pid/limits.json" > "$tmp/$pid" || exit 1
done
diff -U 4 "$tmp/$1" "$tmp/$2"
