#!/bin/sh
# The role table: what each role of the image runs, once, for compose, Kubernetes, systemd and
# `make run` alike. Every role ends in exec, so that the program is the process that gets signals.
# Anything that is no role is run as it stands: `entrypoint.sh python manage.py shell`.
set -eu

APP_ROLE=${1:-web}
export APP_ROLE

case $APP_ROLE in
web)
  exec gunicorn --config docker/gunicorn.conf.py proj.wsgi
  ;;
worker)
  shift
  # SIGTERM means soft shutdown (Celery's SIGQUIT): finish for a while, hand back the rest.
  export REMAP_SIGTERM=SIGQUIT
  exec celery -A proj worker -l "${LOG_LEVEL:-INFO}" -Q "${WORKER_QUEUES:-default,reports,mail}" \
    --without-gossip --without-mingle "$@"
  ;;
beat)
  shift
  exec celery -A proj beat -l "${LOG_LEVEL:-INFO}" --pidfile= "$@"
  ;;
migrate)
  # Schema, cache table, periodic tasks: each may run twice and changes nothing the second time.
  python manage.py migrate --noinput
  exec python manage.py createcachetable
  ;;
*)
  unset APP_ROLE
  exec "$@"
  ;;
esac
