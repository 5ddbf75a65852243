#!/bin/sh
# Called by dump.sql, from within its transaction. The folder BACKUP_TEMP holds this process' id, and
# what it says: there is room when BACKUP_DIR is full. Without the folder it doesn't begin.
set -eu
echo $$ >"$BACKUP_TEMP/pid"
exec pg_dump --dbname "$BACKUP_DATABASE" --no-password --format custom \
  --compress "${BACKUP_COMPRESS:-gzip}" --snapshot "$BACKUP_SNAPSHOT" --lock-wait-timeout 300s \
  --file "$BACKUP_DRAFT.dump" 2>"$BACKUP_TEMP/error"
