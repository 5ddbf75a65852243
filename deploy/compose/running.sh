# shellcheck shell=sh
# What runs of the compose stack, and how the same is started again; for backup and rotate-secret.

running() { docker compose ps --quiet --status running "$@"; }

# Lets signals end this shell by its trap EXIT; without its terminal too, to which nothing can be written then.
end_by_signals() {
  trap 'exit 130' INT TERM
  trap 'exec >/dev/null 2>&1; exit 129' HUP
}

# What is started from here on is the image that the container $1 runs.
use_image_of() {
  APP_IMAGE=$(docker inspect --format '{{.Config.Image}}' "$1")
  export APP_IMAGE
}

# The services whose containers run the app, whatever they are called: those of a
# compose.override.yaml are connected to the database too (docs/own-app.md).
of_the_app() {
  ids=$(running --orphans=false)
  [ -n "$ids" ] || return 0
  # shellcheck disable=SC2086
  docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}} {{.Config.Image}} {{range $i, $word := .Config.Cmd}}{{if not $i}}{{$word}}{{end}}{{end}}' $ids |
    while read -r service image role; do
      case $role:$image in
      web:* | worker:* | beat:* | *:"${APP_IMAGE:-}") echo "$service" ;;
      esac
    done | sort -u
}

# Remembers which of the services named run, and how many containers each has.
remember() {
  roles='' scales=''
  for role in "$@"; do
    number=$(running "$role" | grep -c . || true)
    [ "$number" != 0 ] || continue
    roles="$roles $role" scales="$scales --scale $role=$number"
  done
}

# Starts what was remembered, and waits until it is healthy.
start_again() {
  # shellcheck disable=SC2086
  docker compose --progress quiet up --detach --no-deps --no-build --no-recreate --wait \
    --wait-timeout 180 $scales $roles
}

# The name of the image that ran before the one that runs, by the stack's own name.
before() { echo "$(docker compose config | sed -n 's/^name: //p'):before"; }

# Where the dashboards are, if they run (COMPOSE_PROFILES=monitoring).
dashboards() {
  at=$(docker compose port monitoring-proxy 3000 2>/dev/null) || return 0
  echo "dashboards: http://$at (admin; password: docker compose exec grafana cat /run/secrets/proj/grafana_password)"
}

# Where people reach the stack.
address() {
  path=$(docker compose exec -T web printenv SITE_PATH </dev/null | sed 's,^/*,/,')
  # With SITE_HOST: HTTPS, at that name.
  if host=$(docker compose exec -T proxy printenv SITE_ADDRESS </dev/null) && [ "${host#http://}" = "$host" ]; then
    echo "https://$host$path"
    return
  fi
  # An address of IPv6 stands in brackets before its port.
  echo "http://$(docker compose port proxy 8000 | sed 's/^\([^[]*:.*\):/[\1]:/')$path"
}
