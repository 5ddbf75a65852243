# shellcheck shell=sh
# The storage off the machine (BACKUP_STORE_URL). Python speaks with it (durable/backups/store.py):
# by the command BACKUP_STORE where it is on this machine, else in another container, which reads
# what it is asked for from a file in BACKUP_DIR (durable/backups/serve.py).

# Not in a pod, whose other containers move the dumps.
has_store() { [ -n "${BACKUP_STORE_URL:-}" ] && [ -z "${BACKUP_STEP:-}" ]; }

# ask VERB [NAME]: the answer comes out; a failure is in $TEMP/error.
ask() {
  if [ -n "${BACKUP_STORE:-}" ]; then
    # shellcheck disable=SC2086
    $BACKUP_STORE "$@" 2>"$TEMP/error"
    return
  fi
  mkdir -p "$BACKUP_DIR/.store"
  (
    cd "$BACKUP_DIR/.store" || exit
    exec 8>>lock
    flock 8
    rm -f answer
    printf '%s\n' "$*" >ask.draft
    mv ask.draft ask
    end=$(($(date +%s) + ${BACKUP_STORE_WITHIN:-60}))
    until [ -e answer ]; do
      # Free, so that nothing serves; it may be about to.
      if [ "$(date +%s)" -ge "$end" ] && flock --nonblock serves true; then
        rm -f ask
        echo "nothing answers for BACKUP_STORE_URL=$BACKUP_STORE_URL: the service backup-store doesn't run; its log says why: docker compose logs backup-store (kubectl logs archive-0 -c store)" >"$TEMP/error"
        return 1
      fi
      sleep 0.2
    done
    sed 1d answer >"$TEMP/answer"
    succeeded=$(head -n 1 answer)
    rm -f answer
    [ "$succeeded" = "done" ] || {
      sed 's/^backup: //' "$TEMP/answer" >"$TEMP/error"
      return 1
    }
    cat "$TEMP/answer"
  )
}

# The dump $NAME leaves the machine.
store_dump() {
  ask put "$NAME" >"$TEMP/said" || explain "$NAME is here, and not in the storage"
  record -v what=stored
  say "$(cat "$TEMP/said")"
}

# Brings the dump $NAME back from the storage for a drill; SOURCE is where it is then. Without the key
# to open it, the storage's copy was compared with what it was given, and the one here is restored.
fetch_for_drill() {
  rm -rf "$BACKUP_DIR/.draft-drill"
  mkdir "$BACKUP_DIR/.draft-drill"
  ask fetch "$NAME" "$BACKUP_DIR/.draft-drill" >"$TEMP/said" || explain "$NAME can't be fetched from the storage"
  if [ "$(cat "$TEMP/said")" = here ]; then
    SOURCE=$BACKUP_DIR/.draft-drill
    say "$NAME: fetched from the storage"
  else
    say "$NAME: the storage has it as it was put there; without BACKUP_IDENTITY it can't be opened here"
  fi
}

# The dump $1, if it is in the storage alone, comes back to BACKUP_DIR.
bring() {
  [ ! -f "$BACKUP_DIR/$1" ] || return 0
  ask fetch "$1" "$BACKUP_DIR" >"$TEMP/said" || {
    ! grep -q 'there is no such dump' "$TEMP/error" || return 0 # which there are, the caller says
    explain "$1 can't be fetched from the storage"
  }
  say "$1: fetched from the storage"
}

# Deletes there what would be deleted here.
forget_stored() {
  ask names >"$TEMP/names" || explain "the storage can't be listed"
  awk -F "$TAB" '{ print $1, $3 != "not proven" }' "$TEMP/names" |
    awk -v last="$1" -v daily="$2" -v weekly="$3" -f "$HERE/retention.awk" >"$TEMP/old"
  while read -r name; do
    ask forget "$name" || explain "$name can't be deleted from the storage"
    say "$name: deleted from the storage, newer ones are kept"
  done <"$TEMP/old"
}

# The lines of the dumps that are in the storage and not here.
elsewhere() {
  ask names >"$TEMP/names" || explain "the storage can't be listed"
  while read -r line; do
    [ -f "$BACKUP_DIR/${line%%"$TAB"*}" ] || printf '%s\n' "$line, in the storage alone"
  done <"$TEMP/names"
}
