#!/usr/bin/env bash
# Installs what Mentor needs to build, run and be tested on Debian 12. An option stands for the
# lists of its name in deploy/requirements: apt-*.txt of packages, the others of wheels, which go to
# a folder of .deps. A second run is safe and changes nothing.
#
# Usage: deploy/install.sh [--nvcc] [--containers] [--objects] [--packages] [--docs] [--hosts]
#                         [--notebook] [--studies] [--pages] [--peers] [--robots] [--signal]
#                         [--manifests] [--shells] [--slurm] [--web] [--processors] [--mutants]
#                         [--no-report] [--help]
#   --nvcc         also install NVIDIA's compiler, so that programs get kernels for GPUs (104 MB)
#   --containers   also install what tests/containers/ needs: Docker, parts of a Kubernetes node,
#                  and --manifests and --web
#   --objects      also install the S3 service that tests of object storage need (31 MB)
#   --packages     also install what deploy/package.sh needs, and --web
#   --docs         also install what docs/build.sh needs (52 MB)
#   --hosts        also install what tests of hosts need: Gymnasium's robots, mypy (180 MB)
#   --notebook     also install what the test of the notebook needs
#   --studies      also install what the tests of mentor-sync and mentor-sweep need (290 MB)
#   --pages        also install what tests/report/pages.py needs: a browser (450 MB)
#   --peers        also install what the peers of tests/bench need: JAX, EnvPool (1.2 GB)
#   --robots       also install the models of the bundles fetch_* and panda_* (47 MB)
#   --signal       also install what tests of mentor_signal need: Stable-Baselines3, mypy, and the
#                  libraries of NVIDIA's without which `import torch` fails (3 GB)
#   --manifests    also install what tests of the Helm chart need (360 MB)
#   --shells       also install zsh and fish, whose completions of mentorctl a test reads (37 MB)
#   --slurm        also install the Slurm that tests of deploy/slurm need (13 MB); its services need
#                  /etc/slurm/slurm.conf, and do not start without
#   --processors   also install the emulator of other processors that a test runs Mentor on (97 MB)
#   --mutants      also install what tests/mutants/ draws bugs with (1 MB)
#   --web          also install what mentor-web needs: NiceGUI (110 MB); its tests need --pages, too
#   --no-report    leave out what reports are drawn with (103 MB); runs then end with their records
#
# Example: deploy/install.sh && deploy/build.sh
set -euo pipefail
cd "$(dirname "$0")/.."

again="run the same command again, which keeps what is there"
fail() { echo "install.sh: $1" >&2; exit "${2-1}"; }
trap 'fail "stopped; $again" 130' INT

lists=deploy/requirements report=report options=()
for argument in "$@"; do
  option=${argument#--}
  case "$argument" in
    --no-report) report= ;;
    --containers|--packages) options+=("$option" web) ;;
    --manifests) options+=(manifests) ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *)
      if [[ $argument != --[a-z]* || $option = apt* ]] ||
          [[ ! -f $lists/$option.txt && ! -f $lists/apt-$option.txt ]]; then
        fail "unknown argument '$argument'; see --help" 2
      fi
      options+=("$option") ;;
  esac
done

# Two would write the same folders. The lock ends with this script; some file systems have none.
exec 9<deploy/install.sh
busy=0; flock -n -E 75 9 2>/dev/null || busy=$?
[ $busy -ne 75 ] || { echo "install.sh: waits for another installation here" >&2; flock 9; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "packages ${missing[*]} are missing: become root or install sudo, and $again"
  fi
}

install_packages() {
  local wanted installed missing=()
  mapfile -t wanted < <(grep -v '^#' "$lists/$1.txt")
  # One call asks for all: a call takes as long as a hundred names.
  installed=" $(dpkg-query -W -f='${db:Status-Status}=${Package} ' "${wanted[@]}" 2>/dev/null || :)"
  for package in "${wanted[@]}"; do
    [[ $installed = *" installed=$package "* ]] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  # An installation may have been cut short. Without news of packages, the old ones may do.
  as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >/dev/null || true
  as_root apt-get update -qq || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null ||
    fail "apt-get did not install ${missing[*]}: with network and room on the disk $again"
}

# False after models were cut short, changed or removed.
assets_are_whole() {
  (cd .deps/wheels && sha256sum --quiet --check ../../deploy/assets.sha256) >/dev/null 2>&1
}

# The build uses only the wheels' C++ headers, libraries and data. So one fixed Python tag serves
# any Python here.
install_wheels() {
  local list=$lists/$1.txt target=.deps/$1
  if [ -d "$target" ] && cmp --quiet "$list" "$target.txt"; then
    if [ "$1" != wheels ] || assets_are_whole; then return; fi
  fi
  echo "Installing wheels of $list into $target"
  mkdir -p .deps
  rm -f "$target.txt"  # Until the folder is whole.
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
    --target "$target" --upgrade --no-deps --require-hashes --only-binary=:all: --no-compile \
    --implementation cp --python-version 3.11 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_25_x86_64 --platform manylinux_2_18_x86_64 \
    --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64 \
    -r "$list" || fail "pip did not install $list: with network and room on the disk, also in \
${TMPDIR:-/tmp}, $again"
  cp "$list" "$target.txt"
}

install_packages apt
for option in wheels bindings $report "${options[@]}"; do
  if [ "$option" = manifests ]; then option=containers
  elif [ -f "$lists/apt-$option.txt" ]; then install_packages "apt-$option"
  fi
  if [ -f "$lists/$option.txt" ]; then install_wheels "$option"; fi
  # nvcc looks here for its libraries when it links.
  if [ "$option" = nvcc ]; then ln -sfn lib .deps/nvcc/nvidia/cu13/lib64; fi
done
