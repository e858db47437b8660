#!/usr/bin/env bash
# Looks for data races. It builds the code that communicates and waits with the thread sanitizer
# (preset tsan, folder build-tsan), checks that a planted race is found, then runs the tests. Run it
# by hand or at night: the build takes half an hour on 2 cores, the tests as long.
#
# Usage: tests/tsan.sh [--quick] [--seeds A-B] [--help] [TEST BINARIES]
#   --quick       without the programs and their chaos
#   --seeds A-B   of tests/chaos/chaos_test.py over programs built so (default: 1-5)
#   TEST BINARIES which ones (default: those that communicate)
#
# LibTorch, gRPC and their like are not instrumented: what only they touch is not seen.
#
# Examples:
#   tests/tsan.sh
#   tests/tsan.sh --quick test_actor test_rollout
set -euo pipefail
cd "$(dirname "$0")/.."

quick=0 seeds=1-5 tests=()
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) quick=1; shift ;;
    --seeds)
      if [ $# -lt 2 ]; then echo "tsan.sh: $1 needs a value; see --help" >&2; exit 2; fi
      seeds=$2
      shift 2 ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) echo "tsan.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
    *) tests+=("$1"); shift ;;
  esac
done
if [ ${#tests[@]} -eq 0 ]; then
  tests=(test_common test_rollout test_actor test_mentorctl test_meta_learner test_learner)
fi
programs=()
[ $quick -eq 1 ] || programs=(mentor mentorctl mentor-actor mentor-learner mentor-meta-learner)

deploy/build.sh --preset tsan test_common "${tests[@]}" "${programs[@]}"

race=66
export TSAN_OPTIONS="suppressions='$PWD/tests/tsan.supp' ignore_noninstrumented_modules=1 \
history_size=4 exitcode=$race halt_on_error=0"
# A program that maps where the sanitizer has its shadow would not start.
run() { setarch -R nice "$@"; }

# Both streams may be served by one thread, and then there is none.
found=0
for _ in {1..20}; do
  status=0
  run build-tsan/tests/test_common 'stream: a race on purpose' >/dev/null 2>&1 || status=$?
  if [ $status -eq $race ]; then found=1 && break; fi
done
if [ $found -eq 0 ]; then
  echo "tsan.sh: the race on purpose was not found (exit status $status): nothing below counts" >&2
  exit 1
fi
echo "the race on purpose was found"

failed=()
for test in "${tests[@]}"; do
  echo "== $test"
  run "build-tsan/tests/$test" || failed+=("$test")
done
if [ $quick -eq 0 ]; then
  echo "== chaos, seeds $seeds"
  MENTOR_BIN_DIR=$PWD/build-tsan/bin run python3 tests/chaos/chaos_test.py --seeds "$seeds" ||
    failed+=(chaos)
fi
if [ ${#failed[@]} -gt 0 ]; then
  echo "tsan.sh: findings in ${failed[*]}" >&2
  exit 1
fi
echo "tsan.sh: nothing found"
