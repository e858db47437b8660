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


_Rows = List[Tuple[int, Dict[str, str]]]


def read(file: pathlib.Path, selection: str = "", name: str = "published") -> Published:
    """Reads the rows that the selection, COLUMN=VALUE,..., chooses."""
    rows, columns = _read(file)
    rows = _select(rows, columns, selection, file)
    if not rows:
        raise RecordError(f"{file}:1: no rows follow; expected a row for each method and episode")
    found = Published(name)
    known: Dict[Tuple[str, str, int], Tuple[int, Dict[str, str]]] = {}
    for line, row in rows:
        split, method = row.get("split", "test"), row["method"]
        for column, value in (("method", method), ("split", split)):
            if not value:
                raise RecordError(f"{file}:{line}: column {column}: is empty; name it")
        episode, rate = _episode(row, file, line), _rate(row, file, line)
        key = split, method, episode
        if key in known:
            raise RecordError(
                f"{file}:{line}: a second number for episode {row['episode']} of '{method}' on "
                f"split {split}, after line {known[key][0]}; {_apart(known[key][1], row)}"
            )
        known[key] = line, row
        curve = next((c for c in found.curves if (c.split, c.method) == (split, method)), None)
        if curve is None:
            if sum(c.split == split for c in found.curves) >= _CURVES_MAX:
                raise RecordError(
                    f"{file}:{line}: the {_CURVES_MAX + 1}th method on split {split}, and more "
                    f"than {_CURVES_MAX} curves cannot be told apart: choose fewer with "
                    "--published_rows COLUMN=VALUE"
                )
            found.curves.append(curve := Curve(split, method))
        if episode:
            curve.episodes[episode] = rate
        else:
            curve.deterministic = rate
    return found


def _read(file: pathlib.Path) -> Tuple[_Rows, List[str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecordError(f"{file}: is not UTF-8; save the file as UTF-8") from None
    # Lines that begin with # and empty ones say nothing; their numbers count.
    lines = [
        line if line.strip() and not line.startswith("#") else None for line in text.splitlines()
    ]
    reader = csv.reader((line for line in lines if line is not None), skipinitialspace=True)
    numbers = [number for number, line in enumerate(lines, start=1) if line is not None]
    cells = [[cell.strip() for cell in row] for row in reader]
    if not cells:
        raise RecordError(f"{file}:1: is empty; the first line names the columns")
    header = cells[0]
    for column in _NEEDED:
        if header.count(column) != 1:
            raise RecordError(
                f"{file}:{numbers[0]}: has no column '{column}'; the first line names the columns, "
                "among them one each of method, episode and success"
            )
    rows: _Rows = []
    for number, row in zip(numbers[1:], cells[1:]):
        if len(row) != len(header):
            raise RecordError(
                f"{file}:{number}: has {len(row)} cells, expected {len(header)} as in line "
                f"{numbers[0]}; put cells that hold a comma in quotes"
            )
        rows.append((number, dict(zip(header, row))))
    return rows, header


def _select(rows: _Rows, columns: List[str], selection: str, file: pathlib.Path) -> _Rows:
    if not selection.strip():
        return rows
    for pair in next(csv.reader([selection], skipinitialspace=True)):
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
        rows = [(line, row) for line, row in rows if row[column] == value]
        if not rows:
            rest = f" and {len(values) - 8} others" if len(values) > 8 else ""
            raise RecordError(
                f"--published_rows: no row of {file} is left at {column}={value}; column {column} "
                f"has {', '.join(values[:8])}{rest}"
            )
    return rows


def _episode(row: Dict[str, str], file: pathlib.Path, line: int) -> int:
    """0: deterministic."""
    text = row["episode"]
    if text == "deterministic":
        return 0
    if text.isdecimal() and 1 <= int(text) <= _EPISODES_MAX:
        return int(text)
    raise RecordError(
        f"{file}:{line}: column episode: is '{text}', expected a whole number from 1 to "
        f"{_EPISODES_MAX}, or deterministic; leave such rows out with --published_rows COLUMN=VALUE"
    )


def _rate(row: Dict[str, str], file: pathlib.Path, line: int) -> float:
    try:
        if 0 <= (rate := float(row["success"])) <= 1:
            return rate
    except ValueError:
        pass
    raise RecordError(
        f"{file}:{line}: column success: is '{row['success']}', expected a rate from 0 to 1, as in "
        "0.25"
    )


def _apart(first: Dict[str, str], second: Dict[str, str]) -> str:
    for name in first:
        if name != "success" and first[name] != second[name]:
            return (
                f"they differ in column {name}: choose with --published_rows "
                f'"{name}={first[name]}"'
            )
    return "remove one of the two"
