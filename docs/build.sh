#!/usr/bin/env bash
# Makes a site of docs/ and README.md in build/site, with search; open build/site/index.html. A link
# that leads nowhere is an error.
#
# Usage: docs/build.sh [--out DIR | --serve] [--help]
#   --out DIR   put it there
#   --serve     show it at http://127.0.0.1:8000 and follow changes
set -euo pipefail
cd "$(dirname "$0")/.."

command=(build --strict)
case "${1-}" in
  -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  --out)
    if [ $# -lt 2 ]; then echo "build.sh: --out needs a folder; see --help" >&2; exit 2; fi
    command+=(--site-dir "$(realpath "$2")") ;;
  --serve) command=(serve) ;;
  '') ;;
  *) echo "build.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
esac
if [ ! -d .deps/docs/mkdocs ]; then
  echo "docs/build.sh: MkDocs is missing: run deploy/install.sh --docs" >&2
  exit 1
fi
export PYTHONPATH=.deps/docs NO_MKDOCS_2_WARNING=1
if [ "${command[0]}" = serve ]; then exec python3 -m mkdocs serve; fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Not --quiet, with which MkDocs would not count its warnings.
if ! python3 -m mkdocs "${command[@]}" >"$log" 2>&1; then
  grep -v '^INFO' "$log" >&2
  exit 1
fi
