#!/usr/bin/env bash
# Finds what deploy/install.sh and packages forget. It makes a bare Debian 12 in a temporary folder,
# clones the last commit into it and runs a user's commands there, each timed. Run it by hand or at
# night, as root; it needs debootstrap and about 25 GB of disk.
#
# Usage: tests/bare_machine.sh [OPTIONS]
#   --only COMMAND   may be repeated (default: quickstart, then tests):
#                    install      deploy/install.sh and cmake's configuration
#                    quickstart, tests    deploy/quickstart.sh, tests/run.sh
#                    wheel        pip install of the wheels, a host of Gymnasium, the module of
#                                 Python with Stable-Baselines3, then a report of point_reach
#                    lean         the same without what torch asks for and Mentor does not use
#                    debs         the Debian packages, and the same report
#                    first_hour   every command of the pages (tests/first_hour/walk.py)
#   --packages DIR   what deploy/package.sh has made (default: packages)
#   --spec SPEC      what the quickstart trains (default: quickstart)
#   --folder DIR     where the temporary folder is made (default: $TMPDIR or /var/tmp)
#   --log FILE       the output of all commands (default: runs/bare_machine.log)
#   --keep           leave the folder there for a look: chroot into the printed path
#
# The mirror, proxies and certificates are those of this machine's apt and pip. Mounts are made in
# their own namespace and end with it. Exit status 1 when a command fails.
#
# Examples:
#   tests/bare_machine.sh                   everything: about an hour on 2 cores
#   tests/bare_machine.sh --only install    5 minutes: do the packages suffice for cmake?
#   tests/bare_machine.sh --only quickstart --spec point_reach
#   deploy/package.sh && tests/bare_machine.sh --only wheel --only debs
#   tests/bare_machine.sh --only first_hour --log runs/first_hour.log
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "bare_machine.sh: $*" >&2; exit 2; }

only=() spec=quickstart folder=${TMPDIR:-/var/tmp} log=runs/bare_machine.log keep=0
packages=packages
while [ $# -gt 0 ]; do
  case "$1" in
    --only|--spec|--folder|--log|--packages)
      [ $# -ge 2 ] || fail "$1 needs a value; see --help"
      case "$1" in
        --only) only+=("$2") ;;
        --spec) spec=$2 ;;
        --folder) folder=$2 ;;
        --log) log=$2 ;;
        --packages) packages=$2 ;;
      esac
      shift 2 ;;
    --keep) keep=1; shift ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) fail "unknown argument '$1'; see --help" ;;
  esac
done
[ ${#only[@]} -gt 0 ] || only=(quickstart tests)
for command in "${only[@]}"; do
  case "$command" in
    install|quickstart|tests|first_hour) ;;
    wheel|lean|debs)
      compgen -G "$packages/mentor*" >/dev/null ||
        fail "$packages has no packages: run deploy/package.sh, or name the folder: --packages" ;;
    *) fail "--only takes one of the commands that --help lists, not '$command'" ;;
  esac
done
[ "$(id -u)" -eq 0 ] || fail "needs root for debootstrap and chroot: run it with sudo"
command -v debootstrap >/dev/null || fail "needs debootstrap: apt-get install debootstrap"

# shellcheck disable=SC2016  # apt replaces it.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' |
  sort -u | head -n 1)
[ -n "$mirror" ] ||
  fail "apt knows no mirror of bookworm: add one to its sources and run apt-get update"

mkdir -p "$(dirname "$log")"
log=$(realpath "$log")
: > "$log"
root=$(mktemp -d "$folder/mentor-bare.XXXXXX")
chmod 755 "$root"  # apt needs this to drop its rights.
leave() {
  if [ "$keep" -eq 1 ]; then echo "Kept: $root (chroot $root bash; rm -r $root)"
  else rm -rf --one-file-system "$root"; fi
}
trap leave EXIT

# Copies what this machine needs to reach its mirrors, and nothing else.
copy_settings() {
  local file name ca
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  rm -f "$root/etc/apt/sources.list"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{sources,list}; do
    [ ! -f "$file" ] || install -D "$file" "$root$file"
  done
  apt-config dump | grep -E '^Acquire::(Retries|https?::)' \
    > "$root/etc/apt/apt.conf.d/00mirror" || true
  for file in /etc/apt/auth.conf.d/* /etc/apt/keyrings/* /usr/local/share/ca-certificates/* \
      /etc/pip.conf; do
    [ ! -f "$file" ] || install -D "$file" "$root$file"
  done
  ca=$(python3 -m pip config get global.cert 2>/dev/null || echo "${PIP_CERT-}")
  if [ -f "$ca" ]; then
    install -D -m 644 "$ca" "$root/usr/local/lib/host-ca.crt"
    settings+=(PIP_CERT=/usr/local/lib/host-ca.crt)
  fi
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL \
      PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT; do
    [ -z "${!name-}" ] || settings+=("$name=${!name}")
  done
}

# in_root COMMAND: runs in the tree, with its own mounts and processes, without this shell's
# environment.
in_root() {
  # shellcheck disable=SC2016  # Expanded inside.
  unshare --mount --pid --fork --kill-child --propagation private bash -euc '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    exec chroot "$root" "$@"' bash "$root" \
    env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "${settings[@]}" bash -c "cd /mentor && $1" </dev/null
}

summary=() failed=0
timed() {  # timed NAME COMMAND...
  local name=$1 begin=$SECONDS status=0
  shift
  echo "== $name"
  "$@" >> "$log" 2>&1 || status=$?
  summary+=("$(printf '%-12s %6d s  exit %d' "$name" $((SECONDS - begin)) "$status")")
  [ "$status" -eq 0 ] || { failed=1; tail -n 30 "$log"; }
}

apt='DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0'
first_report='mentor --version | grep "GPUs: sm_" && rm -rf runs &&
  mentor run point_reach --out runs/first && ls -l runs/first/records/run.json &&
  mentor hash runs/first'
# from_packages NAME COMMAND: makes a new environment of Python, runs COMMAND in it, and reports.
from_packages() {
  timed python in_root "$apt update && $apt install --no-install-recommends python3-venv"
  timed "$1" in_root "python3 -m venv --clear /env && . /env/bin/activate && cd /root && $2 &&
    $first_report"
}

settings=()
timed debootstrap debootstrap --variant=minbase bookworm "$root" "$mirror"
[ "$failed" -eq 0 ] || exit 1
copy_settings
if compgen -G "$packages/mentor*" >/dev/null; then cp -r "$packages" "$root/packages"; fi
timed clone git clone --quiet --no-hardlinks "$PWD" "$root/mentor"
for command in "${only[@]}"; do
  case "$command" in
    install) timed install in_root "deploy/install.sh && cmake --preset dev" ;;
    quickstart) timed quickstart in_root "./deploy/quickstart.sh $(printf '%q' "$spec")" ;;
    tests) timed tests in_root ./tests/run.sh ;;
    wheel)
      # shellcheck disable=SC2016  # Expanded inside.
      from_packages wheel 'pip install "$(echo /packages/mentor-*.whl)[train,report,sb3]" &&
        python3 -c "import mentor.report.cli" &&
        mentor env check --simulator gym="python3 -m mentor_env" --option id=CartPole-v1 &&
        python3 /mentor/docs/examples/sb3_push.py --steps 2000' ;;
    lean)
      from_packages lean 'pip install --no-deps -r /packages/requirements-lean.txt &&
        pip install --no-deps /packages/mentor-*.whl' ;;
    debs)
      timed debs in_root "$apt update && $apt install /packages/*.deb && cd /root &&
        $first_report" ;;
    first_hour)
      tests/first_hour/walk.py --script > "$root/first_hour.sh"
      timed first_hour in_root 'bash /first_hour.sh' ;;
  esac
done
echo
echo "$(git rev-parse --short HEAD) in a bare Debian $(cat "$root/etc/debian_version")," \
  "$(nproc) cores, $(date -u +%F):"
printf '%s\n' "${summary[@]}"
echo "Log: $log"
exit "$failed"
