#!/usr/bin/env bash
# Makes packages of the built programs, so that other machines need no compiler. In DIR, by default
# build/packages:
#   *.deb                   Debian 12, one for each role: mentor (all in one process), mentor-actor,
#                           mentor-learner, mentor-meta-learner, mentorctl (with the ready specs);
#                           and what they share: mentor-libtorch, mentor-simulators
#   mentor-*.whl            all programs, the module mentor of Python, and the libraries that a
#                           bare machine lacks; its dependencies are the wheels that the build uses
#   requirements-lean.txt   those wheels for Python 3.10 to 3.13, without 3.7 GB that torch asks for
#                           and Mentor does not use, on a GPU neither
#   mentor_client-*.whl     the Python packages of python: the client with mentor-sync,
#                           mentor-sweep and mentor-web, mentor_env for hosts, mentor_signal for
#                           exported signals
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
build=build kinds=(debs wheel) out=''
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
out=${out:-$build/packages}
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
deploy/docker/stage.sh "$build" "$stage" >/dev/null
programs=(mentor mentorctl mentor-actor mentor-learner mentor-meta-learner)

# The programs write their manual pages and completions themselves.
man=$stage/share/man/man1
mkdir -p "$man" "$stage"/share/{bash-completion/completions,zsh/vendor-completions} \
  "$stage"/share/{fish/vendor_completions.d,mentor/experiments,mentor/results}
cp experiments/*.txtpb "$stage/share/mentor/experiments/"
cp results/*.csv "$stage/share/mentor/results/"
find zoo -name __pycache__ -prune -o -type f -not -name '*.py' -print0 |
  xargs -0 cp --parents -t "$stage/share/mentor/"
for program in "${programs[@]}"; do
  help=--help
  if "$build/bin/$program" __man >/dev/null 2>&1; then help=__man; fi  # More than --help says.
  name=$("$build/bin/$program" --help | sed -n '1s/[.:].*//p')
  help2man --no-info --help-option "$help" --version-string "$program $version" --name "${name,}" \
    --output "$man/$program.1" "$build/bin/$program"
  if "$build/bin/$program" completion bash >/dev/null 2>&1; then
    "$build/bin/$program" completion bash > "$stage/share/bash-completion/completions/$program"
    "$build/bin/$program" completion zsh > "$stage/share/zsh/vendor-completions/_$program"
    "$build/bin/$program" completion fish > "$stage/share/fish/vendor_completions.d/$program.fish"
  fi
done

for kind in "${kinds[@]}"; do
  case "$kind" in
    debs) deploy/packages/debs.sh "$stage" "$version" "$out" ;;
    wheel)
      # The module is compiled for each Python that is here with its headers.
      cmake -D MENTOR_PYTHONS="$(deploy/packages/pythons.sh)" "$build" >/dev/null
      cmake --build "$build" --parallel "$(nproc)" --target mentor_python >/dev/null
      mkdir "$stage/python"
      cp -rL "$build/python/mentor" "$stage/python/mentor"
      find "$stage/python" -name __pycache__ -prune -exec rm -r {} +
      strip "$stage"/python/mentor/*.so
      python3 deploy/packages/wheel.py "$stage" "$version" "$out"
      cp deploy/requirements/wheels.txt "$out/requirements-lean.txt"
      rm -f "$out"/mentor_client-*.whl
      python3 -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --wheel-dir "$out" ./python ;;
  esac
done
(cd "$out" && ls -sh --block-size=M -- *)
if "$build/bin/mentor" --version | grep -q 'GPUs: none'; then
  echo "package.sh: these programs have no kernels for GPUs: run deploy/install.sh --nvcc, then" \
    "build and package again" >&2
fi
