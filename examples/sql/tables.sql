-- The tables that the queries beside this file use, of what examples/collect.sh has fetched into hosts/. First this, then a query:
--   cat tables.sql memory.sql | duckdb
-- The mirrors are mounted with -o stamp, so that each row has the host and the time it is of. Not read from the mirror itself:
-- DuckDB believes the size of a file, which is 0 throughout /proc, and would find no line.
CREATE OR REPLACE TEMP TABLE processes AS
SELECT * FROM read_json('hosts/*/processes.ndjson', format = 'newline_delimited', sample_size = -1, union_by_name = true);

CREATE OR REPLACE TEMP TABLE sockets AS
SELECT * FROM read_json('hosts/*/sockets.json', format = 'array', sample_size = -1, union_by_name = true);
