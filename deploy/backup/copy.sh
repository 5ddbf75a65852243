# shellcheck shell=sh
# A second database beside the first, filled from a dump.

quoted() { printf '"%s"' "$(printf '%s' "$1" | sed 's/"/""/g')"; }

# beside NAME: that of a database beside the live one. PostgreSQL cuts off what is longer than 63 bytes, and
# would take the name for the live one's own.
beside() { printf '%.54s_%s' "$DATABASE" "$1"; }

drop() { sql "$1" "$BACKUP_MAINTENANCE_DATABASE" -c "DROP DATABASE IF EXISTS $(quoted "$2") WITH (FORCE)" 2>/dev/null; }

# create SERVICE NAME: an empty database of the live one's encoding and locale, with the settings
# that stand on it (ALTER DATABASE ... SET); what an earlier run left under that name goes.
create() {
  drop "$1" "$2" || true
  SCRATCH=$2 SCRATCH_ON=$1
  sql live "$BACKUP_MAINTENANCE_DATABASE" -v like="$DATABASE" -v new="$2" -f "$HERE/like.sql" >"$TEMP/create" 2>"$TEMP/error" ||
    explain "$DATABASE can't be described"
  attempt sql "$1" "$BACKUP_MAINTENANCE_DATABASE" -f "$TEMP/create" || explain "the database $2 can't be created"
}

# fill SERVICE NAME DUMP [options]
fill() {
  on=$1 new=$2 dump=$3
  shift 3
  attempt env PGSERVICE="$on" pg_restore --dbname "$new" --no-password --exit-on-error --no-owner \
    --jobs "$BACKUP_JOBS" "$@" "$SOURCE/$dump" ||
    explain "$dump can't be restored"
  grep -v '^#' "$SOURCE/$dump.rows" >"$TEMP/expected" || true
  attempt sql "$on" "$new" -f "$HERE/counts.sql" >"$TEMP/found" || explain "$new can't be counted"
  diff "$TEMP/expected" "$TEMP/found" >"$TEMP/diff" || {
    grep '^[<>]' "$TEMP/diff" >"$TEMP/error"
    damaged "$dump" "tables have other rows than at the dump (<: then, >: restored)"
  }
}

# settle SERVICE NAME SEQUENCES: see settle.sql.
settle() {
  case ${BACKUP_HOLD_TASKS:-false} in
  true | false) ;;
  *) fail "BACKUP_HOLD_TASKS='$BACKUP_HOLD_TASKS': expected true or false" ;;
  esac
  attempt sql "$1" "$2" -v sequences="$3" -v hold="${BACKUP_HOLD_TASKS:-false}" -f "$HERE/settle.sql" >/dev/null ||
    explain "the tasks in $2 can't be made ready"
}

exists() { [ "$(sql live "$BACKUP_MAINTENANCE_DATABASE" -v name="$1" -f "$HERE/exists.sql")" = t ]; }

# Waits until no other session is connected: what was stopped a moment ago may still be closing.
wait_alone() {
  end=$(($(date +%s) + ${BACKUP_ALONE_WITHIN:-20}))
  while :; do
    others=$(sql live "$BACKUP_MAINTENANCE_DATABASE" -v name="$DATABASE" -f "$HERE/others.sql")
    [ -n "$others" ] || return 0
    [ "$(date +%s)" -lt "$end" ] || break
    sleep 0.5
  done
  fail "$DATABASE is in use, stop the roles first: $(printf '%s' "$others" | tr '\n' ' ')
backup: make restore stops them; what else is connected must end too; nothing was changed"
}
