"""View: several experiments beside each other."""

from __future__ import annotations

from typing import Any, Dict, List

from nicegui import ui

from ..client import WatchEvent
from ..errors import MentorError
from ..experiment import Experiment
from . import report, words
from .page import Page, view, web
from .parts import Lines, button, columns_of, heading, panel, row, table, text

_MOST = 64
_POINTS_AGE_S = 5.0


class Compare:
    def __init__(self, page: Page, ids: List[str]):
        self._page, self._ids = page, ids
        self._now: Dict[str, Experiment] = {}
        self._points_at: Dict[str, int] = {}
        self._compared: List[str] = []  # Experiments whose settings are shown, by uid.
        self._methods: Dict[str, List[str]] = {}
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
                self._settings = table("path", path="Setting")
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

    async def _draw(self) -> None:
        if len(self._now) < len(self._ids):
            return
        found = [self._now[id] for id in self._ids]
        await self._draw_settings(found)
        methods = self._methods
        curves = {id: self._curves.get(id, words.Curve()) for id in self._ids}
        success, rewards, parts = {}, {}, {}
        for name, ids in methods.items():
            of = [curves[id] for id in ids]
            # Where one seed succeeds, those that do not count as well.
            shown = {
                id: one.success if any(other.succeeds for other in of) else []
                for id, one in zip(ids, of)
            }
            success[name] = words.mean([*shown.values()])
            rewards[name] = words.mean([one.rewards for one in of])
            if len(ids) > 1:
                success.update(shown)
                rewards.update({id: one.rewards for id, one in zip(ids, of)})
                parts.update({id: name for id in ids})
        nothing = words.nothing(any(curve.success for curve in curves.values()))
        self._success.show(success, nothing, parts)
        self._rewards.show(rewards, parts=parts)
        self._cost.rows = [self._row(one) for one in found]

    async def _draw_settings(self, found: List[Experiment]) -> None:
        if self._compared == [one.uid for one in found]:
            return  # A spec never changes.
        self._compared = [one.uid for one in found]
        specs = {one.id: one.spec.SerializeToString() for one in found}
        self._methods = words.methods([*specs], [*specs.values()])
        if len(self._methods) > 1:  # Within a method nothing but seeds differs.
            specs = {name: specs[ids[0]] for name, ids in self._methods.items()}
        columns = {f"v{number}": name for number, name in enumerate(specs)}
        self._settings.columns = columns_of(path="Setting", **columns)
        self._settings.rows = await self._page.read(words.differences, [*specs.values()])

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
