# shellcheck shell=sh
# The dumps in BACKUP_DIR: NAME.dump, with the counts of its rows (.rows), the sums of both
# (.sha256), what the storage was given (.stored) and, once it was restored, a mark (.proven). The dump itself gets its name last, so what
# has a name is whole.

# One at a time: a second run waits, for an hour at most.
lock() {
  [ -d "$BACKUP_DIR" ] || fail "BACKUP_DIR=$BACKUP_DIR: there is no such folder; mount a volume there"
  { : >>"$BACKUP_DIR/.lock"; } 2>/dev/null ||
    fail "BACKUP_DIR=$BACKUP_DIR: user $(id -u) can't write there (or it is full); give it the folder, or fsGroup in Kubernetes"
  exec 9>>"$BACKUP_DIR/.lock"
  flock --wait "${BACKUP_WAIT:-3600}" 9 ||
    fail "another backup, drill or restore has held $BACKUP_DIR/.lock for ${BACKUP_WAIT:-3600} s"
  # No other run is here, so these are what killed runs left behind.
  rm -rf "$BACKUP_DIR"/.draft-*
}

# The names of the dumps, the newest first.
dumps() {
  for path in "$BACKUP_DIR"/*-[0-9]*T[0-9]*Z.dump; do
    if [ -f "$path" ]; then basename "$path"; fi
  done | LC_ALL=C sort -t - -k 2r
}

# Of a dump that is in the storage alone too.
newest() {
  { dumps && if has_store; then ask names | cut -f 1; fi; } | LC_ALL=C sort -t - -k 2r | head -n 1
}

list() {
  [ -n "$(newest)" ] || fail "there is no dump in $BACKUP_DIR yet: make backup"
  if has_store; then elsewhere; fi
  dumps | while read -r name; do
    proof='not proven'
    if [ -f "$BACKUP_DIR/$name.proven" ]; then proof="proven $(cat "$BACKUP_DIR/$name.proven")"; fi
    printf '%s\t%s bytes\t%s\n' "$name" "$(wc -c <"$BACKUP_DIR/$name" | tr -d ' ')" "$proof"
  done
}

# Ends unless the dump $1 is there, whole, and one of ours.
check_dump() {
  case $1 in
  '') fail "which dump? make restore FROM=FILE, with one of these:
$(list)" ;;
  */* | .*) fail "FROM=$1: expected the name of a file in $BACKUP_DIR, one of these:
$(list)" ;;
  esac
  if has_store && [ "$SOURCE" = "$BACKUP_DIR" ]; then bring "$1"; fi
  [ -f "$SOURCE/$1" ] || fail "FROM=$1: there is no such dump; there are:
$(list)"
  for end in rows sha256; do
    [ -f "$SOURCE/$1.$end" ] || fail "FROM=$1: $1.$end is missing beside it: copy the three files of a dump together"
  done
  (cd "$SOURCE" && sha256sum --quiet --strict -c "$1.sha256") >/dev/null 2>"$TEMP/error" ||
    damaged "$1" "its checksum differs"
  attempt pg_restore --list "$SOURCE/$1" >"$TEMP/list" || damaged "$1" "it can't be read"
  grep -q 'TABLE DATA [^ ]* django_migrations ' "$TEMP/list" ||
    damaged "$1" "it holds no table django_migrations, so it is not of this application"
}

# Ends: the dump $1 is not what it should be, and $TEMP/error says more. It counts as proven no more.
damaged() {
  rm -f "$BACKUP_DIR/$1.proven"
  NAME=$1
  record -v what=damaged -v error="$2"
  tail -n 12 "$TEMP/error" >&2
  echo "backup: take another one, make a new one now (make backup), and find out what befell the volume; there are:" >&2
  list >&2
  fail "$1 is damaged or wrong: $2"
}

# Puts what is known of the dump $NAME into the database, for the admin and the metric. It never
# makes a backup fail.
record() {
  sql live "$DATABASE" -v file="$NAME" "$@" -f "$HERE/record.sql" >/dev/null 2>"$TEMP/record" ||
    say "couldn't record that in the database: $(tail -n 1 "$TEMP/record")" >&2
}

note_failure() {
  [ -z "${NAME:-}" ] || record -v what=failed -v error="$1"
}

# The facts that stand at the beginning of NAME.rows: `fact NAME dumped`.
fact() { sed -n "s/^# $2 //p" "$SOURCE/$1.rows"; }

# Marks the dump $NAME as proven.
mark_proven() {
  seconds=$(($(date +%s) - began))
  tables=$(wc -l <"$TEMP/found" | tr -d ' ')
  rows=$(awk -F "$TAB" '{ sum += $2 } END { printf "%.0f", sum }' "$TEMP/found")
  date -u +%Y-%m-%dT%H:%M:%SZ >"$BACKUP_DIR/$NAME.proven"
  if has_store; then ask prove "$NAME" || explain "the mark of $NAME can't be stored"; fi
  bytes=$(wc -c <"$SOURCE/$NAME" | tr -d ' ')
  record -v what=proven -v dumped="$(fact "$NAME" dumped)" -v bytes="$bytes" -v tables="$tables" \
    -v rows="$rows" -v seconds="$seconds"
  say "$NAME: proven, $rows rows of $tables tables are there again, $seconds s"
}
