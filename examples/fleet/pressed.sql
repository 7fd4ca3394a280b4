-- Which hosts wait for what, with the three largest processes there: duckdb < pressed.sql
SELECT p.host, p.resource, p.avg60, (
    SELECT string_agg(comm, ' ') FROM (SELECT comm FROM 'processes.parquet' q WHERE q.host = p.host ORDER BY rss DESC NULLS LAST LIMIT 3)
) AS largest
FROM 'pressure.parquet' p WHERE p.avg60 > 10 ORDER BY p.avg60 DESC;
