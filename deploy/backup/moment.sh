# shellcheck shell=sh
# The database of a second: a base backup and the WAL after it become a server beside the live one,
# which no other program can reach; what is dumped there is a dump like any other.

# The server's own programs, which Debian keeps off the PATH.
server_programs() {
  for path in "$(command -v postgres || true)" /usr/lib/postgresql/*/bin/postgres; do
    [ ! -x "$path" ] || {
      dirname "$path"
      return
    }
  done
  fail "PostgreSQL's server is not here: run this in the image postgres:18"
}

# recover SECONDS: `sql moment` leads to the database as it was then, until forget_moment.
recover() {
  # shellcheck source=archive.sh
  . "$HERE/archive.sh"
  wanted=$(date -u -d "@$1" +%Y%m%dT%H%M%SZ)
  text=$(date -u -d "@$1" +'%F %T')
  base=$(base_before)
  if [ -z "$base" ] && has_store; then
    ask fetch-archive "$wanted" || explain "AT='$text' (UTC): $(first_moment), and what the storage has can't be fetched"
    base=$(base_before)
  fi
  [ -n "$base" ] || fail "AT='$text' (UTC): $(first_moment)"
  [ "$(id -u)" != 0 ] || fail "PostgreSQL refuses to run as root: run this as another user"
  MOMENT=$BACKUP_DIR/.draft-moment
  programs=$(server_programs)
  rm -rf "$MOMENT"
  mkdir -m 0700 "$MOMENT"
  say "recovering $text UTC from the base backup $base"
  attempt tar -xzf "$BACKUP_DIR/archive/$base/base.tar.gz" -C "$MOMENT" || explain "the base backup $base can't be unpacked"
  version=$(cat "$MOMENT/PG_VERSION")
  case $("$programs/postgres" --version) in
  *" $version."* | *" $version"[a-z]*) ;;
  *) fail "AT='$text' (UTC): the server was of PostgreSQL $version then, and only that can recover it: POSTGRES_VERSION=$version make restore AT='$text'" ;;
  esac
  : >"$MOMENT/recovery.signal"
  echo 'local all all trust' >"$TEMP/hba"
  : >"$TEMP/ident"
  cat >"$TEMP/moment.conf" <<CONF
data_directory = '$MOMENT'
hba_file = '$TEMP/hba'
ident_file = '$TEMP/ident'
external_pid_file = ''
listen_addresses = ''
unix_socket_directories = '$TEMP'
restore_command = '$HERE/wal.sh "$BACKUP_DIR/archive/${base%%/*}/wal" %f %p'
recovery_target_time = '$text+00'
recovery_target_timeline = 'current'
recovery_target_action = 'promote'
hot_standby = off
shared_buffers = 32MB
fsync = off
autovacuum = off
CONF
  # What ALTER SYSTEM has set is for the live server.
  : >"$MOMENT/postgresql.auto.conf"
  printf '[moment]\nhost=%s\nuser=%s\nconnect_timeout=10\n' "$TEMP" "$(sed -n '/^\[live\]/,/^\[drill\]/s/^user=//p' "$TEMP/services" | head -n 1)" >>"$TEMP/services"
  "$programs/postgres" -c "config_file=$TEMP/moment.conf" >"$TEMP/server.log" 2>&1 9>&- &
  SERVER=$!
  # No one is let in before it has recovered.
  until sql moment "$DATABASE" -c 'SELECT 1' >/dev/null 2>"$TEMP/error"; do
    kill -0 "$SERVER" 2>/dev/null || cannot_recover
    sleep 0.3
  done
}

base_before() { bases | awk -F / -v wanted="$wanted" '$3 <= wanted' | tail -n 1; }

cannot_recover() {
  if grep -q 'recovery ended before configured recovery target' "$TEMP/server.log"; then
    fail "AT='$text' (UTC): the archive ends before that second: wait a minute, or look at its log (docker compose logs archive; kubectl logs archive-0)"
  fi
  tail -n 5 "$TEMP/server.log" >"$TEMP/error"
  explain "the second $text can't be recovered"
}

forget_moment() {
  [ -n "${MOMENT:-}" ] || return 0
  [ -z "${SERVER:-}" ] || { kill -QUIT "$SERVER" && wait "$SERVER"; } 2>/dev/null || true
  SERVER=''
  rm -rf "$MOMENT"
  MOMENT=''
}

first_moment() {
  first=$(bases | head -n 1 | cut -d / -f 3)
  if [ -n "$first" ]; then
    echo "the archive begins at $(date -u -d "@$(seconds_of "$first")" +'%F %T')"
  else
    echo "there is no archive in $BACKUP_DIR: COMPOSE_PROFILES=backup,archive in .env, then make up; on Kubernetes k8s/components/archive"
  fi
}

# Makes a dump of the second $1, as `date` reads it, UTC without a zone.
moment() {
  [ -n "$1" ] || fail "which second? make restore AT='2026-11-29 14:03' (UTC)"
  at=$(TZ=UTC date -d "$1" +%s 2>/dev/null) || fail "AT='$1': expected a time like 2026-11-29 14:03 (UTC)"
  [ "$at" -le "$(date +%s)" ] || fail "AT='$1': that is still to come"
  recover "$at"
  # shellcheck source=dump.sh
  . "$HERE/dump.sh"
  DUMP_ON=moment
  dump_as "$(printf '%s' "$DATABASE" | tr -c 'A-Za-z0-9_' _)-$wanted.dump" "$(date -u -d "@$at" +%Y-%m-%dT%H:%M:%SZ)"
  forget_moment
  echo "$NAME"
}

# The proof of the archive: a second of it, picked by chance, has the newest of the rows that `mark`
# writes each minute that the live database has of that time, and no later one.
drill_moment() {
  # shellcheck source=archive.sh
  . "$HERE/archive.sh"
  [ -d "$BACKUP_DIR/archive" ] || return 0
  # Not of the server before an upgrade, which another version would have to recover.
  SYSTEM=$(on_server 'SELECT system_identifier FROM pg_control_system()')
  first=$(bases | head -n 1 | cut -d / -f 3)
  [ -n "$first" ] || return 0
  began=$(date +%s)
  # Not in the second in which a row was written: it has its time at the start of its transaction.
  range=$(on_server "SELECT ceil(extract(epoch FROM greatest(min(at), to_timestamp($(seconds_of "$first"))))) + 1,
    floor(extract(epoch FROM max(at))) - 1 FROM durable_backups_moment")
  from=${range%%"$TAB"*} to=${range##*"$TAB"}
  if [ -z "$from" ] || [ "$from" -gt "$to" ]; then
    say "the archive is too young for a drill"
    return
  fi
  at=$(shuf -i "$from-$to" -n 1)
  # shellcheck disable=SC2016
  newest='SELECT max(at) AT TIME ZONE $$UTC$$ FROM durable_backups_moment'
  clash=$(on_server "SELECT count(*) FROM durable_backups_moment WHERE at BETWEEN to_timestamp($at) - interval '1 second' AND to_timestamp($at)")
  [ "$clash" = 0 ] || at=$((at - 2 < from ? at + 2 : at - 2))
  expected=$(on_server "$newest WHERE at <= to_timestamp($at)")
  recover "$at"
  attempt sql moment "$DATABASE" -c "$newest" >"$TEMP/newest" || explain "the second $text can't be read"
  found=$(cat "$TEMP/newest")
  forget_moment
  [ "$found" = "$expected" ] ||
    fail "the archive is wrong: at $text UTC the newest row was of $expected, and is of $found when that second is restored"
  say "$text UTC: proven, its newest row of $found is there and no later one, $(($(date +%s) - began)) s"
}
