#!/usr/bin/env bash
# A separate Docker daemon for tests, with its own data, socket, network and mount namespace.
# Containers reach each other and nothing else, and the host's packet filter does not change.
#
# Usage: tests/containers/docker.sh up DIR | down DIR | run DIR COMMAND...  [--help]
#   up     start the daemon; make the images mentor-base:12 and mentor-python:12 (what
#          deploy/docker/rootfs.sh makes) and mentor-prometheus:12 when they are missing
#   run    run a command with DOCKER_HOST set, in the daemon's network (published ports are there)
#   down   stop the daemon and its containers; DIR keeps the images and may be deleted afterwards
#
# Needs root and the packages of deploy/requirements/apt-containers.txt. DOCKER_NETWORK=host leaves
# the daemon in the host's network, for builds that install packages. DOCKER_FLAGS are further flags
# of dockerd; DOCKER_EMPTY=1 makes no images.
#
# Example: tests/containers/docker.sh up /tmp/d && tests/containers/docker.sh run /tmp/d docker ps
set -euo pipefail
root=$(realpath "$(dirname "$0")/../..")
usage() { sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; }
case "${1-}" in
  -h|--help) usage; exit 0 ;;
  up|down|run) verb=$1 ;;
  *) usage >&2; exit 2 ;;
esac
if [ $# -lt 2 ]; then echo "docker.sh: $verb needs a folder; see --help" >&2; exit 2; fi
dir=$(realpath -m "$2")
shift 2
export DOCKER_HOST=unix://$dir/docker.sock
# Debian's client; another one earlier in PATH may lack `build`.
docker=/usr/bin/docker

make_base() {
  local image=$1
  shift
  if $docker image inspect "$image" >/dev/null 2>&1; then return; fi
  "$root/deploy/docker/rootfs.sh" "$dir/rootfs" "$@"
  if [ "$image" = mentor-prometheus-base:12 ]; then
    install -d -m 1777 "$dir/rootfs/prometheus"
  fi
  tar --create --owner=0 --group=0 --directory "$dir/rootfs" . |
    $docker import - "$image" >/dev/null
  rm -rf "$dir/rootfs"
}

up() {
  mkdir -p "$dir"
  if ! $docker info >/dev/null 2>&1; then
    rm -f "$dir/docker.pid" "$dir/docker.sock"
    # Root without CAP_SYS_RESOURCE cannot lower oom_score_adj, which a kubelet requests: it becomes
    # 0.
    cat >"$dir/runc-adj" <<'R'
#!/bin/bash
for ((i = 1; i < $#; ++i)); do
  j=$((i + 1))
  [ "${!i}" = --bundle ] && sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "${!j}/config.json"
done
exec /usr/sbin/runc "$@"
R
    chmod +x "$dir/runc-adj"
    local flags
    read -ra flags <<<"${DOCKER_FLAGS-}"
    local daemon=(/usr/sbin/dockerd --add-runtime "adj=$dir/runc-adj" --default-runtime adj
      --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/docker.pid" -H "$DOCKER_HOST"
      "${flags[@]}")
    if [ "${DOCKER_NETWORK-own}" = host ]; then
      setsid "${daemon[@]}" >"$dir/dockerd.log" 2>&1 </dev/null &
    else
      # shellcheck disable=SC2016  # for the inner shell
      setsid unshare --net --mount --propagation private \
        sh -c 'ip link set lo up; exec "$@"' sh "${daemon[@]}" >"$dir/dockerd.log" 2>&1 </dev/null &
    fi
    for _ in $(seq 120); do if $docker info >/dev/null 2>&1; then break; fi; sleep 0.25; done
    $docker info >/dev/null || { tail -5 "$dir/dockerd.log" >&2; exit 1; }
  fi
  if [ "${DOCKER_EMPTY-0}" = 1 ]; then return; fi
  make_base mentor-base:12
  make_base mentor-python:12 "$root/deploy/docker/python.txt"
  make_base mentor-prometheus-base:12 --packages 'base-files libc6 prometheus'
  if ! $docker image inspect mentor-prometheus:12 >/dev/null 2>&1; then
    printf '%s\n' 'FROM mentor-prometheus-base:12' 'USER 65534:65534' \
      'ENTRYPOINT ["/usr/bin/prometheus"]' |
      DOCKER_BUILDKIT=1 $docker build --quiet --tag mentor-prometheus:12 - >/dev/null
  fi
  $docker info --format 'docker {{.ServerVersion}} {{.Driver}} cgroup v{{.CgroupVersion}}'
}

down() {
  local pid
  pid=$(cat "$dir/docker.pid" 2>/dev/null) || return 0
  $docker ps --quiet | xargs --no-run-if-empty $docker rm --force >/dev/null
  kill "$pid"
  for _ in $(seq 60); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.5; done
  echo "docker.sh: the daemon $pid still runs" >&2
  exit 1
}

case $verb in
  run)
    PATH=/usr/bin:$PATH exec nsenter --target "$(cat "$dir/docker.pid")" --net --wd="$PWD" "$@" ;;
  *) $verb ;;
esac
