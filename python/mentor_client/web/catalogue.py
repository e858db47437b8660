"""View: the catalogue: what a spec can name, with pictures, settings and ready specs."""

from __future__ import annotations

import asyncio
import functools
import pathlib
import re
import shutil
import tempfile
import textwrap
import urllib.parse
from typing import Dict, List, NamedTuple, Set, Tuple

from nicegui import app, ui
from starlette.requests import Request
from starlette.responses import Response

from .. import specs
from ..v1.experiment_pb2 import CatalogueEntry
from . import words
from .page import Page, table, view
from .report import run

_TITLES = {
    "environment": "Environments",
    "benchmark": "Benchmarks",
    "rule": "Methods: outer rules with their inner loops",
    "signal": "Signal networks",
    "curriculum": "Curricula",
    "wrapper": "Wrappers",
    "bundle": "Bundles",
}
_SECONDS_MAX = 60.0
_NO_PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240">
<text x="160" y="124" fill="#7c8190" font-family="sans-serif" font-size="18"
 text-anchor="middle">no scene</text></svg>"""
_environments: Set[str] = set()  # Names of which a picture may be asked.
_pictures: Dict[str, bytes] = {}
_one_at_a_time = asyncio.Semaphore(1)


@app.get("/picture/{name}")
async def picture(request: Request, name: str) -> Response:
    """How an environment begins. The program `mentor` draws it once."""
    if name not in _environments:
        return Response("there is no such environment", 404)
    async with _one_at_a_time:
        if name not in _pictures and not await request.is_disconnected():
            _pictures[name] = await _draw(name)
    found = _pictures.get(name, b"")
    kind = "image/svg+xml" if found.startswith(b"<svg") else "image/png"
    return Response(found, media_type=kind, headers={"cache-control": "private, max-age=3600"})


async def _draw(name: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="mentor-web-") as folder:
        begin = ("--policy", "random", "--steps", "1", "--frames", "1", "--size", "320x240")
        words_of_call = ("env", "render", *begin, "--out", "begin.png", "--", name)
        try:
            await run(pathlib.Path(folder), None, *words_of_call, seconds=_SECONDS_MAX)
            return pathlib.Path(folder, "begin.png").read_bytes()
        except (RuntimeError, OSError):
            return _NO_PICTURE.encode()


@functools.lru_cache(maxsize=None)
def examples() -> Dict[Tuple[str, str], List[str]]:
    """The ready specs that name a part, by its kind and name."""
    found: Dict[Tuple[str, str], List[str]] = {}
    for name, path in specs.ready_specs().items():
        spec = specs.load_spec(path)
        parts = {(kind, getattr(spec, kind).name) for kind in ("signal", "rule", "curriculum")}
        parts |= {("benchmark", spec.benchmark.name), ("environment", spec.benchmark.environment)}
        for part in parts | {("wrapper", one.name) for one in spec.benchmark.wrapper}:
            found.setdefault(part, []).append(name)
    return found


class Card(NamedTuple):
    entry: CatalogueEntry
    text: str
    element: ui.element


class Catalogue:
    def __init__(self, page: Page):
        self._page = page
        self._examples: Dict[Tuple[str, str], List[str]] = {}
        self._cards: List[Card] = []
        self._sections: Dict[str, ui.element] = {}
        self._draws = shutil.which("mentor") is not None
        ui.label("Catalogue").classes("title").props("role=heading aria-level=1")
        self._search = ui.input("Search", placeholder="such as door, wrapper or evolution").props(
            "dense outlined clearable debounce=150 autofocus"
        )
        self._search.on_value_change(self._filter)
        self._count = ui.label("Loading …").classes("quiet").props("role=status")
        if not self._draws:
            ui.label(
                "Pictures and facts come from the program `mentor`, which is not on the PATH of "
                "mentor-web; put it there and start mentor-web again."
            ).classes("quiet")
        self._place = ui.element("div")
        page.start(self._begin)

    async def _begin(self) -> None:
        client = self._page.client
        entries = await self._page.call(client.catalogue)
        for bundle in await self._page.call(client.bundles):
            about = f"{bundle.file_count} files, {words.size(bundle.size_bytes)}, of {bundle.owner}"
            entries.append(CatalogueEntry(kind="bundle", name=bundle.name, help=about))
        self._examples = await self._page.call(examples)
        _environments.update(one.name for one in entries if one.kind == "environment")
        kinds = list(_TITLES)
        for entry in sorted(entries, key=lambda one: (kinds + [one.kind]).index(one.kind)):
            if entry.kind not in self._sections:
                with self._place, ui.element("section"):
                    title = _TITLES.get(entry.kind, entry.kind)
                    ui.label(title).classes("head").props("role=heading aria-level=2")
                    self._sections[entry.kind] = ui.element("div").classes("cards")
            with self._sections[entry.kind]:
                self._add(entry)
        self._filter()

    def _add(self, entry: CatalogueEntry) -> None:
        with ui.element("button").classes("card") as card:
            card.on("click", lambda: self._show(entry))
            self._picture(entry)
            ui.label(entry.name).classes("name")
            ui.label(entry.help).classes("quiet")
        self._cards.append(Card(entry, f"{entry.name} {entry.help} {entry.kind}".lower(), card))

    def _picture(self, entry: CatalogueEntry) -> None:
        if self._draws and entry.kind == "environment":
            image = ui.element("img").props("loading=lazy width=320 height=240")
            image.props["src"] = f"/picture/{urllib.parse.quote(entry.name)}"
            image.props["alt"] = ""

    def _filter(self) -> None:
        asked = (self._search.value or "").lower().split()
        shown = [card for card in self._cards if all(word in card.text for word in asked)]
        for card in self._cards:
            card.element.set_visibility(card in shown)
        for kind, section in self._sections.items():
            visible = any(card.entry.kind == kind for card in shown)
            assert section.parent_slot is not None
            section.parent_slot.parent.set_visibility(visible)
        self._count.set_text(f"{len(shown)} of {len(self._cards)}")

    async def _show(self, entry: CatalogueEntry) -> None:
        with ui.dialog() as dialog, ui.card().classes("details"):
            ui.label(entry.name).classes("title").props("role=heading aria-level=2")
            ui.label(entry.help)
            self._picture(entry)
            facts = ui.label().classes("log")
            settings = table("name", name="Setting", default="Default", help="What, and its bounds")
            settings.props('no-data-label="It has no settings."').rows = [
                {"name": one.name, "default": one.default_value, "help": one.help}
                for one in entry.settings
            ]
            for name in self._examples.get((entry.kind, entry.name), ())[:5]:
                ui.link(f"New experiment from {name}", f"/new?from={urllib.parse.quote(name)}")
            ui.button("Close", on_click=dialog.close).props("flat no-caps")
        dialog.open()
        facts.set_text(await self._facts(entry))
        await self._page.answer(dialog)

    async def _facts(self, entry: CatalogueEntry) -> str:
        """What `mentor` knows beside the settings."""
        command = {"environment": "env", "benchmark": "env", "wrapper": "env"}
        group = command.get(entry.kind, entry.kind)
        if not self._draws or group == "bundle":
            return ""
        try:
            here = pathlib.Path(tempfile.gettempdir())
            text = await run(here, None, group, "show", "--", entry.name, seconds=_SECONDS_MAX)
        except RuntimeError:
            return ""  # An older program, which does not know it.
        text = re.split(r"\n  (?:options|in a spec) ", text)[0].partition("\n")[2]
        return textwrap.dedent(text)


@view("/catalogue", "Catalogue")
def catalogue(page: Page, names: Dict[str, str]) -> None:
    Catalogue(page)
