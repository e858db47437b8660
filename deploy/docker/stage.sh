#!/usr/bin/env bash
# Collects the contents of images from a build folder, as a folder that is a Docker build context:
#   out/bin      the programs, without debug information; they find libraries beside themselves
#   out/torch, out/mujoco, out/assets    parts of /usr/local/lib/mentor, laid out like the wheels
#   out/web      /usr/local of mentor-web: the program, its packages, the ready specs
#   out/state    an empty folder with the mode of a state volume
#   deploy/docker/                       Dockerfile and list of packages
#
# Usage: deploy/docker/stage.sh BUILD CONTEXT [--wheels DIR] [--help]
#   BUILD          a folder of cmake, for example build
#   CONTEXT        folder to make; an old one is replaced
#   --wheels DIR   where deploy/install.sh put the wheels (default: what BUILD was configured with)
#
# Example: deploy/docker/stage.sh build build/images
#          docker build -f deploy/docker/Dockerfile --build-arg BINARIES=prebuilt --target actor \
#            -t mentor-actor:dev build/images
set -euo pipefail

fail() { echo "stage.sh: $1" >&2; exit "${2:-1}"; }
wheels='' positional=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --wheels) [ $# -ge 2 ] || fail "--wheels needs a folder" 2; wheels=$2; shift 2 ;;
    -*) fail "unknown argument '$1'; see --help" 2 ;;
    *) positional+=("$1"); shift ;;
  esac
done
[ ${#positional[@]} -eq 2 ] || fail "needs BUILD and CONTEXT; see --help" 2
build=${positional[0]} context=${positional[1]}
root=$(realpath "$(dirname "$0")/../..")
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
if [ ! -f "$build/CMakeCache.txt" ]; then
  fail "$build is not a build folder: run cmake --preset release first"
fi
if [ -z "$wheels" ]; then
  wheels=$(cached MENTOR_WHEELS)
  wheels=${wheels/#"$(cached CMAKE_HOME_DIRECTORY)/"/$root/}  # The clone may have been moved.
fi
[ -d "$wheels/torch/lib" ] ||
  fail "$wheels holds no wheels: run deploy/install.sh, or name the folder with --wheels"
command -v patchelf >/dev/null || fail "patchelf is missing: apt-get install patchelf"
packages=$(dirname "$wheels")/web
[ -d "$packages/nicegui" ] ||
  fail "$packages holds no NiceGUI, which mentor-web needs: run deploy/install.sh --web"

reports=$(dirname "$wheels")/report
[ -d "$reports/altair" ] ||
  fail "$reports holds no Altair, which reports need: run deploy/install.sh"

programs=(mentor mentorctl mentor-actor mentor-learner mentor-meta-learner mentor-mjcf mentor-probe)
for program in "${programs[@]}"; do
  [ -x "$build/bin/$program" ] ||
    fail "$build/bin/$program is missing: cmake --build $build --target ${programs[*]}"
done

rm -rf "$context/out" "$context/deploy"
mkdir -p "$context"/out/{bin,torch,mujoco,assets,state} "$context/deploy/docker"
mkdir -p "$context"/out/web/{bin,lib,share/mentor/experiments}
out=$(realpath "$context/out")
chmod 0700 "$out/state"
cp "$root"/deploy/docker/{Dockerfile,runtime.txt,python.txt,rootfs.sh} "$context/deploy/docker/"

for program in "${programs[@]}"; do
  install -s -m 755 "$build/bin/$program" "$out/bin/"
  if readelf -d "$out/bin/$program" | grep -q -E 'R(UN)?PATH'; then
    # shellcheck disable=SC2016  # for the dynamic linker
    libraries='$ORIGIN/../lib/mentor'
    patchelf --set-rpath "$libraries/torch/lib:$libraries/mujoco:$libraries/nvidia/cu13/lib" \
      "$out/bin/$program"
  fi
done

# Copies files that match the patterns from the wheels to a part of out/, under the same paths.
take() {
  local part=$1
  shift
  # shellcheck disable=SC2048,SC2086  # patterns
  (cd "$wheels" && tar --create --dereference --owner=0 --group=0 \
    --exclude='*.a' --exclude=libtorch_python.so \
    --exclude=RECORD --exclude=WHEEL --exclude=entry_points.txt --exclude=top_level.txt $*) |
    tar --extract --directory "$out/$part"
}
# The licences are in the dist-info folders.
take mujoco 'mujoco/libmujoco.so.*' 'mujoco-*.dist-info'
mapfile -t assets < <(awk '{print $2}' "$root/deploy/assets.sha256")
take assets "${assets[@]}" 'metaworld-*.dist-info' 'gymnasium-*.dist-info'
# LibTorch loads two of NVIDIA's libraries, and kernels need the first of them.
take torch torch/lib/{libc10.so,libtorch_cpu.so,libgomp.so.1} 'torch-*.dist-info' \
  nvidia/cu13/lib/{libcudart,libcupti}.so.13 \
  'nvidia_cuda_runtime-*.dist-info' 'nvidia_cuda_cupti-*.dist-info'
# The licences are in the dist-info folders here, too.
cp -r "$packages" "$out/web/lib/mentor-web"
cp -r "$root/python/mentor_client" "$out/web/lib/mentor-web/"
# Reports need no compiled module of the package mentor.
cp -rn "$reports/." "$out/web/lib/mentor-web"
mkdir -p "$out/web/lib/mentor-web/mentor"
cp -r "$root"/python/mentor/{__init__.py,report} "$out/web/lib/mentor-web/mentor/"
python3 "$root/python/generate.py" --out "$out/web/lib/mentor-web"
find "$out/web" -name __pycache__ -prune -exec rm -r {} +
rm -rf "$out"/web/lib/mentor-web/{bin,mentor_env}
cp "$root"/experiments/*.txtpb "$out/web/share/mentor/experiments/"
cat >"$out/web/bin/mentor-web" <<'P'
#!/usr/bin/python3.11
import sys

from mentor_client.web.main import main

sys.exit(main())
P
chmod 755 "$out/web/bin/mentor-web"
du -sh "$out"/*
