"""View: all experiments, as they change."""

from __future__ import annotations

import time
import urllib.parse
from typing import Any, Dict, List, Optional, Set

import grpc
from nicegui import ui

from ..client import Client, WatchEvent
from ..errors import MentorError
from ..experiment import Experiment
from . import words
from .page import Page, view, web

_CURVES_AT_ONCE = 40  # Rows of a screen.
_CURVE_AGE_S = 5.0
_LIST_AGE_S = 2.0
_LINK = """p => { const link = document.createElement('a'); link.textContent = p.value;
  link.href = '/experiments/' + encodeURIComponent(p.value); return link; }"""
_AGE = """p => { const s = Math.max(0, Date.now() / 1000 - p.value); return s < 90 ? Math.round(s) + ' s'
  : s < 5400 ? Math.round(s / 60) + ' min' : s < 129600 ? Math.round(s / 3600) + ' h'
  : Math.round(s / 86400) + ' d'; }"""
_BAR = """p => ({background: `linear-gradient(90deg, var(--soft) ${p.data.done * 100}%, transparent 0)`})"""
_NARROW = """e => { const wide = e.clientWidth > 720;
  e.api.setColumnsVisible(['title', 'owner', 'class', 'created'], wide);
  e.api.setColumnsVisible(['curve'], e.clientWidth > 480); }"""
_RENDERED = "return getElement({}).api.getRenderedNodes().map(node => node.id)"
_COLUMNS: List[Dict[str, Any]] = [
    {"field": "id", "headerName": "Name", ":cellRenderer": _LINK, "minWidth": 120, "flex": 2},
    {"field": "title", "headerName": "Title", "flex": 3, "minWidth": 120},
    {
        "field": "state",
        "headerName": "State",
        "width": 118,
        ":cellClass": "p => 'state ' + p.value.toUpperCase()",
    },
    {"field": "progress", "headerName": "Progress", ":cellStyle": _BAR, "flex": 2, "minWidth": 110},
    {
        "field": "curve",
        "headerName": "Success",
        "headerTooltip": "By outer update, at the end of a lifetime; then the last value",
        "width": 210,
        "cellClass": "curve",
        ":comparator": "(a, b, x, y) => x.data.success - y.data.success",
    },
    {"field": "owner", "headerName": "Owner", "width": 120},
    {"field": "class", "headerName": "Class", "width": 95},
    {"field": "created", "headerName": "Age", ":valueFormatter": _AGE, "width": 90},
]


def _row(one: Experiment, curve: str, success: float) -> Dict[str, Any]:
    return {
        "id": one.id,
        "title": one.display_name,
        "state": words.state(one),
        "progress": words.progress(one),
        "done": words.done(one),
        "curve": curve,
        "success": success,
        "owner": one.owner,
        "class": words.priority(one),
        "created": one.proto.create_time.seconds,
    }


class _Curve:
    """Success by outer update, as of some update."""

    def __init__(self) -> None:
        self.text, self.last, self.updates, self.asked = "", -1.0, -1, 0.0


def _curve(client: Client, one: Experiment) -> Optional[List[float]]:
    metric = words.success_names(one.spec)[-1]
    found = client.metrics(one.name, [metric, "success"], max_points=16)
    return (found[metric].mean or found["success"].mean) or None


class Experiments:
    def __init__(self, page: Page, filter: str):
        self._page = page
        self._known: Dict[str, Experiment] = {}
        self._shown: Optional[Set[str]] = None  # What the filter lets in; None: everything.
        self._rows: Dict[str, Dict[str, Any]] = {}  # As the browser has them.
        self._curves: Dict[str, _Curve] = {}
        self._new: Dict[str, Optional[Experiment]] = {}  # Since the last drawing; None: gone.
        self._listed = 0.0
        self._selected: List[str] = []
        with ui.element("div").classes("bar"):
            self._filter = (
                ui.input("Filter", placeholder='state=RUNNING AND labels.team="a"', value=filter)
                .props("dense outlined clearable debounce=300 spellcheck=false")
                .classes("grow")
                .on_value_change(self._refilter)
            )
            self._buttons = {
                name: ui.button(name, on_click=action)
                .props("outline no-caps")
                .classes("action" if name == "Compare" else "action changes")
                for name, action in (
                    ("Compare", self._compare),
                    ("Pause", lambda: self._change("Paused", page.client.pause)),
                    ("Resume", lambda: self._change("Resumed", page.client.resume)),
                    ("Cancel", self._cancel),
                )
            }
            ui.button("New", icon="add", on_click=lambda: ui.navigate.to("/new")).props(
                "unelevated no-caps"
            ).classes("changes")
        self._wrong = ui.label().classes("wrong").props("role=alert")
        self._count = ui.label("Loading …").classes("quiet").props("role=status")
        self._grid = ui.aggrid(
            {
                "columnDefs": _COLUMNS,
                "rowData": [],
                ":getRowId": "p => p.data.id",
                ":onGridSizeChanged": _NARROW,
                "defaultColDef": {"sortable": True, "resizable": True, "suppressMovable": True},
                "rowSelection": {"mode": "multiRow", "enableClickSelection": False},
                "selectionColumnDef": {"width": 44, "maxWidth": 44, "pinned": "left"},
                "overlayNoRowsTemplate": "No experiment",
                "animateRows": False,
                "rowHeight": 36,
                "headerHeight": 38,
            },
            auto_size_columns=False,
        ).classes("grid")
        self._grid.on("selectionChanged", self._select)
        self._grid.on("viewportChanged", self._page.changed, throttle=0.3, args=[])
        page.on_change(self._draw)
        page.start(self._begin)
        self._enable()

    async def _begin(self) -> None:
        await self._list()
        self._page.follow(
            lambda: self._page.client.watch(progress=True, bookmarks=True), self._take
        )

    def _take(self, event: WatchEvent) -> None:
        if event.experiment is not None:
            gone = event.kind == "DELETED"
            self._new[event.experiment.name] = None if gone else event.experiment

    # The filter.

    async def _list(self) -> None:
        """Asks which experiments the filter lets in."""
        self._listed = time.monotonic()
        filter, most = self._filter.value or "", web().flags.rows_max

        def ask() -> List[Experiment]:
            found: List[Experiment] = []
            for one in self._page.client.list(filter, "create_time desc", page_size=1000):
                if len(found) == most:
                    break
                found.append(one)
            return found

        try:
            found = await self._page.call(ask)
        except MentorError as error:
            wrong_filter = error.code == grpc.StatusCode.INVALID_ARGUMENT
            if not wrong_filter:
                self._page.say(error)
            self._wrong.set_text(error.message if wrong_filter else "")
            return
        if filter != (self._filter.value or ""):
            return  # Typed on meanwhile; that asks again.
        self._wrong.set_text("")
        self._known.update((one.name, one) for one in found)
        self._shown = {one.name for one in found} if filter or len(found) == most else None
        rows = [self._row_of(one) for one in found]
        self._rows = {row["id"]: row for row in rows}
        self._grid.run_grid_method("setGridOption", "rowData", rows)
        self._say_count(len(found) == most)

    async def _refilter(self) -> None:
        text = self._filter.value or ""
        query = f"?{urllib.parse.urlencode({'filter': text})}" if text else "/"
        ui.navigate.history.replace(query)
        await self._list()
        self._page.changed()

    def _say_count(self, cut: bool) -> None:
        running = sum(row["state"] == "Running" for row in self._rows.values())
        most = f", the newest {len(self._rows)}; filter to see others (--rows_max)" if cut else ""
        self._count.set_text(
            f"{len(self._rows)} experiment{'s' * (len(self._rows) != 1)}, {running} running{most}"
        )

    # Rows.

    def _row_of(self, one: Experiment) -> Dict[str, Any]:
        curve = self._curves.get(one.name) or _Curve()
        return _row(one, curve.text, curve.last)

    async def _draw(self) -> None:
        await self._draw_rows()
        await self._draw_curves()

    async def _draw_rows(self) -> None:
        new, self._new = self._new, {}
        change: Dict[str, List[Any]] = {"add": [], "update": [], "remove": []}
        unknown = False
        for name, one in new.items():
            id = name.rpartition("/")[2]
            if one is None:
                self._known.pop(name, None)
                if self._rows.pop(id, None):
                    change["remove"].append({"id": id})
                continue
            self._known[name] = one
            if self._shown is not None and name not in self._shown and id not in self._rows:
                unknown = True
                continue
            row = self._row_of(one)
            if row != self._rows.get(id):
                change["update" if id in self._rows else "add"].append(row)
                self._rows[id] = row
        if change["add"]:
            change["addIndex"] = 0  # type: ignore[assignment]
        if any(change[kind] for kind in ("add", "update", "remove")):
            self._grid.run_grid_method("applyTransaction", change)
            self._say_count(self._shown is not None and not self._filter.value)
            self._enable()
        stale = self._shown is not None and new and time.monotonic() - self._listed > _LIST_AGE_S
        if unknown or stale:
            await self._list()

    async def _draw_curves(self) -> None:
        """Fetches the curves of the rows on the screen that have new points."""
        try:
            ids = await self._page.browser.run_javascript(
                _RENDERED.format(self._grid.id), timeout=5
            )
        except TimeoutError:
            return
        now = time.monotonic()
        for id in (ids or [])[:_CURVES_AT_ONCE]:
            one = self._known.get(f"experiments/{id}")
            if one is None or not one.progress.outer_updates:
                continue
            curve = self._curves.setdefault(one.name, _Curve())
            if curve.updates == one.progress.outer_updates or now - curve.asked < _CURVE_AGE_S:
                continue
            curve.updates, curve.asked = one.progress.outer_updates, now
            try:
                values = await self._page.call(_curve, self._page.client, one)
            except MentorError:
                continue
            if values:
                curve.text = f"{words.spark(values)} {values[-1]:.0%}"
                curve.last = values[-1]
                self._new.setdefault(one.name, self._known[one.name])
        if self._new:
            self._page.changed()

    # The selection.

    async def _select(self) -> None:
        self._selected = [row["id"] for row in await self._grid.get_selected_rows() or []]
        self._enable()

    def _enable(self) -> None:
        rows = [self._rows[id] for id in self._selected if id in self._rows]
        states = {row["state"] for row in rows}
        self._buttons["Compare"].set_enabled(1 < len(rows))
        self._buttons["Pause"].set_enabled(bool(states & {"Running", "Queued"}))
        self._buttons["Resume"].set_enabled(bool(states & {"Paused", "Pausing"}))
        self._buttons["Cancel"].set_enabled(
            bool(states - {"Succeeded", "Failed", "Cancelled", "Cancelling"})
        )

    def _compare(self) -> None:
        ui.navigate.to("/compare?" + urllib.parse.urlencode({"names": ",".join(self._selected)}))

    async def _change(self, done: str, change: Any) -> None:
        ended = {"Succeeded", "Failed", "Cancelled"}
        ids = [id for id in self._selected if self._rows.get(id, {}).get("state") not in ended]
        changed = [id for id in ids if await self._page.try_call(change, id)]
        if changed:
            self._page.say(f"{done}: {', '.join(changed[:5])}" + " …" * (len(changed) > 5))

    async def _cancel(self) -> None:
        count = len(self._selected)
        if await self._page.confirm(
            f"Cancel {count} experiment{'s' * (count > 1)}?", "Cancel them"
        ):
            await self._change("Cancelled", self._page.client.cancel)


@view("/", "Experiments")
def experiments(page: Page, names: Dict[str, str]) -> None:
    Experiments(page, names.get("filter", ""))
