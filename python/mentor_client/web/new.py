"""View: a new experiment, from a spec in an editor."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Dict, List, Optional, Tuple

import grpc
from google.protobuf import text_format
from nicegui import ui

from .. import specs
from ..client import Client
from ..errors import MentorError, Violation, usage
from ..experiment import Experiment
from ..v1.experiment_pb2 import CatalogueEntry, Experiment as ExperimentProto
from ..v1.spec_pb2 import ExperimentSpec
from . import words
from .page import Page, panel, view

_CHARACTERS_MAX = 1 << 20
_WAIT_S = 0.6  # After the last key, until the service is asked.
# Words of the editor's own completion: fields of the spec, names and settings of the catalogue.
_COMPLETE = """
const words = %s;
const CM = await import("nicegui-codemirror");
const source = context => {
  const word = context.matchBefore(/[\\w.-]+/);
  if (!word && !context.explicit) return null;
  return {from: word ? word.from : context.pos, options: words, validFor: /^[\\w.-]*$/};
};
getElement(%d).editor.dispatch({effects: CM.StateEffect.appendConfig.of(
  [CM.EditorState.languageData.of(() => [{autocomplete: source}]),
   CM.EditorView.contentAttributes.of({"aria-label": "Spec", tabindex: "0"})])});
"""


def first_sentence(text: str) -> str:
    """Of the comment above a spec."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(lines), maxsplit=1)[0]


def env_steps(spec: ExperimentSpec) -> int:
    """Environment steps of the meta-training."""
    return int(
        spec.rule.outer_updates
        * spec.rule.lifetimes_per_update
        * spec.lifetime.iterations
        * spec.lifetime.steps_per_iteration
    )


def _span(client: Client, spec: ExperimentSpec) -> str:
    """How long it takes at the speed of the last experiment on this benchmark, evaluation
    included."""
    same = f'state=SUCCEEDED AND benchmark="{spec.benchmark.name}"'
    try:
        last = next(client.list(same, "create_time desc", page_size=1), None)
    except MentorError:
        return ""
    if last is None or not last.progress.env_steps:
        return ""
    seconds = (last.proto.end_time.ToNanoseconds() - last.proto.start_time.ToNanoseconds()) / 1e9
    left = env_steps(spec) / last.progress.env_steps * max(seconds, 0.1)
    return f", about {words.span(left)} at the speed of {last.id}"


def lines_of(text: str) -> Dict[str, int]:
    """The line on which each field of a spec in text format stands, by path; options by their own
    name too. Lines count from 1.
    """
    found: Dict[str, int] = {}
    path: List[str] = []
    pending, option, line = "", False, 1
    for token in re.finditer(specs.TOKEN.pattern + r"|\n", text, specs.TOKEN.flags):
        word = token.group()
        if word == "\n":
            line += 1
        elif word in "{<":
            path.append(pending)
            pending = ""
        elif word in "}>":
            path = path[:-1]
        elif re.fullmatch(r"[A-Za-z_]\w*", word) and word not in ("true", "false"):
            pending = word
            found.setdefault(".".join([*path, word]), line)
        elif word[0] in "\"'" and path and path[-1] == "option" and pending == "name":
            found.setdefault(".".join([*path[:-1], word[1:-1]]), line)
            found.setdefault(".".join([*path, word[1:-1]]), line)
    return found


def line_of(field: str, lines: Dict[str, int]) -> Optional[int]:
    """The line of a field that the service names, or of the nearest message around it."""
    path = re.sub(r"\[\d+\]", "", re.sub(r"^(experiment\.)?(spec\.)?", "", field)).split(".")
    for end in range(len(path), 0, -1):
        line = lines.get(".".join(path[:end])) or lines.get(
            ".".join(one for one in path[:end] if one != "option")
        )
        if line:
            return line
    return None


def completions(catalogue: List[CatalogueEntry]) -> List[Dict[str, str]]:
    """Words for the editor, each once, with a line of help."""
    found: Dict[str, Dict[str, str]] = {}

    def add(label: str, kind: str, detail: str) -> None:
        found.setdefault(label, {"label": label, "type": kind, "detail": detail[:80]})

    def fields(descriptor: Any, depth: int) -> None:
        for field in descriptor.fields if depth < 5 else ():
            add(field.name, "property", descriptor.name)
            if field.message_type is not None:
                fields(field.message_type, depth + 1)
            for value in field.enum_type.values if field.enum_type is not None else ():
                add(value.name, "enum", field.name)

    fields(ExperimentSpec.DESCRIPTOR, 0)
    for entry in catalogue:
        add(entry.name, "constant", f"{entry.kind}: {entry.help}")
        for setting in entry.settings:
            add(setting.name, "property", setting.help)
    return list(found.values())


class New:
    def __init__(self, page: Page, ready: str, like: str):
        self._page, self._like = page, like
        self._asked = 0
        self._specs = specs.ready_specs()
        texts = {name: path.read_text(encoding="utf-8") for name, path in self._specs.items()}
        about = {name: f"{name}: {first_sentence(text)}" for name, text in texts.items()}
        ui.label("A new experiment").classes("title").props("role=heading aria-level=1")
        with ui.element("div").classes("bar"):
            self._ready = (
                ui.select(about, label="Start from a ready spec", with_input=True)
                .props("outlined dense options-dense")
                .classes("grow")
                .on_value_change(lambda event: self._fill(texts.get(event.value, "")))
            )
            self._id = ui.input("Name", placeholder="chosen by the service").props("outlined dense")
            self._create = ui.button("Create", on_click=self._submit).props("unelevated no-caps")
        self._long = ui.label().classes("quiet")
        with panel("Spec"):
            self._editor = (
                ui.codemirror(
                    "",
                    language="Properties files",
                    theme="githubLight",
                    line_wrapping=True,
                    indent="  ",
                )
                .classes("editor")
                .on_value_change(self._changed)
            )
        self._said = ui.element("div").props("role=status")
        self._create.set_enabled(False)
        if ready in texts:
            self._ready.set_value(ready)
        page.start(self._begin)

    async def _begin(self) -> None:
        client = self._page.client
        if self._like:
            one = await self._page.call(client.get, self._like)
            self._fill(text_format.MessageToString(one.spec))
        elif not self._editor.value:
            self._say([], "Choose a ready spec, or write one. Ctrl-Space completes names.")
        words_of_spec = completions(await self._page.call(client.catalogue))
        self._page.browser.run_javascript(
            _COMPLETE % (json.dumps(words_of_spec).replace("<", "\\u003c"), self._editor.id)
        )

    def _fill(self, text: str) -> None:
        if text:
            self._editor.set_value(text)

    async def _changed(self) -> None:
        """Asks the service about the text, once no key has come for a while."""
        self._asked += 1
        mine = self._asked
        self._create.set_enabled(False)
        await ui.context.client.connected()
        await asyncio.sleep(_WAIT_S)
        if mine == self._asked:
            await self._check()

    async def _check(self) -> Optional[ExperimentProto]:
        text = self._editor.value or ""
        if not text.strip():
            self._say([], "Choose a ready spec, or write one. Ctrl-Space completes names.")
            return None
        try:
            if len(text) > _CHARACTERS_MAX:
                raise usage("spec", "has more than a million characters; shorten it")
            asked = specs.load_text(text)
            answer = await self._page.call(self._page.client.validate, asked)
        except MentorError as error:
            self._refuse(text, error)
            return None
        self._accept(answer, await self._page.call(_span, self._page.client, answer.spec))
        return asked

    def _refuse(self, text: str, error: MentorError) -> None:
        self._create.set_enabled(False)
        self._long.set_text("")
        if error.code == grpc.StatusCode.UNAUTHENTICATED:
            self._page.say(error)
            return
        lines = lines_of(text)
        found: List[Tuple[Optional[int], str]] = []
        for one in error.violations or [Violation("", error.message)]:
            place = re.search(r"\b(\d+):\d+ : ", one.description)  # Of protobuf's parser.
            if place:
                found.append((int(place[1]), one.description[place.end() :]))
            else:
                name = re.sub(r"^experiment\.(spec\.)?", "", one.field)
                found.append((line_of(one.field, lines), f"{name} {one.description}".strip()))
        self._say(found, "")

    def _accept(self, answer: Experiment, span: str) -> None:
        self._create.set_enabled(True)
        steps = words.number(env_steps(answer.spec))
        memory = words.size(answer.proto.memory_needs.learner_bytes)
        self._long.set_text(
            f"{steps} environment steps of meta-training{span}. A learner needs {memory}."
        )
        lines = lines_of(self._editor.value or "")
        warnings = [(line_of(one.partition(":")[0], lines), one) for one in answer.proto.warnings]
        self._say(warnings, "The spec is valid.")

    def _say(self, found: List[Tuple[Optional[int], str]], otherwise: str) -> None:
        """Shows each sentence below the editor, and at the end of its line."""
        text = self._editor.value or ""
        ends = [match.start() for match in re.finditer(r"\n|\Z", text)]
        decorations: List[Dict[str, Any]] = []
        self._said.clear()
        with self._said:
            if not found:
                ui.label(otherwise).classes("quiet")
            for line, words_said in sorted(found, key=lambda one: one[0] or 0):
                label = ui.label(f"Line {line}: {words_said}" if line else words_said).classes(
                    "wrong"
                )
                if not line or line > len(ends):
                    continue
                label.on("click", lambda line=line: self._editor.reveal_line(line))
                decorations.append({"kind": "line", "line": line, "class": "cm-violation"})
                decorations.append(
                    {
                        "kind": "widget",
                        "position": ends[line - 1],
                        "text": words_said,
                        "class": "cm-said",
                    }
                )
        self._editor.decorations = decorations

    async def _submit(self) -> None:
        asked = await self._check()
        if asked is None:
            return
        made = await self._page.try_call(
            self._page.client.create, asked, id=(self._id.value or "").strip()
        )
        if made is not None:
            ui.navigate.to(f"/experiments/{made.id}")


@view("/new", "New")
def new(page: Page, names: Dict[str, str]) -> None:
    New(page, names.get("from", ""), names.get("like", ""))
