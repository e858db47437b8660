#!/usr/bin/env bash
# Makes the Debian packages. Called by deploy/package.sh.
#
# Usage: deploy/packages/debs.sh STAGE VERSION DIR
#   STAGE   what deploy/docker/stage.sh and package.sh have collected
set -euo pipefail
cd "$(dirname "$0")/../.."
stage=$1 version=$2 out=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# package NAME DEPENDS RECOMMENDS DESCRIPTION: makes a package of the tree $work/NAME. It also
# depends on the packages of the libraries that its programs load.
package() {
  local name=$1 depends=$2 recommends=$3 description=$4 tree=$work/$1 folders programs libraries
  mkdir -p "$tree/usr/share/doc/$name" "$tree/DEBIAN" "$work/debian"
  cp LICENSE "$tree/usr/share/doc/$name/copyright"
  if [ -d "$tree/usr/bin" ]; then
    # dpkg-shlibdeps needs a source package around it; our own libraries do not belong to one yet.
    printf 'Source: mentor\n\nPackage: %s\nArchitecture: amd64\n' "$name" > "$work/debian/control"
    programs=("$tree"/usr/bin/*)
    mapfile -t folders < <(find "$work"/*/usr/lib/mentor -name '*.so*' -printf '-l%h\n' | sort -u)
    libraries=$(cd "$work" && dpkg-shlibdeps -O --ignore-missing-info \
      "${folders[@]}" "${programs[@]}" 2>"$work/log" |
      sed -n 's/^shlibs:Depends=//p') || { cat "$work/log" >&2; exit 1; }
    depends=${depends:+$depends, }$libraries
  fi
  find "$tree" -type d -exec chmod 755 {} +
  {
    printf '%s\n' "Package: $name" "Version: $version" "Architecture: amd64" "Section: science" \
      "Priority: optional" "Maintainer: The Mentor maintainers <maintainers@localhost>" \
      "Installed-Size: $(du -sk "$tree" | cut -f1)" "Depends: $depends"
    [ -z "$recommends" ] || echo "Recommends: $recommends"
    echo "Description: $description"
  } > "$tree/DEBIAN/control"
  dpkg-deb --root-owner-group --build -Zzstd -z3 "$tree" "$out/${name}_${version}_amd64.deb" \
    >/dev/null
}

# program NAME: the program with its manual page and completions.
program() {
  local tree=$work/$1/usr file
  install -D -m 755 "$stage/out/bin/$1" "$tree/bin/$1"
  install -D -m 644 "$stage/share/man/man1/$1.1" "$tree/share/man/man1/$1.1"
  gzip -9n "$tree/share/man/man1/$1.1"
  for file in bash-completion/completions/"$1" zsh/vendor-completions/_"$1" \
      fish/vendor_completions.d/"$1".fish; do
    [ ! -f "$stage/share/$file" ] || install -D -m 644 "$stage/share/$file" "$tree/share/$file"
  done
}

# shared NAME FOLDER...: libraries or data of wheels; their licences go to /usr/share/doc.
licences() {
  mkdir -p "$work/$1/usr/share/doc/$1"
  mv "$2"/*.dist-info "$work/$1/usr/share/doc/$1/"
}

mkdir -p "$work"/mentor-libtorch/usr/lib/mentor "$work"/mentor-simulators/usr/{lib,share}/mentor
cp -a "$stage/out/torch/." "$work/mentor-libtorch/usr/lib/mentor/"
licences mentor-libtorch "$work/mentor-libtorch/usr/lib/mentor"
cp -a "$stage/out/mujoco/." "$work/mentor-simulators/usr/lib/mentor/"
licences mentor-simulators "$work/mentor-simulators/usr/lib/mentor"
cp -a "$stage/out/assets" "$work/mentor-simulators/usr/share/mentor/"
licences mentor-simulators "$work/mentor-simulators/usr/share/mentor/assets"
# Compiles the models of bundles for all programs that simulate.
install -D -m 755 "$stage/out/bin/mentor-mjcf" "$work/mentor-simulators/usr/bin/mentor-mjcf"
package mentor-libtorch 'libstdc++6, libc6' '' 'LibTorch as Mentor is built with'
package mentor-simulators 'libstdc++6, libc6' '' \
  'MuJoCo, and models of Meta-World and Gymnasium, as Mentor is built with'

torch="mentor-libtorch (= $version)" simulators="mentor-simulators (= $version)"
program mentorctl
mkdir -p "$work/mentorctl/usr/share/mentor"
cp -a "$stage/share/mentor/experiments" "$work/mentorctl/usr/share/mentor/"
package mentorctl '' '' 'command line of a mentor-meta-learner'
program mentor-actor
package mentor-actor "$simulators" '' 'simulates environments for a mentor-learner'
program mentor-learner
package mentor-learner "$torch" '' 'trains the agents of a mentor-meta-learner'
program mentor-meta-learner
package mentor-meta-learner "$torch, $simulators" 'mentorctl' \
  'meta-learns training signals: queue, outer rules, results'
program mentor
mkdir -p "$work/mentor/usr/share/mentor"
cp -a "$stage"/share/mentor/{results,zoo} "$work/mentor/usr/share/mentor/"
package mentor "mentorctl (= $version), $torch, $simulators" \
  'python3, ffmpeg, libosmesa6' \
  'meta-learns training signals in one process'
