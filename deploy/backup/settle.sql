-- What makes tasks of a restored database safe (docs/backups.md, "What comes back twice"). A worker
-- that was not stopped may still hold or run a row from after the dump, which it knows by its id and
-- the number of the attempt. Both went back with the restore, so it could end a row that isn't its
-- own. Variables: sequences, a file; hold, true or false.

BEGIN;
\ir :sequences

SELECT to_regclass('durable_task') IS NOT NULL AS queue \gset
\if :queue
-- Ids go on from the time in microseconds: above all that were ever given out, in each of the
-- histories that end at a restore, as long as those took fewer than a million a second.
SELECT setval(pg_get_serial_sequence('durable_task', 'id'), greatest(
    (SELECT max(id) FROM durable_task),
    pg_sequence_last_value(pg_get_serial_sequence('durable_task', 'id')::regclass),
    (extract(epoch FROM clock_timestamp()) * 1e6)::bigint)) \g /dev/null

-- The workers of that time are gone, whatever the table says.
DELETE FROM durable_worker;

-- Attempts go on from the number of seconds since 2026: no worker from before can match. What ran at
-- the dump runs again, and that is not the task's failure; what was in quarantine stays there.
UPDATE durable_task SET
    clean_attempt = CASE WHEN quarantined_at IS NULL THEN later
        ELSE later - (attempt - clean_attempt) END,
    attempt = later,
    worker = NULL,
    started_at = NULL,
    error = CASE WHEN quarantined_at IS NULL AND :'hold'::boolean
        THEN 'held back by a restore (BACKUP_HOLD_TASKS)' ELSE error END,
    quarantined_at = CASE WHEN :'hold'::boolean THEN coalesce(quarantined_at, clock_timestamp())
        ELSE quarantined_at END,
    history = history || jsonb_build_array(jsonb_build_object('what', 'came back with a restore',
        'at', clock_timestamp(), 'attempt', later, 'worker', null))
FROM (SELECT id AS row_id, greatest(attempt + 1,
        extract(epoch FROM clock_timestamp() - timestamptz '2026-01-01 00:00Z')::int) AS later
    FROM durable_task) AS numbers
WHERE row_id = id;
\endif

-- The rows of the archive's drill are those of another history now.
SELECT to_regclass('durable_backups_moment') IS NOT NULL AS moments \gset
\if :moments
DELETE FROM durable_backups_moment;
\endif
COMMIT;
