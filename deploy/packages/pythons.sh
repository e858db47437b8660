#!/usr/bin/env bash
# Prints the Pythons for which the module mentor can be compiled here, with semicolons between them:
# of each version the first on PATH, or of pyenv, that has its headers. One of 3.12 and 3.13 is
# enough: their module has the stable interface.
set -euo pipefail

has_headers() {  # has_headers PYTHON VERSION
  "$1" - "$2" >/dev/null 2>&1 <<'END'
import pathlib, sys, sysconfig
header = pathlib.Path(sysconfig.get_paths()["include"], "Python.h")
sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1] or not header.exists())
END
}

found=() stable=0
for version in 3.10 3.11 3.12 3.13; do
  if [ "$stable" -eq 1 ]; then break; fi
  for python in $(type -aP "python$version") \
      "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python3; do
    if [ -x "$python" ] && has_headers "$python" "$version"; then
      found+=("$python")
      case "$version" in 3.12|3.13) stable=1 ;; esac
      break
    fi
  done
done
if [ ${#found[@]} -eq 0 ]; then
  echo "pythons.sh: no Python has headers: install python3-dev" >&2
  exit 1
fi
(IFS=';'; echo "${found[*]}")
