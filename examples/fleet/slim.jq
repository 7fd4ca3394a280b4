# One line a process with what a fleet is asked for, of processes.ndjson with -o stamp: jq -c -f slim.jq. null is left out.
{
    host, time, pid, comm: .stat.comm, uid: .status.Uid.effective, state: .stat.state,
    rss: .status.VmRSS, swap: (.status.VmSwap | if . == 0 then null else . end), threads: .stat.num_threads,
    cpu: ((.stat.utime + .stat.stime) * 100 | round / 100),
    read: .io.read_bytes, written: .io.write_bytes, started: .stat.started,
    gone: (if (.exe // "") | endswith(" (deleted)") then .exe else null end)
} | with_entries(select(.value != null))
