"""Fills the tables of pages from docs/data/claims.csv, for docs/generate.py.

A page holds the template of a table in a comment, and the table below it:

    <!-- claims
    | reward | {door-close-reward test.learned.seg2} |
    -->
    | reward | 0.70 [0.55, 0.82] |
    <!-- end of claims -->

A place is {CLAIM NUMBER WORDS}. Its number is one of the column `numbers`; without further words
it is that of all runs together, with its interval. Words:

    runs       the numbers of the runs, one after the other
    mean       the mean, without its interval; median, low, high: over the runs
    range      the least to the greatest over the runs
    reached    how many runs have a number above 0; count: how many have it at all
    of-reached what follows or stands before is over the runs that have a number above 0
    *N         times N
    .Nf        N digits behind the point (default 2)

In place of a number: `hash` (the first 16 digits), `command`, `cost` (CPU seconds of a run, the
mean), `steps` (environment steps of a run). What is not recorded yet is a dash.

Standard library only.
"""

import csv
import pathlib
import re
import statistics

ROOT = pathlib.Path(__file__).resolve().parents[1]
CLAIMS = ROOT / "docs" / "data" / "claims.csv"
BLOCK = re.compile(r"<!-- claims\n(.*?)-->\n(.*?)<!-- end of claims -->\n", re.DOTALL)
PLACE = re.compile(r"\{([^{}]+)\}")
NUMBER = re.compile(r"([^\[\]]+)(?:\[([^,\]]+),([^\]]+)\])?")
DASH = "-"


class Mistake(Exception):
    """What is wrong with a place of a page."""


def read():
    """Claims by name: rows by run."""
    claims = {}
    with CLAIMS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            numbers = {}
            for word in row["numbers"].split():
                name, _, text = word.rpartition("=")
                mean, low, high = NUMBER.fullmatch(text).groups()
                numbers[name] = (float(mean), low and float(low), high and float(high))
            claims.setdefault(row["claim"], {})[row["run"]] = {**row, "numbers": numbers}
    return claims


def value_of(place, claims):
    """The text of one place."""
    name, *words = place.split()
    if name not in claims or not words:
        raise Mistake(f"{{{place}}}: no claim '{name}' with a number in {CLAIMS.name}")
    runs = [row for run, row in claims[name].items() if run != "all"]
    whole = claims[name].get("all", runs[0])
    made = [row for row in runs if row["hash"] or row["evaluation"]]
    number, words = words[0], words[1:]
    if number == "command":
        return "`" + runs[0]["command"] + "`"
    if number == "hash":
        result = whole["hash"] or whole["evaluation"]
        return f"`{result[:16]}`" if result else DASH
    digits, factor, kind, reached = 2, 1.0, "interval", False
    for word in words:
        if word.startswith("*"):
            factor = float(word[1:])
        elif re.fullmatch(r"\.\df", word):
            digits = int(word[1])
        elif word == "of-reached":
            reached = True
        else:
            kind = word

    def text(value):
        shown = f"{value * factor:,.{digits}f}".replace(",", " ")
        return shown.replace("-0." + "0" * digits, "0." + "0" * digits)

    if number in ("cost", "steps"):
        column = {"cost": "cpu_seconds", "steps": "env_steps"}[number]
        values = [float(row[column]) for row in made if row[column]]
        kind = "mean" if kind == "interval" else kind
    else:
        values = [row["numbers"][number][0] for row in made if number in row["numbers"]]
        if made and not values:
            known = ", ".join(sorted(made[0]["numbers"]))
            raise Mistake(f"{{{place}}}: {name} has no number '{number}'; it has: {known}")
    if not values:
        return DASH
    if kind == "interval":
        if whole["numbers"].get(number) and whole["numbers"][number][1] is not None:
            return "{} [{}, {}]".format(*(text(part) for part in whole["numbers"][number]))
        kind = "mean" if len(values) == len(runs) == 1 else "runs"
    if kind == "reached":
        return str(sum(value > 0 for value in values))
    if kind == "count":
        return str(len(values))
    if reached:
        values = [value for value in values if value > 0]
        if not values:
            return DASH
    if kind == "runs":
        by_run = [row["numbers"].get(number) for row in runs]
        return ", ".join(DASH if one is None else text(one[0]) for one in by_run)
    if kind == "range":
        return f"{text(min(values))} to {text(max(values))}"
    kinds = {"mean": statistics.fmean, "median": statistics.median, "low": min, "high": max}
    if kind not in kinds:
        raise Mistake(f"{{{place}}}: '{kind}' is no word of docs/claims.py")
    return text(kinds[kind](values))


def fill(text, claims):
    """The page with its tables as the claims have them. Raises Mistake."""

    def block(found):
        shown = PLACE.sub(lambda place: value_of(place[1], claims), found[1])
        return f"<!-- claims\n{found[1]}-->\n{shown}<!-- end of claims -->\n"

    return BLOCK.sub(block, text)
