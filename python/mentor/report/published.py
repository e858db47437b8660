"""Success by episode from other publications, drawn beside the runs' curves. CSV with columns
method, episode (1, 2, ... or deterministic), success (0 to 1) and, if need be, split."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from typing import Dict, List, Optional, Tuple

from .records import RecordError

_EPISODES_MAX = 1000  # Limit of a figure.
_CURVES_MAX = 12  # More curves cannot be told apart.
_NEEDED = ("method", "episode", "success")
_Row = Dict[str, str]
_Rows = List[Tuple[str, _Row]]  # Each with its place, FILE:LINE.


@dataclasses.dataclass
class Curve:
    split: str
    method: str
    episodes: Dict[int, float] = dataclasses.field(default_factory=dict)
    deterministic: Optional[float] = None


@dataclasses.dataclass
class Published:
    name: str = "published"  # What legends call them.
    curves: List[Curve] = dataclasses.field(default_factory=list)


def read(file: pathlib.Path, selection: str = "", name: str = "published") -> Published:
    """Reads the rows that the selection, COLUMN=VALUE,..., chooses."""
    rows = _select(*_read(file), selection, file)
    if not rows:
        raise RecordError(f"{file}:1: no rows follow; expected a row for each method and episode")
    curves: Dict[Tuple[str, str], Curve] = {}
    known: Dict[Tuple[str, str, int], Tuple[str, _Row]] = {}
    for place, row in rows:
        split, method = row.get("split", "test"), row["method"]
        for column, value in (("method", method), ("split", split)):
            if not value:
                raise RecordError(f"{place}: column {column}: is empty; name it")
        episode, rate = _episode(row, place), _rate(row, place)
        first, other = known.setdefault((split, method, episode), (place, row))
        if other is not row:
            raise RecordError(
                f"{place}: a second number for episode {row['episode']} of '{method}' on split "
                f"{split}, after line {first.rpartition(':')[2]}; {_apart(other, row)}"
            )
        if (split, method) not in curves and sum(of == split for of, _ in curves) >= _CURVES_MAX:
            raise RecordError(
                f"{place}: the {_CURVES_MAX + 1}th method on split {split}, and more than "
                f"{_CURVES_MAX} curves cannot be told apart: choose fewer with --published_rows "
                "COLUMN=VALUE"
            )
        curve = curves.setdefault((split, method), Curve(split, method))
        if episode:
            curve.episodes[episode] = rate
        else:
            curve.deterministic = rate
    return Published(name, list(curves.values()))


def _read(file: pathlib.Path) -> Tuple[_Rows, List[str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecordError(f"{file}: is not UTF-8; save the file as UTF-8") from None
    # Lines that begin with # and empty ones say nothing; their numbers count.
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise RecordError(f"{file}:1: is empty; the first line names the columns")
    reader = csv.reader((line for _, line in lines), skipinitialspace=True)
    header, *cells = [[cell.strip() for cell in row] for row in reader]
    first = lines[0][0]
    for column in _NEEDED:
        if header.count(column) != 1:
            raise RecordError(
                f"{file}:{first}: has no column '{column}'; the first line names the columns, "
                "among them one each of method, episode and success"
            )
    rows: _Rows = []
    for (number, _), row in zip(lines[1:], cells):
        if len(row) != len(header):
            raise RecordError(
                f"{file}:{number}: has {len(row)} cells, expected {len(header)} as in line "
                f"{first}; put cells that hold a comma in quotes"
            )
        rows.append((f"{file}:{number}", dict(zip(header, row))))
    return rows, header


def _select(rows: _Rows, columns: List[str], selection: str, file: pathlib.Path) -> _Rows:
    for pair in next(csv.reader([selection.strip()], skipinitialspace=True), ()):
        column, equals, value = (side.strip() for side in pair.partition("="))
        if not column or not equals:
            raise RecordError(
                f"--published_rows: '{pair}' is not COLUMN=VALUE, as in figure=1; quote a value "
                "that holds a comma"
            )
        if column not in columns:
            raise RecordError(
                f"--published_rows: {file} has no column '{column}'; it has {', '.join(columns)}"
            )
        values = list(dict.fromkeys(row[column] for _, row in rows))
        rows = [one for one in rows if one[1][column] == value]
        if not rows:
            rest = f" and {len(values) - 8} others" if len(values) > 8 else ""
            raise RecordError(
                f"--published_rows: no row of {file} is left at {column}={value}; column {column} "
                f"has {', '.join(values[:8])}{rest}"
            )
    return rows


def _episode(row: _Row, place: str) -> int:
    """0: deterministic."""
    text = row["episode"]
    if text == "deterministic":
        return 0
    if text.isdecimal() and 1 <= int(text) <= _EPISODES_MAX:
        return int(text)
    raise RecordError(
        f"{place}: column episode: is '{text}', expected a whole number from 1 to "
        f"{_EPISODES_MAX}, or deterministic; leave such rows out with --published_rows COLUMN=VALUE"
    )


def _rate(row: _Row, place: str) -> float:
    try:
        if 0 <= (rate := float(row["success"])) <= 1:
            return rate
    except ValueError:
        pass
    what = f"is '{row['success']}', expected a rate from 0 to 1, as in 0.25"
    raise RecordError(f"{place}: column success: {what}")


def _apart(first: _Row, second: _Row) -> str:
    for name, value in first.items():
        if name != "success" and value != second[name]:
            return f'they differ in column {name}: choose with --published_rows "{name}={value}"'
    return "remove one of the two"
