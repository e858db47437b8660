"""View: several experiments beside each other."""

from __future__ import annotations

from typing import Any, Dict, List

from nicegui import ui

from ..client import WatchEvent
from ..errors import MentorError
from ..experiment import Experiment
from . import report, words
from .page import Page, view, web
from .parts import Lines, button, heading, panel, row, table, text

_MOST = 16
_POINTS_AGE_S = 5.0


class Compare:
    def __init__(self, page: Page, ids: List[str]):
        self._page, self._ids = page, ids
        self._now: Dict[str, Experiment] = {}
        self._points_at: Dict[str, int] = {}
        self._curves: Dict[str, words.Curve] = {}
        heading(f"{len(ids)} experiments")
        with row("panels"):
            self._success = Lines("Success at the end of a lifetime", share=True, wide=True)
            self._rewards = Lines("Shaped return of an episode", wide=True)
            with panel("Progress and cost", wide=True):
                titles = {
                    "id": "Name",
                    "title": "Title",
                    "state": "State",
                    "last": "Success or return",
                }
                titles.update(updates="Outer updates", steps="Environment steps", took="Took")
                self._cost = table("id", **titles)
            with panel("Statistics", wide=True):
                text(
                    "Intervals over seeds, interquartile means, differences and cost, from the "
                    "evaluations: the figures of mentor report. Experiments that differ in nothing "
                    "but their seed are one method.",
                    "quiet",
                )
                self._button = button("Compute", self._compute, "unelevated")
                self._report = row("")
            with panel("Settings that differ", wide=True):
                columns = {f"v{number}": id for number, id in enumerate(ids)}
                self._settings = table("path", path="Setting", **columns)
        page.start(self._begin)
        page.on_change(self._draw)

    async def _begin(self) -> None:
        client = self._page.client
        self._now = {id: await self._page.call_until_answered(client.get, id) for id in self._ids}
        self._page.follow(lambda: client.watch(self._ids, progress=True), self._take)
        self._page.every(_POINTS_AGE_S, self._load)

    def _take(self, event: WatchEvent) -> None:
        if event.experiment is not None:
            self._now[event.experiment.id] = event.experiment

    async def _load(self) -> None:
        """Fetches the curves that have new points."""
        most = max(2, web().flags.points_max // len(self._ids))
        for id, one in list(self._now.items()):
            updates = one.progress.outer_updates
            if self._points_at.get(id) == updates:
                continue
            try:
                self._curves[id] = await self._page.call(words.curve, self._page.client, one, most)
                self._points_at[id] = updates
            except MentorError:
                continue
        self._page.changed()

    def _draw(self) -> None:
        if len(self._now) < len(self._ids):
            return
        found = [self._now[id] for id in self._ids]
        curves = {id: self._curves.get(id, words.Curve()) for id in self._ids}
        self._success.show(
            {id: curve.success if curve.succeeds else [] for id, curve in curves.items()},
            words.nothing(any(curve.success for curve in curves.values())),
        )
        self._rewards.show({id: curve.rewards for id, curve in curves.items()})
        self._cost.rows = [self._row(one) for one in found]
        differs = words.differences([one.spec for one in found])
        self._settings.rows = [
            {"path": path, **{f"v{number}": value for number, value in enumerate(values)}}
            for path, values in differs.items()
        ]

    def _row(self, one: Experiment) -> Dict[str, Any]:
        seconds = words.took(one)
        return {
            "id": one.id,
            "href": f"/experiments/{one.id}",
            "title": one.display_name,
            "state": words.state(one),
            "last": self._curves.get(one.id, words.Curve()).last,
            "updates": words.progress(one),
            "steps": words.number(one.progress.env_steps),
            "took": words.span(seconds) if seconds else "–",
        }

    async def _compute(self) -> None:
        self._button.set_enabled(False)
        self._report.clear()
        await report.show(self._page, self._ids, self._report)
        self._button.set_enabled(True)


@view("/compare", "Compare", listed=False)
def compare(page: Page, names: Dict[str, str]) -> None:
    ids = list(dict.fromkeys(id for id in names.get("names", "").split(",") if id))
    if 2 <= len(ids) <= _MOST:
        Compare(page, ids)
        return
    text(f"Name 2 to {_MOST} experiments to compare: tick them in the list.")
    ui.link("Experiments", "/")
