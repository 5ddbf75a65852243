-- Who is connected to a database, but for this program: one line for each kind of client.
SELECT format('%s x %s', count(*), coalesce(nullif(application_name, ''), usename::text, 'unknown'))
FROM pg_stat_activity
-- Of another role's session its kind isn't shown, but that somebody has it is.
WHERE datname = :'name' AND pid <> pg_backend_pid()
    AND coalesce(backend_type = 'client backend', usesysid IS NOT NULL)
GROUP BY coalesce(nullif(application_name, ''), usename::text, 'unknown')
ORDER BY 1;
