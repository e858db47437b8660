#!/usr/bin/env bash
# Collects what packages hold: what stage.sh collects, and in STAGE/share manual pages, completions,
# ready specs, claims and learned signals. Called by deploy/package.sh and setup.py.
#
# Usage: deploy/packages/collect.sh [--module] BUILD STAGE
#   --module   also compile the module mentor for each Python here, into STAGE/python/mentor;
#              MENTOR_PYTHONS names others, with semicolons between them; empty, and in a clone that
#              was moved or copied since its build: what BUILD has
set -euo pipefail
cd "$(dirname "$0")/../.."
module=0
if [ "$1" = --module ]; then module=1; shift; fi
build=$1 stage=$2
deploy/install.sh --packages
export PATH=$PWD/.deps/packages/bin:$PATH
deploy/docker/stage.sh "$build" "$stage" >/dev/null

# The programs write their manual pages and completions themselves. Here they find the libraries of
# the stage: the clone may have been moved since its build.
libraries=$stage/out/torch/torch/lib:$stage/out/torch/nvidia/cu13/lib:$stage/out/mujoco/mujoco
run() { LD_LIBRARY_PATH=$libraries "$@"; }
man=$stage/share/man/man1
mkdir -p "$man" "$stage"/share/{bash-completion/completions,zsh/vendor-completions} \
  "$stage"/share/{fish/vendor_completions.d,mentor/experiments,mentor/results}
cp experiments/*.txtpb "$stage/share/mentor/experiments/"
cp results/*.csv "$stage/share/mentor/results/"
find zoo -name __pycache__ -prune -o -type f -not -name '*.py' -print0 |
  xargs -0 cp --parents -t "$stage/share/mentor/"
version=$(sed -n 's/^project(mentor VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
for program in mentor mentorctl mentor-actor mentor-learner mentor-meta-learner; do
  help=--help copy=$stage/out/bin/$program
  if run "$copy" __man >/dev/null 2>&1; then help=__man; fi  # More than --help says.
  name=$(run "$copy" --help | sed -n '1s/[.:].*//p')
  # help2man gives the program's path to a shell, unquoted.
  (cd "$stage/out/bin" && run help2man --no-info --help-option "$help" --name "${name,}" \
    --version-string "$program $version" "./$program") > "$man/$program.1"
  if run "$copy" completion bash >/dev/null 2>&1; then
    run "$copy" completion bash > "$stage/share/bash-completion/completions/$program"
    run "$copy" completion zsh > "$stage/share/zsh/vendor-completions/_$program"
    run "$copy" completion fish > "$stage/share/fish/vendor_completions.d/$program.fish"
  fi
done

if [ "$module" -eq 1 ]; then
  pythons=${MENTOR_PYTHONS-$(deploy/packages/pythons.sh)}
  home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
  if [ -n "$pythons" ] && [ "$home" -ef . ]; then
    cmake -D MENTOR_PYTHONS="$pythons" "$build" >/dev/null
    cmake --build "$build" --parallel "$(deploy/machine.sh)" --target mentor_python >/dev/null
  fi
  mkdir -p "$stage/python"
  cp -r python/mentor "$stage/python/"
  cp "$build"/python/mentor/*.so "$stage/python/mentor/"
  find "$stage/python" -name __pycache__ -prune -exec rm -r {} +
  strip "$stage"/python/mentor/*.so
fi
