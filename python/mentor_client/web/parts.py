"""Parts of which views are made."""

from __future__ import annotations

import inspect
from typing import Any, Awaitable, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from nicegui import ui

# Readable on white and on the dark ground, and apart for eyes that see fewer colours.
_COLOURS = ["#5468d4", "#d9782d", "#2f9e6e", "#c2528b", "#8a7a2f", "#3a9cc2", "#9a62c9", "#7a7f8e"]
_INK = {"color": "#7c8190"}
_FAINT = {"lineStyle": {"width": 1, "opacity": 0.35}, "z": 1, "tooltip": {"show": False}}
_LINK = """<q-td :props="props"><a v-if="props.row.href" :href="props.row.href"
  :download="props.row.download">{{ props.value }}</a>
  <span v-else>{{ props.value }}</span></q-td>"""


def text(words: str = "", style: str = "", props: str = "") -> ui.label:
    return ui.label(words).classes(style).props(props)


def heading(words: str, style: str = "title", level: int = 1) -> ui.label:
    return text(words, style, f"role=heading aria-level={level}")


def alert() -> ui.label:
    """Where an error stands; nothing while there is none."""
    return text("", "wrong", "role=alert")


def button(name: str, action: Callable[[], Any], look: str = "outline") -> ui.button:
    """A button takes no second click while its action waits for something."""
    waits = False

    async def finish(waiting: Awaitable[Any]) -> None:
        nonlocal waits
        try:
            await waiting
        finally:
            waits = False

    def click() -> Optional[Awaitable[None]]:
        nonlocal waits
        waiting = None if waits else action()
        if not inspect.iscoroutine(waiting):
            return None
        waits = True
        return finish(waiting)

    what = name.lower().replace(" ", "-")
    return ui.button(name, on_click=click).props(f"no-caps {look}").classes(f"do-{what}")


def field(part: Any, more: str = "") -> Any:
    return part.props(f"dense outlined {more}")


def row(style: str = "bar") -> ui.element:
    return ui.element("div").classes(style)


def panel(title: str, wide: bool = False) -> ui.element:
    """A titled part of a view; it scrolls sideways where it is narrow."""
    part = ui.element("section").classes("panel scroll wide" if wide else "panel scroll")
    part.props["tabindex"], part.props["aria-label"] = 0, title
    with part:
        heading(title, "head", 2)
    return part


def columns_of(**titles: str) -> List[Dict[str, Any]]:
    """The columns of a table, by the name of their field."""
    return [
        {"name": name, "label": title, "field": name, "align": "left", "sortable": True}
        for name, title in titles.items()
    ]


def table(key: str, **titles: str) -> ui.table:
    """A table of texts. The first column is a link where a row has an `href`, with `download` of a
    file."""
    columns = columns_of(**titles)
    rows = ui.table(rows=[], columns=columns, row_key=key, pagination=0).classes("table")
    rows.add_slot(f"body-cell-{next(iter(titles))}", _LINK)
    return rows.props('flat dense wrap-cells hide-pagination no-data-label="Nothing here"')


class Lines:
    """A titled chart. Its texts are drawn on a canvas: they are never markup. The line `right` has
    an axis of its own."""

    def __init__(
        self,
        title: str,
        share: bool = False,
        stacked: bool = False,
        wide: bool = False,
        x: str = "outer update",
        right: str = "",
    ):
        self._right = right
        self._area = {"stack": "all", "areaStyle": {"opacity": 0.35}} if stacked else {}
        x_axis = {"type": "value", "name": x, "nameLocation": "middle", "nameGap": 26}
        x_axis.update(min="dataMin", max="dataMax", minInterval=1, nameTextStyle=_INK)
        x_axis.update(axisLabel={**_INK, "hideOverlap": True}, splitLine={"show": False})
        y_axis: Dict[str, Any] = {
            "type": "value",
            "axisLabel": _INK,
            "splitLine": {"lineStyle": {"color": "#8883"}},
        }
        if share:
            y_axis.update(min=0, max=1)
        legend = {"type": "scroll", "top": 0, "left": 0, "icon": "roundRect", "itemHeight": 4}
        with panel(title, wide):
            self._empty = text("No points yet", "quiet")
            self._chart = ui.echart(
                {
                    "animation": False,
                    "grid": {"left": 8, "right": 16, "top": 40, "bottom": 28, "containLabel": True},
                    "legend": {**legend, "textStyle": {**_INK, "lineHeight": 18}},
                    "tooltip": {"trigger": "axis", "renderMode": "richText", "confine": True},
                    "xAxis": x_axis,
                    "yAxis": [y_axis, {**y_axis, "splitLine": {"show": False}}]
                    if right
                    else y_axis,
                    "series": [],
                }
            ).classes("chart")
            self._chart.set_visibility(False)
            self._chart.props["role"], self._chart.props["aria-label"] = "img", title

    def show(
        self,
        lines: Mapping[str, Iterable[Tuple[float, Optional[float]]]],
        nothing: str = "No points yet",
        parts: Mapping[str, str] = {},
    ) -> None:
        """Lines by name, each a sequence of points; where there are none, the words. `parts`: lines
        of which another one is the mean, drawn faintly in its colour."""
        found = {name: [list(point) for point in points] for name, points in lines.items()}
        # The same colour, whoever else has points.
        whole = [name for name in found if name not in parts]
        colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(whole)}
        series = [
            {
                "name": name,
                "type": "line",
                "data": points,
                "showSymbol": len(points) < 2,
                "yAxisIndex": int(name == self._right),
                "color": colours[parts.get(name, name)],
                **(_FAINT if name in parts else {}),
            }
            for name, points in found.items()
            if points
        ]
        self._chart.options["legend"]["data"] = [name for name in whole if found[name]]
        self._empty.set_text(nothing)
        self._empty.set_visibility(not series)
        self._chart.set_visibility(bool(series))
        self._chart.options["series"] = [{**one, **self._area} for one in series]
        self._chart.update()
