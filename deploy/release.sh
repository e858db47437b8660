#!/usr/bin/env bash
# Tags the last commit as the version of CMakeLists.txt, with the notes of its heading in
# CHANGELOG.md, so that `git checkout vVERSION` builds a release. tests/check.sh says which place
# repeats another version.
#
# Usage: deploy/release.sh [--notes] [--help]
#   --notes   print the notes, and tag nothing
#
# Example: deploy/release.sh && deploy/build.sh --preset release && deploy/package.sh
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "release.sh: $1" >&2; exit "${2:-1}"; }
case "${1:-}" in
  -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  --notes|'') ;;
  *) fail "unknown argument '$1'; see --help" 2 ;;
esac
version=$(sed -n 's/^project(mentor VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
notes=$(awk -v head="## [$version]" 'index($0, "## [") == 1 {on = index($0, head) == 1; next} on' \
  CHANGELOG.md)
[ -n "$notes" ] || fail "CHANGELOG.md has no '## [$version] - DATE': give Unreleased this heading"
if [ "${1:-}" = --notes ]; then echo "$notes"; exit 0; fi
[ -z "$(git status --porcelain)" ] || fail "commit or stash what is no commit yet"
if git rev-parse -q --verify "refs/tags/v$version" >/dev/null; then
  fail "v$version is tagged already: raise the version in CMakeLists.txt"
fi
# Headings begin with the character of git's comments.
printf 'Mentor %s\n\n%s\n' "$version" "$notes" |
  git tag --annotate "v$version" --cleanup=verbatim -F -
echo "v$version: git push origin v$version"
