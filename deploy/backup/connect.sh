# shellcheck shell=sh
# How the database is reached, and what went wrong in words that name what to change.

# The value of X, or of the file that X_FILE names.
setting() {
  eval "path=\${$1_FILE:-} value=\${$1:-}"
  # shellcheck disable=SC2154
  if [ -n "$path" ]; then
    [ -r "$path" ] || fail "$1_FILE=$path: can't be read; expected a file that holds $1"
    cat "$path"
  else
    # shellcheck disable=SC2154
    printf '%s' "$value"
  fi
}

# Writes the section $1 of the service file from the URL in $2, which stood in the variable $3.
service() {
  printf '[%s]\n' "$1" >>"$TEMP/services"
  printf '%s\n' "$2" | LC_ALL=C awk -f "$HERE/url.awk" >"$TEMP/url" 2>"$TEMP/why" ||
    fail "$3: $(cat "$TEMP/why")"
  cat "$TEMP/url" >>"$TEMP/services"
  grep -q '^application_name=' "$TEMP/url" || echo application_name=proj-backup >>"$TEMP/services"
  grep -q '^connect_timeout=' "$TEMP/url" || echo connect_timeout=10 >>"$TEMP/services"
}

# Makes `sql live ...`, `sql drill ...` and `sql next ...` work, and sets DATABASE to the name of the roles' own.
use_database() {
  from=BACKUP_DATABASE_URL
  url=$(setting BACKUP_DATABASE_URL)
  if [ -z "$url" ]; then
    from=DATABASE_URL
    url=$(setting DATABASE_URL)
  fi
  [ -n "$url" ] || fail "DATABASE_URL is not set: put postgresql://USER:PASSWORD@HOST:PORT/NAME into it or into the file that DATABASE_URL_FILE names"
  # The only one that says which: a setting of the machine must not lead elsewhere.
  unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGSSLMODE
  export PGSERVICEFILE="$TEMP/services"
  service live "$url" "$from"
  DATABASE=$(sed -n 's/^dbname=//p' "$TEMP/url")
  url=$(setting BACKUP_DRILL_URL)
  DRILL_ON=live
  if [ -n "$url" ]; then
    service drill "$url" BACKUP_DRILL_URL
    # shellcheck disable=SC2034
    DRILL_ON=drill
  fi
  # Its certificate, if it has one, is for the name in the URL.
  if [ -n "${BACKUP_NEXT_ADDRESS:-}" ]; then
    service next "$(setting "$from")" "$from"
    echo "hostaddr=$BACKUP_NEXT_ADDRESS" >>"$TEMP/services"
    DRILL_ON=next
  fi
  [ "$action" != archive ] || wait_for_server
  attempt sql live "$DATABASE" -c 'SELECT 1' >/dev/null && return
  # A database that isn't there (yet) can be restored.
  # shellcheck disable=SC2154
  if [ "$action" != restore ] || ! grep -q 'database ".*" does not exist' "$TEMP/error"; then
    explain "$DATABASE can't be reached"
  fi
}

# A service is started with its server: an end would count as a crash, each after a longer pause.
wait_for_server() {
  tries=0
  until pg_isready --quiet --dbname service=live || [ "$((tries += 1))" -gt 150 ]; do
    [ "$tries" -ne 1 ] || say "waiting for PostgreSQL"
    sleep 2 &
    wait "$!" || true
  done
}

# sql SERVICE DATABASE [psql's options]: values come out bare, separated by tabs.
sql() {
  on=$1 in=$2
  shift 2
  PGSERVICE=$on psql --no-psqlrc --quiet --no-align --tuples-only --field-separator="$TAB" \
    --set ON_ERROR_STOP=1 --no-password --dbname "$in" "$@"
}
TAB=$(printf '\t')

# Runs a command; its errors go into a file, for `explain`. In the background, so that a signal is
# heard at once and not after an hour of pg_restore.
attempt() {
  "$@" 2>"$TEMP/error" &
  CHILD=$!
  status=0
  wait "$CHILD" || status=$?
  CHILD=''
  [ "$status" != 0 ] || cat "$TEMP/error" >&2
  return "$status"
}

# Ends with what $TEMP/error means and, where that is known, what to change.
explain() {
  why=$(cat "$TEMP/error")
  case $why in
  *'password authentication failed'* | *'no password supplied'*)
    hint="the password in DATABASE_URL (or the file DATABASE_URL_FILE) is not the one that the server knows" ;;
  *'No space left on device'*)
    hint="make the volume of BACKUP_DIR=$BACKUP_DIR larger, or keep fewer dumps (BACKUP_KEEP_LAST, BACKUP_KEEP_DAILY, BACKUP_KEEP_WEEKLY); the server's own volume needs room for a second copy during a drill or a restore" ;;
  *'permission denied to create database'*)
    hint="give the role the right to: ALTER ROLE ... CREATEDB; or let BACKUP_DRILL_URL name a server where it may" ;;
  *'server version mismatch'*)
    hint="the server is newer than pg_dump: use its version of the image postgres" ;;
  *'unrecognized parameter'* | *'unrecognized configuration parameter'*)
    hint="the server is of a newer release than the programs that read it: use the newest minor release of the image postgres (docker pull)" ;;
  *'could not translate host name'* | *'Connection refused'* | *'timeout expired'* | *'Network is unreachable'*)
    hint="the host or the port in DATABASE_URL (or the file DATABASE_URL_FILE) is wrong, or the server doesn't run" ;;
  *'role "'*'" does not exist'*)
    hint="create the role, or leave out what was granted: BACKUP_RESTORE_OPTIONS=--no-privileges" ;;
  *'canceling statement due to lock timeout'*)
    hint="something holds a table for long, a migration perhaps; try again later" ;;
  *'is being accessed by other users'*)
    hint="something has connected meanwhile; nothing was changed, stop it and try again" ;;
  *) hint='' ;;
  esac
  FAILURE="$1: $(printf '%s' "$why" | tail -n 3 | tr '\n' ' ')"
  note_failure "$FAILURE"
  if [ -n "$hint" ]; then echo "backup: $hint" >&2; fi
  fail "$FAILURE"
}
