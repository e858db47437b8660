#!/usr/bin/env bash
# Configures and builds, with as many compilers at once as cores and memory allow. After a change,
# run it again: it builds only what the change touches.
#
# Usage: deploy/build.sh [--preset NAME] [--werror] [--keep-going] [--help] [TARGETS]
#   --preset NAME   of CMakePresets.json (default: dev)
#   --werror        a warning of the compiler is an error
#   --keep-going    show every error, not the first ones alone
#   TARGETS         programs or test binaries (default: everything, tests too)
#
# Examples:
#   deploy/build.sh mentor            the laptop's command alone
#   deploy/build.sh --preset asan test_unit_common
set -euo pipefail
cd "$(dirname "$0")/.."

preset=dev werror=OFF fresh='' targets=() native=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset)
      if [ $# -lt 2 ]; then echo "build.sh: --preset needs a value; see --help" >&2; exit 2; fi
      preset=$2
      shift 2 ;;
    --werror) werror=ON; shift ;;
    --keep-going) native=(-- -k 0); shift ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) echo "build.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
    *) targets+=("$1"); shift ;;
  esac
done

# One compiler on LibTorch's headers needs about 2 GB.
cores=$(nproc)
memory_jobs=$(awk '/^MemTotal/ {print int($2 / 2000000)}' /proc/meminfo)
jobs=$((memory_jobs < cores ? memory_jobs : cores))
[ "$jobs" -ge 1 ] || jobs=1

# ccache also finds objects of another checkout, even with precompiled headers.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=true CCACHE_INODECACHE=true \
  CCACHE_SLOPPINESS=pch_defines,time_macros
# A clone that was moved or copied is configured anew.
case "$preset" in
  dev|release) build=build ;;
  *) build=build-$preset ;;
esac
home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt" 2>/dev/null || true)
if [ ! "${home:-.}" -ef . ]; then
  echo "build.sh: $build was made in $home: everything is compiled again" >&2
  fresh=--fresh
fi
cmake --preset "$preset" ${fresh:+--fresh} -D MENTOR_WERROR="$werror"
cmake --build --preset "$preset" --parallel "$jobs" ${targets:+--target "${targets[@]}"} \
  "${native[@]}"
