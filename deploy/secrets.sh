#!/usr/bin/env bash
# Makes what the roles need to trust each other when they run in containers: an authority, a
# certificate for each role and a token for each client. One folder for each role, so that a
# container gets its own and no more.
#
# Usage: deploy/secrets.sh DIR [--host NAME]... [--days N] [--renew] [--help]
#   DIR           folder to make: ca/ meta-learner/ learner/ actor/ operator/ admin/ viewer/
#                 web/ grafana/
#   --host NAME   another name or address at which users reach the meta-learner; may be repeated
#   --days N      how long certificates of roles are good (default 365; the authority: ten years)
#   --renew       new certificates from the same authority, for the names of --host in this call;
#                 roles that this version added; tokens stay, nothing needs a restart
#
# `mentorctl certs init` and `mentorctl token new` make the contents. A role's folder holds tls.crt,
# tls.key and ca.crt, as Kubernetes' TLS Secrets do. A client's also holds its token, except
# that of the pages (web), whose users sign in with theirs. A server's
# holds tokens: its clients' names, roles and hashes. If root runs this, files belong to user 10001,
# as the images need it. Keep ca/ away from the machines that run Mentor.
#
# MENTORCTL names the program; the default is build/bin/mentorctl, else the installed one.
#
# Examples:
#   sudo deploy/secrets.sh deploy/compose/secrets --host lab7.example.org
#   deploy/secrets.sh secrets
#   kubectl create secret generic mentor-actor --from-file secrets/actor
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
fail() { echo "secrets.sh: $1" >&2; exit "${2:-1}"; }
dir='' days=365 renew=0 hosts=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --host) [ $# -ge 2 ] || fail "--host needs a name" 2; hosts+=("$2"); shift 2 ;;
    --days) [ $# -ge 2 ] || fail "--days needs a number" 2; days=$2; shift 2 ;;
    --renew) renew=1; shift ;;
    -*) fail "unknown argument '$1'; see --help" 2 ;;
    *) [ -z "$dir" ] || fail "one folder only; see --help" 2; dir=$1; shift ;;
  esac
done
[ -n "$dir" ] || fail "needs a folder; see --help" 2
if [ $renew = 0 ] && [ -e "$dir/ca/ca.key" ]; then
  fail "$dir has an authority already: --renew makes new certificates from it"
fi
if [ $renew = 1 ] && [ ! -e "$dir/ca/ca.key" ]; then
  fail "$dir/ca/ca.key is missing: nothing to renew from"
fi

# The names a server is reached at: Compose's, a Kubernetes Service's and its pods'. Only the
# meta-learner has those of its users.
names=()
for server in meta-learner learner; do
  for name in $server{,.mentor,.mentor.svc} "*.$server" "*.$server.mentor.svc"; do
    names+=(--name "$server=$name")
  done
done
for host in ${hosts[@]+"${hosts[@]}"}; do names+=(--name "meta-learner=$host"); done

mentorctl=${MENTORCTL:-$root/build/bin/mentorctl}
[ -n "${MENTORCTL:-}" ] || [ -x "$mentorctl" ] || mentorctl=mentorctl
command -v "$mentorctl" >/dev/null ||
  fail "mentorctl is missing: deploy/build.sh mentorctl makes it, or MENTORCTL=PROGRAM names it"
mentorctl=$(realpath "$(command -v "$mentorctl")")

umask 077
mkdir -p "$dir"
cd "$dir"
"$mentorctl" certs init ca --days "$days" "${names[@]}" --quiet >/dev/null
for role in meta-learner learner actor operator admin viewer web; do
  mkdir -p "$role"
  # Whole files only: a process may read at any time.
  for file in key crt; do
    cp "ca/$role.$file" "$role/tls.$file.new"
    mv "$role/tls.$file.new" "$role/tls.$file"
    rm "ca/$role.$file"
  done
  cp --force ca/ca.crt "$role/ca.crt"
done

# A client's token in its folder; its hash on a line at the server that it talks to. A token stays,
# also where its file was taken elsewhere or its line was removed.
token() {
  [ -e "$1/token" ] || grep -qs "^$1 $1 " "$2/tokens" ||
    "$mentorctl" token new "$1" "$1" --out "$1/token" --append "$2/tokens" --quiet
}

for role in learner operator admin viewer; do token "$role" meta-learner; done
token actor learner
mkdir -p grafana
[ -e grafana/password ] || head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >grafana/password
find . -path ./ca -prune -o -type f -exec chmod 0400 {} +
if [ "$(id -u)" -eq 0 ]; then
  chown -R 10001:10001 meta-learner learner actor operator admin viewer web
  chown -R 472 grafana   # The user of Grafana's image.
else
  echo "secrets.sh: for Compose, give the files to the images' user:" \
    "sudo chown -R 10001 meta-learner learner actor operator admin viewer web" >&2
fi
