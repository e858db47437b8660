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
from typing import Dict, List, Tuple

from nicegui import app, ui
from starlette.requests import Request
from starlette.responses import Response

from .. import installed
from ..client import Client
from ..v1.experiment_pb2 import CatalogueEntry
from . import words
from .page import Page, view
from .parts import button, field, heading, panel, row, table, text
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
_SHOWN_BY = {"environment": "env", "benchmark": "env", "wrapper": "env"}
_SECONDS_MAX = 60.0
_BEGIN = ("--policy", "random", "--steps", "1", "--frames", "1", "--size", "320x240")
_pictures: Dict[str, bytes] = {}  # By environment; empty where there is no scene.
_examples: Dict[Tuple[str, str], List[str]] = {}
_one_at_a_time = asyncio.Semaphore(1)


async def picture(request: Request) -> Response:
    found = _pictures.get(request.path_params["name"])
    if not found:
        return Response("there is no such picture", 404)
    headers = {"cache-control": "private, max-age=3600"}
    return Response(found, media_type="image/png", headers=headers)


app.add_route("/picture/{name}", picture, methods=["GET"])


async def ask(*words_of_call: str, file: str = "") -> bytes:
    """What `mentor` prints, or the file that it writes; nothing where it knows no such thing."""
    with tempfile.TemporaryDirectory(prefix="mentor-web-") as folder:
        try:
            said = await run(pathlib.Path(folder), None, *words_of_call, seconds=_SECONDS_MAX)
            return pathlib.Path(folder, file).read_bytes() if file else said.encode()
        except (RuntimeError, OSError):
            return b""


def examples(client: Client) -> Dict[Tuple[str, str], List[str]]:
    """The ready specs that name a part, by its kind and name. Every page has the same."""
    found: Dict[Tuple[str, str], List[str]] = {}
    for name, path in installed.ready_specs().items():
        spec = client.parse_spec(path).spec
        parts = {(kind, getattr(spec, kind).name) for kind in ("signal", "rule", "curriculum")}
        home = spec.benchmark
        # A benchmark of one environment may have its name.
        parts |= {("benchmark", home.name), ("environment", home.environment or home.name)}
        for part in parts | {("wrapper", one.name) for one in home.wrapper}:
            found.setdefault(part, []).append(name)
    _examples.update(found)
    return found


class Catalogue:
    def __init__(self, page: Page):
        self._page = page
        self._examples: Dict[Tuple[str, str], List[str]] = {}
        self._cards: List[Tuple[str, str, ui.element]] = []  # Kind, what a search finds, card.
        self._sections: Dict[str, ui.element] = {}
        self._images: Dict[str, ui.element] = {}  # By environment, until they are drawn.
        self._draws = shutil.which("mentor") is not None
        heading("Catalogue")
        self._search = field(ui.input("Search", on_change=self._filter), "clearable debounce=150")
        self._count = text("Loading …", "quiet", "role=status")
        self._kinds = row()
        if not self._draws:
            text(
                "Pictures and facts come from the program `mentor`, which is not on the PATH of "
                "mentor-web. Put it there, and start mentor-web again.",
                "quiet",
            )
        page.start(self._begin)
        page.every(0.5, self._draw_next)
        self._place = ui.element("div")

    async def _begin(self) -> None:
        client = self._page.client
        entries = await self._page.call_until_answered(client.catalogue)
        for bundle in await self._page.call_until_answered(client.bundles):
            about = f"{bundle.file_count} files, {words.size(bundle.size_bytes)}, of {bundle.owner}"
            entries.append(CatalogueEntry(kind="bundle", name=bundle.name, help=about))
        self._examples = _examples or await self._page.call_until_answered(examples, client)
        for kind in dict.fromkeys([*_TITLES, *(one.kind for one in entries)]):
            found = [one for one in entries if one.kind == kind]
            if not found:
                continue
            title = _TITLES.get(kind, kind)
            with self._kinds:
                ui.link(f"{title.partition(':')[0]} {len(found)}", f"#{kind}")
            with self._place, ui.element("section").props(f"id={kind}") as self._sections[kind]:
                heading(title, "head", 2)
                with row("cards"):
                    for one in found:
                        self._add(one)
        self._filter()

    def _add(self, entry: CatalogueEntry) -> None:
        with ui.element("button").classes("card") as card:
            card.on("click", functools.partial(self._show, entry))
            self._picture(entry)
            text(entry.name, "name")
            text(entry.help, "quiet")
        found_by = f"{entry.name} {entry.help} {_TITLES.get(entry.kind)} {entry.kind}".lower()
        self._cards.append((entry.kind, found_by, card))

    def _picture(self, entry: CatalogueEntry) -> None:
        if not self._draws or entry.kind != "environment":
            return
        image = ui.element("img").props("loading=lazy width=320 height=240")
        image.props["alt"] = ""
        if entry.name in _pictures:
            _fill(image, entry.name)
        else:
            self._images[entry.name] = image

    async def _draw_next(self) -> None:
        """Draws one picture, of what the search shows if it can. The browser never waits for it: a
        request that waits would hold up others."""
        shown = [name for name, image in self._images.items() if image.parent_slot.parent.visible]
        name = next(iter([*shown, *self._images]), "")
        if not name:
            return
        async with _one_at_a_time:
            if name not in _pictures:
                asked = ("env", "render", *_BEGIN, "--out", "begin.png", "--", name)
                _pictures[name] = await ask(*asked, file="begin.png")
        _fill(self._images.pop(name), name)

    def _filter(self) -> None:
        asked = (self._search.value or "").lower().split()
        kinds = []
        for kind, found_by, card in self._cards:
            card.set_visibility(all(word in found_by for word in asked))
            kinds += [kind] * card.visible
        for kind, section in self._sections.items():
            section.set_visibility(kind in kinds)
        self._count.set_text(f"{len(kinds)} of {len(self._cards)}")

    async def _show(self, entry: CatalogueEntry) -> None:
        with ui.dialog() as dialog, ui.card().classes("details"):
            dialog.props["aria-label"] = entry.name
            heading(entry.name, level=2)
            text(entry.help)
            if entry.name in _pictures:
                self._picture(entry)
            known = text("", "log", "tabindex=0")
            for name in self._examples.get((entry.kind, entry.name), ())[:5]:
                ui.link(f"New experiment from {name}", f"/new?from={urllib.parse.quote(name)}")
            with panel("Settings"):
                titles = {"name": "Name", "default": "Default", "help": "What, and its bounds"}
                table("name", **titles).props('no-data-label="It has none."').rows = [
                    {"name": one.name, "default": one.default_value, "help": one.help}
                    for one in entry.settings
                ]
            button("Close", dialog.close, "flat")

        async def tell() -> None:
            said = await ask(_SHOWN_BY.get(entry.kind, entry.kind), "show", "--", entry.name)
            # The settings follow, which the service has told.
            beside = re.split(r"\n  (?:options|in a spec) ", said.decode())[0]
            if not known.is_deleted:
                known.set_text(textwrap.dedent(beside.partition("\n")[2]))

        if self._draws and entry.kind != "bundle":
            self._page.soon(tell)  # The dialog does not wait: it may be closed meanwhile.
        await self._page.answer(dialog)


def _fill(image: ui.element, name: str) -> None:
    image.props["src"] = f"/picture/{urllib.parse.quote(name)}"
    image.set_visibility(bool(_pictures[name]))


@view("/catalogue", "Catalogue")
def catalogue(page: Page, names: Dict[str, str]) -> None:
    Catalogue(page)
