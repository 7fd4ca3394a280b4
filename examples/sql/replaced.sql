-- What still runs a program that has been deleted or replaced since, as an upgrade does: what has to be restarted, and where.
SELECT host, pid, stat.comm AS comm, exe, stat.started AS started
FROM processes
WHERE exe LIKE '% (deleted)'
ORDER BY host, pid;
