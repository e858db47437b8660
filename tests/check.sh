#!/usr/bin/env bash
# Checks form and the repository's own rules, in seconds and without a build: clang-format, black,
# and lint of shell and Python. tests/tidy/tidy_check.py checks borders between layers, banned
# names, lengths of lines, links, citations and the version. Generated pages must be up to date.
# Prints FILE:LINE: MESSAGE for each finding; exit status 1 when there is one.
#
# Usage: tests/check.sh [--all] [--fix] [--tidy] [--install] [--help] [FILE...]
#   FILE...     look at these; default: what differs from HEAD and what git does not know yet.
#               The repository's own rules always look at everything
#   --all       look at every file, and at whether the rules find what is planted for them
#   --fix       first put C++, protos and Python into form, and write the generated pages
#   --tidy      clang-tidy instead, on the C++ sources among the files; default: on what differs
#               from the branch main. Some 20 s a file, a minute or two with LibTorch
#   --install   make `tests/check.sh` the pre-commit hook of this clone
#
# Examples:
#   tests/check.sh --fix                       before a commit
#   tests/check.sh --all                       as continuous integration does
#   tests/check.sh --tidy common/*.cc
set -euo pipefail
cd "$(dirname "$0")/.."

all=0 fix=0 tidy=0 files=()
while [ $# -gt 0 ]; do
  case "$1" in
    --all) all=1 ;;
    --fix) fix=1 ;;
    --tidy) tidy=1 ;;
    --install)
      hook=$(git rev-parse --git-path hooks/pre-commit)
      if [ -e "$hook" ] && ! grep -q tests/check.sh "$hook"; then
        echo "check.sh: $hook exists: add a line 'tests/check.sh' to it yourself" >&2
        exit 1
      fi
      mkdir -p "$(dirname "$hook")"
      printf '#!/bin/sh\nexec tests/check.sh\n' > "$hook"
      chmod +x "$hook"
      echo "Installed as $hook; git commit --no-verify goes past it."
      exit 0 ;;
    -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) echo "check.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
    *)
      if [ ! -f "$1" ]; then echo "check.sh: no file $1, seen from $PWD" >&2; exit 2; fi
      files+=("$1") ;;
  esac
  shift
done

changed() {  # changed COMMIT: files that differ from it, and new ones.
  git diff --name-only --diff-filter=d "$1" --
  git ls-files --others --exclude-standard
}
if [ ${#files[@]} -eq 0 ]; then
  if ! git rev-parse --git-dir >/dev/null 2>&1; then  # Sources without their history.
    mapfile -t files < <(find . -type f -not -path './build*' -not -path './.deps/*' -printf '%P\n')
  elif [ "$all" -eq 1 ]; then
    mapfile -t files < <(git ls-files --cached --others --exclude-standard)
  elif [ "$tidy" -eq 1 ]; then
    base=$(git merge-base main HEAD 2>/dev/null || git merge-base origin/main HEAD 2>/dev/null) || {
      echo "check.sh: there is no branch main here: name the files" >&2
      exit 1
    }
    mapfile -t files < <(changed "$base")
  else mapfile -t files < <(changed HEAD)
  fi
fi

cpp=() sources=() python=() shell=()
for file in "${files[@]}"; do
  [ -f "$file" ] || continue
  case "$file" in
    proto/google/*) ;;
    *.cc) cpp+=("$file"); sources+=("$file") ;;
    *.h|*.cuh|*.cu|*.proto) cpp+=("$file") ;;
    *.py|*.sbatch) python+=("$file") ;;
    *.sh|.ci/*) shell+=("$file") ;;
  esac
done

if [ "$tidy" -eq 1 ]; then
  [ ${#sources[@]} -gt 0 ] || { echo "check.sh: no C++ source to look at"; exit 0; }
  exec python3 tests/tidy/clang_tidy.py "${sources[@]}"
fi

missing=()
for tool in clang-format-14 black pyflakes3 shellcheck; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "check.sh: ${missing[*]} not installed: run deploy/install.sh" >&2
  exit 1
fi

if [ "$fix" -eq 1 ]; then
  [ ${#cpp[@]} -eq 0 ] || clang-format-14 -i "${cpp[@]}"
  [ ${#python[@]} -eq 0 ] || black --config pyproject.toml --quiet "${python[@]}"
  python3 docs/generate.py
  python3 results/generate.py
  python3 tests/tidy/limits.py --shrink >/dev/null || true  # Its findings come below.
fi

findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
# All output of a tool is a finding, and so is a tool that was killed or could not start.
look() { "$@" 2>&1 || [ $? -lt 126 ] || echo "check.sh: $1 $2 was ended: run this again"; }
{
  [ ${#cpp[@]} -eq 0 ] || look clang-format-14 --dry-run "${cpp[@]}" |
    sed -nE 's/^([^:]*:[0-9]+):[0-9]+: warning: .*/\1: not in form: run tests\/check.sh --fix/p
      /error/p; /^check\.sh: /p' | uniq
  [ ${#python[@]} -eq 0 ] || look black --config pyproject.toml --check "${python[@]}" |
    sed -nE "s|^would reformat ($PWD/)?(.*)|\2:1: not in form: run tests/check.sh --fix|p
      s|^error: cannot format ($PWD/)?([^:]*): (.*)|\2:1: \3|p; /^Traceback|^check\.sh: /p"
  [ ${#python[@]} -eq 0 ] || look pyflakes3 "${python[@]}"
  [ ${#shell[@]} -eq 0 ] || look shellcheck --format gcc "${shell[@]}"
  look python3 docs/generate.py --check
  look python3 results/generate.py --check
  look python3 tests/tidy/tidy_check.py . | grep -v ' files read, '
  look python3 tests/tidy/limits.py
  [ "$all" -eq 0 ] || look python3 tests/tidy/tidy_check.py --self-test | grep -v ', 0 failures$'
  [ "$all" -eq 0 ] || look python3 tests/tidy/limits.py --self-test | grep -v ', 0 failures$'
  echo whole
} > "$findings" || true
if [ "$(tail -n 1 "$findings")" != whole ]; then
  echo "check.sh: findings were cut short: make room in ${TMPDIR:-/tmp}" >&2
  exit 1
fi
sed -i '$d' "$findings"

sort -u "$findings"
count=$(sort -u "$findings" | wc -l)
echo "tests/check.sh: ${#files[@]} files, $count findings"
[ "$count" -eq 0 ]
