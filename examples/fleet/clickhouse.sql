-- The question of libssl.sql to ClickHouse, of the folders hosts/HOST/ as they are: clickhouse local < clickhouse.sql
SELECT host, comm, uniqExact(pid) AS processes, any(path) AS example
FROM file('hosts/*/libraries.ndjson.gz', JSONEachRow, 'host String, pid UInt32, comm String, path String')
WHERE path LIKE '%/libssl%' GROUP BY host, comm ORDER BY host, comm;
