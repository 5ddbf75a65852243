-- What makes tasks of a restored database safe (docs/backups.md, "What comes back twice"). The
-- broker still holds messages from after the dump. Each names a row of durable_task by its id and by
-- the number of the start that it is to be. Both went back with the restore, so an old message could
-- match a row that isn't its own. Variables: sequences, a file; hold, true or false.

BEGIN;
\ir :sequences

SELECT to_regclass('durable_task') IS NOT NULL AS outbox \gset
\if :outbox
-- Ids go on from the time in microseconds: above all that were ever given out, in each of the
-- histories that end at a restore, as long as those took fewer than a million a second.
SELECT setval(pg_get_serial_sequence('durable_task', 'id'), greatest(
    (SELECT max(id) FROM durable_task),
    pg_sequence_last_value(pg_get_serial_sequence('durable_task', 'id')::regclass),
    (extract(epoch FROM clock_timestamp()) * 1e6)::bigint)) \g /dev/null

-- The workers of that time are gone, whatever the table says.
DELETE FROM durable_worker;

-- Starts go on from the number of seconds since 2026: no message and no worker from before can match.
-- What ran at the dump is sent again, and that is not the task's failure; what was in quarantine
-- stays there.
UPDATE durable_task SET
    reported = CASE WHEN quarantined_at IS NULL THEN later ELSE later - (starts - reported) END,
    starts = later,
    worker = NULL,
    started_at = NULL,
    due_at = CASE WHEN quarantined_at IS NULL AND NOT :'hold'::boolean
        THEN coalesce(due_at, clock_timestamp()) END,
    error = CASE WHEN quarantined_at IS NULL AND :'hold'::boolean
        THEN 'held back by a restore (BACKUP_HOLD_TASKS)' ELSE error END,
    quarantined_at = CASE WHEN :'hold'::boolean THEN coalesce(quarantined_at, clock_timestamp())
        ELSE quarantined_at END,
    history = history || jsonb_build_array(jsonb_build_object(
        'what', 'came back with a restore', 'at', clock_timestamp(), 'start', later, 'worker', null))
FROM (SELECT id AS row_id, greatest(starts + 1,
        extract(epoch FROM clock_timestamp() - timestamptz '2026-01-01 00:00Z')::int) AS later
    FROM durable_task) AS numbers
WHERE row_id = id;
\endif
COMMIT;
