#!/bin/sh
# Mount the mirror and look at one process: the command in $1 (default procmirror), the place in $2 (default /mnt/proc).
# An ordinary user who may not use that place gets a mount of his own.
command=${1:-procmirror}
place=${2:-/mnt/proc}
if [ "$(id -u)" != 0 ] && ! { [ -d "$place" ] && [ -w "$place" ]; }; then
    place=${XDG_RUNTIME_DIR:-$HOME}/proc
fi
mkdir -p "$place" 2>/dev/null
grep -qs " $place fuse.procmirror " /proc/mounts || "$command" "$place" || exit 1
echo "mounted at $place; to unmount: fusermount3 -u $place"

API_KEY=only-root-and-you-see-this sleep 5 &
process=$place/$!
sleep 0.1
for view in cmdline.txt environ.txt status.txt; do
    echo
    echo "\$ cat $process/$view"
    grep -e API_KEY -e sleep "$process/$view" || head -n 6 "$process/$view"
done
kill $!
