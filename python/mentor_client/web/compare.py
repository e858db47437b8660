"""View: several experiments beside each other."""

from __future__ import annotations

import urllib.parse
from typing import Any, Dict, List, Tuple

from nicegui import ui

from ..client import WatchEvent
from ..errors import MentorError
from ..experiment import Experiment
from . import report, words
from .charts import Lines
from .page import Page, panel, table, view, web

_MOST = 16
_POINTS_AGE_S = 5.0


class Compare:
    def __init__(self, page: Page, ids: List[str]):
        self._page, self._ids = page, ids
        self._now: Dict[str, Experiment] = {}
        self._points_at: Dict[str, int] = {}
        self._points: Dict[str, List[Tuple[float, float]]] = {}
        ui.label(f"{len(ids)} experiments").classes("title").props("role=heading aria-level=1")
        self._wrong = ui.label().classes("wrong").props("role=alert")
        with ui.element("div").classes("panels"):
            self._success = Lines("Success at the end of a lifetime", share=True, wide=True)
            with panel("Progress and cost", wide=True):
                self._cost = table(
                    "id",
                    id="Name",
                    title="Title",
                    state="State",
                    progress="Outer updates",
                    last="Success",
                    steps="Environment steps",
                    took="Took",
                )
                self._cost.add_slot(
                    "body-cell-id",
                    '<q-td :props="props"><a :href="props.row.href">{{ props.value }}</a></q-td>',
                )
            with panel("Statistics", wide=True):
                ui.label(
                    "Intervals over seeds, interquartile means, differences and cost, from the "
                    "evaluations: the figures of mentor report. Experiments that differ in nothing "
                    "but their seed are one method."
                ).classes("quiet")
                self._button = ui.button("Compute", on_click=self._compute).props(
                    "unelevated no-caps"
                )
                self._report = ui.element("div")
            with panel("Settings that differ", wide=True):
                self._settings = table("path", path="Setting", **_columns(ids))
        page.start(self._begin)
        page.on_change(self._draw)
        page.every(_POINTS_AGE_S, self._load)

    async def _begin(self) -> None:
        client = self._page.client
        names = [f"experiments/{id}" for id in self._ids]
        self._page.follow(lambda: client.watch(names, progress=True), self._take)

    def _take(self, event: WatchEvent) -> None:
        if event.experiment is not None:
            self._now[event.experiment.id] = event.experiment

    async def _load(self) -> None:
        """Fetches the curves that have new points."""
        for id, one in list(self._now.items()):
            updates = one.progress.outer_updates
            if self._points_at.get(id) == updates:
                continue
            metric = words.success_names(one.spec)[-1]
            try:
                found = await self._page.call(
                    self._page.client.metrics,
                    id,
                    [metric, "success"],
                    max_points=max(2, web().flags.points_max // len(self._ids)),
                )
            except MentorError:
                continue
            series = found[metric] if found[metric].steps else found["success"]
            self._points[id] = list(zip(series.steps, series.mean))
            self._points_at[id] = updates
        self._page.changed()

    def _draw(self) -> None:
        if len(self._now) < len(self._ids):
            return
        found = [self._now[id] for id in self._ids]
        self._success.show({id: self._points.get(id, []) for id in self._ids})
        self._cost.rows = [self._row(one) for one in found]
        self._settings.rows = [
            {"path": path, **{f"v{number}": value or "–" for number, value in enumerate(values)}}
            for path, values in words.differences([one.spec for one in found]).items()
        ]

    def _row(self, one: Experiment) -> Dict[str, Any]:
        last = self._points.get(one.id, [])[-1:]
        start, end = one.proto.start_time, one.proto.end_time
        seconds = (end.ToNanoseconds() - start.ToNanoseconds()) / 1e9 if one.is_final else 0
        return {
            "id": one.id,
            "href": "/experiments/" + urllib.parse.quote(one.id),
            "title": one.display_name,
            "state": words.state(one),
            "progress": words.progress(one),
            "last": f"{last[0][1]:.1%}" if last else "–",
            "steps": words.number(one.progress.env_steps),
            "took": words.span(seconds) if seconds > 0 else "–",
        }

    async def _compute(self) -> None:
        self._button.set_enabled(False)
        self._report.clear()
        with self._report:
            await report.show(self._page, self._ids)
        self._button.set_enabled(True)


def _columns(ids: List[str]) -> Dict[str, str]:
    return {f"v{number}": id for number, id in enumerate(ids)}


@view("/compare", "Compare", listed=False)
def compare(page: Page, names: Dict[str, str]) -> None:
    ids = list(dict.fromkeys(id for id in names.get("names", "").split(",") if id))
    if not 2 <= len(ids) <= _MOST:
        ui.label(f"Name 2 to {_MOST} experiments to compare; the list has boxes to tick.")
        ui.link("Experiments", "/")
        return
    Compare(page, ids)
