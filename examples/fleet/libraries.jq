# One line for each deleted file that a process still maps, of files.ndjson: jq -c --arg host "$(hostname)" -f libraries.jq
select(.deleted and (.use == "mem" or .use == "map" or .use == "exe")) | {host: $host, pid, comm, path}
