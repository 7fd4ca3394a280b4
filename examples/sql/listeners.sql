-- Who waits for connections where: each listening port with the process that holds it and how that was started.
SELECT
    sockets.host,
    sockets.netid,
    sockets.local,
    holder.pid,
    holder.comm,
    processes.exe,
    array_to_string(processes.cmdline, ' ') AS command
FROM sockets
LEFT JOIN LATERAL (SELECT unnest(sockets.processes) AS holder) ON true
LEFT JOIN processes ON processes.host = sockets.host AND processes.pid = holder.pid
WHERE sockets.state = 'LISTEN' AND sockets.netid LIKE 'tcp%'
ORDER BY sockets.host, sockets.local_port, holder.pid;
