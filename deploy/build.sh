#!/usr/bin/env bash
# Configures and builds, with as many compilers at once as cores and memory allow. After a change,
# run it again: it builds only what the change touches.
#
# Usage: deploy/build.sh [--preset NAME] [--jobs N] [--werror] [--keep-going] [--help] [TARGETS]
#   --preset NAME   of CMakePresets.json (default: dev)
#   --jobs N        as many compilers at once (default: what deploy/machine.sh prints)
#   --werror        a warning of the compiler is an error
#   --keep-going    show every error, not the first ones alone
#   TARGETS         programs or test binaries (default: everything, tests too)
#
# Examples:
#   deploy/build.sh mentor            the laptop's command alone
#   deploy/build.sh --preset asan test_common
set -euo pipefail
cd "$(dirname "$0")/.."

preset=dev jobs='' werror=OFF fresh='' targets=() native=() arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset|--jobs)
      if [ -z "${2-}" ]; then echo "build.sh: $1 needs a value; see --help" >&2; exit 2; fi
      if [ "$1" = --jobs ]; then jobs=$2; else preset=$2; arguments+=("$1" "$2"); fi
      shift 2
      continue ;;
    --werror) werror=ON ;;
    --keep-going) native=(-- -k 0) ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*|'') echo "build.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  arguments+=("$1")
  shift
done

fail() { echo "build.sh: $1" >&2; exit "${2-1}"; }

fitting=$(deploy/machine.sh)
[[ ${jobs:=$fitting} =~ ^[1-9][0-9]{0,3}$ ]] || fail "--jobs $jobs: is no number above 0" 2
for tool in cmake ninja c++; do
  command -v $tool >/dev/null || fail "$tool is missing: run deploy/install.sh first"
done
trap 'fail "stopped; run the same command again, which goes on from here" 130' INT
# Two would write the same files. The lock ends with this script; some file systems have none.
exec 9<deploy/build.sh
busy=0; flock -n -E 75 9 2>/dev/null || busy=$?
[ $busy -ne 75 ] || { echo "build.sh: waits for another build of this clone" >&2; flock 9; }

# ccache also finds objects of another checkout, even with precompiled headers.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=true CCACHE_INODECACHE=true \
  CCACHE_SLOPPINESS=pch_defines,time_macros
# Where it cannot write, it would fail in the compiler's place.
if cache=$(ccache --get-config cache_dir 2>/dev/null); then
  { mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ]; } || export CCACHE_DISABLE=1
fi
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
build() {
  cmake --preset "$preset" ${fresh:+--fresh} -D MENTOR_WERROR="$werror" &&
    cmake --build --preset "$preset" --parallel "$jobs" ${targets:+--target "${targets[@]}"} \
      "${native[@]}"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# In English, for the texts below. Ctrl-C leaves tee, so that ninja removes what is half written.
status=(0 0)
LC_ALL=C.UTF-8 LANGUAGE=en build 2>&1 | tee -i "$log" || status=("${PIPESTATUS[@]}")
if [ "${status[0]}" -eq 0 ]; then exit; fi
if [ "${status[1]}" -eq 1 ] || grep -qE 'No space left|[Dd]isk full|quota exceeded' "$log"; then
  fail "the disk is full; all programs and tests need 3 GB here (1.2 GB without tests), compilers \
also write to ${TMPDIR:-/tmp}: make room, and run the same command again, which goes on from here"
elif [ "${status[0]}" -eq 137 ] || grep -qE "Killed signal|signal 9|: Killed|^Killed|out of \
memory|memory exhausted|Cannot allocate memory" "$log"; then
  if [ "$jobs" -eq 1 ]; then
    fail "memory ran out; a compiler needs 2 GB: end other programs or add swap, and run the same \
command again, which goes on from here"
  fi
  fail "memory ran out with $jobs compilers at once; run this, which goes on from here: \
deploy/build.sh --jobs $((jobs / 2)) ${arguments[*]}"
fi
exit "${status[0]}"
