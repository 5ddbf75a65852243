# shellcheck shell=sh
# The archive, BACKUP_DIR/archive/SYSTEM of the server whose number that is: base backups in `base`
# and all WAL since the oldest of them in `wal`, from which the database of any second can be made again (moment.sh). PostgreSQL's own programs
# fetch both by its replication protocol, so nothing runs in the server's container or on its disk.

SLOT=proj_backup

# on_server QUERY: by the database of the roles, which any role for backups may enter.
on_server() { sql live "$DATABASE" -c "$1"; }

archive() {
  attempt on_server 'SELECT system_identifier FROM pg_control_system()' >"$TEMP/system" || explain "the server's number can't be read"
  SYSTEM=$(cat "$TEMP/system")
  ARCHIVE=$BACKUP_DIR/archive/$SYSTEM
  mkdir -p "$ARCHIVE/wal" "$ARCHIVE/base"
  exec 7>>"$BACKUP_DIR/.archive"
  flock --nonblock 7 || fail "the archive in $BACKUP_DIR is being written already"
  case ${BACKUP_MOMENTS_DAYS:=7}${BACKUP_BASE_HOURS:=24} in
  *[!0-9]*) fail "BACKUP_MOMENTS_DAYS=$BACKUP_MOMENTS_DAYS, BACKUP_BASE_HOURS=$BACKUP_BASE_HOURS: expected whole numbers" ;;
  esac
  marked=0
  while :; do
    { [ -n "${RECEIVER:-}" ] && kill -0 "$RECEIVER" 2>/dev/null; } || receive
    compress
    now=$(date +%s)
    if [ $((now - marked)) -ge 60 ]; then
      mark && marked=$now
      take_base_if_due
      trim
    fi
    sleep "${BACKUP_ARCHIVE_PAUSE:-5}" &
    wait "$!" || true
  done
}

# Starts to receive. The slot has the server keep what was not received yet (max_slot_wal_keep_size
# at most: beyond that it is lost, and the archive begins anew with a base backup).
receive() {
  if [ "$(on_server "SELECT wal_status FROM pg_replication_slots WHERE slot_name = '$SLOT'" 2>/dev/null)" = lost ]; then
    say "the server kept no more WAL for an archive that was away too long: there is a gap, and a new base backup" >&2
    on_server "SELECT pg_drop_replication_slot('$SLOT')" >/dev/null
    rm -f "$ARCHIVE"/wal/*.partial
    : >"$ARCHIVE/base/.due"
  fi
  attempt env PGSERVICE=live pg_receivewal --directory "$ARCHIVE/wal" --slot "$SLOT" --create-slot --if-not-exists --no-password ||
    explain "WAL can't be received: the role needs REPLICATION, and pg_hba.conf a line that lets it in"
  PGSERVICE=live pg_receivewal --directory "$ARCHIVE/wal" --slot "$SLOT" --no-loop --no-password 7>&- &
  RECEIVER=$!
}

# Whole segments: most are nearly empty, for a new one begins each minute. On a full disk they wait for `trim`.
compress() {
  for path in "$ARCHIVE"/wal/????????????????????????; do
    [ -f "$path" ] || continue
    if ! { gzip -1 <"$path" >"$path.draft" && sync "$path.draft" && mv "$path.draft" "$path.gz" && rm "$path"; }; then
      rm -f "$path.draft"
    fi
  done
}

# A row for the drill to look for; and something is committed each minute, so that every second has an end.
mark() {
  on_server "INSERT INTO durable_backups_moment DEFAULT VALUES;
    DELETE FROM durable_backups_moment WHERE at < now() - interval '$((BACKUP_MOMENTS_DAYS + 1)) days'" >/dev/null
}

# The base backups of the server $SYSTEM, or of all (*), the oldest first: SYSTEM/base/TIME.
bases() {
  # shellcheck disable=SC2231
  for path in "$BACKUP_DIR/archive"/${SYSTEM:-*}/base/[0-9]*T[0-9]*Z; do
    [ ! -f "$path/start" ] || printf '%s\n' "${path#"$BACKUP_DIR/archive/"}"
  done | LC_ALL=C sort -t / -k 3
}

take_base_if_due() {
  last=$(bases | tail -n 1 | cut -d / -f 3)
  if [ -n "$last" ] && [ ! -e "$ARCHIVE/base/.due" ] &&
    [ $((now - $(seconds_of "$last"))) -lt $((BACKUP_BASE_HOURS * 3600)) ]; then
    return
  fi
  draft=$ARCHIVE/base/.draft
  rm -rf "$draft"
  if ! attempt env PGSERVICE=live pg_basebackup --pgdata "$draft" --format tar --gzip --wal-method none \
    --checkpoint fast --label "$SLOT" --no-password 2>"$TEMP/base"; then
    say "no base backup could be made, the next minute is another try: $(tail -n 1 "$TEMP/error")" >&2
    rm -rf "$draft" # the rest of a disk, perhaps
    return
  fi
  tar -xzOf "$draft/base.tar.gz" --occurrence=1 backup_label | sed -n 's/^START WAL .*(file \(.*\))$/\1/p' >"$draft/start"
  sync "$draft"/*
  rm -f "$ARCHIVE/base/.due"
  # The second after its end is the first that it leads to.
  name=$(date -u -d '1 second' +%Y%m%dT%H%M%SZ)
  mv "$draft" "$ARCHIVE/base/$name"
  say "base backup $name: $(wc -c <"$ARCHIVE/base/$name/base.tar.gz" | tr -d ' ') bytes; any second from then on can be restored"
}

# Deletes what leads to no second of the last BACKUP_MOMENTS_DAYS.
trim() {
  limit=$(date -u -d "$BACKUP_MOMENTS_DAYS days ago" +%Y%m%dT%H%M%SZ)
  # Of a server that is no more: of another machine, or of the version before.
  for path in "$BACKUP_DIR"/archive/*; do
    [ "$path" != "$ARCHIVE" ] && [ -z "$(find "$path" -type f -mtime "-$BACKUP_MOMENTS_DAYS" | head -n 1)" ] || continue
    rm -rf "${path:?}"
  done
  oldest=$(bases | cut -d / -f 3 | awk -v limit="$limit" '$0 <= limit { last = $0 } NR == 1 { first = $0 } END { print last != "" ? last : first }')
  [ -n "$oldest" ] || return 0
  for name in $(bases | cut -d / -f 3); do
    [ "$name" = "$oldest" ] && break
    rm -rf "$ARCHIVE/base/${name:?}"
    say "base backup $name: deleted, newer ones are kept"
  done
  first=$(cat "$ARCHIVE/base/$oldest/start")
  for path in "$ARCHIVE"/wal/????????????????????????.gz; do
    [ -f "$path" ] || continue
    name=$(basename "$path" .gz)
    # The first eight digits are the timeline, which a promotion changes.
    [ "$(expr "x$(printf '%s' "$name" | cut -c 9-)" '<' "x$(printf '%s' "$first" | cut -c 9-)")" = 0 ] || rm -f "$path"
  done
}

# The time in a name, as seconds since 1970.
seconds_of() { date -u -d "$(printf '%s' "$1" | sed 's/^\(....\)\(..\)\(..\)T\(..\)\(..\)\(..\)Z$/\1-\2-\3 \4:\5:\6/')" +%s; }
