-- Prints what each role may do in this database, as lines of the table in docs/security.md:
--   docker compose exec -T postgres psql -qXAt -U postgres -d proj < deploy/postgres/rights.sql
SELECT concat_ws(' | ', '| `' || rolname || '`',
    coalesce(nullif(concat_ws(', ', CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
        CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
        (SELECT string_agg('in ' || r.rolname, ', ') FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
         WHERE m.member = p.oid)), ''), 'none'),
    (SELECT string_agg(one, ', ' ORDER BY n) FROM unnest(ARRAY['CONNECT', 'CREATE', 'TEMPORARY']) WITH ORDINALITY AS d (one, n)
     WHERE has_database_privilege(p.oid, current_database(), one)),
    (SELECT coalesce(string_agg(one, ', ' ORDER BY n), 'none')
     FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN'])
         WITH ORDINALITY AS t (one, n)
     WHERE (SELECT bool_and(has_table_privilege(p.oid, c.oid, one)) FROM pg_class c
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'durable_static_file')),
    (SELECT coalesce(string_agg(c.relname || ': ' || privileges, '; '), 'none') FROM pg_class c,
        LATERAL (SELECT string_agg(one, ', ' ORDER BY n) AS privileges
            FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS t (one, n)
            WHERE has_table_privilege(p.oid, c.oid, one)) AS own
     WHERE c.relname = 'durable_backups_backup' AND privileges IS NOT NULL AND p.rolname = 'proj_backup')) || ' |'
FROM pg_roles p WHERE rolname IN ('proj', 'proj_app', 'proj_backup') ORDER BY rolname;
