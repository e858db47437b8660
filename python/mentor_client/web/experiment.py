"""View: one experiment, live."""

from __future__ import annotations

import urllib.parse
from typing import Any, Callable, Dict, List, Optional, Tuple

from nicegui import background_tasks, ui

from ..client import WatchEvent
from ..errors import MentorError
from ..experiment import Experiment
from . import report, words
from .page import Page, view, web
from .parts import Lines, alert, button, field, heading, panel, row, table, text

_WALL = ("wall_seconds", "collect_wall_seconds", "outer_wall_seconds")
_MORE = ("success", "shaped_return", "env_steps")
_LINES = 400  # Last ones of the log.
_LOG_S = 10.0  # Until they have come.
_SHARD = {"shard": "Shard", "state": "State", "learner": "Learner", "lifetimes": "Lifetimes"}
_SHARD.update(done="Inner iterations", steps="Environment steps")
_PIN = """<q-td :props="props"><q-toggle dense :model-value="props.value"
  :aria-label="'Keep ' + props.row.name"
  @update:model-value="v => $parent.$emit('pin', props.row.name, v)"/></q-td>"""
_SETTING = """<q-td :props="props"><span :class="props.row.plain ? 'is-default' : ''">
  {{ props.value }}</span></q-td>"""


class View:
    def __init__(self, page: Page, id: str):
        self._page, self._client, self._id = page, page.client, id
        self._now: Optional[Experiment] = None
        self._gone = False
        self._points: Dict[str, List[Tuple[int, float]]] = {}
        self._last_step = 0
        # State and updates of which something is drawn.
        self._drawn_points = self._drawn_files = self._drawn_tab = ""
        self._facts: Dict[str, ui.label] = {}
        self._build()
        page.on_change(self._draw)
        page.start(self._begin)
        page.every(2.0, self._look)

    def _build(self) -> None:
        with row():
            self._title = heading(self._id, "title grow")
            self._state = text()
        self._wrong = alert()
        client = self._client
        with row():
            self._buttons = {
                "Pause": button("Pause", lambda: self._change(client.pause)),
                "Resume": button("Resume", lambda: self._change(client.resume)),
                "Cancel": button("Cancel", self._cancel),
                "Clone": button("Clone", self._clone),
                "New": button("New like this", self._like),
                "Report": button("Report", self._report, "flat"),
                "Life": button("Life", self._life, "flat"),
            }
            for one in self._buttons.values():
                one.set_enabled(False)  # Until it is known what there is.
        with panel("Progress"):
            self._facts_at = row("facts")
            self._bar = ui.linear_progress(0, show_value=False).props('aria-label="Progress"')
        self._tabs = ui.tabs(on_change=self._opened).props("no-caps dense align=left")
        with self._tabs:
            for name in ("Curves", "Log", "Shards", "Files", "Spec"):
                ui.tab(name)
        with ui.tab_panels(self._tabs, value="Curves", animated=False).props("keep-alive"):
            with ui.tab_panel("Curves"), row("panels"):
                self._success = Lines("Success by part of the lifetime", share=True, wide=True)
                self._rewards = Lines("Shaped return of an episode")
                self._phases = Lines("Phases of an outer update, in seconds", stacked=True)
                self._speed = Lines("Throughput, in environment steps a second", wide=True)
            with ui.tab_panel("Log"), panel("What the meta-learner logged"):
                self._log_at = text("", "log", "tabindex=0")
            with ui.tab_panel("Shards"), panel("Shards at work or waiting"):
                self._shards = table("shard", **_SHARD)
            with ui.tab_panel("Files"), row("panels"):
                with panel("Checkpoints"):
                    self._checkpoints = table(
                        "name", name="Outer update", size="Size", at="Written", pinned="Keep"
                    )
                with panel("Artifacts"):
                    self._artifacts = table("name", name="File", size="Size", kind="Type")
            with ui.tab_panel("Spec"), panel("Settings"):
                self._build_spec()
        self._checkpoints.add_slot("body-cell-pinned", _PIN)
        self._checkpoints.on("pin", self._pin)

    def _build_spec(self) -> None:
        with row():
            name = ui.input("Difference to", placeholder="name of an experiment")
            self._other = field(name, "clearable stack-label debounce=400")
            self._other.on_value_change(self._draw_spec)
            self._all = ui.switch("Defaults too", value=True, on_change=self._draw_spec)
        self._spec_wrong = alert()
        self._spec = table("path", path="Setting", value="Value", other="")
        for name in ("path", "value"):
            self._spec.add_slot(f"body-cell-{name}", _SETTING)

    async def _begin(self) -> None:
        client, id = self._client, self._id
        try:
            self._now = await self._page.call_until_answered(client.get, id)
        except MentorError as error:
            self._page.say(error, self._wrong)
            return
        self._page.changed()
        await self._draw_spec()
        self._page.follow(lambda: client.watch([id], progress=True), self._take)

    def _take(self, event: WatchEvent) -> None:
        if event.experiment is None:
            return
        before, self._now = self._now, event.experiment
        self._gone = event.kind == "DELETED"
        if before is not None and before.uid != event.experiment.uid:
            # Another experiment has the name now.
            self._points, self._last_step = {}, 0
            self._drawn_points = self._drawn_files = ""
            self._page.soon(self._draw_spec)

    async def _load_points(self, one: Experiment) -> None:
        """Fetches the points that are new."""
        names = [*words.success_names(one.spec), *_MORE, *_WALL]
        after, most, points = self._last_step + 1, web().flags.points_max, self._points
        found = await self._page.call(
            self._client.metrics, self._id, names, step_min=after, max_points=most
        )
        if points is not self._points:
            return
        for name, new in found.items():
            if new.steps:  # The last point may stand for several updates.
                self._last_step = max(self._last_step, new.steps[-1] + new.count[-1] - 1)
            known = self._points.get(name, []) + list(zip(new.steps, new.mean))
            self._points[name] = known[::2] if len(known) > 2 * most else known

    async def _opened(self) -> None:
        self._page.changed()
        await self._look()

    # Drawing.

    async def _draw(self) -> None:
        one = self._now
        if one is None:
            return
        self._title.set_text(one.display_name or one.id)
        self._state.set_text("Deleted" if self._gone else words.state(one))
        self._state.classes(replace=f"state {one.state}")
        why = one.error if one.state != "RUNNING" else None
        wrong = [f"{why.reason}: {why.message}"] if why else []
        self._wrong.set_text("\n".join([*wrong, *one.proto.warnings]))
        facts = words.facts(one)
        for name, value in facts.items():
            if name not in self._facts:
                with self._facts_at, row(""):
                    text(name, "name")
                    self._facts[name] = text("", "value")
            self._facts[name].set_text(value)
        self._bar.set_value(round(words.done(one), 3))
        begun = one.progress.outer_updates > 0
        for name, may in (
            ("Pause", one.state in ("QUEUED", "RUNNING")),
            ("Resume", one.state in ("PAUSED", "PAUSING")),
            ("Cancel", not one.is_final and one.state != "CANCELLING"),
            ("Clone", begun),
            ("New", True),
            ("Report", begun),
            ("Life", one.progress.evaluation_lifetimes > 0),
        ):
            self._buttons[name].set_enabled(may and not self._gone)
        mark = f"{one.state} {one.progress.outer_updates}"
        if self._drawn_points != mark:
            await self._load_points(one)
            self._drawn_points = mark
            self._draw_charts(one)
        if self._tabs.value == "Files" and self._drawn_files != mark:
            self._drawn_files = mark
            await self._draw_files()

    def _draw_charts(self, one: Experiment) -> None:
        points = {name: found for name, found in self._points.items() if found}
        names = [name for name in (*words.success_names(one.spec), "success") if name in points]
        succeeds = any(value > 0 for name in names for _, value in points[name])
        self._success.show(
            {words.part_name(name, one.spec): points[name] for name in names if succeeds},
            words.nothing(bool(names)),
        )
        self._rewards.show({"shaped return": points.get("shaped_return", [])})
        wall, collect, outer = (dict(points.get(name, [])) for name in _WALL)
        both = sorted(wall.keys() & collect.keys() & outer.keys())
        rest = [(step, max(0.0, wall[step] - collect[step] - outer[step])) for step in both]
        self._phases.show(
            {
                "collecting lifetimes": [(step, collect[step]) for step in both],
                "outer rule": [(step, outer[step]) for step in both],
                "the rest": rest,
            }
        )
        steps = points.get("env_steps", [])
        speeds = [
            (step, (now - before) / (step - earlier) / wall[step])
            for (earlier, before), (step, now) in zip(steps, steps[1:])
            if wall.get(step)
        ]
        self._speed.show({"steps a second": speeds})

    async def _look(self) -> None:
        """Asks for what no watch brings, while it is on the screen and may change."""
        one, mark = self._now, f"{self._tabs.value} {self._now and self._now.state}"
        if one is None or self._page.is_away or (one.is_final and self._drawn_tab == mark):
            return
        call, client, id = self._page.call, self._client, self._id
        try:
            if self._tabs.value == "Log":
                lines = await call(lambda: list(client.logs(id, tail=_LINES, timeout=_LOG_S)))
                said = "\n".join(words.log_line(line) for line in lines)
                self._log_at.set_text(said or "Nothing was logged yet.")
            elif self._tabs.value == "Shards":
                found = await call(client.shards, id)
                self._shards.rows = [words.shard(one) for one in found[: web().flags.rows_max]]
            self._drawn_tab = mark
        except MentorError:
            pass  # The banner says that the service is away.

    async def _draw_files(self) -> None:
        client, most = self._client, web().flags.rows_max
        checkpoints = await self._page.try_call(lambda: list(client.checkpoints(self._id)))
        artifacts = await self._page.try_call(client.artifacts, self._id)

        def file(one: Any, name: str, **more: Any) -> Dict[str, Any]:
            link = {"href": "/download/" + urllib.parse.quote(one.name), "download": ""}
            return {"name": name, **link, "size": words.size(one.size_bytes), **more}

        self._checkpoints.rows = [
            file(one, str(one.outer_step), at=words.clock(one.create_time), pinned=one.pinned)
            for one in reversed((checkpoints or [])[-most:])
        ]
        self._artifacts.rows = [
            file(one, one.name.partition("/artifacts/")[2], kind=one.media_type)
            for one in (artifacts or [])[:most]
        ]

    async def _draw_spec(self) -> None:
        one, other = self._now, (self._other.value or "").strip()
        if one is None:
            return
        try:
            if other:
                theirs = (await self._page.call(self._client.get, other)).spec
                both = [one.spec.SerializeToString(), theirs.SerializeToString()]
                rows = await self._page.read(words.differences, both)
            else:
                catalogue = await self._page.call(self._client.catalogue)
                entries = [entry.SerializeToString() for entry in catalogue]
                spec = one.spec.SerializeToString()
                rows = await self._page.read(words.all_settings, spec, entries)
            mine, theirs_at = ("v0", "v1") if other else ("value", "other")
            self._spec.columns[1]["field"], self._spec.columns[2]["field"] = mine, theirs_at
            self._spec.columns[1]["label"] = self._id if other else "Value"
            self._spec.columns[2]["label"] = other
            self._spec.rows = [row for row in rows if self._all.value or not row.get("plain")]
            self._spec_wrong.set_text("")
        except MentorError as error:
            self._spec.rows = []
            self._page.say(error, self._spec_wrong)

    # Changing.

    async def _change(self, change: Callable[[str], Experiment]) -> None:
        await self._page.try_call(change, self._id)  # The watch brings what comes of it.

    async def _cancel(self) -> None:
        if await self._page.confirm(f"Cancel {self._id}?", "Cancel it"):
            await self._change(self._client.cancel)

    async def _pin(self, event: Any) -> None:
        step, pinned = event.args
        name = self._client.checkpoint_name(self._id, int(step))
        await self._page.try_call(self._client.pin, name, bool(pinned))
        await self._draw_files()

    async def _clone(self) -> None:
        found = await self._page.try_call(lambda: list(self._client.checkpoints(self._id)))
        steps = [one.outer_step for one in reversed(found or [])]
        if not steps:
            return
        with ui.dialog().props("aria-label=Clone") as dialog, ui.card():
            text(f"Clone {self._id}", "title")
            at = field(ui.select(steps, value=steps[0], label="After outer update"))
            id = field(ui.input("Name of the new one", placeholder="chosen by the service"))
            changed = field(ui.textarea("Changed fields", placeholder="rule.outer_updates=100"))
            for part in (at, id, changed):
                part.classes("dialog-field")
            text("One field a line, as in the spec: rule.learning_rate=3e-4", "quiet")
            text("It goes on with what was learned by then. New like this begins anew.", "quiet")
            wrong = alert()

            async def clone() -> None:
                lines = (changed.value or "").splitlines()
                overrides = [line.strip() for line in lines if line.strip()]
                own = (id.value or "").strip()
                try:
                    made = await self._page.call(
                        self._client.clone,
                        self._id,
                        checkpoint=at.value,
                        overrides=overrides,
                        id=own,
                    )
                    ui.navigate.to(f"/experiments/{made.id}")
                except MentorError as error:
                    wrong.set_text(error.message.replace("--set ", ""))

            with row():
                button("Clone", clone, "unelevated")
                button("Back", dialog.close, "flat")
        await self._page.answer(dialog)

    def _like(self) -> None:
        ui.navigate.to(f"/new?like={urllib.parse.quote(self._id)}")

    def _life(self) -> None:
        ui.navigate.to(f"/experiments/{urllib.parse.quote(self._id)}/life")

    async def _report(self) -> None:
        with ui.dialog().props("maximized aria-label=Report") as dialog, ui.card() as place:
            button("Close", dialog.close, "flat")
        making = background_tasks.create(report.show(self._page, [self._id], place))
        await self._page.answer(dialog)
        making.cancel()


@view("/experiments/{id}", "Experiment", listed=False)
def experiment(page: Page, names: Dict[str, str]) -> None:
    View(page, names["id"])
