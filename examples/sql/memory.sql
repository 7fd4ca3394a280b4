-- The memory of each account on each host, the most first. Of resident memory each process counts what it shares with others.
SELECT
    host,
    coalesce(status.Uid.effective_name::VARCHAR, status.Uid.effective::VARCHAR) AS account,
    count(*) AS processes,
    sum(status.VmRSS)::BIGINT AS resident,
    sum(status.VmSwap)::BIGINT AS swapped
FROM processes
WHERE status IS NOT NULL
GROUP BY ALL
ORDER BY resident DESC NULLS LAST, host, account;
