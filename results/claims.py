"""The claims: published numbers with their commands and hashes.

claims.csv has a row for each run of a claim, "1", "2", ..., which differ in their meta-seeds. Where
runs are pooled, a row "all" has the numbers of all together, with intervals by meta-seed, goal and
lifetime.

    claim, run   name, by which `mentor reproduce` finds it
    row          of experiments.md
    command      mentor run SPEC --set NAME=VALUE ...; empty in the row "all"
    measures     numbers of meta-training to keep, parted by blanks: METRIC@last:N is the mean of
                 the last N outer updates; METRIC@first:N:BOUND is the first update at which the
                 mean of the last N reaches BOUND, 0 if none did
    version      of Mentor; this and the following are empty before the first run
    processor    name of the processor
    fingerprint  of its arithmetic: environments/simulator/learner, 12 digits each
    cpu_seconds  of meta-training; env_steps: of meta-training
    hash         as `mentor hash`; in the row "all": over the hashes of the runs; empty where
                 nothing was learned, as for PPO alone
    evaluation   hash over all evaluated lifetimes; empty without evaluation
    metrics      hash over the measured metrics, and the agents' return, of each outer update
    numbers      NAME=MEAN[LOW,HIGH] or NAME=VALUE, parted by blanks: those that pages quote. The
                 archive has all.
"""

import csv
import io
import re

from data_files import CLAIMS, Mistake, number_of, rows_of, table_of

COLUMNS = (
    "claim run row command measures version processor fingerprint cpu_seconds env_steps hash "
    "evaluation metrics numbers"
).split()
NUMBER = re.compile(r"([^\[\]]+)(?:\[([^,\]]+),([^\]]+)\])?")
# Numbers of a run that have a column of their own.
OF_COLUMNS = {"cost": "cpu_seconds", "steps": "env_steps"}


class Numbers(dict):
    """(mean, low, high) by name; knows which were asked for."""

    def __init__(self, numbers):
        super().__init__(numbers)
        self.asked = set()

    def __getitem__(self, name):
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        return self[name] if name in self else default


def numbers_of(row):
    """NAME=MEAN[LOW,HIGH] and OF_COLUMNS as Numbers."""
    numbers = {}
    for name, column in OF_COLUMNS.items():
        try:
            if row[column]:
                numbers[name] = (number_of(row[column]), None, None)
        except ValueError:
            raise Mistake(f"{column} is '{row[column]}', no number") from None
    for word in row["numbers"].split():
        name, _, text = word.rpartition("=")
        try:
            mean, low, high = NUMBER.fullmatch(text).groups()
            numbers[name] = (number_of(mean), low and number_of(low), high and number_of(high))
        except (AttributeError, ValueError):
            raise Mistake(f"'{word}' is no number") from None
    return Numbers(numbers)


def claims_of(table, name):
    """Claims by name: rows by run. `mentor reproduce --list` checks more. Raises Mistake."""
    claims = {}
    for row in table:
        try:
            if None in row.values() or None in row:
                raise Mistake("has more or fewer cells than the header")
            if row["run"] in claims.get(row["claim"], ()):
                raise Mistake("is there twice; remove one")
            known = {**row, "numbers": numbers_of(row)}
        except Mistake as mistake:
            where = f"{name}: claim {row['claim']}, run {row['run']}"
            raise Mistake(f"{where}: {mistake}") from None
        claims.setdefault(row["claim"], {})[row["run"]] = known
    return claims


def read(file=None):
    path = file or CLAIMS
    return claims_of(table_of(path, set(COLUMNS) - {"metrics"}), path)


def parsed(text, name):
    """The rows of a file of claims, as text."""
    return list(rows_of(text, name, COLUMNS))


def printed(rows, columns=COLUMNS):
    """A file of claims."""
    out = io.StringIO()
    table = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


def name_of(row):
    """CLAIM-RUN."""
    return f"{row['claim']}-{row['run']}"


def result_of(row):
    """The hash that people compare: the evaluation's, where nothing was meta-trained."""
    return row["hash"] or row["evaluation"]


def of_row(rows, row):
    """(command, whether it has a result) by (claim, run), of a row of experiments.md."""
    return {
        (one["claim"], one["run"]): (one["command"], bool(result_of(one)))
        for one in rows
        if one["row"] == row
    }


def runs_of(name, claims):
    """The rows of a claim's runs, without that of all together."""
    return [row for run, row in claims[name].items() if run != "all"]


def with_run(name, claims):
    """The claims; where `name` is CLAIM-RUN, that run is a claim of its own among them."""
    claim, _, run = name.rpartition("-")
    if name in claims or run == "all" or run not in claims.get(claim, ()):
        return claims
    return {**claims, name: {run: claims[claim][run]}}
