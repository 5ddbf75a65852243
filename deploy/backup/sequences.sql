-- Prints how far each sequence has come, as statements that move another database's that far. Ids
-- that were given out since the dump are known outside (in messages, links, other systems): none of
-- them may come to mean something else.
SELECT format('SELECT setval(oid, greatest(%2$s, pg_sequence_last_value(oid))) FROM pg_class'
    ' WHERE oid = to_regclass(%1$L);', format('%I.%I', schemaname, sequencename), last_value)
FROM pg_sequences
WHERE last_value IS NOT NULL AND increment_by > 0 AND NOT cycle;
