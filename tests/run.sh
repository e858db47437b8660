#!/usr/bin/env bash
# Installs what the tests need, checks form and rules (tests/check.sh), builds, and runs the tests
# with ctest. Says at its start how long that takes on this machine, and on the way what is left.
#
# Usage: tests/run.sh [--all|--nightly] [--preset NAME] [--repeat N] [--werror] [--help] [ARGUMENTS]
#   --all           also what takes a minute (label slow), as continuous integration does: learning
#                   from the first update to the last, random faults, exactness under kills,
#                   security, kernels for GPUs. The libraries of its tests are 4 GB. A test that is
#                   skipped is a failure, but for those in tests/skips.txt
#   --nightly       also further cases of what --all tests once, rules that are broken on purpose,
#                   and what takes longer (label nightly); and 20 bugs drawn from the lines that
#                   changed last (tests/mutants/)
#   --preset NAME   build with this preset of CMakePresets.json (default: dev)
#   --repeat N      run each test N times, until one fails
#   --werror        a warning of the compiler is an error
#   ARGUMENTS       of ctest: they choose among all tests
#
# Examples:
#   tests/run.sh                     the check of form, then what is quick: 10 minutes on 2 cores of
#                                    an AMD EPYC
#   tests/run.sh --all               what continuous integration runs
#   tests/run.sh -R dispatcher       tests whose names match
#   tests/run.sh -L python           tests of a folder, with those of a minute: unit golden grad
#                                    conformance loopback learning fault cluster chaos python ...
#   tests/run.sh --repeat 50 -R rng
set -euo pipefail
cd "$(dirname "$0")/.."

preset=dev all=0 nightly=0
build_arguments=() ctest_arguments=() repeat=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset|--repeat)
      if [ -z "${2-}" ]; then echo "run.sh: $1 needs a value; see --help" >&2; exit 2; fi
      if [ "$1" = --preset ]; then preset=$2
      elif [[ $2 =~ ^[1-9][0-9]*$ ]]; then repeat=(--repeat "until-fail:$2")
      else echo "run.sh: --repeat $2: is no number above 0" >&2; exit 2
      fi
      shift 2 ;;
    --all) all=1; shift ;;
    --nightly) all=1 nightly=1; shift ;;
    --werror) build_arguments+=(--werror); shift ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) ctest_arguments+=("$1"); shift ;;
  esac
done
case "$preset" in
  dev|release) build=build ;;
  *) build=build-$preset ;;
esac

deploy/machine.sh >/dev/null  # This processor runs what is to be built.
compiled=() wanted=(--hosts --objects)
if [ $all -eq 1 ]; then
  compiled=(--nvcc)
  wanted+=(--docs --manifests --notebook --pages --processors --robots --shells --signal --packages
    --slurm --studies --web)
fi
# Compilers need nothing of what only tests need.
deploy/install.sh "${compiled[@]}"
set -m  # A group of its own, so that it ends with this script.
deploy/install.sh "${wanted[@]}" &
installing=$!
set +m
trap '[ -z "$installing" ] || kill -INT -- -"$installing" 2>/dev/null || true
  rm -rf "${scratch-}"' EXIT
kinds=(quick slow nightly) chosen=${#ctest_arguments[@]}
if [ "$chosen" -gt 0 ]; then
  tests/progress.py --start "$build" build
else
  kinds=("${kinds[@]:0:1+all+nightly}")
  tests/progress.py --start "$build" build "${kinds[@]}"
  tests/check.sh --all  # The form comes first: this fails within seconds.
  if [ $all -eq 0 ]; then
    ctest_arguments=(-LE '^(slow|nightly)$')
  elif [ $nightly -eq 0 ]; then
    ctest_arguments=(-LE '^nightly$')
  fi
  ctest_arguments+=(-E '^tidy: tests/check.sh finds nothing$')  # Done above.
fi
export NINJA_STATUS='[%f/%t] '
deploy/build.sh --preset "$preset" "${build_arguments[@]}" 2>&1 | tests/progress.py "$build" build
status=0
wait "$installing" || status=$?
installing=
if [ $status -ne 0 ]; then
  echo "run.sh: what the tests need was not installed; see above" >&2
  exit $status
fi
if [ "$preset" = asan ]; then
  export LSAN_OPTIONS="suppressions='$PWD/tests/lsan.supp' print_suppressions=0"
  # Tests that count allocations define their own operator new.
  export ASAN_OPTIONS=alloc_dealloc_mismatch=0
fi
# Programs sync what they keep. In memory that costs nothing, so tests use memory where there is
# room. What libraries leave in the folder goes with it. Servers that run as another user make
# folders there, too.
if [ -z "${TMPDIR:-}" ]; then
  room=$(df --output=avail -B 1M /dev/shm 2>/dev/null | tail -n 1 || echo 0)
  if [ "$room" -ge 4096 ]; then TMPDIR=/dev/shm; else TMPDIR=/tmp; fi
  scratch=$(mktemp -d "$TMPDIR/mentor-tests-XXXXXX")
  export TMPDIR=$scratch
  chmod 1777 "$TMPDIR"
fi
# Python keeps what it compiles in the build folder, also where the caller's Python keeps nothing.
export PYTHONDONTWRITEBYTECODE='' PYTHONPYCACHEPREFIX=$PWD/$build/pycache
# Three more than cores: many tests wait for processes.
results=$PWD/$build/tests.xml
rm -f "$results"
# A pattern that matches nothing is a mistake, not a success.
ctest --test-dir "$build" --no-tests=error --parallel $(($(nproc) + 3)) --output-on-failure \
  --output-junit "$results" \
  "${repeat[@]}" "${ctest_arguments[@]}" 2>&1 |
  tests/progress.py "$build" "${kinds[@]}" || status=$?
if [ $nightly -eq 1 ] && [ "$chosen" -eq 0 ]; then
  deploy/install.sh --mutants
  # A sample this small only shows where to look.
  tests/mutants/mutants.py --count 20 --changed --share 0 || status=$?
fi
# Without --all a skipped test is told, and no failure.
[ ! -e "$results" ] || tests/skips.py "$results" || [ $all -eq 0 ] || status=1
exit $status
