#!/bin/sh
# Called by dump.sql, from within its transaction.
exec pg_dump --dbname "$BACKUP_DATABASE" --no-password --format custom \
  --compress "${BACKUP_COMPRESS:-gzip}" --snapshot "$BACKUP_SNAPSHOT" --lock-wait-timeout 300s \
  --file "$BACKUP_DRAFT.dump" 2>"$BACKUP_DRAFT.error"
