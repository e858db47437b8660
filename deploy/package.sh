#!/usr/bin/env bash
# Makes packages of the built programs, so that other machines need no compiler. In DIR, by default
# packages:
#   *.deb                   Debian 12, one for each role: mentor (all in one process), mentor-actor,
#                           mentor-learner, mentor-meta-learner, mentorctl (with the ready specs);
#                           and what they share: mentor-libtorch, mentor-simulators
#   mentor-*.whl            what `pip install .` installs: programs, environments, client, signals;
#                           and the libraries that a bare machine lacks
#   requirements-lean.txt   those wheels for Python 3.10 to 3.13, without 3.7 GB that torch asks for
#                           and Mentor does not use, on a GPU neither
#   mentor_client-*.whl     of these the Python packages of python/ alone, for any machine
#   mentor.cdx.json         what is inside, by name, version and licence (CycloneDX)
#
# Usage: deploy/package.sh [--build BUILD] [--debs | --wheel] [--help] [DIR]
#   --build BUILD   a folder of cmake with all programs built (default: build)
#   --debs          only the Debian packages
#   --wheel         only the wheels
#
# Example: deploy/install.sh --nvcc && deploy/build.sh --preset release && deploy/package.sh
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "package.sh: $1" >&2; exit "${2:-1}"; }
build=build kinds=(debs wheel) out=packages
while [ $# -gt 0 ]; do
  case "$1" in
    --build) [ $# -ge 2 ] || fail "--build needs a folder; see --help" 2; build=$2; shift ;;
    --debs|--wheel) kinds=("${1#--}") ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) fail "unknown argument '$1'; see --help" 2 ;;
    *) out=$1 ;;
  esac
  shift
done
[ -x "$build/bin/mentor" ] || fail "$build/bin/mentor is missing: run deploy/build.sh first"
deploy/install.sh --packages
export PATH=$PWD/.deps/packages/bin:$PATH PYTHONPATH=$PWD/.deps/packages

version=$(sed -n 's/^project(mentor VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
# Packages of one commit have the same bytes.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CMakeLists.txt)
export SOURCE_DATE_EPOCH
mkdir -p "$out"
out=$(realpath "$out")
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

for kind in "${kinds[@]}"; do
  case "$kind" in
    debs)
      deploy/packages/collect.sh "$build" "$stage"
      rm -f "$out"/mentor*_amd64.deb
      deploy/packages/debs.sh "$stage" "$version" "$out" ;;
    wheel)
      home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
      if [ ! "$home" -ef . ]; then
        modules=$(find "$build/python/mentor" -name '_native*.so' -printf '%f ')
        [ -n "$modules" ] ||
          fail "this clone was built in $home, without a module for Python: run deploy/build.sh"
        echo "package.sh: this clone was built in $home, so the wheel is for the Python of that" \
          "build alone (${modules% }); for each Python here run deploy/build.sh first" >&2
      fi
      rm -f "$out"/mentor{,_client}-*.whl
      pack() {
        python3 -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
          --wheel-dir "$@"
      }
      MENTOR_BUILD=$(realpath "$build") pack "$stage/wheel" .
      pack "$out" ./python
      # Libraries of other wheels, which know themselves where theirs are.
      python3 -m auditwheel repair --plat manylinux_2_36_x86_64 --only-plat --wheel-dir "$out" \
        --exclude libtorch_cpu.so --exclude libc10.so --exclude 'libmujoco.so.*' \
        --exclude 'libcudart.so.*' --exclude 'libcupti.so.*' "$stage"/wheel/mentor-*.whl
      cp deploy/requirements/wheels.txt "$out/requirements-lean.txt" ;;
  esac
done
python3 deploy/packages/bill_of_materials.py "$build" "$version" "$out/mentor.cdx.json"
(cd "$out" && ls -sh --block-size=M -- *)
if [[ $(readelf --sections --wide "$build/bin/mentor") != *.nv_fatbin* ]]; then
  echo "package.sh: these programs have no kernels for GPUs: run deploy/install.sh --nvcc, then" \
    "build and package again" >&2
fi
