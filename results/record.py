#!/usr/bin/env python3
"""Records runs: their rows in claims.csv, and their lives and curves in the archive.

Usage: results/record.py [--replace] [RUNS | --planned]
  RUNS        folder of `mentor reproduce --out RUNS`: NAME.csv of each run, beside its folder
  --planned   write nothing, and name the runs that are not recorded yet
  --replace   also replace results that contradict the recorded ones

Without these, claims.csv gets the numbers that pages and figures ask for by now. Afterwards
results/generate.py makes the pages.

Example: mentor reproduce door-close-low-rate --out runs; results/record.py runs
"""

import argparse
import pathlib
import sys

import archive
import claims
from claims import name_of, result_of
import data_files
from data_files import CLAIMS, Mistake, rows_of, text_of


NUMBERS = "numbers.csv"
RESULT = ("hash", "evaluation", "metrics", "env_steps", "numbers")


class Book:
    """All that is recorded: rows with all their numbers, and the files of the archive."""

    def __init__(self):
        self.files = archive.read()
        self.rows = claims.parsed(text_of(CLAIMS), CLAIMS) if CLAIMS.exists() else []
        kept = rows_of(self.files.get(NUMBERS, "claim,run,numbers\n"), NUMBERS, ["numbers"])
        numbers = {name_of(row): row["numbers"] for row in kept}
        for row in self.rows:
            row["numbers"] = numbers.get(name_of(row), row["numbers"])

    def add(self, made, replace):
        """Takes a row with its results; returns whether it brought any. Raises Mistake."""
        known = {name_of(row): row for row in self.rows}.get(name_of(made))
        if known is None:
            after = [i for i, row in enumerate(self.rows) if row["claim"] == made["claim"]]
            self.rows.insert(after[-1] + 1 if after else len(self.rows), made)
            return bool(result_of(made))
        if not result_of(known):
            known.update(made)  # A plan may have changed.
            return bool(result_of(made))
        if known["command"] != made["command"]:
            raise Mistake(
                f"{name_of(made)}: is recorded with another command: {known['command']}; "
                f"`mentor reproduce {name_of(made)} --out RUNS` writes RUNS/{name_of(made)}.csv "
                "with that one, or says why the folder must be run again"
            )
        if not result_of(made):
            return False
        other = [column for column in RESULT if known[column] != made[column]]
        if not known["metrics"] and "metrics" in other:
            other.remove("metrics")  # Older records have none.
        if other and not replace:
            raise Mistake(
                f"{name_of(made)}: another {other[0]} is recorded; --replace takes this one"
            )
        known.update({**made, "row": known["row"]})
        return True

    def write(self):
        self.files[NUMBERS] = claims.printed(self.rows, ("claim", "run", "numbers"))
        archive.write(self.files)
        asked = numbers_asked(
            claims.claims_of((dict(row) for row in self.rows), CLAIMS), self.files
        )
        slimmed = ({**row, "numbers": slim(row, asked)} for row in self.rows)
        data_files.write(CLAIMS, claims.printed(slimmed).encode("utf-8"))


def numbers_asked(known, files):
    """The numbers that pages and figures ask for, by CLAIM-RUN."""
    import curves
    import figures
    import generate

    recorded = curves.Recorded(known, files)
    _, findings = generate.made_pages(recorded)
    if findings:
        raise Mistake("\n".join(findings))
    figures.data(recorded)
    return {name_of(row): row["numbers"].asked for runs in known.values() for row in runs.values()}


def slim(row, asked):
    """The numbers of a row that are asked for. Where there are none, a run keeps its measures, or
    its last episode: another processor's results are compared by them."""
    words = row["numbers"].split()
    names = [word.rpartition("=")[0] for word in words]
    kept = asked[name_of(row)].intersection(names)
    if not kept and row["run"] != "all":
        kept = {name for name in names if "@" in name} or {n for n in names if ".last" in n}
    return " ".join(word for word, name in zip(words, names, strict=True) if name in kept)


def metrics_of(row):
    return sorted({word.partition("@")[0] for word in row["measures"].split()})


def add_runs(book, folder, replace):
    """What `mentor reproduce` found: NAME.csv, and records/ in the folder NAME."""
    found = sorted(folder.glob("*.csv"))
    if not found:
        raise Mistake(f"{folder}: has no NAME.csv of a run; name the --out of mentor reproduce")
    for path in found:
        for row in claims.parsed(text_of(path), path):
            name = name_of(row)
            if not book.add(row, replace) or row["run"] == "all":
                continue
            records = folder / name / "records"
            lives, training = (records / f"{one}.csv" for one in ("lifetimes", "training"))
            if row["evaluation"]:
                book.files[f"lives/{name}.csv"] = archive.lives_of(text_of(lives), lives)
            if metrics := metrics_of(row):
                text = archive.curve_of(text_of(training), training, metrics)
                book.files[f"curves/{name}.csv"] = text
            print(f"{name}: recorded, {result_of(row)[:16]}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="?", type=pathlib.Path, metavar="RUNS")
    parser.add_argument("--planned", action="store_true")
    parser.add_argument("--replace", action="store_true")
    flags = parser.parse_args()
    if flags.runs and flags.planned:
        parser.error("give RUNS or --planned")
    try:
        with data_files.alone_with(CLAIMS):
            book = Book()
            if flags.planned:
                names = (name_of(row) for row in book.rows if not result_of(row))
                print(*names)
                return
            if flags.runs:
                add_runs(book, flags.runs, flags.replace)
            book.write()
    except Mistake as mistake:
        sys.exit(f"results/record.py: {mistake}")


if __name__ == "__main__":
    main()
