#!/usr/bin/env bash
# Tries the service with clients that Mentor's authors did not write. These are grpc-requests, which
# knows the service by reflection alone, and this repository's Python client on the newest grpcio
# and protobuf. It downloads from the package index, so it is not part of the normal test run.
#
# Usage: tests/python/foreign_client.sh [--python PYTHON] [--bin FOLDER] [--help]
#   --python PYTHON   make the environment with this Python (default: python3)
#   --bin FOLDER      Mentor's programs (default: build/bin)
#
# Starts a separate service on this machine and stops it. Exit status 0 when everything worked.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=python3
bin=$root/build/bin
while [ $# -gt 0 ]; do
  case "$1" in
    --python|--bin)
      if [ $# -lt 2 ]; then echo "foreign_client.sh: $1 needs a value; see --help" >&2; exit 2; fi
      if [ "$1" = --python ]; then python=$2; else bin=$2; fi
      shift 2 ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "foreign_client.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
  esac
done

folder=$(mktemp -d)
pids=()
clean() {
  for pid in "${pids[@]}"; do { kill -9 "$pid" && wait "$pid"; } 2>/dev/null || true; done
  rm -rf "$folder"
}
trap clean EXIT

start() {  # NAME PROGRAM ARGUMENTS: runs in the background, with its output in a file.
  local name=$1; shift
  "$@" > "$folder/$name.log" 2>&1 &
  pids+=($!)
}
address_of() {
  for _ in $(seq 300); do
    if grep -q 'listening on ' "$folder/$1.log"; then
      grep -oE 'listening on [0-9.:]+' "$folder/$1.log" | head -1 | cut -d' ' -f3
      return
    fi
    sleep 0.1
  done
  echo "foreign_client.sh: $1 does not listen:" >&2; cat "$folder/$1.log" >&2; return 1
}

"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$root/python" \
  grpc-requests
"$folder/venv/bin/python" -c 'import importlib.metadata as m, sys
print("Python", sys.version.split()[0],
  *(f"{p} {m.version(p)}" for p in ("grpcio", "protobuf", "grpc-requests", "mentor-client")))'

start meta "$bin/mentor-meta-learner" --state "$folder/state" --listen 127.0.0.1:0 \
  --disk_reserve_mb 1
server=$(address_of meta)
start learner "$bin/mentor-learner" --meta_learner "$server" --listen 127.0.0.1:0
learner=$(address_of learner)
start actor "$bin/mentor-actor" --learner "$learner" --threads 1

timeout 300 "$folder/venv/bin/python" "$root/tests/python/foreign_client.py" "$server" \
  "$root/experiments/smoke.txtpb"
timeout 300 "$folder/venv/bin/python" - "$server" "$root/experiments/smoke.txtpb" <<'PYTHON'
import sys
from mentor_client import Client

with Client(sys.argv[1]) as client:
    experiment = client.create(sys.argv[2], overrides=["seed=2"]).wait(timeout=240)
    returns = experiment.metrics(["meta_return"])["meta_return"].mean
    print("mentor-client:", experiment, "meta_return", returns[-1])
PYTHON
echo "everything worked"
