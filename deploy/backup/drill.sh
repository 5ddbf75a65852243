# shellcheck shell=sh
# The proof: the dump becomes a database, and each of its tables has the rows that it had.

drill() {
  NAME=${1:-$(newest)}
  case $NAME in
  '' | */* | .*) ;;
  *) if has_store; then fetch_for_drill; fi ;;
  esac
  [ -n "$NAME" ] || fail "there is no dump in $BACKUP_DIR yet: make backup"
  began=$(date +%s)
  check_dump "$NAME"
  say "restoring $NAME into a scratch database"
  create "$DRILL_ON" "$(beside drill)"
  attempt sql "$DRILL_ON" "$BACKUP_MAINTENANCE_DATABASE" -c "REVOKE ALL ON DATABASE $(quoted "$SCRATCH") FROM PUBLIC" ||
    explain "the database $SCRATCH can't be closed to others"
  fill "$DRILL_ON" "$SCRATCH" "$NAME" --no-privileges
  drop "$DRILL_ON" "$SCRATCH" && SCRATCH=''
  mark_proven
  rm -rf "$BACKUP_DIR/.draft-drill"
}
