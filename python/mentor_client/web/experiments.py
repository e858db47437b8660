"""View: all experiments, as they change."""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from typing import Any, Callable, Dict, List, Optional, Set

from nicegui import ui

from ..client import WatchEvent
from ..errors import MentorError
from ..experiment import Experiment
from ..v1.experiment_pb2 import Experiment as ExperimentProto
from . import words
from .page import ANSWER_S, Page, view, web
from .parts import alert, button, field, row, text

_CURVES_AT_ONCE = 40  # Rows of a screen.
_CURVE_AGE_S = 5.0
_LIST_AGE_S = 2.0  # A filter is asked again at most this often.
# Cells are texts; the name is a link whose text is set as text.
_LINK = """p => { const link = document.createElement('a'); link.textContent = p.value;
  link.href = '/experiments/' + encodeURIComponent(p.value); link.title = p.value;
  return link; }"""
_AGE = """p => { const s = Math.max(0, Date.now() / 1000 - p.value);
  return s < 90 ? Math.round(s) + ' s' : s < 5400 ? Math.round(s / 60) + ' min'
  : s < 129600 ? Math.round(s / 3600) + ' h' : Math.round(s / 86400) + ' d'; }"""
_BAR = """p => ({background:
  `linear-gradient(90deg, var(--soft) ${p.data.done * 100}%, transparent 0)`})"""
# A column that says the same of several rows gives its room to the names.
_FIT = """e => { const wide = document.querySelector('.grid').clientWidth > 720;
  const said = {title: new Set(['']), owner: new Set(), class: new Set(['normal'])};
  let rows = 0;
  e.api.forEachNode(node => { ++rows;
    Object.keys(said).forEach(key => said[key].add(node.data[key])); });
  said.owner.add(rows < 2 ? '' : [...said.owner][0]);
  const shown = Object.keys(said).filter(key => wide && said[key].size > 1);
  e.api.setColumnsVisible(Object.keys(said).filter(key => !shown.includes(key)), false);
  e.api.setColumnsVisible(shown, true);
  e.api.setColumnsVisible(['created'], wide); }"""
_OPEN = """e => { if (e.event.key === 'Enter' && e.column.getColId() === 'id')
  location.href = '/experiments/' + encodeURIComponent(e.data.id); }"""
_RENDERED = "return getElement({}).api.getRenderedNodes().map(node => node.id)"
_BY_SUCCESS = "(a, b, x, y) => x.data.success - y.data.success"
_STATE = "p => 'state ' + p.value.toUpperCase()"
_FIGURE_SPACE = "\u2007"  # A space as wide as a figure.
_COLUMNS: List[Dict[str, Any]] = [
    {"field": "id", "headerName": "Name", ":cellRenderer": _LINK, "minWidth": 200, "flex": 3},
    {"field": "title", "headerName": "Title", "flex": 3, "minWidth": 120},
    {"field": "state", "headerName": "State", "width": 112, ":cellClass": _STATE},
    {"field": "progress", "headerName": "Progress", ":cellStyle": _BAR, "flex": 3, "minWidth": 110},
    {"field": "curve", "headerName": "Success or return", "width": 205, ":comparator": _BY_SUCCESS},
    {"field": "owner", "headerName": "Owner", "width": 90},
    {"field": "class", "headerName": "Priority", "width": 95},
    {"field": "created", "headerName": "Age", ":valueFormatter": _AGE, "width": 90, "sort": "desc"},
]
_GRID = {
    "columnDefs": _COLUMNS,
    "rowData": [],
    ":getRowId": "p => p.data.id",
    ":onGridSizeChanged": _FIT,
    ":onModelUpdated": _FIT,
    ":onCellKeyDown": _OPEN,
    "defaultColDef": {"sortable": True, "resizable": True, "suppressMovable": True},
    "rowSelection": {"mode": "multiRow", "enableClickSelection": False},
    "selectionColumnDef": {"width": 44, "maxWidth": 44, "pinned": "left"},
    "overlayNoRowsTemplate": "No experiment. New begins one.",
    "rowHeight": 36,
    "headerHeight": 38,
}


_Row = Dict[str, Any]


def _slim(one: Experiment) -> Experiment:
    """Without what the list does not show: a page may know thousands."""
    iterations = one.spec.lifetime.iterations
    one.proto.ClearField("spec")
    kept = ExperimentProto()
    kept.CopyFrom(one.proto)  # The memory of the spec goes with the old message.
    kept.spec.lifetime.iterations = iterations
    return Experiment(one._client, kept)


class _Curve:
    """Success or return by outer update, as of some update."""

    def __init__(self) -> None:
        self.text, self.last, self.updates, self.asked = "", -1e300, -1, 0.0


class Experiments:
    def __init__(self, page: Page, filter: str):
        self._page, self._client = page, page.client
        self._known: Dict[str, Experiment] = {}
        # What the filter lets in; None: everything. Before the first answer: nothing.
        self._shown: Optional[Set[str]] = set()
        self._is_stale = False  # The filter may let in something else by now.
        self._lists = 0  # On their way. Events that come meanwhile may be newer, and wait.
        self._rows: Dict[str, _Row] = {}  # As the browser has them.
        self._curves: Dict[str, _Curve] = {}
        self._new: Dict[str, Optional[Experiment]] = {}  # Since the last drawing; None: gone.
        self._selected: List[str] = []
        client = page.client
        with row():
            self._filter = field(
                ui.input(
                    "Filter",
                    placeholder='words, or state=RUNNING AND labels.team="a"',
                    value=filter,
                ),
                "clearable stack-label debounce=300 spellcheck=false",
            )
            self._filter.classes("grow").on_value_change(self._refilter)
            self._buttons = {
                "Compare": button("Compare", self._compare),
                "Pause": button("Pause", lambda: self._change("Paused", client.pause)),
                "Resume": button("Resume", lambda: self._change("Resumed", client.resume)),
                "Cancel": button("Cancel", self._cancel),
            }
            button("New", lambda: ui.navigate.to("/new"), "unelevated icon=add")
        self._wrong = alert()
        self._count = text("Loading …", "quiet", "role=status")
        self._grid = ui.aggrid(dict(_GRID), auto_size_columns=False).classes("grid")
        self._grid.on("selectionChanged", self._select)
        self._grid.on("viewportChanged", page.changed, throttle=0.3, args=[])
        self._enable()
        page.on_change(self._draw_rows)
        page.on_change(self._draw_curves)
        page.soon(self._list)
        page.start(self._begin)
        page.every(_LIST_AGE_S, self._list_again)

    async def _begin(self) -> None:
        self._page.follow(lambda: self._client.watch(progress=True), self._take)

    def _take(self, event: WatchEvent) -> None:
        if event.experiment is not None:
            gone = event.kind == "DELETED"
            self._new[event.experiment.name] = None if gone else _slim(event.experiment)
            self._is_stale |= event.kind != "PROGRESS"

    # The filter.

    async def _list(self) -> None:
        """Asks which experiments the filter lets in."""
        filter, most = self._filter.value or "", web().flags.rows_max

        def ask() -> List[Experiment]:
            pages = self._client.list(filter, "create_time desc", page_size=1000)
            return [_slim(one) for one, _ in zip(pages, range(most))]

        self._is_stale = False
        self._lists += 1
        try:
            found = await self._page.call(ask)
        except MentorError as error:
            self._page.say(error, self._wrong)
            self._is_stale = True
            return
        finally:
            self._lists -= 1
            self._page.changed()
        if filter != (self._filter.value or ""):
            return  # Typed on meanwhile; that asks again.
        self._wrong.set_text("")
        self._shown = {one.id for one in found} if filter or len(found) == most else None
        self._known.update((one.id, one) for one in found)
        rows: Dict[str, Optional[_Row]] = {id: None for id in self._rows}
        self._show({**rows, **{one.id: self._row_of(one) for one in found}})

    async def _list_again(self) -> None:
        if self._is_stale and self._shown is not None:
            await self._list()

    async def _refilter(self) -> None:
        query = urllib.parse.urlencode({"filter": self._filter.value or ""})
        ui.navigate.history.replace(f"/?{query}" if self._filter.value else "/")
        await self._list()
        self._page.changed()

    def _say_count(self) -> None:
        count, most = len(self._rows), web().flags.rows_max
        running = sum(one["state"] == "Running" for one in self._rows.values())
        cut = f", the newest {most}; filter to see others (--rows_max)" if count >= most else ""
        plural = "" if count == 1 else "s"
        self._count.set_text(f"{count} experiment{plural}, {running} running{cut}")

    # Rows.

    def _row_of(self, one: Experiment) -> _Row:
        curve, waits = self._curves.get(one.id) or _Curve(), words.waits_for(one)
        return {
            "id": one.id,
            "title": one.display_name,
            "state": words.state(one),
            "progress": f"{words.progress(one)}{waits and ', waits for '}{waits}",
            "done": words.done(one),
            "curve": curve.text,
            "success": curve.last,
            "owner": one.owner,
            "class": words.priority(one),
            "created": one.proto.create_time.ToNanoseconds() / 1e9,
        }

    def _show(self, rows: Dict[str, Optional[_Row]]) -> None:
        """Changes rows by their ids; None: the row goes."""
        change: Dict[str, List[_Row]] = {"add": [], "update": [], "remove": []}
        for id, found in rows.items():
            old = self._rows.pop(id, None)
            if found is not None:
                self._rows[id] = found
            if found is not None and found != old:
                change["add" if old is None else "update"].append(found)
            elif found is None and old is not None:
                change["remove"].append({"id": id})
        if any(change.values()):
            self._grid.run_grid_method("applyTransaction", change)
        self._say_count()
        self._enable()

    def _draw_rows(self) -> None:
        if self._lists:
            return
        new, self._new = self._new, {}
        rows: Dict[str, Optional[_Row]] = {}
        for name, one in new.items():
            id = name.rpartition("/")[2]
            known = self._known.get(id)
            if one is None or (known is not None and known.uid != one.uid):
                self._curves.pop(id, None)
            if one is None:
                self._known.pop(id, None)
                rows[id] = None
            else:
                self._known[id] = one
                if self._shown is None or id in self._shown:
                    rows[id] = self._row_of(one)
        if rows:
            self._show(rows)

    async def _draw_curves(self) -> None:
        """Fetches the curves of the rows on the screen that have new points."""
        rendered = _RENDERED.format(self._grid.id)
        try:
            ids = await self._page.browser.run_javascript(rendered, timeout=5) or []
        except TimeoutError:
            return
        found = [self._known[id] for id in ids[:_CURVES_AT_ONCE] if id in self._known]
        await asyncio.gather(*(self._fetch(one) for one in found))

    async def _fetch(self, one: Experiment) -> None:
        curve = self._curves.setdefault(one.id, _Curve())
        updates, now = one.progress.outer_updates, time.monotonic()
        if curve.updates == updates or not updates:
            return
        if now - curve.asked < _CURVE_AGE_S:
            wait = curve.asked + _CURVE_AGE_S - now
            asyncio.get_running_loop().call_later(wait, self._page.changed)
            return
        before, curve.updates, curve.asked = curve.updates, updates, now
        try:
            found = await self._page.call(words.curve, self._client, one, 11)
        except MentorError:
            curve.updates = before
            return
        if found.points:
            curve.last = found.points[-1][1]
            curve.text = f"{found.last.rjust(5, _FIGURE_SPACE)}  {found.blocks}"
            self._new.setdefault(one.name, self._known.get(one.id, one))
            self._page.changed()

    # The selection.

    async def _select(self) -> None:
        try:
            rows = await self._grid.run_grid_method("getSelectedRows", timeout=ANSWER_S)
        except TimeoutError:  # The browser stands still.
            return
        self._selected = [one["id"] for one in rows or []]
        self._enable()

    def _enable(self) -> None:
        states = [self._rows[id]["state"] for id in self._selected if id in self._rows]
        self._buttons["Compare"].set_enabled(len(states) > 1)
        self._buttons["Pause"].set_enabled(bool({"Running", "Queued"} & {*states}))
        self._buttons["Resume"].set_enabled(bool({"Paused", "Pausing"} & {*states}))
        self._buttons["Cancel"].set_enabled(bool({*states} - words.ENDED))

    def _compare(self) -> None:
        ui.navigate.to("/compare?" + urllib.parse.urlencode({"names": ",".join(self._selected)}))

    async def _change(self, done: str, change: Callable[[str], Experiment]) -> None:
        rows = [self._rows[id] for id in self._selected if id in self._rows]
        ids = [one["id"] for one in rows if one["state"] not in words.ENDED]
        changed = [id for id in ids if await self._page.try_call(change, id)]
        if changed:
            self._page.say(f"{done}: {', '.join(changed[:5])}" + " …" * (len(changed) > 5))

    async def _cancel(self) -> None:
        count = len(self._selected)
        question = f"Cancel {count} experiment{'s' * (count > 1)}?"
        if await self._page.confirm(question, "Cancel them"):
            await self._change("Cancelled", self._client.cancel)


@view("/", "Experiments")
def experiments(page: Page, names: Dict[str, str]) -> None:
    Experiments(page, names.get("filter", ""))
