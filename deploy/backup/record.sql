-- Writes down what happened to a dump, for durable/backups. Variables: what, file, and what the case
-- names. A database without that table (older, or of another project) is none the worse for it.
SELECT to_regclass('durable_backups_backup') IS NOT NULL AS there,
    :'what' = 'began' AS began, :'what' = 'failed' AS failed, :'what' = 'damaged' AS damaged, :'what' = 'dumped' AS dumped_now,
    :'what' = 'stored' AS stored, :'what' = 'proven' AS proven_now, :'what' = 'kept' AS kept \gset
\if :there
    \if :began
        INSERT INTO durable_backups_backup (file) VALUES (:'file') ON CONFLICT (file) DO NOTHING;
    \elif :failed
        INSERT INTO durable_backups_backup (file, error, failed_at) VALUES (:'file', :'error', clock_timestamp())
        ON CONFLICT (file) DO UPDATE SET error = excluded.error, failed_at = excluded.failed_at;
    \elif :damaged
        INSERT INTO durable_backups_backup (file, error, failed_at) VALUES (:'file', :'error', clock_timestamp())
        ON CONFLICT (file) DO UPDATE SET error = excluded.error, failed_at = excluded.failed_at, proven_at = NULL;
    \elif :dumped_now
        UPDATE durable_backups_backup SET dumped_at = :'dumped', bytes = :bytes, tables = :tables, rows = :rows,
            dump_seconds = :seconds, error = '', failed_at = NULL
        WHERE file = :'file';
    \elif :stored
        UPDATE durable_backups_backup SET stored_at = clock_timestamp() WHERE file = :'file';
    \elif :proven_now
        -- A restored database may know nothing of its own dump.
        INSERT INTO durable_backups_backup (file, dumped_at, proven_at, bytes, tables, rows, proof_seconds)
        VALUES (:'file', :'dumped', clock_timestamp(), :bytes, :tables, :rows, :seconds)
        ON CONFLICT (file) DO UPDATE SET dumped_at = excluded.dumped_at, proven_at = excluded.proven_at,
            bytes = excluded.bytes, tables = excluded.tables, rows = excluded.rows,
            proof_seconds = excluded.proof_seconds, error = '', failed_at = NULL;
    \elif :kept
        -- Dumps that are gone, and failures that nobody needs to know of any more.
        DELETE FROM durable_backups_backup WHERE dumped_at IS NOT NULL AND file <> ALL (string_to_array(:'files', ' '));
        DELETE FROM durable_backups_backup WHERE dumped_at IS NULL AND started_at < clock_timestamp() - interval '90 days';
    \endif
\endif
