# shellcheck shell=sh
# Puts new containers beside the old ones of the running compose stack, and takes the old ones away once
# the new ones are healthy; for up, rollback and rotate-secret. Needs running.sh.

#: Seconds that new containers have until they are healthy, and requests in flight to end.
PATIENCE=${UP_PATIENCE:-180}
IN_FLIGHT=300

# One at a time: two would take each other's new containers for old ones. The lock ends with the shell $1.
lock_stack() {
  [ -z "${STACK_LOCKED:-}" ] && command -v flock >/dev/null || return 0
  exec 9<compose.yaml
  flock --nonblock 9 || {
    echo "$1: another up, restore, scale-workers or the like is at work here; waiting for it" >&2
    flock 9
  }
  export STACK_LOCKED=true
}

state() { docker inspect --format "$2" "$1" 2>/dev/null; }
containers() { docker compose ps --all --quiet "$@"; }
# shellcheck disable=SC2016
role_of() { state "$1" '{{range $i, $word := .Config.Cmd}}{{if not $i}}{{$word}}{{end}}{{end}}'; }

# Those of the containers $2... that play the role $1.
of_role() {
  role=$1
  shift
  for id in "$@"; do
    [ "$(role_of "$id")" != "$role" ] || echo "$id"
  done
}

# The services among those named whose containers aren't what compose.yaml, .env and the image say, or have
# read a secret that is another one by now: Compose sees nothing of what stands in files.
outdated() {
  {
    docker compose --progress plain --dry-run up --detach --no-deps --no-build "$@" 2>&1 |
      sed -n 's/.* Container \([^ ]*\) *Recreate *$/\1/p'
    for id in $(running "$@"); do
      since=$(state "$id" '{{.State.StartedAt}}')
      [ -z "$(docker exec "$id" find /run/secrets/proj -type f -newermt "$since" 2>/dev/null)" ] || echo "$id"
    done
  } | while read -r name; do state "$name" '{{index .Config.Labels "com.docker.compose.service"}}'; done | sort -u
}

# What compose.yaml and .env say of the service $1, in its line $2.
said_of() { docker compose config "$1" | awk -v service="  $1:" -v line="$2:" '
  $0 == service { here = 1; next } /^  [^ ]/ { here = 0 } here && $1 == line { print $2 }'; }

# How many containers of the service $1 run; how many are asked for.
of_now() { running "$1" | grep -c .; }
configured() {
  scale=$(said_of "$1" scale)
  echo "${scale:-1}"
}

# Lets the proxy send everything to the container $1; without one, to any of web.
send_to() {
  # shellcheck disable=SC2016
  docker compose exec -T proxy sh -c '
    cd /run/proxy
    if [ -n "$1" ]; then echo "$1" >web.new && mv web.new web; else rm -f web; fi
  ' sh "$(echo "${1:-}" | cut -c 1-12)" </dev/null 2>/dev/null || true # no proxy runs, or another one's
}

# Waits until the containers named are healthy; fails as soon as one can't become so, and names it in $ill.
wait_healthy() {
  end=$(($(date +%s) + PATIENCE))
  while :; do
    ill='' waiting=''
    for id in "$@"; do
      case $(state "$id" '{{.State.Status}} {{.RestartCount}} {{if .State.Health}}{{.State.Health.Status}} {{range .State.Health.Log}}{{.Output}}{{end}}{{end}}') in
      *"can't be used: see the log"*) ill="$ill $id" ;; # durable/health/code.py
      'running 0 healthy'* | 'running 0 ') ;;
      'created 0 '* | 'running 0 starting'*) waiting="$waiting $id" ;;
      *) ill="$ill $id" ;;
      esac
    done
    [ -z "$ill" ] || return 1
    [ -n "$waiting" ] || return 0
    [ "$(date +%s)" -lt "$end" ] || { ill=$waiting && return 1; }
    sleep 0.5
  done
}

# Says why the containers $2... don't serve, with the last $1 lines of their logs.
tell() {
  lines=$1
  shift
  for id in "$@"; do
    name=$(state "$id" '{{index .Config.Labels "com.docker.compose.service"}}')
    error=$(state "$id" '{{.State.Error}}')
    case $error in
    *'port is already allocated'* | *'address already in use'*)
      port=$(state "$id" '{{range .HostConfig.PortBindings}}{{(index . 0).HostPort}}{{end}}')
      echo "$name: port $port is taken by another program; choose a free one: PORT=8001 make up"
      continue
      ;;
    ?*) echo "$name: $error" ;;
    esac
    health=$(state "$id" '{{if .State.Health}}{{.State.Health.Status}}{{end}}')
    # One that ends again and again may run at this very moment, and not be healthy yet.
    restarts=$(state "$id" '{{.RestartCount}}')
    if [ "$(state "$id" '{{.State.ExitCode}}')" != 0 ] || { [ "$health" != healthy ] && [ "$restarts" != 0 ]; }; then
      echo "$name ended; its last lines (all: docker compose logs $name):"
      docker logs --tail "$lines" "$id" 2>&1 | sed 's/^/    /'
    elif [ "$health" = unhealthy ] || { [ "$health" = starting ] && [ "$lines" -gt 5 ]; }; then
      echo "$name does not become healthy (docker compose logs $name):"
      [ "$lines" -le 5 ] || docker logs --tail "$lines" "$id" 2>&1 | grep -v '"GET /readyz' | sed 's/^/    /'
      state "$id" '{{range .State.Health.Log}}{{.Output}}{{end}}' | tail -n 1 | sed 's/^/    /'
    fi
  done >&2
}

# Takes away the containers named, once their role is done: no request, no task.
retire() {
  [ $# -gt 0 ] || return 0
  docker stop "$@" >/dev/null
  docker rm --volumes "$@" >/dev/null
}

# Replaces the containers of the services named: the new ones first, beside the old; then web's old ones,
# the workers', which may finish their tasks, and beat's, of which one leads. The numbers of each:
# configured, or running, by the function that $1 names.
# shellcheck disable=SC2046,SC2086
roll() ( # a shell of its own, for its variables and traps
  number=$1
  shift
  old=$(containers "$@")
  web=$(of_role web $old)
  scales=''
  for service in "$@"; do
    scales="$scales --scale $service=$(($(containers "$service" | grep -c .) + $($number "$service")))"
  done
  services=$* healthy=''
  # Whatever ends this: new containers stay only if all of them are healthy.
  # shellcheck disable=SC2329
  undo() {
    trap '' INT TERM HUP
    new=$([ -n "$healthy" ] || containers $services | grep -vxF "$old")
    [ -z "$new" ] || docker rm --force --volumes $new >/dev/null
    send_to
  }
  trap undo EXIT
  end_by_signals
  send_to "$(echo "$web" | head -n 1)"
  docker compose --progress quiet up --detach --no-deps --no-build --no-recreate $scales "$@" || return
  new=$(containers "$@" | grep -vxF "$old") || return
  wait_healthy $new || {
    tell 15 $ill
    return 1
  }
  healthy=true
  send_to "$(of_role web $new | head -n 1)"
  for id in $web; do
    docker exec "$id" docker/drain 1 "$IN_FLIGHT" &
  done
  wait
  retire $web
  send_to
  retire $(of_role worker $old)
  retire $(docker ps --all --quiet --no-trunc | grep -xF "$old")
)
