"""Charts: lines over outer updates."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from nicegui import ui

from .page import panel

# Readable on white and on the dark ground, and apart for eyes that see fewer colours.
COLOURS = ["#5468d4", "#d9782d", "#2f9e6e", "#c2528b", "#8a7a2f", "#3a9cc2", "#9a62c9", "#7a7f8e"]
_INK = "#7c8190"


class Lines:
    """A titled chart. Texts are drawn on a canvas, so they are never markup."""

    def __init__(
        self, title: str, *, share: bool = False, stacked: bool = False, wide: bool = False
    ):
        self._stacked = stacked
        with panel(title, wide):
            self._empty = ui.label("No points yet").classes("quiet")
            self.chart = ui.echart(
                {
                    "animation": False,
                    "color": COLOURS,
                    "grid": {"left": 8, "right": 16, "top": 40, "bottom": 28, "containLabel": True},
                    "legend": {
                        "type": "scroll",
                        "top": 0,
                        "left": 0,
                        "icon": "roundRect",
                        "itemHeight": 4,
                        "textStyle": {"color": _INK},
                    },
                    "tooltip": {"trigger": "axis", "renderMode": "richText", "confine": True},
                    "xAxis": {
                        "type": "value",
                        "name": "outer update",
                        "nameLocation": "middle",
                        "nameGap": 26,
                        "min": "dataMin",
                        "max": "dataMax",
                        "minInterval": 1,
                        "axisLabel": {"color": _INK, "hideOverlap": True},
                        "nameTextStyle": {"color": _INK},
                        "splitLine": {"show": False},
                    },
                    "yAxis": {
                        "type": "value",
                        **({"min": 0, "max": 1} if share else {}),
                        "axisLabel": {"color": _INK},
                        "splitLine": {"lineStyle": {"color": "#8883"}},
                    },
                    "series": [],
                }
            ).classes("chart")
            self.chart.props(f'role=img aria-label="{title}"')  # A text of ours.

    def show(self, lines: Dict[str, Iterable[Tuple[float, Optional[float]]]]) -> None:
        """Lines by name, each a sequence of points."""
        series: List[Dict[str, Any]] = []
        for name, points in lines.items():
            known: List[Sequence[Any]] = [list(point) for point in points]
            if not known:
                continue
            series.append(
                {
                    "name": name,
                    "type": "line",
                    "data": known,
                    "showSymbol": len(known) < 2,
                    "lineStyle": {"width": 2},
                    **({"stack": "all", "areaStyle": {"opacity": 0.35}} if self._stacked else {}),
                }
            )
        self._empty.set_visibility(not series)
        self.chart.set_visibility(bool(series))
        self.chart.options["series"] = series
        self.chart.update()
