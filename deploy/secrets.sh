#!/usr/bin/env bash
# Makes what the roles need to trust each other in containers: an authority, a certificate for each
# role, a token for each client. Each role has a folder of its own, so that a container gets no
# other role's secrets.
#
# Usage: deploy/secrets.sh DIR [--host NAME]... [--days N] [--renew] [--help]
#   DIR           folder to make: ca/ meta-learner/ learner/ actor/ operator/ admin/ viewer/
#                 grafana/
#   --host NAME   another name or address at which users reach the meta-learner; may be repeated
#   --days N      how long certificates of roles are good (default 365; the authority: ten years)
#   --renew       new certificates from the same authority; tokens stay, nothing needs a restart
#
# A role's folder holds tls.crt, tls.key and ca.crt. A client's also holds its token. A server's
# holds tokens: its clients' names, roles and hashes. If root runs this, files belong to user 10001,
# as the images need it. Keep ca/ away from the machines that run Mentor.
#
# Examples:
#   sudo deploy/secrets.sh deploy/compose/secrets --host lab7.example.org
#   deploy/secrets.sh secrets
#   kubectl create secret generic mentor-actor --from-file secrets/actor
set -euo pipefail

fail() { echo "secrets.sh: $1" >&2; exit "${2:-1}"; }
dir='' days=365 renew=0 hosts=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --host) [ $# -ge 2 ] || fail "--host needs a name" 2; hosts+=("$2"); shift 2 ;;
    --days)
      [[ "${2-}" =~ ^[1-9][0-9]{0,3}$ ]] || fail "--days needs a number from 1 to 9999" 2
      days=$2; shift 2 ;;
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
command -v openssl >/dev/null || fail "openssl is missing: apt-get install openssl"
umask 077
mkdir -p "$dir"
cd "$dir"

key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
quietly() { local out; out=$("$@" 2>&1) || { echo "$out" >&2; fail "openssl failed"; }; }

# Names under which a server is reached: Compose's, a Kubernetes Service's and its pods', this
# machine's.
names() {
  local name list="DNS:$1,DNS:$1.mentor,DNS:$1.mentor.svc,DNS:*.$1,DNS:*.$1.mentor.svc"
  list+=",DNS:localhost,IP:127.0.0.1"
  shift
  for name in "$@"; do
    if [[ $name =~ ^[0-9.]+$|: ]]; then list+=",IP:$name"; else list+=",DNS:$name"; fi
  done
  echo "$list"
}

certificate() {
  local role=$1 names=$2 usage=$3
  mkdir -p "$role"
  quietly openssl req -new "${key[@]}" -keyout "$role/tls.key.new" -out "$role/csr" \
    -subj "/CN=$role"
  quietly openssl x509 -req -in "$role/csr" -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial \
    -out "$role/tls.crt.new" -days "$days" -extfile <(printf '%s\n' "subjectAltName=$names" \
      "extendedKeyUsage=$usage" keyUsage=critical,digitalSignature)
  rm "$role/csr"
  # Files are replaced whole, because a process may read at any time.
  mv "$role/tls.key.new" "$role/tls.key"
  mv "$role/tls.crt.new" "$role/tls.crt"
  cp ca/ca.crt "$role/ca.crt"
}

# Puts a client's token into its folder, and the token's hash on a line of its server.
token() {
  local role=$1 server=$2
  openssl rand -hex 32 | tr -d '\n' >"$role/token"
  echo "$role $role $(openssl dgst -sha256 -r <"$role/token" | cut -d' ' -f1)" >>"$server/tokens"
}

if [ $renew = 0 ]; then
  mkdir -p ca
  quietly openssl req -x509 "${key[@]}" -keyout ca/ca.key -out ca/ca.crt -days 3650 \
    -subj /CN=mentor-ca \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
fi
certificate meta-learner "$(names meta-learner ${hosts[@]+"${hosts[@]}"})" serverAuth
certificate learner "$(names learner),URI:spiffe://mentor/role/learner" serverAuth,clientAuth
for role in actor operator admin viewer; do
  certificate "$role" "URI:spiffe://mentor/role/$role" clientAuth
done
if [ $renew = 0 ]; then
  for role in learner operator admin viewer; do token "$role" meta-learner; done
  token actor learner
  mkdir -p grafana
  openssl rand -hex 16 | tr -d '\n' >grafana/password
fi
find . -path ./ca -prune -o -type f -exec chmod 0400 {} +
if [ "$(id -u)" -eq 0 ]; then
  chown -R 10001:10001 meta-learner learner actor operator admin viewer
  chown -R 472 grafana   # The user of Grafana's image.
else
  echo "secrets.sh: for Compose, give the files to the images' user:" \
    "sudo chown -R 10001 meta-learner learner actor operator admin viewer" >&2
fi
