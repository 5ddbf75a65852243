#!/bin/sh
# Called by dump.sql, from within its transaction. What it says goes where there is room when
# BACKUP_DIR is full; the last file says that it succeeded.
set -eu
pg_dump --dbname "$BACKUP_DATABASE" --no-password --format custom \
  --compress "${BACKUP_COMPRESS:-gzip}" --snapshot "$BACKUP_SNAPSHOT" --lock-wait-timeout 300s \
  --file "$BACKUP_DRAFT.dump" 2>"$BACKUP_TEMP/dump-error"
: >"$BACKUP_TEMP/dumped"
