"""Where the results lie, and how their files are read and written. Finds the libraries of
mentor.report."""

import contextlib
import csv
import fcntl
import io
import math
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
CLAIMS = RESULTS / "claims.csv"
# Behind the folder of the script: python/ has a generate.py, too.
sys.path[1:1] = [os.environ.get("MENTOR_REPORT_WHEELS", f"{ROOT}/.deps/report"), f"{ROOT}/python"]


class Mistake(Exception):
    """What is wrong with a file, or with a place of a page."""


def number_of(text):
    """The text as a finite number. Raises ValueError."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def rows_of(text, name, columns):
    """The rows of CSV, without lines that begin with #. Raises Mistake."""
    lines = io.StringIO(text.removeprefix("\ufeff"), newline="")
    table = csv.DictReader(line for line in lines if not line.startswith("#"))
    if missing := set(columns) - set(table.fieldnames or ()):
        raise Mistake(f"{name}: has no column '{sorted(missing)[0]}'")
    return table


@contextlib.contextmanager
def alone_with(file):
    """Waits until no other program is alone with a file of the same folder."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write(file, data):
    """Writes a file as a whole. A program that may not be alone calls it in alone_with()."""
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(data)
    os.replace(new, file)


def text_of(path):
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"cannot read {path}: {error}") from None


def table_of(path, columns):
    """The rows of a file."""
    return rows_of(text_of(path), path, columns)
