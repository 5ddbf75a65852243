#!/bin/sh
# Runs `proj-backup nightly` each day at BACKUP_AT (HH:MM, UTC), for compose, which has no cron.
set -eu

at=${BACKUP_AT:-02:17}
case $at in
[01][0-9]:[0-5][0-9] | 2[0-3]:[0-5][0-9]) ;;
*)
  echo "backup: BACKUP_AT='$at': expected a time like 02:17 (UTC)" >&2
  exit 1
  ;;
esac

# `sleep` in the background, so that a signal ends it at once. A backup cleans up first: what this process
# doesn't wait for is killed with its container.
trap 'kill "$!" 2>/dev/null && wait "$!" || true; exit 0' TERM INT
while :; do
  next=$(date -u -d "today $at" +%s)
  [ "$next" -gt "$(date +%s)" ] || next=$(date -u -d "tomorrow $at" +%s)
  echo "backup: the next one is at $(date -u -d "@$next" +'%F %H:%M') UTC"
  while [ "$(date +%s)" -lt "$next" ]; do
    sleep 60 &
    wait "$!"
  done
  # A failure is written down, and the next night is another try.
  "$1" nightly &
  wait "$!" || true
done
