#!/usr/bin/env python3
"""Assembles an example bundle from the files of its folder and from those that its parts.txt names.
The latter come from the wheels that deploy/install.sh has installed (for fetch_* and panda_*: with
--robots).

    deploy/bundles/assemble.py reach my_reach/
    mentor env check my_reach/

parts.txt has one line for each file or folder: its path in a wheel or beside this file, and its
place in the bundle.
"""
import argparse
import os
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
PARTS = "parts.txt"


def folders():
    """The folders where parts may be, in the order of preference."""
    given = os.environ.get("MENTOR_BUNDLE_WHEELS", "").split(os.pathsep)
    roots = HERE.parents[1] / ".deps"
    return [pathlib.Path(folder) for folder in given if folder] + [
        roots / "wheels",
        roots / "robots",
        HERE,
    ]


def find(path):
    for folder in folders():
        if (folder / path).exists():
            return folder / path
    looked = ", ".join(str(folder) for folder in folders())
    option = " --robots" if path.startswith("gymnasium_robotics/") else ""
    sys.exit(f"assemble.py: {path} is in none of {looked}; run deploy/install.sh{option}")


def parts(folder):
    file = folder / PARTS
    if not file.exists():
        return []
    lines = [line.split("#")[0].split() for line in file.read_text().splitlines()]
    return [(source, target) for source, target in filter(None, lines)]


def assemble(name, out):
    source = HERE / name
    if not (source / "task.txtpb").exists():
        known = sorted(path.parent.name for path in HERE.glob("*/task.txtpb"))
        sys.exit(f"assemble.py: no bundle {name}; there are {', '.join(known)}")
    if out.exists():
        sys.exit(f"assemble.py: {out} is there already; give another folder")
    found_parts = [
        (find(path), target) for path, target in parts(source)
    ]  # Before a folder is made.
    shutil.copytree(source, out, ignore=shutil.ignore_patterns(PARTS))
    for found, target in found_parts:
        (out / target).parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, out / target)
        else:
            shutil.copyfile(found, out / target)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="an example: a folder beside this file")
    parser.add_argument("out", type=pathlib.Path, help="the folder to make")
    arguments = parser.parse_args()
    assemble(arguments.name, arguments.out)


if __name__ == "__main__":
    main()
