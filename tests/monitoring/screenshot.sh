#!/usr/bin/env bash
# Draws docs/images/console.png: the console page of a real Prometheus that watches a real run which
# learns. Slow (minutes) and not part of the tests; needs prometheus and chromium (Debian packages).
#
# Usage: tests/monitoring/screenshot.sh [--help]
#   MENTOR_BIN_DIR   the programs (build/bin)
#
# Example: tests/monitoring/screenshot.sh && git diff --stat docs/images
set -euo pipefail
case "${1:-}" in
  "") ;;
  -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  *) echo "screenshot.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
esac
cd "$(dirname "$0")"
for tool in prometheus chromium python3; do
  command -v "$tool" >/dev/null || {
    echo "screenshot.sh: $tool is not installed: apt-get install $tool" >&2
    exit 1
  }
done
exec python3 screenshot.py
