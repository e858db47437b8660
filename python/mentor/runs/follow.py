"""Reads metrics.csv of a run, at rest or while it grows."""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
from typing import Any, Dict, List, Tuple


@dataclasses.dataclass(frozen=True)
class Update:
    """One outer update of a run."""

    step: int  # From 1.
    metrics: Dict[str, float]  # Without the metrics that this update does not have.


class Table:
    """The lines of metrics.csv. The program adds whole lines, and replaces the file when a column
    is new.
    """

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file
        self.updates: List[Update] = []
        self._identity: Tuple[int, int] = (0, 0)
        self._offset = 0
        self._columns: List[str] = []

    def read(self) -> List[Update]:
        """Returns the updates that are new since the last call, in order."""
        offset = self._offset
        try:
            with open(self.file, "rb") as file:
                about = os.fstat(file.fileno())
                identity = (about.st_dev, about.st_ino)
                if identity != self._identity or about.st_size < offset:
                    offset, self._columns = 0, []
                file.seek(offset)
                text = file.read()
        except FileNotFoundError:
            return []
        text = text[: text.rfind(b"\n") + 1]  # A line may be half written.
        last, new = self.updates[-1].step if self.updates else 0, []
        for words in csv.reader(text.decode("utf-8", "replace").splitlines()):
            if not self._columns:
                self._columns = words
                continue
            if len(words) != len(self._columns) or not words[0].isdigit():
                continue
            step = int(words[0])
            if step > last:
                values = {
                    name: float(word) for name, word in zip(self._columns[1:], words[1:]) if word
                }
                new.append(Update(step, values))
                last = step
        # In this order, Ctrl-C between two lines loses nothing: what is read twice counts once.
        self.updates += new
        self._identity, self._offset = identity, offset + len(text)
        return new

    def columns(self) -> Dict[str, List[float]]:
        """Returns all values by metric; nan where an update has none."""
        names: Dict[str, None] = {}
        for update in self.updates:
            names.update(dict.fromkeys(update.metrics))
        table = {"outer_update": [float(update.step) for update in self.updates]}
        for name in names:
            table[name] = [update.metrics.get(name, float("nan")) for update in self.updates]
        return table


def frame(columns: Dict[str, List[Any]], index: str = "") -> Any:
    """Returns a table as pandas' frame where pandas is installed, else as a dict of numpy's arrays,
    or of lists.
    """
    try:
        import pandas  # type: ignore[import-not-found, import-untyped, unused-ignore]

        made = pandas.DataFrame(columns)
        return made.astype({index: int}).set_index(index) if index else made
    except ImportError:
        pass
    try:
        import numpy

        return {name: numpy.asarray(values) for name, values in columns.items()}
    except ImportError:
        return columns
