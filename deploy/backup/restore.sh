# shellcheck shell=sh
# A dump takes the database's place. All of it happens beside the live database, which stays what it
# is until the last step: two renames in one transaction.

restore() {
  check_dump "$1"
  NAME=$1
  began=$(date +%s)
  wait_alone
  create live "$(beside restored)"
  say "restoring $NAME beside $DATABASE"
  # shellcheck disable=SC2086
  fill live "$SCRATCH" "$NAME" ${BACKUP_RESTORE_OPTIONS:-}

  : >"$TEMP/sequences"
  if exists "$DATABASE"; then
    attempt sql live "$DATABASE" -f "$HERE/sequences.sql" >"$TEMP/sequences" || explain "$DATABASE can't be read"
  fi
  settle live "$SCRATCH" "$TEMP/sequences"
  # Of tables that are the server's own it would only say that it may not.
  attempt sql live "$SCRATCH" -c 'SET client_min_messages = error' -c ANALYZE || explain "$SCRATCH can't be analyzed"

  wait_alone
  before="$(printf '%.38s' "$DATABASE")_before_$(date -u +%Y%m%dT%H%M%SZ)"
  {
    echo 'BEGIN;'
    if exists "$DATABASE"; then echo "ALTER DATABASE $(quoted "$DATABASE") RENAME TO $(quoted "$before");"; fi
    echo "ALTER DATABASE $(quoted "$SCRATCH") RENAME TO $(quoted "$DATABASE");"
    echo 'COMMIT;'
  } >"$TEMP/rename"
  attempt sql live "$BACKUP_MAINTENANCE_DATABASE" -f "$TEMP/rename" || explain "the databases can't be renamed"
  SCRATCH=''
  mark_proven
  say "$DATABASE is as it was at $(fact "$NAME" dumped)"
  if exists "$before"; then
    say "what it was until now is in the database $before; once you don't need it: DROP DATABASE $(quoted "$before")"
  fi
}
