"""Tables of a report: cells for people, numbers for CSV, Markdown for papers."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from typing import List, NamedTuple, Sequence, Tuple, Union

from . import words
from .statistics import Interval


@dataclasses.dataclass
class Cell:
    text: str
    note: str = ""  # Small, below the text.
    value: Union[None, float, Interval] = None
    seeds: Tuple[float, ...] = ()  # The numbers of single meta-seeds.

    @property
    def below(self) -> str:
        return f"({words.listed(self.seeds)})" if self.seeds else ""


NONE = Cell("-")


def number(value: float, text: str = "") -> Cell:
    """A whole number, unless a text says otherwise."""
    if not math.isfinite(value):
        return NONE
    return Cell(text or f"{value:,.0f}", value=value)


def digits(value: float) -> Cell:
    """Three digits, or a whole number."""
    return number(value, "" if abs(value) >= 1000 else f"{value:.3g}")


def value(found: "Interval | None", seeds: Sequence[float] = ()) -> Cell:
    """A mean with its interval below it, and the numbers of single meta-seeds."""
    if found is None or not math.isfinite(found.mean):
        return NONE
    mean, _, interval = words.interval(found).partition(" ")
    return Cell(mean, interval, found, tuple(seeds))


class Column(NamedTuple):
    name: str
    kind: str  # "text", "number", "interval"
    seeds: bool  # CSV has a column with the numbers of single meta-seeds.


_KINDS = {"#": ("number", False), "~": ("interval", False), "~*": ("interval", True)}


class Table:
    """`columns` are names, as "method | runs # | mean ~" or one by one. A mark behind a name says
    its kind: # for numbers, ~ for means with intervals, ~* where single meta-seeds have numbers,
    too."""

    def __init__(self, name: str, title: str, columns: "str | Sequence[str]") -> None:
        self.name, self.title = name, title  # The name is that of its file, without ending.
        self.rows: List[List[Cell]] = []
        self.columns = []
        for column in columns.split(" | ") if isinstance(columns, str) else columns:
            words_of, _, mark = column.rpartition(" ")
            known = _KINDS.get(mark) if words_of else None
            self.columns.append(
                Column(words_of, *known) if known else Column(column, "text", False)
            )

    def add(self, *cells: "Cell | str") -> None:
        assert len(cells) == len(self.columns), self.name
        self.rows.append([Cell(one) if isinstance(one, str) else one for one in cells])

    def csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        header = []
        for column in self.columns:
            header.append(column.name)
            if column.kind == "interval":
                header += [f"{column.name}_low", f"{column.name}_high"]
                header += [f"{column.name}_by_meta_seed"] if column.seeds else []
        writer.writerow(header)
        for row in self.rows:
            line: List[str] = []
            for column, cell in zip(self.columns, row):
                if column.kind == "text":
                    line.append(cell.text)
                elif column.kind == "number":
                    line.append(_digits(cell.value))
                else:
                    ends = cell.value if isinstance(cell.value, Interval) else (None, None, None)
                    line += [_digits(one) for one in ends]
                    line += [" ".join(map(_digits, cell.seeds))] if column.seeds else []
            writer.writerow(line)
        return text.getvalue()

    def markdown(self) -> str:
        rows = [[column.name for column in self.columns]]
        rows += [
            [f"{cell.text} {cell.note} {cell.below}".strip() for cell in row] for row in self.rows
        ]
        lines = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
        marks = "".join("---|" if c.kind == "text" else "---:|" for c in self.columns)
        return "\n".join([f"### {self.title}\n", lines[0], "|" + marks, *lines[1:]]) + "\n"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _digits(found: "float | Interval | None") -> str:
    """Ten significant digits; empty where there is no number."""
    if found is None or isinstance(found, Interval) or not math.isfinite(found):
        return ""
    return f"{found:.10g}"
