# shellcheck shell=sh
# How a release takes another's place, with systemd; for up and rollback.
#
# A release is a folder: the project's files, a virtualenv and static files. `current` names the one that
# runs, `before` the one to go back to. The new one starts beside the old first, as units of other names
# (next-proj-web, ...): what can't migrate, serve or consume is removed again, and the old never stopped.

RELEASES=${RELEASES:-/opt/proj}
UNITS=${UNITS:-/etc/systemd/system}
#: Until the next boot: of the new release while it starts beside the old.
NEXT_UNITS=${NEXT_UNITS:-/run/systemd/system}
#: Its web's own address. (For a socket of Unix gunicorn calls chown, which common.conf forbids.)
NEXT_BIND=127.0.0.2:18000
#: Seconds that the new one has until it is healthy.
PATIENCE=${UP_PATIENCE:-180}

fail() {
  echo "$verb: $*" >&2
  exit 1
}

# One at a time: two would take each other's units.
lock_releases() {
  mkdir -p "$RELEASES"
  exec 9<"$RELEASES"
  flock --nonblock 9 || {
    echo "$verb: another up or rollback is at work here; waiting for it" >&2
    flock 9
  }
}

# The folder that a link names; nothing if there is none.
release_of() { [ ! -e "$RELEASES/$1" ] || readlink -f "$RELEASES/$1"; }

# The workers that run; the first one before the first start.
workers() {
  found=$(systemctl list-units --plain --no-legend --state=active 'proj-worker@*' | sed -n 's/^proj-worker@\(.*\)\.service .*/\1/p')
  echo "${found:-1}"
}

# Writes the units of the release $1.
write_units() (
  cd "$1/deploy/systemd" || exit
  find . -name 'proj*' -type d -exec mkdir -p "$UNITS/{}" \;
  find . -path './proj*' -type f | while read -r unit; do
    sed "s,/opt/proj,$1,g" "$unit" >"$UNITS/$unit"
  done
  ln -sfn proj-.service.d "$UNITS/proj-@.service.d"
)

# Writes units of the release $1 that stand beside those that run: with their settings, without their port
# and their target, and not started again when they end.
write_next_units() (
  cd "$1/deploy/systemd" || exit
  for role in migrate web worker@ beat; do
    unit=$NEXT_UNITS/next-proj-$role.service
    mkdir -p "$unit.d"
    sed -E -e "s,/opt/proj,$1,g" -e '/^(Requires|After|RemainAfterExit|Restart.*)=/d' \
      -e "s,WEB_BIND=.*,WEB_BIND=$NEXT_BIND," -e 's/--hostname=/&next-/' \
      "proj-$role.service" >"$unit"
    instance=${role#"${role%@}"}
    sed -e "s,/opt/proj,$1,g" -e '/^PartOf=/d' -e "s,/%N.env,/proj-$role${instance:+%i}.env," \
      proj-.service.d/common.conf >"$unit.d/common.conf"
  done
)
# And of `up` the release that it has $made, unless it runs.
remove_next() {
  systemctl stop 'next-proj-*'
  systemctl reset-failed 'next-proj-*' 2>/dev/null || true
  rm -rf "$NEXT_UNITS"/next-proj-*
  systemctl daemon-reload
  [ -z "${made:-}" ] || [ "$(release_of current)" = "$(readlink -f "$made")" ] || rm -rf "$made"
}

# The last lines of a unit that does not serve.
tell() {
  echo "$1 does not become healthy; its last lines (all: journalctl -u $1):" >&2
  journalctl --quiet --no-pager --output=cat --since="@$began" --unit="$1" | grep -v '"GET /readyz' | tail -n 15 | sed 's/^/    /' >&2
}

# Waits until the unit $1 is healthy, by the probe of its role ($2...).
wait_healthy() {
  unit=$1
  shift
  end=$(($(date +%s) + PATIENCE))
  until said=$(HEARTBEAT_DIR=/run/$unit WEB_BIND=$NEXT_BIND "$release/docker/healthcheck" "$@"); do
    case $(systemctl is-active "$unit"):$(($(date +%s) < end)):$said in
    *"can't be used: see the log"*) ;; # durable/health/code.py: it never will
    active:1:* | activating:1:*) sleep 0.5 && continue ;;
    esac
    tell "$unit"
    echo "    $said" >&2
    return 1
  done
}

# Brings the schema up to date with the release $1, and starts its roles beside those that run.
start_beside() {
  release=$1 began=$(date +%s)
  write_next_units "$release"
  systemctl daemon-reload
  numbers=$(workers)
  systemctl start next-proj-migrate || {
    tell next-proj-migrate
    return 1
  }
  # shellcheck disable=SC2046,SC2086
  systemctl start --no-block next-proj-web next-proj-beat $(printf 'next-proj-worker@%s ' $numbers)
  wait_healthy next-proj-web web readyz || return
  for number in $numbers; do
    wait_healthy "next-proj-worker@$number" worker || return
  done
  wait_healthy next-proj-beat beat
}

# Puts the release $1 in the place of the one that runs, if it is healthy; else that goes on.
switch_to() {
  trap remove_next EXIT
  trap 'exit 130' INT TERM
  start_beside "$1" || {
    remove_next
    return 1
  }
  old=$(release_of current)
  write_units "$1"
  ln -sfn "$1" "$RELEASES/current"
  systemctl daemon-reload
  systemctl enable --quiet proj.target proj-backup.timer
  if [ -z "$old" ]; then
    systemctl start proj.target proj-backup.timer
    return
  fi
  ln -sfn "$old" "$RELEASES/before"
  # Requests wait in the socket; tasks end or go back, and the new workers take them.
  for unit in proj-web 'proj-worker@*' proj-beat; do
    systemctl restart "$unit" || tell "$unit"
  done
}
