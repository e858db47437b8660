#!/usr/bin/env python3
"""Says how long tests/run.sh takes on this machine, and what is left while it builds and tests.

Usage: progress.py --start BUILD KIND...      the sentence at the start
       progress.py BUILD KIND... <OUTPUT      the output of ninja or ctest, with what is left in
                                              the place of what went well
       progress.py --write BUILD              writes tests/reference_seconds.txt, once everything
                                              is built and has run
BUILD  the folder of the build
KIND   build for ninja; quick, slow, nightly for tests of ctest, by their labels

The file has lines KIND SECONDS COUNT NAME. SECONDS are what each of COUNT files of a target, or
tests of a file, takes on one core of the machine that wrote it. How much slower this machine is,
its BUILD/.ninja_log says, or a small compile where too little is built.
"""

import collections
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time

REFERENCE = pathlib.Path(__file__).with_name("reference_seconds.txt")
NINJA = re.compile(r"\[(\d+)/(\d+)\] (?:.* )?(\S+)$")
CTEST = re.compile(r" *(\d+)/(\d+) +Test +#\d+: (.*?) \.+ *(Passed|\*\*\*Skipped)?")
QUIET = re.compile(r" +Start +\d+: | +Test +#\d+: .* Passed ")  # --repeat prints the second.
OWN_LINE = 5  # Seconds of a name that has a line of its own.
TRUSTED = 60  # So many seconds of the reference tell this machine's speed.


def name_of(kind, what):
    """The target of a file that ninja makes, or the file of a test."""
    if kind == "build":
        return what.split(".dir/")[0] if ".dir/" in what else os.path.dirname(what)
    return re.match(r"[^:]*(: \w+_test\b)?", what)[0]


def cores(kind):
    number = len(os.sched_getaffinity(0))
    machine = pathlib.Path(__file__).parents[1] / "deploy/machine.sh"
    return int(subprocess.check_output([machine])) if kind == "build" else number


def made(build):
    """-> {file: seconds} of what ninja has made."""
    log = pathlib.Path(build, ".ninja_log")
    text = log.read_text(errors="replace") if log.exists() else ""
    # The last line may be cut short. A link has a row for each file that it writes, absolute paths
    # among them.
    rows = [row for row in (line.split("\t") for line in text.splitlines()[1:]) if len(row) == 5]
    rows = [row for row in rows if not os.path.isabs(row[3]) and not row[3].endswith(".cmake")]
    return {row[3]: (int(row[1]) - int(row[0])) / 1000 for row in rows}


def small_compile():
    text = "#include <regex>\nbool Is(const char* a) { return std::regex_match(a, std::regex(a)); }"
    command = "g++ -std=c++20 -O2 -x c++ -c - -o /dev/null".split()
    begin = time.monotonic()
    if subprocess.run(command, input=text, text=True).returncode != 0:
        return Work("compile").mean["-"]  # Then this machine is taken for the reference's.
    return time.monotonic() - begin


class Work:
    """What is left to do of these kinds: each name's mean and count."""

    def __init__(self, *kinds):
        self.kind, total, self.left = kinds[0], collections.Counter(), collections.Counter()
        for line in REFERENCE.read_text().splitlines():
            kind, seconds, count, name = line.split(" ", 3)
            if kind in kinds:
                total[name] += float(seconds) * int(count)
                self.left[name] += int(count)
        self.mean = {name: total[name] / count for name, count in self.left.items()}
        self.mean_of_all = total.total() / max(1, self.left.total())

    def take(self, what):
        """-> seconds of the reference"""
        name = name_of(self.kind, what)
        name = name if name in self.mean else "others"
        self.left[name] -= self.left[name] > 0
        return self.mean.get(name, 0)

    def seconds(self):
        return sum(self.mean.get(name, 0) * count for name, count in self.left.items())

    def mean_of_rest(self):
        return self.seconds() / self.left.total() if self.left.total() else self.mean_of_all


def slowness(build):
    """-> the seconds here of a second of the reference, and how they are known."""
    work, ours, reference = Work("build"), 0, 0
    for file, seconds in made(build).items():
        if file.endswith(".o") and name_of("build", file) in work.mean:
            ours, reference = ours + seconds, reference + work.take(file)
    if reference >= TRUSTED:
        return ours / reference, f"by {build}/.ninja_log"
    return small_compile() / Work("compile").mean["-"], "a guess from one small compile"


def minutes(seconds):
    number = max(1, round(seconds / 60))
    return f"{number} minute" + "s" * (number > 1)


def start(build, kinds):
    slower, source = slowness(build)
    work = Work("build")
    for file in made(build):
        work.take(file)
    seconds = work.seconds() * slower / cores("build")
    said = f"{minutes(seconds)} to build what is missing"
    if kinds[1:]:
        testing = Work(*kinds[1:]).seconds() * slower / cores("test")
        said = f"{minutes(seconds + testing)}: {said}, {minutes(testing)} to test"
    print(f"About {said}. Reckoned with {slower:.1f} times the reference's seconds, {source}.")


def read_lines(into):
    try:
        for line in sys.stdin:
            into.put(line)
    finally:  # Without an end, follow() would wait for ever.
        into.put(None)


def follow(build, kinds):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # What ninja and ctest say of it is shown.
    work, is_build, in_place = Work(*kinds), kinds == ["build"], sys.stdout.isatty()
    slower = slowness(build)[0] / cores(kinds[0])
    for file in made(build) if is_build else ():
        work.take(file)
    lines, shown, begin, done, left = queue.Queue(), time.monotonic(), None, 0, 0
    threading.Thread(target=read_lines, args=(lines,), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            line = ""
        now = time.monotonic()
        part = (NINJA if is_build else CTEST).match(line or "")
        if part:
            seconds, left = work.take(part[3]), int(part[2]) - int(part[1])
            done += seconds if begin else 0  # The first one began before the clock.
            begin = begin or now
        if in_place and line != "":
            print("\r\x1b[K", end="", flush=True)
        if line is None:
            return
        if not (part and (is_build or part[4])) and (is_build or not QUIET.match(line)):
            print(line, end="", flush=True)
        if left and (in_place or now - shown >= 60):
            speed = (TRUSTED * slower + now - begin) / (TRUSTED + done)
            rest = minutes(left * work.mean_of_rest() * speed)
            status = f"{left} {'files to build' if is_build else 'tests to run'}, {rest} left"
            print(f"\r\x1b[K{status}" if in_place else f"{status}\n", end="", flush=True)
            shown = now


def write(build):
    found = collections.defaultdict(list)
    for file, seconds in made(build).items():
        found["build", name_of("build", file)].append(seconds)
    # What ctest keeps of all its runs: NAME RUNS SECONDS.
    text = pathlib.Path(build, "Testing/Temporary/CTestCostData.txt").read_text()
    cost = {row[0]: row[1:] for row in (one.rsplit(" ", 2) for one in text.splitlines())}
    listed = subprocess.check_output(["ctest", "--test-dir", build, "--show-only=json-v1"])
    for test in json.loads(listed)["tests"]:
        runs, seconds = cost.get(test["name"], ("0", "0"))
        labels = {one["name"]: one["value"] for one in test["properties"]}.get("LABELS", [])
        kind = next((tier for tier in ("nightly", "slow") if tier in labels), "quick")
        if runs != "0":  # tests/run.sh runs three more at once than there are cores.
            share = cores(kind) / (cores(kind) + 3)
            found[kind, name_of(kind, test["name"])].append(float(seconds) * share)
    for (kind, name), seconds in list(found.items()):
        if sum(seconds) < OWN_LINE:
            found[kind, "others"] += found.pop((kind, name))
    found["compile", "-"] = [small_compile()]
    rows = (
        f"{kind} {sum(seconds) / len(seconds):.2f} {len(seconds)} {name}\n"
        for (kind, name), seconds in sorted(found.items())
    )
    REFERENCE.write_text("".join(rows))


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--write":
        write(arguments[1])
    elif len(arguments) > 2 and arguments[0] == "--start":
        start(arguments[1], arguments[2:])
    elif len(arguments) > 1 and not arguments[0].startswith("-"):
        follow(arguments[0], arguments[1:])
    else:
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    return 0


if __name__ == "__main__":
    for stream in (sys.stdin, sys.stdout):  # Tests may print any bytes.
        stream.reconfigure(errors="surrogateescape")
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:  # The output is full, or nobody reads it any longer.
        print(f"progress.py: {error}", file=sys.stderr)
        os._exit(1)
