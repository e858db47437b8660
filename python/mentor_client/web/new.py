"""View: a new experiment, from a spec in an editor."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from google.protobuf import text_format
from nicegui import ui

from .. import specs
from ..client import Client
from ..errors import MentorError, Violation, usage
from ..experiment import Experiment
from ..v1.experiment_pb2 import CatalogueEntry, Experiment as ExperimentProto
from ..v1.spec_pb2 import ExperimentSpec
from . import words
from .page import Page, view
from .parts import button, field, heading, panel, row, text

_CHARACTERS_MAX = 1 << 20
_DEPTH_MAX = 8  # A spec nests fewer messages.
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
_Said = List[Tuple[Optional[int], str]]  # Lines from 1, None for the whole, and sentences.


def about(name: str, spec: str) -> str:
    """The name of a ready spec with the first sentence of its comment."""
    comment = re.match(r"(#.*\n)*", spec)
    lines = [line.lstrip("# ") for line in comment[0].splitlines()] if comment else []
    return f"{name}: " + re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(lines), maxsplit=1)[0]


def lines_of(spec: str) -> Dict[str, int]:
    """The line of each field of a spec in text format, by path; of options by their own name
    too."""
    found: Dict[str, int] = {}
    path: List[str] = []
    word, line = "", 1
    for token in re.finditer(specs.TOKEN.pattern + r"|\n", spec, specs.TOKEN.flags):
        one = token.group()
        if one == "\n":
            line += 1
        elif one in "{<":
            path.append(word)
            word = ""
        elif one in "}>":
            del path[-1:]
        elif len(path) <= _DEPTH_MAX and re.fullmatch(r"[A-Za-z_]\w*", one):
            word = one
            found.setdefault(".".join([*path, one]), line)
        elif one[0] in "\"'" and path[-1:] == ["option"] and word == "name":
            found.setdefault(".".join([*path[:-1], one[1:-1]]), line)
    return found


def line_of(name: str, lines: Dict[str, int]) -> Optional[int]:
    """The line of a field that the service names, or of the nearest message around it."""
    path = re.sub(r"\[\d+\]|^(experiment\.)?(spec\.)?|\boption\.", "", name).split(".")
    for end in range(len(path), 0, -1):
        if ".".join(path[:end]) in lines:
            return lines[".".join(path[:end])]
    return None


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
        found = specs.ready_specs().items()
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
            spec = text_format.MessageToString(one.spec, as_utf8=True)
            option = r"option {\s+(name: .*)\s+(value: .*)\s+}"
            self._editor.set_value(re.sub(option, r"option { \1 \2 }", spec))
        known = json.dumps(completions(await self._page.call_until_answered(client.catalogue)))
        self._page.browser.run_javascript(_COMPLETE % (known, self._editor.id))

    def _fill(self, name: Optional[str]) -> None:
        if name:
            self._editor.set_value(self._ready[name])

    async def _changed(self) -> None:
        """Asks the service about the text, once no key has come for a while."""
        self._create.set_enabled(False)
        if len(self._editor.value or "") > _CHARACTERS_MAX + 1:  # Changes may add up to any size.
            self._editor.set_value(self._editor.value[: _CHARACTERS_MAX + 1])
        self._asked += 1
        mine = self._asked
        await asyncio.sleep(_WAIT_S)
        if mine == self._asked:
            await self._check()

    async def _check(self) -> Optional[ExperimentProto]:
        """Returns what can be created."""
        spec, client = self._editor.value or "", self._page.client
        self._long.set_text("")
        self._create.set_enabled(False)
        if not spec.strip():
            self._say([], _BEGIN)
            return None
        try:
            if len(spec) > _CHARACTERS_MAX:
                raise usage("spec", "has more than a million characters; shorten it")
            asked = await self._page.call(specs.load_text, spec)
            answer: Experiment = await self._page.call(client.validate, asked)
            self._long.set_text(await self._page.call(how_long, client, answer.spec))
        except MentorError as error:
            await self._refuse(spec, error)
            return None
        self._create.set_enabled(True)
        lines = await self._page.call(lines_of, spec)
        warnings = [(line_of(one.partition(":")[0], lines), one) for one in answer.proto.warnings]
        self._say(warnings, "The spec is valid.")
        return asked

    async def _refuse(self, spec: str, error: MentorError) -> None:
        lines, said = await self._page.call(lines_of, spec), []
        for one in error.violations or [Violation("", error.message)]:
            # The parser of protobuf names the line itself.
            place = re.search(r"\b(\d+):\d+ : ", one.description)
            name = re.sub(r"^experiment\.(spec\.)?", "", one.field)
            line = int(place[1]) if place else line_of(one.field, lines)
            words_said = one.description[place.end() :] if place else f"{name} {one.description}"
            said.append((line, words_said.strip()))
        self._say(said, "")

    def _say(self, said: _Said, otherwise: str) -> None:
        """Shows each sentence below the editor, and at the end of its line."""
        ends = [match.start() for match in re.finditer(r"\n|\Z", self._editor.value or "")]
        decorations: List[Dict[str, Any]] = []
        self._said.clear()
        with self._said:
            if not said:
                text(otherwise, "quiet")
            for line, words_said in sorted(said, key=lambda one: one[0] or 0)[:_SAID_MAX]:
                words_said = words_said[:_SENTENCE_MAX]
                text(f"Line {line}: {words_said}" if line else words_said, "wrong")
                if line and line <= len(ends):
                    end = {"kind": "widget", "position": ends[line - 1], "class": "cm-said"}
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
