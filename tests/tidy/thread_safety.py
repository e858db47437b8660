#!/usr/bin/env python3
"""Runs clang's analysis of locks (-Wthread-safety) over the sources that use common/mutex.h.

Usage: thread_safety.py --build FOLDER [--jobs N] [FILE...]
  FOLDER   has compile_commands.json and the generated sources (a build has made them)
  FILE...  look at these; default: every source that names a lock itself or in its own header

A header with locks but without its own source is checked through one source that includes it.
Nothing is compiled, and the slow headers are read once, so the whole takes three minutes of one
processor. A whole build by clang is `cmake --preset clang`. Prints FILE:LINE: MESSAGE for each
finding; exit status 1 when there is one, 77 (skipped) without clang++-14."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("actor", "common", "envs", "learner", "cli", "meta_learner", "tests")
LOCK = re.compile(r"\b(Mutex|MutexLock|CondVar)\b")
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
FINDING = re.compile(rf"^(?:{re.escape(str(ROOT))}/)?([^:\s]+:\d+):\d+: ((?:warning|error): .*)")
SKIPPED = 77


def sources_with_locks():
    """Sources below ROOT that the analysis can check."""
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".cc", ".h")
    }
    sources = {name for name, text in texts.items() if name.endswith(".cc") and LOCK.search(text)}
    for name, text in texts.items():
        if name.endswith(".cc") or name == "common/mutex.h" or not LOCK.search(text):
            continue
        own = name[:-2] + ".cc"
        users = [u for u in texts if u.endswith(".cc") and name in INCLUDE.findall(texts[u])]
        # Templates are analysed at their uses, and a test uses them thoroughly.
        users.sort(key=lambda user: (not user.startswith("tests/"), user))
        sources.update([own] if own in texts else users[:1])
    return sorted(sources)


def commands_of(build):
    """Returns the compiler's arguments for each source, also for sources that are compiled
    together."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        kept = []
        arguments = iter(shlex.split(entry["command"]))
        for argument in arguments:
            if argument in ("-o", "-c", "-include"):
                next(arguments)
            elif argument.startswith("-") and argument != "-Winvalid-pch":
                kept.append(argument)
                if argument in ("-isystem", "-I", "-D"):
                    kept.append(next(arguments))
        if "/unity_" in entry["file"]:
            text = pathlib.Path(entry["file"]).read_text(encoding="utf-8")
            files = re.findall(r'^#include "(/[^"]+)"', text, re.MULTILINE)
        else:
            files = [entry["file"]]
        for file in files:
            torch = any("torch" in argument for argument in kept)
            test = "/tests/" in file
            kind = ("torch" if torch else "plain") + ("_test" if test else "")
            commands[file] = (kind, kept, entry["directory"])
    return commands


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    tool = shutil.which("clang++-14")
    if not tool:
        print("thread_safety.py: skipped: clang++-14 is not installed: apt-get install clang-14")
        return SKIPPED
    try:
        commands = commands_of(arguments.build)
    except OSError as error:
        return f"thread_safety.py: {error}: cmake --preset dev, or set MENTOR_BUILD"
    files = [pathlib.Path(file).as_posix() for file in arguments.files] or sources_with_locks()
    analysis = ["-Wno-everything", "-Wthread-safety", "-ferror-limit=0"]
    begin = time.monotonic()
    findings = set()
    paths = [path for path in (str(ROOT / file) for file in files) if path in commands]
    with tempfile.TemporaryDirectory() as folder:

        def precompile(kind):
            same = [commands[path] for path in paths if commands[path][0] == kind]
            _, flags, directory = max(same, key=lambda command: len(command[1]))
            flags = [flag for flag in flags if not flag.startswith("-DTEST_FILE=")]
            header = ROOT / "cmake" / "pch" / f"{kind}.h"
            made = subprocess.run(
                [tool, *flags, "-Wno-everything", "-x", "c++-header", str(header)]
                + ["-o", f"{folder}/{kind}.pch"],
                capture_output=True,
                text=True,
                cwd=directory,
            )
            if made.returncode != 0:
                return {f"{header}:1: not compiled by clang: {made.stderr.strip()[-500:]}"}
            return set()

        def look_at(file):
            path = str(ROOT / file)
            if path not in commands:
                return {f"{file}:1: is in no target of {arguments.build}"}
            kind, flags, directory = commands[path]
            done = subprocess.run(
                [tool, *flags, *analysis, "-include-pch", f"{folder}/{kind}.pch"]
                + ["-fsyntax-only", path],
                capture_output=True,
                text=True,
                cwd=directory,
                check=False,
            )
            found = [FINDING.match(line) for line in done.stderr.splitlines()]
            new = {f"{match[1]}: {match[2]}" for match in found if match}
            if done.returncode != 0 and not new:
                new = {f"{file}:1: clang failed: {done.stderr.strip()[-500:]}"}
            return new

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for new in pool.map(precompile, sorted({commands[path][0] for path in paths})):
                findings |= new
            if not findings:
                for new in pool.map(look_at, files):
                    findings |= new
    for finding in sorted(findings):
        print(finding)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"thread_safety.py: {len(files)} sources, {len(findings)} findings, "
        f"{time.monotonic() - begin:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor"
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
