"""View: a new experiment, from a spec in an editor."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from nicegui import ui

from .. import installed
from ..client import Client
from ..errors import MentorError, Violation
from ..experiment import Experiment
from ..v1.experiment_pb2 import CatalogueEntry, Experiment as ExperimentProto
from ..v1.spec_pb2 import ExperimentSpec
from . import spec_text, words
from .page import Page, view
from .parts import button, field, heading, panel, row, text

_SAID_MAX = 50  # Sentences about a spec, of so many characters.
_SENTENCE_MAX = 1000
_WAIT_S = 0.6  # After the last key, until the service is asked.
_BEGIN = "Choose a ready spec, or write one. Ctrl-Space completes names."
# Gives the editor's own completion fields of the spec, and names and settings of the catalogue.
_COMPLETE = """
const words = %s, CM = await import("nicegui-codemirror");
const source = context => {
  const word = context.matchBefore(/[\\w.-]+/);
  if (!word && !context.explicit) return null;
  return {from: word ? word.from : context.pos, options: words, validFor: /^[\\w.-]*$/};
};
getElement(%d).editor.dispatch({effects: CM.StateEffect.appendConfig.of([
  CM.EditorState.languageData.of(() => [{autocomplete: source}]),
  CM.EditorView.contentAttributes.of({"aria-label": "Spec", tabindex: "0"})])});
"""
_Said = List[Tuple[Optional[spec_text.Place], str]]  # None: about the whole. And sentences.


def about(name: str, spec: str) -> str:
    """The name of a ready spec with the first sentence of its comment."""
    comment = re.match(r"(#.*\n)*", spec)
    lines = [line.lstrip("# ") for line in comment[0].splitlines()] if comment else []
    return f"{name}: " + re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(lines), maxsplit=1)[0]


def completions(catalogue: Sequence[CatalogueEntry]) -> List[Dict[str, str]]:
    """Words for the editor, each once, with a line of help."""
    found: Dict[str, Dict[str, str]] = {}

    def add(label: str, kind: str, detail: str) -> None:
        found.setdefault(label, {"label": label, "type": kind, "detail": detail[:80]})

    def fields(descriptor: Any) -> None:
        for one in descriptor.fields:
            add(one.name, "property", descriptor.name)
            if one.message_type is not None:
                fields(one.message_type)
            for value in one.enum_type.values if one.enum_type is not None else ():
                add(value.name, "enum", one.name)

    fields(ExperimentSpec.DESCRIPTOR)
    for entry in catalogue:
        add(entry.name, "constant", f"{entry.kind}: {entry.help}")
        for setting in entry.settings:
            add(setting.name, "property", setting.help)
    return list(found.values())


def how_long(client: Client, spec: ExperimentSpec) -> str:
    """Steps of the meta-training, and their time at the speed of the last experiment on this
    benchmark, evaluation included."""
    steps = spec.rule.outer_updates * spec.rule.lifetimes_per_update
    steps *= spec.lifetime.iterations * spec.lifetime.steps_per_iteration
    said = f"{words.number(steps)} environment steps of meta-training"
    same = f'state=SUCCEEDED AND benchmark="{spec.benchmark.name}"'
    newest = itertools.islice(client.list(same, "create_time desc", page_size=10), 10)
    # A clone counts the steps of its source, and the time of its own ones.
    last = next((one for one in newest if not one.proto.source_checkpoint), None)
    if last is None or not last.progress.env_steps:
        return said
    seconds = steps / last.progress.env_steps * words.took(last)
    return f"{said}, about {words.span(max(1.0, seconds))} at the speed of {last.id}"


class New:
    def __init__(self, page: Page, ready: str, like: str):
        self._page, self._like, self._asked = page, like, 0
        self._checking: Optional["asyncio.Task[Optional[ExperimentProto]]"] = None
        found = installed.ready_specs().items()
        self._ready = {name: path.read_text(encoding="utf-8") for name, path in found}
        abouts = {name: about(name, spec) for name, spec in self._ready.items()}
        heading("A new experiment")
        with row():
            start = field(ui.select(abouts, label="Start from a ready spec", with_input=True))
            start.classes("grow").on_value_change(lambda event: self._fill(event.value))
            self._id = field(ui.input("Name", placeholder="chosen by the service"))
            self._create = button("Create", self._submit, "unelevated")
            self._create.set_enabled(False)
        self._long = text("", "quiet")
        with panel("Spec"):
            self._editor = ui.codemirror(
                language="Properties files", theme="githubLight", line_wrapping=True, indent="  "
            )
            self._editor.classes("editor").on_value_change(self._changed)
        self._said = row("").props("role=status")
        self._say([], _BEGIN)
        if ready in self._ready:
            start.set_value(ready)
        page.start(self._begin)

    async def _begin(self) -> None:
        client = self._page.client
        if self._like:
            one = await self._page.call_until_answered(client.get, self._like)
            spec = one.spec.SerializeToString()
            self._editor.set_value(await self._page.read(spec_text.written, spec))
        known = json.dumps(completions(await self._page.call_until_answered(client.catalogue)))
        self._page.browser.run_javascript(_COMPLETE % (known, self._editor.id))

    def _fill(self, name: Optional[str]) -> None:
        if name:
            self._editor.set_value(self._ready[name])

    async def _changed(self) -> None:
        """Asks the service about the text, once no key has come for a while."""
        self._create.set_enabled(False)
        most = spec_text.CHARACTERS_MAX + 1
        if len(self._editor.value or "") > most:  # Changes may add up to any size.
            self._editor.set_value(self._editor.value[:most])
        self._asked += 1
        mine = self._asked
        self._stop()
        await asyncio.sleep(_WAIT_S)
        if mine == self._asked:
            await self._check()

    def _stop(self) -> None:
        if self._checking is not None:
            self._checking.cancel()

    async def _check(self) -> Optional[ExperimentProto]:
        """Returns what can be created. A page has one check at a time, of its latest text."""
        self._stop()
        self._checking = asyncio.create_task(self._check_text())
        try:
            return await self._checking
        except asyncio.CancelledError:
            return None

    async def _check_text(self) -> Optional[ExperimentProto]:
        spec, client = self._editor.value or "", self._page.client
        self._long.set_text("")
        self._create.set_enabled(False)
        if not spec.strip():
            self._say([], _BEGIN)
            return None
        try:
            asked = await self._page.call(client.parse_spec, spec, files=False)
            answer: Experiment = await self._page.call(client.validate, asked)
            self._long.set_text(await self._page.call(how_long, client, answer.spec))
        except MentorError as error:
            await self._refuse(spec, error)
            return None
        self._create.set_enabled(True)
        warnings = list(answer.proto.warnings)[:_SAID_MAX]
        fields = [one.partition(":")[0] for one in warnings]
        places = await self._page.read(spec_text.places, spec, fields)
        self._say(list(zip(places, warnings)), "The spec is valid.")
        return asked

    async def _refuse(self, spec: str, error: MentorError) -> None:
        wanted: List[Union[str, int]] = []
        said: List[str] = []
        for one in (error.violations or [Violation("", error.message)])[:_SAID_MAX]:
            place = re.fullmatch(r"line (\d+), column \d+", one.field)
            name = re.sub(r"^experiment\.(spec\.)?", "", one.field)
            wanted.append(int(place[1]) if place else one.field)
            said.append(one.description if place else f"{name} {one.description}")
        try:
            places = await self._page.read(spec_text.places, spec, wanted)
        except MentorError:  # The text is too long even for that.
            places = [None] * len(wanted)
        self._say(list(zip(places, said)), "")

    def _say(self, said: _Said, otherwise: str) -> None:
        """Shows each sentence below the editor, and at the end of its line."""
        decorations: List[Dict[str, Any]] = []
        self._said.clear()
        with self._said:
            if not said:
                text(otherwise, "quiet")
            for place, words_said in sorted(said, key=lambda one: one[0] or (0, 0)):
                words_said = words_said[:_SENTENCE_MAX]
                text(f"Line {place[0]}: {words_said}" if place else words_said, "wrong")
                if place is not None:
                    line, position = place
                    end = {"kind": "widget", "position": position, "class": "cm-said"}
                    decorations.append({"kind": "line", "line": line, "class": "cm-violation"})
                    decorations.append({**end, "text": words_said})
        self._editor.decorations = decorations

    async def _submit(self) -> None:
        asked, id = await self._check(), (self._id.value or "").strip()
        made = await self._page.try_call(self._page.client.create, asked, id=id) if asked else None
        if made is not None:
            ui.navigate.to(f"/experiments/{made.id}")


@view("/new", "New")
def new(page: Page, names: Dict[str, str]) -> None:
    New(page, names.get("from", ""), names.get("like", ""))
