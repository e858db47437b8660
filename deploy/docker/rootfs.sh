#!/usr/bin/env bash
# Makes the file tree that images start from: the files of some Debian packages and a user 10001,
# without a shell or a package manager. apt's sources give the newest versions. Needs Debian 12.
# Only chown of the result needs root; tar and COPY do without it.
#
# Usage: deploy/docker/rootfs.sh DIR [LIST | --packages "NAME NAME..."] [--help]
#   DIR    folder to make; must not exist
#   LIST   file of package names (default: runtime.txt beside this script)
#
# Example: deploy/docker/rootfs.sh rootfs && tar -C rootfs -c . | docker import - mentor-base:12
set -euo pipefail

fail() { echo "rootfs.sh: $1" >&2; exit "${2:-1}"; }
case "${1-}" in
  -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  ''|-*) fail "needs a folder to make; see --help" 2 ;;
esac
root=$(realpath -m "$1")
[ ! -e "$root" ] || fail "$root exists already"
case "${2-}" in
  --packages) packages=$(tr ' ' '\n' <<<"${3-}") ;;
  *) packages=$(grep -v '^#' "${2:-$(dirname "$0")/runtime.txt}") ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The links of a merged Debian: packages that say /lib write to /usr/lib.
mkdir -p "$root"/{etc,tmp,run,proc,sys,dev,usr/{bin,sbin,lib,lib64},var/lib/{dpkg/status.d,mentor}}
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
chmod 1777 "$root/tmp"
# APT::Sandbox::User: the download folder belongs to this user, not to _apt.
(cd "$work" && xargs apt-get -o APT::Sandbox::User=root download -qq <<<"$packages" >/dev/null)
for package in "$work"/*.deb; do
  dpkg-deb --fsys-tarfile "$package" |
    tar --extract --directory "$root" --keep-directory-symlink --no-same-owner \
      --exclude='./usr/share/man' --exclude='./usr/share/lintian' \
      --exclude='./usr/share/locale' --exclude='./usr/share/info' \
      --exclude='./usr/lib/x86_64-linux-gnu/gconv' --exclude='./usr/share/doc/*/examples' \
      --exclude='./usr/share/grpc'
  # Scanners read here what is installed.
  dpkg-deb --field "$package" >"$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)"
done
find "$root/usr/share/doc" -mindepth 2 ! -name copyright ! -type d -delete
cat >"$root/etc/passwd" <<'P'
root:x:0:0:root:/:/usr/sbin/nologin
mentor:x:10001:10001:Mentor:/var/lib/mentor:/usr/sbin/nologin
P
printf 'root:x:0:\nmentor:x:10001:\n' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
