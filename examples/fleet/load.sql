-- Of all folders hosts/HOST/ that snapshot.sh has filled, one Parquet file a table: duckdb < load.sql
COPY (
    SELECT * FROM read_json('hosts/*/processes.ndjson.gz', format = 'newline_delimited', union_by_name = true, columns = {
        host: 'VARCHAR', time: 'TIMESTAMP', pid: 'INTEGER', comm: 'VARCHAR', uid: 'BIGINT', state: 'VARCHAR', rss: 'BIGINT',
        swap: 'BIGINT', threads: 'INTEGER', cpu: 'DOUBLE', read: 'BIGINT', written: 'BIGINT', started: 'VARCHAR', gone: 'VARCHAR'
    })
) TO 'processes.parquet' (FORMAT parquet, COMPRESSION zstd);
COPY (
    SELECT * FROM read_json('hosts/*/libraries.ndjson.gz', format = 'newline_delimited', columns = {
        host: 'VARCHAR', pid: 'INTEGER', comm: 'VARCHAR', path: 'VARCHAR'
    })
) TO 'libraries.parquet' (FORMAT parquet, COMPRESSION zstd);
COPY (
    SELECT * FROM read_json('hosts/*/pressure.ndjson.gz', format = 'newline_delimited', columns = {
        host: 'VARCHAR', resource: 'VARCHAR', avg60: 'DOUBLE'
    })
) TO 'pressure.parquet' (FORMAT parquet, COMPRESSION zstd);
