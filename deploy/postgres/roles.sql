-- The roles of the database, each with what it needs and no more; psql runs it as an administrator.
--
-- | role        | used by                 | may                                                    |
-- | postgres    | nothing outside of here | everything                                             |
-- | proj        | migrate, restore        | what it likes, in its own database; make databases; see all sessions |
-- | proj_app    | web, worker, beat       | read and write rows                                    |
-- | proj_backup | backup, drill           | read all, its WAL too, write its own list; make databases |
--
-- What is in the database `proj` its owner grants, after each migration (durable/schema/privileges.py).
-- The passwords are files in the folder PASSWORDS. Run again, it sets those that are there now, which
-- is how they are rotated. It runs by itself at the first start of an empty volume, and by hand:
--   docker compose exec postgres psql -U postgres -f /run/secrets/proj/roles.sql
--   kubectl -n proj-prod exec postgres-0 -- psql -U postgres -f /docker-entrypoint-initdb.d/roles.sql
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
\set owner `cat "${PASSWORDS:-/run/secrets/proj}/owner_password"`
\set app `cat "${PASSWORDS:-/run/secrets/proj}/app_password"`
\set backup `cat "${PASSWORDS:-/run/secrets/proj}/backup_password"`

SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['proj', 'proj_app', 'proj_backup']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

-- A managed server's administrator is no superuser: see k8s/components/postgres/README.md.
SELECT rolsuper AS super, (rolsuper OR pg_has_role('pg_read_all_data', 'USAGE WITH ADMIN OPTION'))::text AS grants
FROM pg_roles WHERE rolname = current_user \gset
-- One transaction: a role is never there with half of this.
BEGIN;
\if :super
-- Errors go to the server's log with their statement.
SET LOCAL log_min_error_statement = panic;
ALTER ROLE proj NOSUPERUSER NOREPLICATION NOBYPASSRLS;
ALTER ROLE proj_app NOSUPERUSER NOREPLICATION NOBYPASSRLS;
ALTER ROLE proj_backup NOSUPERUSER REPLICATION NOBYPASSRLS;
\else
GRANT proj TO CURRENT_USER; -- who makes a database for another is of that role
\endif
ALTER ROLE proj LOGIN NOCREATEROLE CREATEDB PASSWORD :'owner';
ALTER ROLE proj_app LOGIN NOCREATEROLE NOCREATEDB PASSWORD :'app';
ALTER ROLE proj_backup LOGIN NOCREATEROLE CREATEDB PASSWORD :'backup';
\if :grants
GRANT pg_read_all_data TO proj_backup;
\else
\warn proj_backup can read nothing yet: this administrator may not grant pg_read_all_data, and dumps need it
\endif
\if :super
GRANT pg_read_all_stats TO proj; -- of which it lends web what is harmless (durable/database/sessions.py)
\endif
COMMIT;

SELECT 'CREATE DATABASE proj OWNER proj' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'proj') \gexec
-- Into a database comes who was let in by name.
REVOKE ALL ON DATABASE proj FROM PUBLIC;
GRANT CONNECT ON DATABASE proj TO proj_app, proj_backup;
\if :super
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO proj, proj_backup; -- databases are made and renamed from there
\endif
