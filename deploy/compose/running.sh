# shellcheck shell=sh
# What runs of the compose stack, and how the same is started again; for backup and rotate-secret.

running() { docker compose ps --quiet --status running "$@"; }

# What is started from here on is the image that the container $1 runs.
use_image_of() {
  APP_IMAGE=$(docker inspect --format '{{.Config.Image}}' "$1")
  export APP_IMAGE
}

# Remembers which of the roles named run, and how many workers.
remember() {
  workers=$(running worker | grep -c . || true)
  roles=''
  for role in "$@"; do
    [ -z "$(running "$role")" ] || roles="$roles $role"
  done
}

# Starts what was remembered, and waits until it is healthy.
start_again() {
  # shellcheck disable=SC2086
  docker compose --progress quiet up --detach --no-deps --no-build --no-recreate --wait \
    --wait-timeout 180 --scale "worker=$workers" $roles
}
