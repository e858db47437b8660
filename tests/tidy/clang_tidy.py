#!/usr/bin/env python3
"""Runs clang-tidy, with the checks of .clang-tidy, on sources.

Usage: clang_tidy.py FILE...

Configures its own build folder, build-tidy, because clang cannot use what speeds up g++
(precompiled headers, files compiled together), and generates the protos' code there. Then it runs
one process at a time, at low priority: some 20 s a file, a minute or two and 1 GB with LibTorch.
Prints FILE:LINE: MESSAGE [check] for each finding, once; exit status 1 when there is one."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build-tidy"
FINDING = re.compile(rf"^(?:{re.escape(str(ROOT))}/)?([^:\s]+:\d+):\d+: (?:warning|error): (.*)")


def configure():
    """The sources that the build knows."""
    settings = ["-D", "MENTOR_UNITY=OFF", "-D", "MENTOR_PCH=OFF"]
    subprocess.run(
        ["cmake", "--preset", "dev", "-B", BUILD, *settings], check=True, stdout=subprocess.DEVNULL
    )
    subprocess.run(
        ["cmake", "--build", BUILD, "--target", "mentor_generated"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return {entry["file"] for entry in json.loads((BUILD / "compile_commands.json").read_text())}


def main(files):
    if not files or files[0].startswith("-"):
        print(__doc__)
        return 0 if files and files[0] in ("-h", "--help") else 2
    tool = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    if not tool:
        return "clang_tidy.py: clang-tidy is not installed: apt-get install clang-tidy-14"
    known = configure()
    findings = set()
    for file in files:
        path = str((ROOT / file).resolve())
        if path not in known:
            print(f"{file}: no target compiles it: skipped")
            continue
        begin = time.monotonic()
        done = subprocess.run(
            ["nice", "-n", "15", tool, "--quiet", "-p", BUILD, path],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        found = [FINDING.match(line) for line in done.stdout.splitlines()]
        new = {f"{match[1]}: {match[2]}" for match in found if match} - findings
        if done.returncode != 0 and not any(found):
            new = {f"{file}:1: clang-tidy failed: {done.stderr.strip()[-300:]}"}
        for finding in sorted(new):
            print(finding, flush=True)
        findings |= new
        print(f"{file}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    print(f"clang-tidy: {len(files)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
