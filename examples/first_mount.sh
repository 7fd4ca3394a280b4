#!/bin/sh
# Mount the mirror and look at one process: the command in $1 (default procmirror), the place in $2 (default /mnt/proc).
# An ordinary user who may not use that directory gets a mount in another one.
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
show() {
    printf '\n$ %s\n' "$*"
    "$@"
}
show cat "$process/cmdline.txt"
show grep API_KEY "$process/environ.txt"
show head -n 12 "$process/status.txt"
show head -n 4 "$process/stack.txt"
kill $!
