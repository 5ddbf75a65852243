# shellcheck shell=sh
# A dump and the counts of its rows, both of one snapshot.

DUMP_ON=live

dump() {
  while :; do
    NAME=$(printf '%s' "$DATABASE" | tr -c 'A-Za-z0-9_' _)-$(date -u +%Y%m%dT%H%M%SZ).dump
    [ -e "$BACKUP_DIR/$NAME" ] || break
    sleep 0.2
  done
  dump_as "$NAME" ''
  if has_store; then store_dump; fi
  forget_old
}

# dump_as NAME [MOMENT]: what DUMP_ON leads to, which shows the database of that moment, or of now.
dump_as() {
  NAME=$1
  DRAFT=$BACKUP_DIR/.draft-$NAME
  began=$(date +%s)
  record -v what=began
  say "dumping $DATABASE"

  export BACKUP_HERE="$HERE" BACKUP_DATABASE="$DATABASE" BACKUP_DRAFT="$DRAFT" BACKUP_TEMP="$TEMP/dump"
  mkdir "$BACKUP_TEMP"
  ended=0
  attempt sql "$DUMP_ON" "$DATABASE" -v rows="$DRAFT.rows" -v moment="$2" -f "$HERE/dump.sql" || ended=$?
  if [ ! -e "$BACKUP_TEMP/done" ]; then
    [ ! -s "$BACKUP_TEMP/error" ] || cp "$BACKUP_TEMP/error" "$TEMP/error"
    explain "the dump failed"
  fi
  cat "$BACKUP_TEMP/error" >&2
  rm -r "$BACKUP_TEMP"
  [ "$ended" = 0 ] || explain "the rows can't be counted"
  # psql says nothing of a full disk.
  [ "$(tail -n 1 "$DRAFT.rows")" = '# end' ] || {
    echo 'its end is missing: No space left on device?' >"$TEMP/error"
    explain "the counts of the rows can't be written"
  }
  attempt pg_restore --list "$DRAFT.dump" >/dev/null || explain "the dump can't be read back"

  publish || explain "the dump can't be stored"
  DRAFT=''
  seconds=$(($(date +%s) - began))
  tables=$(grep -vc '^#' "$BACKUP_DIR/$NAME.rows") || true
  rows=$(awk -F "$TAB" '!/^#/ { sum += $2 } END { printf "%.0f", sum }' "$BACKUP_DIR/$NAME.rows")
  bytes=$(wc -c <"$BACKUP_DIR/$NAME" | tr -d ' ')
  record -v what=dumped -v dumped="$(fact "$NAME" dumped)" -v bytes="$bytes" -v tables="$tables" \
    -v rows="$rows" -v seconds="$seconds"
  say "$NAME: $rows rows of $tables tables, $bytes bytes, $seconds s"
}

# On the disk first, under its name afterwards: a machine that loses power leaves no half dump.
publish() {
  {
    (cd "$BACKUP_DIR" &&
      mv "$DRAFT.dump" "$DRAFT.data" && sync "$DRAFT.data" "$DRAFT.rows" &&
      sums "$DRAFT.data" "$NAME" >"$DRAFT.sums" && sums "$DRAFT.rows" "$NAME.rows" >>"$DRAFT.sums" &&
      sync "$DRAFT.sums" &&
      mv "$DRAFT.rows" "$NAME.rows" && mv "$DRAFT.sums" "$NAME.sha256" && mv "$DRAFT.data" "$NAME" &&
      sync .)
  } 2>"$TEMP/error"
}

sums() { sha256sum <"$1" | sed "s|-\$|$2|"; }

# Deletes the dumps beyond what is to be kept; never the newest, never the newest proven one.
forget_old() {
  keep="${BACKUP_KEEP_LAST:-3} ${BACKUP_KEEP_DAILY:-7} ${BACKUP_KEEP_WEEKLY:-5}"
  case $keep in
  *[!0-9\ ]*) fail "BACKUP_KEEP_LAST, _DAILY and _WEEKLY are '$keep': expected whole numbers" ;;
  '0 0 0') return ;;
  esac
  # shellcheck disable=SC2086
  set -- $keep
  for name in $(dumps); do
    proven=0
    if [ -f "$BACKUP_DIR/$name.proven" ]; then proven=1; fi
    echo "$name $proven"
  done | awk -v last="$1" -v daily="$2" -v weekly="$3" -f "$HERE/retention.awk" >"$TEMP/old"
  while read -r name; do
    # The mark and the dump first: what is left without them counts as nothing.
    rm -f "$BACKUP_DIR/$name.proven" "$BACKUP_DIR/$name" "$BACKUP_DIR/$name.rows" "$BACKUP_DIR/$name.sha256" "$BACKUP_DIR/$name.stored"
    say "$name: deleted, newer ones are kept"
  done <"$TEMP/old"
  : >"$TEMP/names"
  if has_store; then forget_stored "$1" "$2" "$3"; fi
  record -v what=kept -v files="$({ dumps && cut -f 1 "$TEMP/names"; } | tr '\n' ' ')"
}
