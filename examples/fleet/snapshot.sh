#!/bin/sh
# What one machine sends each minute, into a folder: snapshot.sh FOLDER [MOUNT]. Three files of a line a record, gzipped; ship
# them with what you have (rsync, an object store, Vector, Fluent Bit). To be run as root, by cron or a timer.
set -eu
folder=$1 mount=${2:-/mnt/proc} here=$(dirname "$0")
mkdir -p "$folder"
jq -c -f "$here/slim.jq" < "$mount/processes.ndjson" | gzip > "$folder/processes.ndjson.gz"
jq -c --arg host "$(hostname)" -f "$here/libraries.jq" < "$mount/files.ndjson" | gzip > "$folder/libraries.ndjson.gz"
for resource in cpu io memory; do
    [ ! -e "$mount/pressure/$resource.json" ] ||
        jq -c --arg host "$(hostname)" --arg resource $resource '{host: $host, resource: $resource, avg60: .some.avg60}' \
            < "$mount/pressure/$resource.json"
done | gzip > "$folder/pressure.ndjson.gz"
