"""What all views share: the program's state, an open page with its connection, the frame around a
view."""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import functools
import os
import threading
import urllib.parse
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Optional, Tuple, TypeVar, Union

import grpc
from fastapi import Request
from nicegui import background_tasks, ui

from ..client import Client
from ..errors import MentorError
from .session import Session, Sessions, is_address

PULSE_S = 0.5  # A page is drawn anew at most this often.
ANSWER_S = 30.0  # A browser that is silent for this long gets nothing more until it speaks.
_CALLS_AT_ONCE = 24
_Answer = TypeVar("_Answer")


class Web:
    """The program: options, sessions, threads for calls."""

    def __init__(self, flags: argparse.Namespace):
        self.flags = flags
        self.origins = list(flags.origin or ())
        names = [urllib.parse.urlsplit(origin).hostname or "" for origin in self.origins]
        self._names = {"localhost", flags.listen.rpartition(":")[0].strip("[]"), *names}
        self.sessions = Sessions(flags.sessions_max)
        self.pages = 0
        self._threads = concurrent.futures.ThreadPoolExecutor(_CALLS_AT_ONCE, "call")

    def answers_to(self, host: str) -> bool:
        """A name that leads here by someone else's choice (DNS rebinding) is none of ours."""
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        return name in self._names or is_address(name)

    def connect(self, token: str, **options: Any) -> Client:
        """The token is the caller's, never that of this program's environment."""
        return Client(
            self.flags.server,
            token=token,
            allow_insecure=self.flags.allow_insecure,
            timeout=10.0,
            patience=1e9,
            **options,
        )

    async def thread(
        self, function: Callable[..., _Answer], *arguments: Any, **named: Any
    ) -> _Answer:
        """Calls block, so they never run on the loop's thread."""
        call = functools.partial(function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def admit(self, token: str) -> Session:
        """Begins a session if the service takes this token, or none."""
        if not token and os.environ.get("MENTOR_TLS_CERT"):
            # Else the certificate's rights would be everybody's.
            raise MentorError(grpc.StatusCode.UNAUTHENTICATED, "sign in with a token")

        def ask() -> None:
            with self.connect(token) as client:
                next(client.list(page_size=1), None)

        await self.thread(ask)
        session = self.sessions.begin(token)
        if session is None:
            raise MentorError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self.flags.sessions_max} browsers are signed in already (--sessions_max)",
            )
        return session


_web: List[Web] = []


def web() -> Web:
    return _web[0]


def serve_for(one: Web) -> None:
    _web[:] = [one]


class Page:
    """One open page: its own connection and streams, all closed with it. Threads collect what
    changes; the page is drawn from that, never faster than its browser takes it.
    """

    def __init__(self, session: Session):
        self.session = session
        self.browser = ui.context.client
        self.client = web().connect(session.token, on_contact=self._contact)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._draw: List[Callable[[], Union[None, Awaitable[None]]]] = []
        self._start: List[Callable[[], Awaitable[None]]] = []
        self._away: Optional[str] = None
        self._closed = False
        session.pages.add(self)
        web().pages += 1
        self.browser.on_delete(self._close)

    # The frame.

    def frame(self, title: str) -> None:
        ui.dark_mode(self.session.dark)
        ui.colors(primary="#3949ab")
        ui.page_title(f"{title} · Mentor")
        with ui.header(elevated=False).classes("top"):
            ui.link("Mentor", "/").classes("brand")
            with ui.element("nav").props('aria-label="Views"'):
                for path, name in navigation():
                    current = 'aria-current="page"' if name == title else ""
                    ui.link(name, path).props(current)
            ui.space()
            ui.label(self.client.server).classes("server")
            ui.button(icon="contrast", on_click=self._other_colours).props(
                'flat round dense color=white aria-label="Light or dark"'
            )
            if self.session.token:
                ui.button("Sign out", on_click=lambda: web().sessions.end(self.session)).props(
                    "flat dense no-caps color=white"
                )
        self._banner = ui.label().classes("banner").props("role=status")
        self._banner.set_visibility(False)
        self.on_change(self._draw_banner)

    def _other_colours(self) -> None:
        self.session.dark = {None: True, True: False, False: True}[self.session.dark]
        for page in self.session.pages:
            with page.browser:
                ui.dark_mode(self.session.dark)

    def _draw_banner(self) -> None:
        self._banner.set_visibility(self._away is not None)
        self._banner.set_text(
            f"The service does not answer; this page goes on when it does. ({self._away})"
        )

    # Calls.

    async def call(
        self, function: Callable[..., _Answer], *arguments: Any, **named: Any
    ) -> _Answer:
        return await web().thread(function, *arguments, **named)

    async def try_call(
        self, function: Callable[..., _Answer], *arguments: Any, **named: Any
    ) -> Optional[_Answer]:
        """Shows an error, and returns None then."""
        try:
            return await self.call(function, *arguments, **named)
        except MentorError as error:
            self.say(error)
            return None

    def say(self, what: Union[str, MentorError]) -> None:
        if self._closed:
            return
        if isinstance(what, MentorError) and what.code == grpc.StatusCode.UNAUTHENTICATED:
            web().sessions.end(self.session)
            return
        wrong = isinstance(what, MentorError)
        with self.browser:
            ui.notify(
                what.message if isinstance(what, MentorError) else what,
                type="negative" if wrong else "positive",
                position="bottom",
                timeout=8000 if wrong else 3000,
                close_button="Close" if wrong else False,
            )

    async def answer(self, dialog: ui.dialog) -> Any:
        """What a dialog was closed with; None if the page went first."""
        found = await dialog
        if not self._closed:
            dialog.delete()
        return found

    async def confirm(
        self,
        question: str,
        action: str,
        about: str = "An experiment that was cancelled does not go on; its checkpoints stay.",
    ) -> bool:
        with ui.dialog() as dialog, ui.card():
            ui.label(question).classes("title")
            ui.label(about)
            with ui.element("div").classes("bar"):
                ui.button(action, on_click=lambda: dialog.submit(True)).props(
                    "unelevated no-caps color=negative"
                )
                ui.button("Back", on_click=lambda: dialog.submit(False)).props("flat no-caps")
        return bool(await self.answer(dialog))

    # Streams.

    def follow(
        self, stream: Callable[[], Iterator[_Answer]], take: Callable[[_Answer], None]
    ) -> None:
        """Reads a stream to its end in a thread of its own, which calls `take`; then draws."""

        def read() -> None:
            try:
                for item in stream():
                    if self._closed:
                        return
                    take(item)
                    self.changed()
            except MentorError as error:
                if not self._closed:
                    self._loop.call_soon_threadsafe(self.say, error)

        threading.Thread(target=read, daemon=True, name="stream").start()

    def changed(self) -> None:
        """Something is to be drawn. Any thread may say so."""
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # The program ends.
            pass

    def on_change(self, draw: Callable[[], Union[None, Awaitable[None]]]) -> None:
        self._draw.append(draw)

    def _contact(self, error: Optional[MentorError]) -> None:
        self._away = error.message if error else None
        self.changed()

    def start(self, action: Callable[[], Awaitable[None]]) -> None:
        """Runs once the browser shows the page."""
        self._start.append(action)

    def every(self, span_s: float, action: Callable[[], Awaitable[None]]) -> None:
        """Runs now and then, one after the other, while the page is open."""

        async def again() -> None:
            while not self._closed:
                with self.browser:
                    await action()
                await asyncio.sleep(span_s)

        self.start(again)

    async def _begin(self, action: Callable[[], Awaitable[None]]) -> None:
        with self.browser:
            try:
                await action()
            except MentorError as error:
                self.say(error)

    async def run(self) -> None:
        """Draws what has changed for as long as the page is open."""
        for action in self._start:
            background_tasks.create(self._begin(action))
        while not self._closed:
            await self._changed.wait()
            self._changed.clear()
            with self.browser:
                for draw in self._draw:
                    drawn = draw()
                    if drawn is not None:
                        await drawn
            try:  # The latest state waits here for a slow browser.
                await self.browser.run_javascript("return 1", timeout=ANSWER_S)
            except TimeoutError:
                pass
            await asyncio.sleep(PULSE_S)

    # The end.

    def leave(self) -> None:
        with self.browser:
            ui.navigate.to("/sign_in" if self.session.token else "/")
        self._close()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._changed.set()
        self.session.pages.discard(self)
        web().pages -= 1
        self._loop.run_in_executor(None, self.client.close)


def panel(title: str, wide: bool = False, level: int = 2) -> ui.element:
    """A titled part of a view; it scrolls sideways where it is narrow."""
    part = ui.element("section").classes("panel scroll wide" if wide else "panel scroll")
    part.props["tabindex"], part.props["aria-label"] = 0, title
    with part:
        ui.label(title).classes("head").props(f"role=heading aria-level={level}")
    return part


def table(key: str, **titles: str) -> ui.table:
    """A table of texts: columns by the name of their field."""
    columns = [
        {"name": name, "label": title, "field": name, "align": "left", "sortable": True}
        for name, title in titles.items()
    ]
    rows = ui.table(rows=[], columns=columns, row_key=key, pagination=0).classes("table")
    rows.props('flat dense wrap-cells hide-pagination no-data-label="Nothing here"')
    return rows


_VIEWS: List[Tuple[str, str]] = []
_Build = Callable[["Page", Dict[str, str]], None]


def navigation() -> List[Tuple[str, str]]:
    return sorted(_VIEWS, key=lambda one: (one[0] != "/", one[0] != "/new", one[1]))


def view(path: str, title: str, listed: bool = True) -> Callable[[_Build], _Build]:
    """Registers a view: a function of a Page and of the names in its path and query, which draws
    what needs no call. `Page.start` does the rest, once the browser shows that.
    """
    if listed:
        _VIEWS.append((path, title))

    def register(build: _Build) -> _Build:
        async def show(request: Request) -> None:
            session: Session = request.scope["mentor"]
            if web().pages >= web().flags.pages_max:
                ui.label(f"{web().pages} pages are open already (--pages_max); close one.")
                return
            page = Page(session)
            page.frame(title)
            names: Dict[str, str] = {**request.query_params, **request.path_params}
            with ui.element("div").classes("view"):
                build(page, names)
            await page.browser.connected()
            await page.run()

        ui.page(path)(show)
        return build

    return register
