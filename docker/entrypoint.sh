#!/bin/sh
# The role table: what each role of the image runs, once, for compose, Kubernetes, systemd and
# `make run` alike. Every role ends in exec, so that the program is the process that gets signals.
# Anything that is no role is run as it stands: `entrypoint.sh python manage.py shell`.
set -eu

APP_ROLE=${1:-web}
export APP_ROLE

# The heartbeat of an earlier process must not speak for this one.
forget_heartbeat() {
  folder=${HEARTBEAT_DIR:-${TMPDIR:-/tmp}}
  mkdir -p "$folder"
  rm -f "$folder/proj-$APP_ROLE.heartbeat"
}

# web, worker and beat check their settings before they start (durable/checks), within their own process.
# Celery would run all of Django's checks before, and throw away what they found.
export CELERY_SKIP_CHECKS=1

# Celery prints its banner past every logger.
quiet=
[ "${LOG_FORMAT:-}" != json ] || quiet=--quiet

# A program of Python's answers a wrong number with a traceback, or without the variable's name.
refuse_number() {
  echo "$1='$2': expected a whole number, $3 or more" >&2
  exit 1
}

# `make dev DEBUG=web`: the role runs under debugpy, to which an editor attaches.
debugged() {
  program=$(command -v "$1")
  shift
  if [ "${DEBUG_ROLE:-}" = "$APP_ROLE" ]; then
    set -- -X frozen_modules=off -m debugpy --listen "${DEBUG_ADDRESS:-127.0.0.1:5678}" "$program" "$@"
    program=python
  fi
  exec "$program" "$@"
}

case $APP_ROLE in
web)
  rm -f "${HEARTBEAT_DIR:-${TMPDIR:-/tmp}}/proj-web.draining"
  # gunicorn reads this one itself.
  export WEB_CONCURRENCY="${WEB_CONCURRENCY:-1}"
  case $WEB_CONCURRENCY in
  0 | *[!0-9]*) refuse_number WEB_CONCURRENCY "$WEB_CONCURRENCY" 1 ;;
  esac
  debugged gunicorn --config docker/gunicorn.conf.py proj.wsgi
  ;;
worker)
  shift
  forget_heartbeat
  # SIGTERM means soft shutdown (Celery's SIGQUIT): finish for a while, hand back the rest.
  export REMAP_SIGTERM=SIGQUIT
  # As the settings read a list; Celery would take " mail" for another queue, and empty that one.
  queues=$(printf %s "${WORKER_QUEUES:-default,reports,mail}" | tr -d '[:space:]')
  # From 1 on: a worker of rows alone, so many in one transaction, without a broker (docs/batches.md).
  case ${WORKER_BATCH:-0} in
  *[!0-9]*) refuse_number WORKER_BATCH "$WORKER_BATCH" 0 ;;
  esac
  if [ "${WORKER_BATCH:-0}" -ge 1 ]; then
    exec python manage.py durable_batch --batch "$WORKER_BATCH" -l "${LOG_LEVEL:-INFO}" \
      -Q "$queues" "$@"
  fi
  debugged celery ${quiet:+"$quiet"} -A proj worker -l "${LOG_LEVEL:-INFO}" -Q "$queues" \
    --without-gossip --without-mingle "$@"
  ;;
beat)
  shift
  forget_heartbeat
  exec celery ${quiet:+"$quiet"} -A proj beat -l "${LOG_LEVEL:-INFO}" --pidfile= "$@"
  ;;
migrate)
  # Schema, cache table, periodic tasks: one process at a time, and nothing the second time.
  shift
  exec python manage.py migrate_once "$@"
  ;;
wait-migrated)
  shift
  exec python manage.py wait_migrated "$@"
  ;;
*)
  unset APP_ROLE CELERY_SKIP_CHECKS
  exec "$@"
  ;;
esac
