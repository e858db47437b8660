#!/usr/bin/env python3
"""Makes all tables and figures of results from claims.csv, paper_figures.csv and the archive.
Tables are those of README.md, docs/ and results/ (places.py, tables.txt), pictures are in
docs/images.

Usage: results/generate.py [--check] [--figures [NAME...]]
  --check     write nothing; exit status 1 when a page is not what would be written
  --figures   draw figures instead: all, or those that are named

It refuses what refusals.py names, such as a tuned claim without its study in studies/.

Example: results/generate.py && git diff results/README.md

Needs what reports are drawn with: deploy/install.sh.
"""

import argparse
import sys

import archive
import claims
from data_files import CLAIMS, RESULTS, ROOT, Mistake

try:
    import curves
    import figures
    import places
    import refusals
except ModuleNotFoundError as missing:
    sys.exit(f"{sys.argv[0]}: {missing}; deploy/install.sh installs what reports are drawn with")


def pages():
    folders = ((ROOT, "README.md"), (ROOT / "docs", "*.md"), (RESULTS, "*.md"))
    return [path for folder, names in folders for path in sorted(folder.glob(names))]


def made_pages(recorded):
    """What pages should be, by their paths, and what is wrong: lines for people."""
    try:
        tables = places.tables_of(
            places.TABLES.read_text(encoding="utf-8"), recorded.claims, recorded.verdict
        )
    except places.Mistakes as mistakes:
        name = places.TABLES.relative_to(ROOT)
        return {}, [f"{name}:{line}: {what}" for line, what in mistakes.args[0]]
    made, findings, used = {}, [], set()
    for path in pages():
        try:
            made[path] = places.fill(path.read_text(encoding="utf-8"), tables, used)
        except places.Mistakes as mistakes:
            name = path.relative_to(ROOT)
            findings += [f"{name}:{line}: {what}" for line, what in mistakes.args[0]]
    unused = ", ".join(sorted(tables.keys() - used))
    if unused and not findings:
        findings.append(f"{places.TABLES.relative_to(ROOT)}:1: no page has the table {unused}")
    return made, findings


def write_pages(recorded, check):
    made, findings = made_pages(recorded)
    for path, text in made.items():
        if path.read_text(encoding="utf-8") == text:
            continue
        if check:
            name = path.relative_to(ROOT)
            findings.append(f"{name}:1: not what its source says: run results/generate.py")
        else:
            path.write_text(text, encoding="utf-8")
    return findings


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--figures", nargs="*", metavar="NAME")
    flags = parser.parse_args()
    try:
        recorded = curves.Recorded(claims.read(CLAIMS), archive.read())
        if flags.figures is not None:
            figures.draw(recorded, flags.figures, ROOT / "docs" / "images")
            if recorded.missing:
                print(f"results/generate.py: {recorded.complaint(recorded.missing)}")
            return 0
        findings = refusals.refused(recorded.claims, recorded.files)
        findings += write_pages(recorded, flags.check)
    except Mistake as mistake:
        sys.exit(f"results/generate.py: {mistake}")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
