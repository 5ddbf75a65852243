# shellcheck shell=sh
# The database moves to another server, of a newer version (deploy/compose/upgrade-postgres). Unlike a
# restore it doesn't go back in time, so the rows of the tasks stay as they are.

# shellcheck source=dump.sh
. "$HERE/dump.sh"

move() {
  [ -n "${BACKUP_NEXT_ADDRESS:-}" ] || fail "BACKUP_NEXT_ADDRESS is not set: expected the address of the server to move to"
  wait_alone
  NAME=$(printf '%s' "$DATABASE" | tr -c 'A-Za-z0-9_' _)-$(date -u +%Y%m%dT%H%M%SZ).dump
  dump_as "$NAME" ''
  say "filling the new server"
  create next "$DATABASE"
  fill next "$DATABASE" "$NAME"
  attempt sql next "$DATABASE" -c 'SET client_min_messages = error' -c ANALYZE || explain "$DATABASE can't be analyzed"
  # What was written after the dump would be lost.
  wait_alone
  SCRATCH=''
  say "$DATABASE: $rows rows of $tables tables are on the new server"
}
