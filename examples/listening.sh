#!/bin/sh
# Who listens where: the sockets of your network namespace with the processes you may see. Mount in $1 (default /mnt/proc).
mount=${1:-/mnt/proc}
jq -r '.[]
    | select(.state == "LISTEN" or (.netid | startswith("udp")) and .peer_port == null)
    | [.netid, .local, ([.processes[] | "\(.comm)[\(.pid)]"] | join(" "))]
    | @tsv' "$mount/sockets.json"
