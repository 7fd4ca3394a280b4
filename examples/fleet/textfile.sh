#!/bin/sh
# Metrics for the textfile collector of node_exporter: textfile.sh [MOUNT] > FOLDER/procmirror.prom.new, then mv to .prom. Run as
# root: an ordinary user is told the state of every process, but not the program of other users', which is counted apart.
mount=${1:-/mnt/proc}
echo '# TYPE procmirror_tasks gauge'
jq -r '.stat.state' < "$mount/processes.ndjson" | sort | uniq -c | awk '{ printf "procmirror_tasks{state=\"%s\"} %d\n", $2, $1 }'
echo '# TYPE procmirror_deleted_programs gauge'
jq -r 'select((.exe // "") | endswith(" (deleted)")) | .pid' < "$mount/processes.ndjson" |
    awk 'END { printf "procmirror_deleted_programs %d\n", NR }'
echo '# TYPE procmirror_unreadable_programs gauge'
jq -r 'select(.status.VmSize and any(.incomplete[]; .part == "exe")) | .pid' < "$mount/processes.ndjson" |
    awk 'END { printf "procmirror_unreadable_programs %d\n", NR }'
${PROCMIRROR:-procmirror} --status "$mount" --format prometheus 2>/dev/null
exit 0
