"""Metrics by outer update, as lists or as a pandas table."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING, Dict, List

from .errors import usage

if TYPE_CHECKING:
    import pandas

_CURVE_WIDTH, _CURVE_HEIGHT = 240, 48


@dataclasses.dataclass(frozen=True, repr=False)
class Series:
    """One metric. With merged neighbours, a point stands for `count` recorded values, beginning at
    `steps`.
    """

    steps: List[int]
    mean: List[float]
    min: List[float]
    max: List[float]
    count: List[int]

    def __repr__(self) -> str:
        if not self.steps:
            return "<Series: no points>"
        points = f"{len(self.steps)} point" + "s" * (len(self.steps) > 1)
        return (
            f"<Series: {points}, steps {self.steps[0]} to {self.steps[-1]}, last {self.mean[-1]:g},"
            f" from {min(self.min):g} to {max(self.max):g}>"
        )

    def _repr_html_(self) -> str:
        return _table(_row("", self))

    def _curve(self) -> str:
        """Draws the means as a sparkline."""
        if len(self.steps) < 2:
            return ""
        least, span = min(self.mean), max(self.mean) - min(self.mean) or 1.0
        first, steps = self.steps[0], self.steps[-1] - self.steps[0]
        points = " ".join(
            f"{2 + (step - first) / steps * (_CURVE_WIDTH - 4):.1f},"
            f"{2 + (1 - (value - least) / span) * (_CURVE_HEIGHT - 4):.1f}"
            for step, value in zip(self.steps, self.mean)
        )
        return (
            f'<svg width="{_CURVE_WIDTH}" height="{_CURVE_HEIGHT}" role="img" '
            f'aria-label="from {self.mean[0]:g} to {self.mean[-1]:g}">'
            f'<polyline points="{points}" fill="none" stroke="currentColor"/></svg>'
        )


@dataclasses.dataclass(frozen=True)
class MetricPoints:
    """The finite values of one outer update, by metric."""

    step: int
    values: Dict[str, float]


class Metrics(Dict[str, Series]):
    """Series by name of the metric."""

    def frame(self) -> "pandas.DataFrame":
        """A row for each outer update, a column for each metric: means. Needs pandas."""
        try:
            import pandas
        except ImportError:
            raise usage("frame", "needs pandas: pip install pandas") from None
        columns = {
            name: pandas.Series(series.mean, index=series.steps, dtype="float64")
            for name, series in self.items()
        }
        table = pandas.DataFrame(columns)
        table.index.name = "step"
        return table

    def _repr_html_(self) -> str:
        return _table("".join(_row(name, series) for name, series in self.items()))


def _row(name: str, series: Series) -> str:
    cells = ["", "", "", ""]
    if series.steps:
        numbers = (series.mean[-1], min(series.min), max(series.max))
        cells = [f"{series.steps[0]} to {series.steps[-1]}", *(f"{one:g}" for one in numbers)]
    tail = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{html.escape(name)}</th>{tail}<td>{series._curve()}</td></tr>'


def _table(rows: str) -> str:
    titles = ("metric", "steps", "last", "least", "greatest", "")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
