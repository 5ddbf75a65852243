-- The dump and the counts of its rows see the same moment: this transaction's snapshot, which stays
-- open for as long as both take. Variables: rows, the file that the counts go to; moment, if it is not now.
-- No limit of the server's may end a session that waits for pg_dump.
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout') \g /dev/null
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT pg_export_snapshot() AS snapshot,
    coalesce(nullif(:'moment', ''), to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) AS dumped,
    current_setting('server_version') AS server,
    current_database() AS database \gset
\o :rows
\qecho '# database' :database
\qecho '# server' :server
\qecho '# dumped' :dumped
\setenv BACKUP_SNAPSHOT :snapshot
\! "$BACKUP_HERE/snapshot.sh"
\if :SHELL_ERROR
\else
\! : >"$BACKUP_TEMP/done"
\ir counts.sql
\qecho '# end'
\endif
COMMIT;
