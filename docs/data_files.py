"""Reads the CSV files of docs/data. Standard library only."""

import csv
import io
import math


class Mistake(Exception):
    """What is wrong with a place of a page."""


def number_of(text):
    """The text as a finite number. Raises ValueError."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def table_of(path, columns):
    """The rows of a CSV file, without lines that begin with #. Raises Mistake."""
    try:
        lines = io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"cannot read {path}: {error}") from None
    table = csv.DictReader(line for line in lines if not line.startswith("#"))
    if missing := set(columns) - set(table.fieldnames or ()):
        raise Mistake(f"{path}: has no column '{sorted(missing)[0]}'")
    return table
