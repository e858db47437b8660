#!/usr/bin/env bash
# Installs what the tests need, builds, and runs them with ctest.
#
# Usage: tests/run.sh [--preset NAME] [--repeat N] [--help] [ARGUMENTS OF CTEST]
#   --preset NAME   build with this preset of CMakePresets.json (default: dev)
#   --repeat N      run each test N times, until one fails
#
# Examples:
#   tests/run.sh                     everything
#   tests/run.sh -R dispatcher       tests whose names match
#   tests/run.sh -L grad             tests of one kind: unit golden grad conformance loopback learning fault tidy
#   tests/run.sh --repeat 50 -R rng
set -euo pipefail
cd "$(dirname "$0")/.."

preset=dev
ctest_arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset|--repeat)
      if [ $# -lt 2 ]; then echo "run.sh: $1 needs a value; see --help" >&2; exit 2; fi
      if [ "$1" = --preset ]; then preset=$2; else ctest_arguments+=(--repeat "until-fail:$2"); fi
      shift 2 ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) ctest_arguments+=("$1"); shift ;;
  esac
done
case "$preset" in
  dev|release) build=build ;;
  *) build=build-$preset ;;
esac

# A compiler at work on LibTorch's headers needs about 2 GB.
cores=$(nproc)
memory_jobs=$(awk '/^MemTotal/ {print int($2 / 2000000)}' /proc/meminfo)
jobs=$((memory_jobs < cores ? memory_jobs : cores))
[ "$jobs" -ge 1 ] || jobs=1

if [ "$preset" = cuda ]; then deploy/install.sh --cuda; else deploy/install.sh; fi
# Objects are found again in another checkout, too.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=true
cmake --preset "$preset"
cmake --build "$build" --parallel "$jobs"
ctest --test-dir "$build" --parallel "$cores" --output-on-failure "${ctest_arguments[@]}"
