#!/usr/bin/env bash
# Packs the programs for tests/device/run.py, which checks them on a machine with a GPU: at most 60
# MiB that need only a Python with torch 2.11 there. In it are the programs, the libraries that
# torch's wheel has not, the models of three tasks, the ready specs, run.py with its parts, and the
# benchmark. A wheel has no mentor-bench, so this one comes from build/tests with the libraries of
# this system.
#
# Usage: tests/device/pack.sh [--wheel FILE | --build BUILD] [--help] [OUT]
#   --wheel FILE    programs and libraries of this wheel (default: what deploy/package.sh made, the
#                   newest packages/mentor-*.whl)
#   --build BUILD   those of a build folder instead, with the libraries of this system: to try it
#   OUT             an archive, NAME.tar.xz, or a folder to make (default: build/device.tar.xz)
#
# Examples:
#   deploy/build.sh --preset release && deploy/package.sh --wheel && tests/device/pack.sh
#   tests/device/pack.sh --build build build/device    a folder, for this machine
set -euo pipefail
cd "$(dirname "$0")/../.."
MIB_MAX=60

fail() { echo "pack.sh: $1" >&2; exit "${2:-1}"; }
wheel='' build='' out=build/device.tar.xz
while [ $# -gt 0 ]; do
  case "$1" in
    --wheel|--build)
      [ $# -ge 2 ] || fail "$1 needs a value; see --help" 2
      if [ "$1" = --wheel ]; then wheel=$2; else build=$2; fi
      shift ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) fail "unknown argument '$1'; see --help" 2 ;;
    *) out=$1 ;;
  esac
  shift
done
[ -z "$wheel" ] || [ -z "$build" ] || fail "give --wheel or --build, not both" 2
[ ! -d "$out" ] || fail "$out exists already: remove it, or name another folder" 2
wheels=.deps/wheels
[ -d "$wheels/mujoco" ] || fail "$wheels has no MuJoCo: run deploy/install.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
payload=$work/mentor-device
mkdir -p "$payload"/{bin,lib,models,experiments,tests/bench,tests/cluster,tests/device}
programs=(mentor mentorctl mentor-actor mentor-learner mentor-meta-learner mentor-mjcf)

# Copies a program of a build folder, and the libraries of this system but those that every system
# has.
take_program() {
  [ -x "$1" ] || fail "$1 is missing: run deploy/build.sh first"
  install -s -m 755 "$1" "$payload/bin/"
  ldd "$1" | sed -nE 's/.* => ((\/usr)?\/lib\/[^ ]+) .*/\1/p' |
    grep -vE '/lib(c|m|dl|rt|pthread|resolv|util|gcc_s|stdc\+\+)\.so' |
    while read -r library; do cp -L "$library" "$payload/lib/"; done
}

if [ -n "$build" ]; then
  for program in "${programs[@]}"; do take_program "$build/bin/$program"; done
else
  if [ -z "$wheel" ]; then
    # shellcheck disable=SC2012  # names of wheels
    wheel=$(ls -t packages/mentor-*.whl 2>/dev/null | head -n 1)
    [ -n "$wheel" ] || fail "packages/ has no wheel: run deploy/package.sh --wheel"
  fi
  python3 -m zipfile -e "$wheel" "$work/wheel"
  for program in "${programs[@]}"; do
    install -m 755 "$work/wheel/mentor_programs/bin/$program" "$payload/bin/"
  done
  # What auditwheel added.
  find "$work/wheel" -path '*.libs/*.so*' -type f -exec cp {} "$payload/lib/" ';'
fi
take_program "${build:-build}/tests/mentor-bench"
cp -L "$wheels"/mujoco/libmujoco.so.* "$payload/lib/"

# Copies the models of that name and what they name, as envs/assets.cc looks for them.
declare -A seen
take_model() {
  local path inner
  [ -z "${seen[$1]-}" ] || return 0
  seen[$1]=1
  while read -r path; do
    install -D -m 644 "$wheels/$path" "$payload/models/$path"
    [[ $path == *.xml ]] || continue
    while read -r inner; do take_model "$inner"; done < <(
      grep -oE "[\"'][^\"']*\.[a-zA-Z]+[\"']" "$wheels/$path" | tr -d "\"'" | sed 's|.*/||' |
        sort -u)
  done < <(awk -v end="/$1" 'substr($2, length($2) - length(end) + 1) == end { print $2 }' \
    deploy/assets.sha256)
}
# reach-v3, of which each actor computes its fingerprint; door-close-v3 of ML1; Hopper-v5.
for model in sawyer_reach_v3.xml sawyer_door_pull.xml hopper.xml; do
  take_model "$model"
  [ -n "$(find "$payload/models" -name "$model")" ] || fail "deploy/assets.sha256 lacks $model"
done

cp experiments/*.txtpb "$payload/experiments/"
cp tests/bench/{run,jax_peer,torch_graph_peer,cudnn_peer}.py "$payload/tests/bench/"
cp tests/cluster/{fleet,harness}.py "$payload/tests/cluster/"
cp tests/device/{run,steps,payload}.py "$payload/tests/device/"
git describe --always --dirty --abbrev=12 --exclude '*' >"$payload/COMMIT" 2>/dev/null ||
  echo unknown >"$payload/COMMIT"
find "$payload" -name __pycache__ -prune -exec rm -r {} +

case "$out" in
  *.tar.xz)
    mkdir -p "$(dirname "$out")"
    XZ_OPT='-6 -T0' tar --create --xz --owner=0 --group=0 --directory "$work" \
      --file "$out" mentor-device
    mib=$(($(stat -c %s "$out") >> 20))
    echo "$out: $mib MiB"
    [ "$mib" -lt $MIB_MAX ] || fail "$out has $mib MiB, and may have $MIB_MAX" ;;
  *)
    mkdir -p "$(dirname "$out")"
    cp -r "$payload" "$out"
    echo "$out: $(du -sm "$out" | cut -f1) MiB" ;;
esac
