"""Metrics by outer update, as lists or as a pandas table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Dict, List

from .errors import usage

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True)
class Series:
    """One metric. Where neighbours were merged, a point stands for `count` recorded values from
    `steps` on."""

    steps: List[int]
    mean: List[float]
    min: List[float]
    max: List[float]
    count: List[int]


@dataclasses.dataclass(frozen=True)
class MetricPoints:
    """The values of one outer update by metric; values that are not finite are left out."""

    step: int
    values: Dict[str, float]


class Metrics(Dict[str, Series]):
    """Series by name of the metric."""

    def frame(self) -> "pandas.DataFrame":
        """A row for each outer update, a column for each metric: means. Needs pandas."""
        try:
            import pandas
        except ImportError:
            raise usage(
                "frame", "needs pandas: pip install 'mentor-client[pandas]', or pip install pandas"
            ) from None
        columns = {
            name: pandas.Series(series.mean, index=series.steps, dtype="float64")
            for name, series in self.items()
        }
        table = pandas.DataFrame(columns)
        table.index.name = "step"
        return table
