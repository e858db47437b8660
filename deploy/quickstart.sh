#!/usr/bin/env bash
# From a bare Debian 12 to a trained signal network: installs, builds and runs one experiment in one process.
# Run it again after an interruption: it goes on where it stopped.
#
# Usage: deploy/quickstart.sh [SPEC] [ARGUMENTS OF mentor run] [--help]
#   SPEC   a file, or the name of one in deploy/experiments (default: quickstart)
#
# Examples:
#   deploy/quickstart.sh                  ML1 door-close on a small budget: about 20 minutes in all on 2 cores
#   deploy/quickstart.sh point_reach      a point that learns to reach: the whole effect within a minute of training
set -euo pipefail
cd "$(dirname "$0")/.."

spec=quickstart
case "${1-}" in
  -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  ''|-*) ;;
  *) spec=$1; shift ;;
esac
[ -f "$spec" ] || spec=deploy/experiments/$(basename "$spec" .txtpb).txtpb
if [ ! -f "$spec" ]; then
  echo "quickstart.sh: no spec $spec; there are: $(cd deploy/experiments && echo *.txtpb)" >&2
  exit 2
fi
if ! grep -qw avx2 /proc/cpuinfo; then
  echo "quickstart.sh: this processor has no AVX2; Mentor is built for x86-64-v3 (any x86 processor since about 2015)" >&2
  exit 1
fi

# A compiler at work on LibTorch's headers needs about 2 GB.
cores=$(nproc)
memory_jobs=$(awk '/^MemTotal/ {print int($2 / 2000000)}' /proc/meminfo)
jobs=$((memory_jobs < cores ? memory_jobs : cores))
[ "$jobs" -ge 1 ] || jobs=1

deploy/install.sh
cmake --preset dev
cmake --build build --parallel "$jobs" \
  --target mentor mentorctl mentor-actor mentor-learner mentor-meta-learner
build/bin/mentor run "$spec" "$@"
echo "These paths are below $PWD"
