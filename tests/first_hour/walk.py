#!/usr/bin/env python3
"""Walks the path of a newcomer: runs every command of README and of pages of docs/, in order and as
printed. Fails when a command fails.

Usage: tests/first_hour/walk.py [--list | --script] [PAGE...]
  --list     print the commands and what is left out, and run nothing
  --script   print the walk as a script of bash, for a machine without Python
  PAGE       walk these pages only

Examples:
  tests/bare_machine.sh --only first_hour      in a bare Debian, from nothing; about an hour
  tests/first_hour/walk.py docs/tutorial.md    here, with what is built

The log says of each command how long it took. Exit status 1 when one failed. Pages are walked in a
shell each, its blocks of Python in one interpreter; what a page leaves running is stopped at its
end. What a page needs beyond its text, or what cannot run everywhere, is said by marks before a
block, one or several. The marks of README are in readme_marks.txt, under the first line of their
block:

  <!-- first_hour: skip, REASON -->            the block is not run
  <!-- first_hour: not COMMAND, REASON -->     its commands that begin so are not run
  <!-- first_hour: run COMMAND -->             a command that the page takes for granted
  <!-- first_hour: with TEXT as OTHER -->      a placeholder, and what stands for it
  <!-- first_hour: file NAME -->               the block is a file, which its reader saves as NAME
"""

import argparse
import pathlib
import re
import shlex
import subprocess
import sys
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/python.md",
    "docs/reports.md",
    "docs/client.md",
    "docs/operating.md",
    "docs/signals.md",
    "docs/own_environments.md",
    "docs/environments.md",
    "docs/it_does_not_learn.md",
    "docs/mentorctl.md",
    "docs/security.md",
    "docs/studies.md",
    "docs/web.md",
    "python/README.md",
)
# Pages with commands that are walked elsewhere, or nowhere for a reason.
ELSEWHERE = {
    "docs/tutorials/": "long_walks_test.py walks them",
    "docs/containers.md": "it needs Docker; tests/containers runs the same commands",
    "docs/kubernetes.md": "it needs a cluster; tests/containers runs the same commands",
    "docs/slurm.md": "it needs Slurm; tests/slurm runs the same commands",
    "docs/monitoring.md": "it needs Prometheus; tests/monitoring has one",
    "docs/architecture.md": "these are the tests themselves, for hours",
    "docs/reliability.md": "these are the tests themselves, for hours",
    "docs/performance.md": "measurements of hours, on an idle machine",
    "results/measurements.md": "runs of hours; mentor reproduce checks what came out",
    "results/experiments.md": "runs of weeks; mentor reproduce checks what came out",
    "results/teachers.md": "runs of an hour; needs a teacher of the reader's own",
    "results/README.md": "tests/cluster/reproduce_test.py runs mentor reproduce",
    "docs/algorithms/lifetime_rewards.md": "runs of minutes; known_bits.csv has the specs",
    "docs/licences.md": "questions about packages, which differ by machine",
}
WORDS = r"(skip|not|run|with|file) ?(.*?)"
MARK = re.compile(rf"<!-- first_hour: {WORDS} ?-->$")
# Pages whose marks are in a file: people see the page before anything else of the project.
MARKS = {"README.md": ROOT / "tests/first_hour/readme_marks.txt"}


class Step(typing.NamedTuple):
    page: str
    line: int
    command: str
    reason: str  # Why the block is left out; empty: it runs.


class Problem(Exception):
    pass


def is_whole(command):
    """True if bash has read a command to its end: no open loop, quote or continued line."""
    if command.rstrip().endswith("\\"):
        return False
    done = subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True)
    return done.returncode == 0 and "here-document" not in done.stderr


def commands(text, first_line):
    """Returns a block's commands, each with its first line."""
    pending, begin = "", first_line
    for number, line in enumerate(text, first_line):
        if not pending:
            begin = number
            if not line.strip() or line.startswith("#"):
                continue
        pending += line + "\n"
        if is_whole(pending):
            yield begin, pending.rstrip("\n")
            pending = ""
    if pending:
        raise Problem(f"line {begin}: bash does not understand this command")


def marks_in(file):
    """Returns the marks of a page that are in a file, by the first line of their block."""
    found, of_block = {}, None
    for number, line in enumerate(file.read_text().splitlines(), 1):
        mark = re.fullmatch(rf"  {WORDS}", line)
        if mark and of_block is not None:
            of_block.append((mark[1], mark[2].lstrip(", ")))
        elif line.startswith(" "):
            raise Problem(f"{file.name}:{number}: not a mark, or one without a block: {line}")
        elif line and not line.startswith("#"):
            of_block = found.setdefault(line, [])
    return found


def steps(page):
    """Returns the steps of a page."""
    lines = (ROOT / page).read_text().split("\n")
    listed = marks_in(MARKS[page]) if page in MARKS else {}
    found, marks, number = [], [], 0
    while number < len(lines):
        indent = lines[number][: -len(lines[number].lstrip())]  # A block may be in a list.
        line = lines[number].strip()
        mark = MARK.match(line)
        if "first_hour:" in line and not mark:
            raise Problem(f"{page}:{number + 1}: not a mark of first_hour: {line}")
        if mark:
            marks.append((mark[1], mark[2].lstrip(", ")))
        elif line in ("```bash", "```python") or (
            line.startswith("```") and any(kind == "file" for kind, _ in marks)
        ):
            end = lines.index(f"{indent}```", number)
            text = [one.removeprefix(indent) for one in lines[number + 1 : end]]
            marks += listed.pop(text[0], [])
            found += block(page, line[3:], number + 2, text, marks)
            marks, number = [], end
        elif line and marks:
            raise Problem(f"{page}:{number + 1}: a mark of first_hour, and no block behind it")
        number += 1
    for first in listed:
        raise Problem(f"{MARKS[page].name}: no block of {page} begins with this line: {first}")
    return found


def block(page, language, first_line, text, marks):
    reasons = [words for kind, words in marks if kind == "skip"]
    for kind, words in marks:
        if kind == "run":
            yield Step(page, first_line - 1, words, "")
    names = [words for kind, words in marks if kind == "file"]
    if names or language == "python":
        start = f"cat > {shlex.quote(names[0])}" if names else "python_block"
        lines = "\n".join(text)
        parts = [(first_line, f"{start} <<'END_OF_BLOCK'\n{lines}\nEND_OF_BLOCK")]
    else:
        parts = list(commands(text, first_line))
    used = set()
    for line, command in parts:
        reason = reasons[0] if reasons else ""
        for kind, words in marks:
            if kind == "with":
                placeholder, _, other = words.partition(" as ")
                if placeholder in command:
                    used.add(words)
                command = command.replace(placeholder, other)
            elif kind == "not":
                start, _, why = words.partition(", ")
                if command.startswith(start):
                    used.add(words)
                    reason = why
        yield Step(page, line, command, reason)
    for kind, words in marks:
        if kind in ("with", "not") and words not in used:
            raise Problem(f"{page}:{first_line - 1}: nothing in this block is '{words}'")


HEAD = r"""#!/usr/bin/env bash
# The walk of tests/first_hour/walk.py.
report=$(mktemp)
root=$PWD
step() {
  local begin=$SECONDS
  status=0
  printf '\n== %s\n%s\n' "$1" "$2"
  trap 'status=$?' ERR  # Fires for any command, also in a loop.
  eval "$2" </dev/null
  trap - ERR
  printf '%5d s  exit %-3d  %-24s %s\n' $((SECONDS - begin)) "$status" "$1" "${2%%$'\n'*}" |
    cut -c 1-160 | tee -a "$report"
}
# The blocks of a page share one interpreter, that of venv (docs/python.md).
python_block() {
  if [ -z "${session:-}" ]; then
    session=$(mktemp -d)
    mkfifo "$session/ask" "$session/answer"
    (cd "$session" && exec "$root/venv/bin/python" "$root/tests/first_hour/session.py") \
      <"$session/ask" 3>"$session/answer" &
    exec 8>"$session/ask" 9<"$session/answer"
  fi
  cat >"$session/block"
  env -0 >"$session/environment"
  pwd >"$session/folder"
  (trap '' PIPE && echo next >&8) 2>/dev/null
  local code=1
  read -r code <&9
  return "${code:-1}"
}
left_out() { printf '  not run          %-24s %s: %s\n' "$1" "$2" "$3" >> "$report"; }
# Stops what a page has left running.
stop() {
  local pids
  pids=$(jobs -p)
  [ -z "$pids" ] || { kill $pids; wait $pids; } 2>/dev/null
  [ -z "${session:-}" ] || rm -rf "$session"
}
"""
TAIL = r"""
printf '\n== Summary\n'
cat "$report"
failed=$(grep -c -v -E '^ *[0-9]+ s  exit 0 |^  not run' "$report")
rm "$report"
echo "$failed commands failed; $SECONDS s in all"
[ "$failed" -eq 0 ]
"""


def script(pages):
    """The walk of pages, each with its steps."""
    text = HEAD
    for found in pages.values():
        text += "\n(\n"
        for step in found:
            place = shlex.quote(f"{step.page}:{step.line}")
            if step.reason:
                head = step.command.split("\n")[0]
                text += f"left_out {place} {shlex.quote(head)} {shlex.quote(step.reason)}\n"
            else:
                text += f"step {place} {shlex.quote(step.command)}\n"
        text += "stop\n)\n"
    return text + TAIL


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--script", action="store_true")
    parser.add_argument("pages", nargs="*", default=PAGES)
    arguments = parser.parse_args()
    try:
        pages = {page: steps(page) for page in arguments.pages}
        if arguments.list:
            for found in pages.values():
                for step in found:
                    print(f"{step.page}:{step.line}: {step.command}")
                    if step.reason:
                        print(f"    not run: {step.reason}")
        elif arguments.script:
            print(script(pages))
        else:
            walk = ["bash", "-c", script(pages)]
            sys.exit(subprocess.run(walk, cwd=ROOT).returncode)
    except (Problem, OSError) as problem:
        sys.exit(f"walk.py: {problem}")


if __name__ == "__main__":
    main()
