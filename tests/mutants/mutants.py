#!/usr/bin/env python3
"""Measures the tests: plants bugs that are drawn by chance, and lists those that no test finds.

Bugs (mutants) are drawn from all layers, as many of each: an operator, a bound, a dropped or a
swapped statement (draw.py). They are compiled at once into a copy of the sources, each behind a
switch, the environment variable MENTOR_MUTANT. One run of all tests shows which test reaches which
mutant. Each mutant then meets the tests that reach it until one fails, crashes or does not end: the
tests of its own layer first, and quick ones before slow ones. A survivor is equal to the
original, or a missing test, or code that nobody needs.

Examples:
    tests/mutants/mutants.py                        300 of all layers; some hours on two cores
    tests/mutants/mutants.py --count 20 --changed   of the lines that the last 50 commits changed
    tests/mutants/mutants.py --layer shards --count 25 --seed 7
    tests/mutants/mutants.py --again                the drawn ones that survived last time, after
                                                    new tests
    MENTOR_MUTANT=m017 build-mutants/build/tests/test_learner      one by hand, after a run

Writes build-mutants/found.json. Exit status: 0 when every layer has the share that --share asks
for, 1 when not, 2 when something is wrong.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import draw  # noqa: E402

ROOT = HERE.parent.parent
BUILDS_MAX = 6
COMMITS = 50
# Tests that look at the sources, or compare with what was compiled elsewhere.
LEFT_OUT = {"nightly", "tidy", "containers", "gate", "monitoring"}
# Drawn for each that is wanted: two of five do not compile and are left out.
SPARE = 1.8
SURVIVED, NOT_REACHED = "SURVIVED", "NOT REACHED"
SWITCH = """// The switch of tests/mutants/mutants.py.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace mentor {

// True for the chosen mutant. Names of all that are reached go to the file MENTOR_MUTANTS_REACHED.
inline bool Mutant(const char* name, std::atomic<bool>* reached) {
  static const char* const chosen = std::getenv("MENTOR_MUTANT");
  static const char* const list = std::getenv("MENTOR_MUTANTS_REACHED");
  if (list != nullptr && !reached->exchange(true)) {
    const int file = open(list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file >= 0) {
      (void)!write(file, name, std::strlen(name));
      (void)!write(file, "\\n", 1);
      close(file);
    }
  }
  return chosen != nullptr && std::strcmp(chosen, name) == 0;
}

}  // namespace mentor
"""
PYTHON_SWITCH = (
    "def _mutant_(name, _reached=set()):"
    " import os; path = os.environ.get('MENTOR_MUTANTS_REACHED');"
    " path and name not in _reached and (_reached.add(name), open(path, 'a').write(name + '\\n'));"
    " return os.environ.get('MENTOR_MUTANT') == name\n"
)


def fail(why):
    print(f"mutants.py: {why}", file=sys.stderr)
    sys.exit(2)


def switch(mutant):
    if mutant.file.endswith(".py"):
        return re.sub(r"\bMUTANT\b", f'_mutant_("{mutant.name}")', mutant.text)
    call = (
        f"[] {{ static ::std::atomic<bool> reached{{false}}; "
        f'return ::mentor::Mutant("{mutant.name}", &reached); }}()'
    )
    return re.sub(r"\bMUTANT\b", lambda _: call, mutant.text)


def mutated_files(mutants):
    """-> {file: (text with all of its mutants, [(first line, last line, name)])}"""
    by_file = collections.defaultdict(list)
    for mutant in mutants:
        by_file[mutant.file].append(mutant)
    files = {}
    for name, own in by_file.items():
        text, at, parts, spans = (ROOT / name).read_text(), 0, [], []
        if name.endswith(".py"):
            # After the docstring and what must come first.
            begins = r"^(?:import|from (?!__future__)|class|def|[A-Z_]+ =)"
            first = re.search(begins, text, re.MULTILINE)
            parts.append(text[: first.start()] + PYTHON_SWITCH)
            at = first.start()
        else:
            parts.append('#include "common/mutant.h"\n')
        for mutant in sorted(own, key=lambda m: m.begin):
            parts.append(text[at : mutant.begin])
            begin = "".join(parts).count("\n") + 1
            parts.append(switch(mutant))
            spans.append((begin, "".join(parts).count("\n") + 1, mutant.name))
            at = mutant.end
        files[name] = "".join([*parts, text[at:]]), spans
    return files


def sources():
    """All files of the repository that git knows or does not ignore."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return {name for name in names.split("\0") if name and (ROOT / name).is_file()}


def write_copy(copy, files):
    """Writes the sources with all mutants; unchanged files keep their times."""
    wanted = {name: (ROOT / name).read_bytes() for name in sources()}
    wanted.update({name: text.encode() for name, (text, _) in files.items()})
    wanted["common/mutant.h"] = SWITCH.encode()
    listing = copy / ".files"  # What an earlier call wrote.
    before = set(listing.read_text().split("\n")) if listing.exists() else set()
    for name in before - set(wanted):
        (copy / name).unlink(missing_ok=True)
    for name, content in wanted.items():
        target = copy / name
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod((ROOT / name).stat().st_mode if (ROOT / name).exists() else 0o644)
    listing.write_text("\n".join(sorted(wanted)))
    if not (copy / ".deps").exists():
        (copy / ".deps").symlink_to((ROOT / ".deps").resolve())


def to_blame(copy, files, output):
    """Returns the mutants whose lines the compiler names in an error, or else those before it.

    What lacks a return or a name is told where the function ends or the name is used."""
    names = set()
    for path, line, what in re.findall(
        r"([\w./-]+\.(?:cc|h)):(\d+):\d+: .*\b(error|required from here)\b", output
    ):
        file = os.path.relpath(path if path.startswith("/") else copy / "build" / path, copy)
        before = [span for span in files.get(file, ("", []))[1] if span[0] <= int(line)]
        blamed = [span for span in before if int(line) <= span[1]]
        if not blamed and what == "error":
            blamed = before[-1:]
        names.update(name for _, _, name in blamed)
    return names


def build(copy, mutants):
    """Builds the copy -> the mutants that compile."""

    def run(*command):
        return subprocess.run(
            command, cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
        )  # fmt: skip

    for _ in range(BUILDS_MAX):
        files = mutated_files(mutants)
        write_copy(copy, files)
        # NVIDIA's compiler does not know the switch.
        run("cmake", "--preset", "dev", "-D", "MENTOR_NVCC=none")
        made = run("deploy/build.sh", "--keep-going")
        if made.returncode == 0:
            return mutants
        blamed = to_blame(copy, files, made.stdout)
        print(f"{len(blamed)} mutants do not compile", flush=True)
        if not blamed:
            fail("the copy does not build\n" + made.stdout[-8000:])
        mutants = [mutant for mutant in mutants if mutant.name not in blamed]
    fail("the copy does not build, even without these mutants")


class Test:
    """A test of ctest."""

    def __init__(self, entry):
        properties = {one["name"]: one["value"] for one in entry["properties"]}
        self.name, self.command = entry["name"], entry.get("command")
        self.folder = properties.get("WORKING_DIRECTORY")
        self.labels = set(properties.get("LABELS", []))
        self.environment = dict(one.split("=", 1) for one in properties.get("ENVIRONMENT", []))
        self.timeout = properties.get("TIMEOUT", 900)
        self.seconds = 0.0

    def layer(self):
        return (re.match(r"(?:\w+/)?(\w+)", self.name) or ["", ""])[1]

    def run(self, seconds, **environment):
        """-> whether it ended well within this time"""
        process = subprocess.Popen(
            self.command, cwd=self.folder, env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:  # And what it has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tests_of(copy, pattern):
    listed = subprocess.run(
        ["ctest", "--test-dir", str(copy / "build"), "--show-only=json-v1"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    tests = [Test(entry) for entry in json.loads(listed)["tests"] if entry.get("command")]
    return [t for t in tests if not t.labels & LEFT_OUT and re.search(pattern, t.name)]


def record(tests, jobs):
    """Runs every test once -> {mutant's name: tests that reach it}"""
    reached = collections.defaultdict(list)

    def one(test):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "reached"
            begin = time.monotonic()
            good = test.run(test.timeout, MENTOR_MUTANTS_REACHED=str(path))
            test.seconds = time.monotonic() - begin
            return test, good, set(path.read_text().split()) if path.exists() else set()

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for test, good, names in pool.map(one, tests):
            if not good:
                print(f"left out, since it fails without a mutant: {test.name}", flush=True)
                continue
            for name in names:
                reached[name].append(test)
    return reached


def find(mutant, tests, budget):
    """-> the name of the test that fails, SURVIVED or NOT_REACHED"""
    # The tests of the mutant's own layer know it best.
    tests = sorted(tests, key=lambda test: (test.layer() != mutant.layer, test.seconds))
    end = time.monotonic() + budget
    for test in tests:
        if time.monotonic() > end:
            break
        if not test.run(20 + 5 * test.seconds, MENTOR_MUTANT=mutant.name):
            return test.name
    return SURVIVED if tests else NOT_REACHED


def lines_changed():
    """{file: numbers of the lines that the last commits changed}"""
    base = subprocess.run(
        ["git", "rev-list", "--max-count", str(COMMITS), "HEAD"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()[-1]  # fmt: skip
    shown = subprocess.run(
        ["git", "diff", "--unified=0", base, "--", *draw.LAYERS],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    lines, file = collections.defaultdict(set), None
    for line in shown.split("\n"):
        if line.startswith("+++ "):
            file = line[6:]
        elif found := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            if file.endswith((".cc", ".h", ".py")):
                begin = int(found[1])
                lines[file].update(range(begin, begin + int(found[2] or 1)))
    return lines


def survivors(copy):
    """The mutants that no test found in the last run, as they are in the sources now."""
    mutants, known = [], {}
    for entry in json.loads((copy / "found.json").read_text()):
        if entry.pop("found") not in (SURVIVED, NOT_REACHED):
            continue
        old = draw.Mutant(**entry)
        if old.file not in known:
            known[old.file] = draw.mutants_of(old.file) if (ROOT / old.file).is_file() else []
        now = next((mutant for mutant in known[old.file] if mutant.text == old.text), None)
        if now is None:
            print(f"gone from the sources: {old}")
            continue
        now.name = old.name
        mutants.append(now)
    return mutants


def even(mutants, count):
    """The first mutants of each layer, as many of each, `count` in all."""
    share = -(-count // len({mutant.layer for mutant in mutants}))
    taken, kept = collections.Counter(), []
    for mutant in mutants:
        taken[mutant.layer] += 1
        if taken[mutant.layer] <= share:
            kept.append(mutant)
    return kept[:count]


def report(copy, mutants, found, share):
    """Prints the table by layer -> exit status"""
    print(f"\n{'layer':14} drawn  found  not reached")
    low, total = False, 0
    for layer in dict.fromkeys(mutant.layer for mutant in mutants):
        own = [mutant for mutant in mutants if mutant.layer == layer]
        number = sum(found[mutant.name] not in (SURVIVED, NOT_REACHED) for mutant in own)
        missed = sum(found[mutant.name] == NOT_REACHED for mutant in own)
        low |= number < share * len(own)
        total += number
        print(f"{layer:14} {len(own):5}  {number:5}  {missed:11}")
    print(f"{total} of {len(mutants)} mutants found")
    entries = [{**vars(mutant), "found": found[mutant.name]} for mutant in mutants]
    (copy / "found.json").write_text(json.dumps(entries, indent=1))
    return 1 if low else 0


def main():
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw (default: 1)")
    parser.add_argument("--layer", action="append", choices=draw.LAYERS, help="default: all")
    parser.add_argument("--changed", action="store_true", help="of lines that changed last")
    parser.add_argument("--again", action="store_true", help="the survivors of the last run")
    parser.add_argument("--list", action="store_true", help="print what is drawn and do nothing")
    parser.add_argument("--tests", default="", help="a pattern of tests' names (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="tests at once")
    parser.add_argument("--budget", type=int, default=120, help="seconds a mutant (default: 120)")
    parser.add_argument("--share", type=float, default=0.8, help="of each layer (default: 0.8)")
    parser.add_argument(
        "--copy", type=pathlib.Path, default=ROOT / "build-mutants",
        help="where the copy lies and is built (default: build-mutants)",
    )  # fmt: skip
    arguments = parser.parse_args()
    if not (ROOT / ".deps" / "mutants").exists():
        parser.error("universalmutator is missing: run deploy/install.sh --mutants")
    copy = arguments.copy.resolve()
    count = arguments.count
    if arguments.again:
        if not (copy / "found.json").exists():
            parser.error(f"--again: {copy} has no run; leave --again out first")
        mutants = survivors(copy)
    else:
        lines = lines_changed() if arguments.changed else None
        layers = arguments.layer or draw.LAYERS
        mutants = draw.draw(int(count * SPARE), arguments.seed, layers, lines)
    if arguments.list or not mutants:
        print(*mutants, sep="\n")
        return 0
    copy.mkdir(parents=True, exist_ok=True)
    lock = (copy / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fail(f"another run uses {copy}: wait for it, or give --copy")
    mutants = build(copy, mutants)
    if arguments.changed:
        mutants = mutants[:count]
    elif not arguments.again:
        mutants = even(mutants, count)
    reached = record(tests_of(copy, arguments.tests), arguments.jobs)
    found = {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        tries = pool.map(lambda m: find(m, reached[m.name], arguments.budget), mutants)
        for mutant, by in zip(mutants, tries):
            found[mutant.name] = by
            print(f"{mutant}\n    {by}", flush=True)
    return report(copy, mutants, found, arguments.share)


if __name__ == "__main__":
    sys.exit(main())
