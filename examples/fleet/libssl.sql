-- Which hosts run a deleted libssl, and which processes have to be started again: duckdb < libssl.sql
SELECT host, comm, count(DISTINCT pid) AS processes, any_value(path) AS path
FROM 'libraries.parquet' WHERE path LIKE '%/libssl%' GROUP BY host, comm ORDER BY host, comm;
