#!/usr/bin/env python3
"""Adds a signal to the zoo: the best weights of a run that results/claims.csv records.

Usage: zoo/add.py CLAIM [--run RUN] [--name NAME] [--weights best|last] [--force] [-- FLAG...]

  CLAIM      of results/claims.csv, for its first run, or one of its runs (door-close-reward-2)
  --run      its folder, or its name on a service; default: runs/CLAIM-N if it exists, as
             `mentor reproduce` writes it, else CLAIM-N on the service
  --name     in the zoo; default: that of the claim, without "-best"
  --weights  default: best
  --force    write over a signal of that name
  FLAG...    more of `mentor export`, such as --server

The result must have the recorded hash, and the numbers must be Mentor's. Otherwise nothing is
added. Needs the built programs (or those in MENTOR_BIN_DIR), and the libraries of mentor_signal.

Example: zoo/add.py door-close-reward-best-1 --run runs/door-close-reward-best-1
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LICENSE = "apache-2.0"  # Of the repository.
sys.path[:0] = [str(ROOT / "results"), str(ROOT / "python")]


def recorded(name):
    """Returns the row of a run that is recorded."""
    import claims

    rows = {
        f"{claim}-{run}": row
        for claim, runs in claims.read().items()
        for run, row in runs.items()
        if run != "all"
    }
    row = rows.get(name) or rows.get(f"{name}-1")
    if row is None:
        raise SystemExit(f"CLAIM: there is no '{name}'; `mentor reproduce --list` shows the names")
    if not row["hash"]:
        raise SystemExit(f"CLAIM: '{name}' has no recorded hash; record it with results/record.py")
    return row


def export(words):
    built = os.environ.get("MENTOR_BIN_DIR") or ROOT / "build/bin"
    path = os.pathsep.join([str(built), os.environ.get("PATH", "")])
    program = shutil.which("mentor", path=path)
    if program is None:
        raise SystemExit(f"there is no program mentor in {built} or on PATH: run deploy/build.sh")
    if subprocess.run([program, "export", *map(str, words)]).returncode != 0:
        raise SystemExit(1)


def check(folder, row):
    """Raises where it is not the recorded result, or computes other numbers than Mentor."""
    import mentor_signal

    made = json.loads((folder / "config.json").read_text(encoding="utf-8"))["trained"]
    if made["result_hash"] != row["hash"]:
        raise SystemExit(
            f"--run: has the hash {made['result_hash']}, and {row['claim']}-{row['run']} the hash "
            f"{row['hash']}: name the folder of that run"
        )
    try:
        print(mentor_signal.load(folder, check=True))
    except mentor_signal.SignalError as error:
        raise SystemExit(str(error)) from None


def main():
    words = sys.argv[1:]
    own, more = words, []
    if "--" in words:
        own, more = words[: words.index("--")], words[words.index("--") + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("claim", metavar="CLAIM")
    parser.add_argument("--run")
    parser.add_argument("--name")
    parser.add_argument("--weights", choices=("best", "last"), default="best")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--zoo", type=pathlib.Path, default=ROOT / "zoo", help=argparse.SUPPRESS)
    arguments = parser.parse_args(own)

    row = recorded(arguments.claim)
    run_name = f"{row['claim']}-{row['run']}"
    folder = pathlib.Path("runs", run_name)
    run = arguments.run or (folder if folder.is_dir() else run_name)
    name = arguments.name or row["claim"].removesuffix("-best")
    out, new = arguments.zoo / name, arguments.zoo / f".{name}.new"
    if out.exists() and not arguments.force:
        raise SystemExit(f"{out} exists; --force writes over it, --name names another one")
    try:
        flags = ["--weights", arguments.weights, "--name", name, "--license", LICENSE]
        export([run, "--out", new, *flags, *more])
        check(new, row)
        if out.exists():
            shutil.rmtree(out)
        new.rename(out)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size / 1e6:.2f} MB. Add it to the table in docs/signals.md and commit it.")


if __name__ == "__main__":
    main()
