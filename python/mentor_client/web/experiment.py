"""View: one experiment, live."""

from __future__ import annotations

import asyncio
import collections
import urllib.parse
from typing import Any, Callable, Deque, Dict, List, Tuple

import grpc
from nicegui import ui

from ..client import WatchEvent
from ..errors import MentorError
from ..experiment import Experiment
from ..metrics import MetricPoints
from ..sync.content import settings
from . import report, words
from .charts import Lines
from .page import Page, panel, table, view, web

_WALL = ("wall_seconds", "collect_wall_seconds", "outer_wall_seconds")
_LOG_LINES = 400
_LINK = """<q-td :props="props"><a :href="props.row.href" download>{{ props.value }}</a></q-td>"""
_PIN = """<q-td :props="props"><q-toggle dense class="changes" :model-value="props.value"
  :aria-label="'Keep ' + props.row.name" @update:model-value="v => $parent.$emit('pin', props.row, v)"/>
  </q-td>"""
_SETTING = """<q-td :props="props"><span :class="props.row.plain ? 'is-default' : ''">{{ props.value }}
  </span></q-td>"""


class View:
    def __init__(self, page: Page, id: str):
        self._page, self._id = page, id
        self._now: Dict[str, Experiment] = {}  # At most one; a thread replaces it.
        self._gone = False
        self._points: Dict[str, List[Tuple[int, float]]] = {}
        self._names: List[str] = []
        self._last_step = 0
        self._drawn_step = -1
        self._log: Deque[str] = collections.deque(maxlen=_LOG_LINES)
        self._files_at = -1
        self._build()
        page.on_change(self._draw)
        page.start(self._begin)
        page.every(2.0, self._draw_shards)

    # Before the first answer.

    def _build(self) -> None:
        with ui.element("div").classes("bar"):
            self._title = (
                ui.label(self._id).classes("title grow").props("role=heading aria-level=1")
            )
            self._state = ui.label("").classes("state")
        self._wrong = ui.label().classes("wrong").props("role=alert")
        with ui.element("div").classes("bar"):
            change = self._page.client
            self._buttons = {
                name: ui.button(name, on_click=action).props("outline no-caps").classes("changes")
                for name, action in (
                    ("Pause", lambda: self._change(change.pause)),
                    ("Resume", lambda: self._change(change.resume)),
                    ("Cancel", self._cancel),
                    ("Clone", self._clone),
                )
            }
            self._report_button = ui.button("Report", on_click=self._report).props("flat no-caps")
        with panel("Progress"):
            self._facts_at = ui.element("div").classes("facts")
            self._bar = ui.linear_progress(0, show_value=False).props('aria-label="Progress"')
        self._facts: Dict[str, ui.label] = {}
        with ui.tabs().props("no-caps dense align=left inline-label") as tabs:
            for name in ("Curves", "Log", "Shards", "Files", "Spec"):
                ui.tab(name)
        self._tabs = tabs
        tabs.on_value_change(self._page.changed)
        with ui.tab_panels(tabs, value="Curves", animated=False).props("keep-alive"):
            with ui.tab_panel("Curves"), ui.element("div").classes("panels"):
                self._success = Lines("Success by part of the lifetime", share=True, wide=True)
                self._phases = Lines("Phases of an outer update, in seconds", stacked=True)
                self._speed = Lines("Throughput, in environment steps a second")
            with ui.tab_panel("Log"), panel("What the meta-learner logged"):
                self._log_at = (
                    ui.label("Nothing was logged yet.").classes("log").props("tabindex=0")
                )
            with ui.tab_panel("Shards"), panel("Shards at work or waiting"):
                self._shards = table(
                    "shard",
                    shard="Shard",
                    state="State",
                    learner="Learner",
                    lifetimes="Lifetimes",
                    done="Inner iterations",
                    steps="Environment steps",
                )
            with ui.tab_panel("Files"):
                self._build_files()
            with ui.tab_panel("Spec"):
                self._build_spec()

    def _build_files(self) -> None:
        with ui.element("div").classes("panels"):
            with panel("Checkpoints"):
                self._checkpoints = table(
                    "name",
                    name="Outer update",
                    size="Size",
                    at="Written",
                    hash="Hash of its state",
                    pinned="Keep",
                )
                self._checkpoints.add_slot("body-cell-name", _LINK)
                self._checkpoints.add_slot("body-cell-pinned", _PIN)
                self._checkpoints.on("pin", self._pin)
            with panel("Artifacts"):
                self._artifacts = table("name", name="File", size="Size", kind="Type")
                self._artifacts.add_slot("body-cell-name", _LINK)

    def _build_spec(self) -> None:
        with panel("Settings"):
            with ui.element("div").classes("bar"):
                self._other = (
                    ui.input("Difference to", placeholder="name of another experiment")
                    .props("dense outlined clearable debounce=400")
                    .on_value_change(self._draw_spec)
                )
                self._all = ui.switch("Defaults too", value=True, on_change=self._draw_spec)
                ui.space()
                ui.link(
                    "Start another one like this", f"/new?like={urllib.parse.quote(self._id)}"
                ).classes("changes")
            self._spec_wrong = ui.label().classes("wrong").props("role=alert")
            self._spec = table("path", path="Setting", value="Value", other="Other")
            self._spec.add_slot("body-cell-path", _SETTING)
            self._spec.add_slot("body-cell-value", _SETTING)

    async def _begin(self) -> None:
        client = self._page.client
        try:
            one = await self._page.call(client.get, self._id)
        except MentorError as error:
            self._wrong.set_text(error.message)
            if error.code == grpc.StatusCode.UNAUTHENTICATED:
                self._page.say(error)
            return
        self._now["it"] = one
        self._names = [*words.success_names(one.spec), "success", "env_steps", *_WALL]
        self._page.changed()
        await self._draw_spec()
        self._page.follow(lambda: client.watch([one.name], progress=True), self._take)
        self._page.follow(
            lambda: client.logs(one.name, tail=_LOG_LINES, follow=True), self._take_log
        )
        await self._load_points()
        self._page.follow(
            lambda: client.watch_metrics(one.name, self._names, after_step=self._last_step),
            self._take_points,
        )

    # What threads collect.

    def _take(self, event: WatchEvent) -> None:
        if event.experiment is not None:
            self._gone = event.kind == "DELETED"
            self._now["it"] = event.experiment

    def _take_log(self, line: Any) -> None:
        at = line.time.ToDatetime().strftime("%m-%d %H:%M:%S")
        fields = " ".join(f"{key}={value}" for key, value in sorted(line.fields.items()))
        self._log.append(f"{at}  {line.severity:7}  {line.message}  {fields}")

    def _take_points(self, point: MetricPoints) -> None:
        for name, value in point.values.items():
            self._points.setdefault(name, []).append((point.step, value))
        self._last_step = point.step

    async def _load_points(self) -> None:
        found = await self._page.call(
            self._page.client.metrics, self._id, self._names, max_points=web().flags.points_max
        )
        self._points = {name: list(zip(one.steps, one.mean)) for name, one in found.items()}
        self._last_step = max((one.steps[-1] for one in found.values() if one.steps), default=0)
        self._page.changed()

    # Drawing.

    async def _draw(self) -> None:
        one = self._now.get("it")
        if one is None:
            return
        self._title.set_text(one.display_name or one.id)
        self._state.set_text("Deleted" if self._gone else words.state(one))
        self._state.classes(replace=f"state {one.state}")
        why = one.error
        self._wrong.set_text(
            f"{why.reason}: {why.message}" if why and one.state != "RUNNING" else ""
        )
        self._draw_facts(one)
        self._buttons["Pause"].set_enabled(one.state in ("QUEUED", "RUNNING") and not self._gone)
        self._buttons["Resume"].set_enabled(one.state in ("PAUSED", "PAUSING"))
        self._buttons["Cancel"].set_enabled(not one.is_final and one.state != "CANCELLING")
        self._buttons["Clone"].set_enabled(not self._gone and one.progress.outer_updates > 0)
        self._report_button.set_enabled(not self._gone and one.progress.outer_updates > 0)
        if self._last_step != self._drawn_step:
            self._draw_charts(one)
        self._log_at.set_text("\n".join(self._log) or "Nothing was logged yet.")
        files_at = hash((one.progress.outer_updates, one.state))
        if self._tabs.value == "Files" and self._files_at != files_at:
            self._files_at = files_at
            await self._draw_files()

    def _draw_facts(self, one: Experiment) -> None:
        now = one.progress
        seconds = words.age(one)
        facts = {
            "Name": one.id,
            "Now": one.activity or words.state(one),
            "Outer updates": f"{now.outer_updates} of {now.outer_updates_total}",
            "Left": words.span(now.seconds_left)
            if one.state == "RUNNING" and now.seconds_left > 0
            else "–",
            "Evaluated": f"{now.evaluation_lifetimes} of {now.evaluation_lifetimes_total}"
            if now.evaluation_lifetimes_total
            else "–",
            "Environment steps": words.number(now.env_steps),
            "Steps a second": words.number(now.env_steps_per_second)
            if one.state == "RUNNING"
            else "–",
            "Owner": one.owner,
            "Class": f"{words.priority(one)}, weight {one.proto.weight}",
            "Age": words.span(seconds),
            "Labels": ", ".join(f"{key}={value}" for key, value in sorted(one.labels.items()))
            or "–",
        }
        if one.proto.source_checkpoint:
            facts["Began from"] = one.proto.source_checkpoint
        for name, value in facts.items():
            if name not in self._facts:
                with self._facts_at, ui.element("div"):
                    ui.label(name).classes("name")
                    self._facts[name] = ui.label().classes("value")
            self._facts[name].set_text(value)
        self._bar.set_value(words.done(one))

    def _draw_charts(self, one: Experiment) -> None:
        self._drawn_step = self._last_step
        points = self._points
        if max(map(len, points.values()), default=0) > 2 * web().flags.points_max:
            points = self._points = {name: found[::2] for name, found in points.items()}
        names = [name for name in (*words.success_names(one.spec), "success") if points.get(name)]
        self._success.show({words.part_name(name, one.spec): points[name] for name in names})
        wall, collect, outer = ({**dict(points.get(name, []))} for name in _WALL)
        both = sorted(wall.keys() & collect.keys() & outer.keys())
        self._phases.show(
            {
                "collecting lifetimes": [(step, collect[step]) for step in both],
                "outer rule": [(step, outer[step]) for step in both],
                "the rest": [
                    (step, max(0.0, wall[step] - collect[step] - outer[step])) for step in both
                ],
            }
        )
        steps = points.get("env_steps", [])
        self._speed.show(
            {
                "steps/s": [
                    (step, (now - before) / (step - earlier) / wall[step])
                    for (earlier, before), (step, now) in zip(steps, steps[1:])
                    if wall.get(step) and now >= before
                ]
            }
        )

    async def _draw_shards(self) -> None:
        if self._tabs.value != "Shards" or "it" not in self._now:
            return
        try:
            found = await self._page.call(self._page.client.shards, self._id)
        except MentorError:
            return  # The banner says that the service is away.
        self._shards.rows = [
            {
                "shard": one.name.rpartition("/")[2],
                "state": "waiting" if one.state == one.STATE_WAITING else "running",
                "learner": one.learner.rpartition("/")[2] or "–",
                "lifetimes": one.lifetimes,
                "done": f"{one.iterations_done} of {one.iterations_total}",
                "steps": f"{words.number(one.env_steps)} of {words.number(one.env_steps_total)}",
            }
            for one in found[: web().flags.rows_max]
        ]

    async def _draw_files(self) -> None:
        client = self._page.client

        def ask() -> Tuple[List[Any], List[Any]]:
            return list(client.checkpoints(self._id)), client.artifacts(self._id)

        found = await self._page.try_call(ask)
        if found is None:
            return
        most = web().flags.rows_max
        self._checkpoints.rows = [
            {
                "name": str(one.outer_step),
                "full": one.name,
                "href": "/download/" + urllib.parse.quote(one.name),
                "size": words.size(one.size_bytes),
                "at": one.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC"),
                "hash": one.state_hash[:12],
                "pinned": one.pinned,
            }
            for one in reversed(found[0][-most:])
        ]
        self._artifacts.rows = [
            {
                "name": one.name.partition("/artifacts/")[2],
                "href": "/download/" + urllib.parse.quote(one.name),
                "size": words.size(one.size_bytes),
                "kind": one.media_type,
            }
            for one in found[1][:most]
        ]

    async def _draw_spec(self) -> None:
        one = self._now.get("it")
        if one is None:
            return
        client, other = self._page.client, (self._other.value or "").strip()
        self._spec_wrong.set_text("")
        try:
            if other:
                spec = (await self._page.call(client.get, other)).spec
                self._spec.rows = [
                    {"path": path, "value": mine, "other": theirs, "plain": False}
                    for path, (mine, theirs) in words.differences([one.spec, spec]).items()
                ]
                return
            plain = words.defaults(one.spec, await self._page.call(client.catalogue))
        except MentorError as error:
            self._spec_wrong.set_text(error.message)
            return
        given = settings(one.spec)
        paths = sorted({*given, *plain}) if self._all.value else sorted(given)
        rows = [
            {
                "path": path,
                "value": given.get(path, plain.get(path, "")),
                "plain": path not in given or given[path] == plain.get(path),
                "other": "",
            }
            for path in paths
        ]
        self._spec.rows = [row for row in rows if self._all.value or not row["plain"]]

    # Changing.

    async def _change(self, change: Callable[[str], Experiment]) -> None:
        one = await self._page.try_call(change, self._id)
        if one is not None:
            self._now["it"] = one
            self._page.changed()

    async def _cancel(self) -> None:
        if await self._page.confirm(f"Cancel {self._id}?", "Cancel it"):
            await self._change(self._page.client.cancel)

    async def _pin(self, event: Any) -> None:
        row, pinned = event.args
        name = f"experiments/{self._id}/checkpoints/{int(row['name']):08d}"
        await self._page.try_call(self._page.client.pin, name, bool(pinned))
        await self._draw_files()

    async def _clone(self) -> None:
        found = await self._page.try_call(lambda: list(self._page.client.checkpoints(self._id)))
        if not found:
            return
        steps = [str(one.outer_step) for one in reversed(found)]
        with ui.dialog() as dialog, ui.card().classes("panel"):
            ui.label(f"Clone {self._id}").classes("title")
            at = ui.select(steps, value=steps[0], label="From the checkpoint after update")
            id = ui.input("Name of the new one", placeholder="chosen by the service")
            changed = ui.textarea(
                "Changed fields, one a line", placeholder="rule.outer_updates=100\nseed=2"
            )
            for part in (at, id, changed):
                part.props("outlined dense").style("width: min(26rem, 78vw)")
            wrong = ui.label().classes("wrong").props("role=alert")

            async def clone() -> None:
                lines = [line.strip() for line in (changed.value or "").splitlines()]
                try:
                    made = await self._page.call(
                        self._page.client.clone,
                        self._id,
                        checkpoint=int(at.value),
                        overrides=[line for line in lines if line],
                        id=(id.value or "").strip(),
                    )
                except MentorError as error:
                    wrong.set_text(str(error))
                    return
                ui.navigate.to(f"/experiments/{made.id}")

            with ui.element("div").classes("bar"):
                ui.button("Clone", on_click=clone).props("unelevated no-caps")
                ui.button("Back", on_click=dialog.close).props("flat no-caps")
        await self._page.answer(dialog)

    async def _report(self) -> None:
        with ui.dialog().props("maximized") as dialog, ui.card():
            ui.button("Close", on_click=dialog.close).props("flat no-caps")
            await asyncio.gather(report.show(self._page, [self._id]), self._page.answer(dialog))


@view("/experiments/{id}", "Experiment", listed=False)
def experiment(page: Page, names: Dict[str, str]) -> None:
    View(page, names["id"])
