#!/bin/sh
# Fetch the processes and sockets of many machines into hosts/HOST/: collect.sh HOST…, for the queries in sql/. Each HOST is as ssh
# knows it and has the mirror at MOUNT (default /mnt/proc); SSH is the command (default: ssh that asks nothing). What does not come
# whole does not replace what came before.
code=0
for host; do
    mkdir -p "hosts/$host" || exit 1
    for stream in processes.ndjson sockets.json; do
        file=hosts/$host/$stream
        if ${SSH:-ssh -n -o BatchMode=yes -o ConnectTimeout=10} -- "$host" "cat ${MOUNT:-/mnt/proc}/$stream" > "$file.part"; then
            mv "$file.part" "$file"
        else
            rm -f "$file.part"
            echo "collect.sh: $host: no $stream" >&2
            code=1
        fi
    done
done
exit $code
