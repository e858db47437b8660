#!/usr/bin/env python3
"""Measures the tests: plants small bugs, and lists those that no test finds.

Each bug (mutant) is in a table beside this file, by the part of the program:

    [[mutant]]
    name = "lost_shard_keeps_its_segments"
    file = "meta_learner/fleet/shard_board.cc"
    old = 'job->result = {};'
    new = 'if (!MUTANT) job->result = {};'
    tests = ["unit/meta_learner: shard board*"]

The file has `old` exactly once. `new` takes its place, and MUTANT in it is true when this mutant is
chosen. `tests` are the binaries that should find it (KIND/GROUP, the binary test_KIND_GROUP), with
a pattern of Catch2's test cases behind a colon. All mutants are compiled into one copy of the
sources, behind one switch, the environment variable MENTOR_MUTANT. The sources never have it.
A mutant is found when one of its tests fails, crashes or does not end in time.

Examples:
    tests/mutants/mutants.py                      all of them; half an hour on two cores
    tests/mutants/mutants.py --only 'scheduler_*' those whose names match
    tests/mutants/mutants.py --list               their names, files and tests
    tests/mutants/mutants.py --check              that every text still stands in its file; quick
    tests/mutants/mutants.py --no-build --jobs 1  again, with the binaries of the last time
    MENTOR_MUTANT=scheduler_preempts_oldest build-mutants/build/tests/test_unit_meta_learner
                                                  one of them by hand, after a run

Exit status: 0 when nine of ten are found, 1 when fewer are, 2 when something is wrong. Wrong is a
text that its file no longer has, a mutant that does not compile, or a test that fails without one.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import fnmatch
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEYS = {"name", "file", "old", "new", "tests"}
FOUND_SHARE = 0.9
BUILDS_MAX = 5
HEADER = """// The switch of tests/mutants/mutants.py.
#pragma once

#include <cstdlib>
#include <cstring>

namespace mentor {

inline bool Mutant(const char* name) {
  static const char* const chosen = std::getenv("MENTOR_MUTANT");
  return chosen != nullptr && std::strcmp(chosen, name) == 0;
}

}  // namespace mentor
"""


@dataclasses.dataclass
class Mutant:
    name: str
    file: str
    old: str
    new: str
    tests: list

    def text(self):
        """The text in the file, with the switch."""
        return re.sub(r"\bMUTANT\b", f'::mentor::Mutant("{self.name}")', self.new)


@dataclasses.dataclass(frozen=True)
class Test:
    """A binary, and its test cases that are run."""

    kind: str
    group: str
    pattern: str

    @classmethod
    def parse(cls, text):
        folder, _, pattern = text.partition(": ")
        kind, _, group = folder.partition("/")
        return cls(kind, group, pattern)

    @property
    def target(self):
        return f"test_{self.kind}_{self.group}"

    def __str__(self):
        return f"{self.kind}/{self.group}" + (f": {self.pattern}" if self.pattern else "")


def load_mutants():
    """-> mutants, errors"""
    mutants, errors = [], []
    for table in sorted(HERE.glob("*.toml")):
        for entry in tomllib.loads(table.read_text()).get("mutant", []):
            if set(entry) != KEYS:
                name = entry.get("name", "a mutant")
                errors.append(f"{table.name}: {name}: has {sorted(entry)}, expected {sorted(KEYS)}")
                continue
            mutants.append(Mutant(**entry))
    return mutants, errors


def place(mutant, text, taken):
    """-> (begin, end) of the old text, or the error."""
    where = f"{mutant.name}: {mutant.file}"
    count = text.count(mutant.old)
    if count != 1:
        return f"{where}: the old text stands there {count} times, once is expected: {mutant.old}"
    begin = text.index(mutant.old)
    end = begin + len(mutant.old)
    for other_begin, other_end, other in taken:
        if begin < other_end and other_begin < end:
            return f"{where}: its text overlaps that of {other.name}"
    return begin, end


def mutated_files(mutants):
    """-> {file: text with all of its mutants}, errors"""
    files, errors = {}, []
    by_file = {}
    for mutant in mutants:
        by_file.setdefault(mutant.file, []).append(mutant)
    for name, own in by_file.items():
        if not (ROOT / name).is_file():
            errors += [f"{mutant.name}: there is no file {name}" for mutant in own]
            continue
        text, taken = (ROOT / name).read_text(), []
        for mutant in own:
            spot = place(mutant, text, taken)
            if isinstance(spot, str):
                errors.append(spot)
            else:
                taken.append((*spot, mutant))
        for begin, end, mutant in sorted(taken, key=lambda spot: spot[0], reverse=True):
            text = text[:begin] + mutant.text() + text[end:]
        files[name] = '#include "common/mutant.h"\n' + text
    return files, errors


def check(mutants, errors):
    """Finds every error in the tables that shows without a build."""
    names = [mutant.name for mutant in mutants]
    errors += [f"{name}: is there twice" for name in set(names) if names.count(name) > 1]
    groups = (ROOT / "tests" / "CMakeLists.txt").read_text()
    for mutant in mutants:
        if not re.search(r"\bMUTANT\b", mutant.new):
            errors.append(f"{mutant.name}: MUTANT is not in its new text")
        if not mutant.tests:
            errors.append(f"{mutant.name}: has no tests")
        for test in map(Test.parse, mutant.tests):
            if f"set(test_folders_{test.group} " not in groups:
                errors.append(f"{mutant.name}: no group of tests is called {test.group}")
    return errors + mutated_files(mutants)[1]


def sources():
    """All files of the repository that git knows or does not ignore."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return {name for name in names.split("\0") if name and (ROOT / name).is_file()}


def write_copy(copy, mutants):
    """Writes the sources with all mutants; unchanged files keep their times."""
    changed, errors = mutated_files(mutants)
    assert not errors, errors
    wanted = {name: (ROOT / name).read_bytes() for name in sources()}
    wanted.update({name: text.encode() for name, text in changed.items()})
    wanted["common/mutant.h"] = HEADER.encode()
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


def to_blame(copy, output):
    """Returns the mutants on the lines that the compiler refused, or just above."""
    names = set()
    for name, line in re.findall(r"([\w./-]+\.(?:cc|h|cu)):(\d+):\d+: (?:fatal )?error", output):
        path = pathlib.Path(name) if name.startswith("/") else copy / "build" / name
        if not path.is_file():
            continue
        lines = path.read_text().split("\n")
        for above in range(int(line) - 1, max(0, int(line) - 6), -1):
            if found := re.findall(r'mentor::Mutant\("(\w+)"\)', lines[above]):
                names.update(found)
                break
    return names


def build(copy, mutants, targets):
    """Builds the copy -> names of mutants that do not compile and are left out."""
    broken = set()
    for _ in range(BUILDS_MAX):
        write_copy(copy, [mutant for mutant in mutants if mutant.name not in broken])
        made = subprocess.run(
            [str(copy / "deploy" / "build.sh"), *sorted(targets)],
            cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if made.returncode == 0:
            return broken
        blamed = to_blame(copy, made.stdout) - broken
        if not blamed:
            sys.exit("mutants.py: the copy does not build\n" + made.stdout[-8000:])
        broken |= blamed
    sys.exit(f"mutants.py: the copy does not build, even without {', '.join(sorted(broken))}")


HEADING = re.compile(r"^-{70,}\n(.+?)\n-{70,}\n[^\n]+\n\.{70,}$", re.MULTILINE | re.DOTALL)


def failed_case(output):
    """Returns the first test case that the console of Catch2 shows as failed. A case that only
    warns also has a heading."""
    failed = re.search(r": FAILED:$", output, re.MULTILINE)
    name = ""
    for heading in HEADING.finditer(output, 0, failed.start() if failed else 0):
        name = " ".join(heading[1].split())
    return name


def run_test(copy, test, name, seconds):
    """Runs a test under the switch -> the failure, or None."""
    binary = copy / "build" / "tests" / test.target
    command = [str(binary), "--abort"] + ([test.pattern] if test.pattern else [])
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command, env=dict(os.environ, MENTOR_MUTANT=name), cwd=binary.parent,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"{test}: no end after {seconds} s"
        finally:  # And what it has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        said = output.read()
    if "No test cases matched" in said or "No tests ran" in said:
        return f"{test}: there is no such test" if name == "" else None
    if status == 0:
        return None
    how = f"ended by signal {-status}" if status < 0 else "failed"
    return failed_case(said) or f"{test} {how}"


def find(copy, mutant, seconds):
    for test in map(Test.parse, mutant.tests):
        if failed := run_test(copy, test, mutant.name, seconds):
            return failed
    return None


def run(copy, mutants, broken, jobs, seconds):
    """Tries every mutant, prints the table -> exit status"""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        tests = sorted({Test.parse(t) for m in mutants for t in m.tests}, key=str)
        sound = pool.map(lambda test: run_test(copy, test, "", seconds), tests)
        for failed in filter(None, sound):
            sys.exit(f"mutants.py: fails without any mutant: {failed}")
        tried = [mutant for mutant in mutants if mutant.name not in broken]
        outcomes = pool.map(lambda mutant: find(copy, mutant, seconds), tried)
        survivors = []
        width = max(len(mutant.name) for mutant in mutants)
        for mutant, found in zip(tried, outcomes):
            print(f"{mutant.name:{width}}  {found or 'SURVIVED'}", flush=True)
            if found is None:
                survivors.append(mutant)
    for name in sorted(broken):
        print(f"{name:{width}}  BUILD ERROR")
    found = len(tried) - len(survivors)
    print(f"{found} of {len(tried)} mutants found", end="")
    print("; not: " + ", ".join(m.name for m in survivors) if survivors else "")
    if broken:
        return 2
    return 0 if found >= FOUND_SHARE * len(tried) else 1


def main():
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="PATTERN", help="mutants whose names match, as files do")
    parser.add_argument("--list", action="store_true", help="print them and do nothing")
    parser.add_argument("--check", action="store_true", help="look at the tables and do nothing")
    parser.add_argument("--no-build", action="store_true", help="with the binaries of last time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="tests at once")
    parser.add_argument("--timeout", type=int, default=120, help="seconds a test (default: 120)")
    parser.add_argument(
        "--copy", type=pathlib.Path, default=ROOT / "build-mutants",
        help="where the copy lies and is built (default: build-mutants)",
    )  # fmt: skip
    arguments = parser.parse_args()
    mutants, errors = load_mutants()
    if errors := check(mutants, errors):
        sys.stderr.writelines(f"mutants.py: {error}\n" for error in errors)
        return 2
    chosen = [m for m in mutants if fnmatch.fnmatch(m.name, arguments.only or "*")]
    if not chosen:
        parser.error(f"no mutant is named like '{arguments.only}'")
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name}  {mutant.file}  {'; '.join(mutant.tests)}")
        return 0
    if arguments.check:
        print(f"{len(mutants)} mutants, each in its place")
        return 0
    copy = arguments.copy.resolve()
    copy.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    broken = set()
    if not arguments.no_build:
        # All targets, so that a later call with others has nothing to build.
        targets = {Test.parse(test).target for mutant in chosen for test in mutant.tests}
        broken = build(copy, mutants, targets) & {mutant.name for mutant in chosen}
        print(f"built in {time.monotonic() - start:.0f} s", flush=True)
    return run(copy, chosen, broken, arguments.jobs, arguments.timeout)


if __name__ == "__main__":
    sys.exit(main())
