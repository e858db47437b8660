"""What all views share: the program's state, an open page with its connection, the frame around a
view."""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import functools
import os
import threading
import urllib.parse
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Optional, TypeVar, Union

import grpc
from fastapi import Request
from nicegui import background_tasks, ui

from ..client import Client
from ..connection import log
from ..errors import MentorError
from . import apart
from .parts import button, row, text
from .places import Places
from .session import Session, Sessions, is_address, share

PULSE_S = 0.5  # A page is drawn anew at most this often.
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_AGAIN_S = 2.0
ANSWER_S = 30.0  # A browser that is silent for this long gets nothing more until it speaks.
_CALLS_AT_ONCE = 24
_CALLS_EACH = 6  # Calls of one owner.
_READS_AT_ONCE = 6
_READS_EACH = 2
_READ_HERE = 64 << 10  # Longer texts are read apart.
_CANCELLED = "What was cancelled does not go on; its checkpoints stay."
# The socket of a page that has ended here, while its browser slept or this program was away, is
# refused, and NiceGUI would try for ever.
_BEGIN_ANEW = """window.socket.on("connect_error", async () => {
  const answer = await fetch(`/healthz?page=${window.clientId}`).catch(() => null);
  if (answer && (await answer.text()) === "gone") location.reload();
})"""
_Answer = TypeVar("_Answer")
_Draw = Callable[[], Optional[Awaitable[None]]]
_Action = Callable[[], Awaitable[None]]


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
        self._calls = Places(_CALLS_AT_ONCE, _CALLS_EACH)
        self._reads = Places(_READS_AT_ONCE, _READS_EACH)

    def answers_to(self, host: str) -> bool:
        """A name that leads here by someone else's choice (DNS rebinding) is none of ours."""
        try:
            name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or is_address(name)

    def connect(self, token: str, **options: Any) -> Client:
        """The token is the caller's, never that of this program's environment."""
        return Client(
            self.flags.server,
            token=token,
            allow_insecure=self.flags.allow_insecure,
            timeout=10.0,
            patience=1e9,
            read_only=self.flags.read_only,  # What a page hides may be clicked by a script.
            **options,
        )

    async def call(
        self, owner: str, function: Callable[..., _Answer], *arguments: Any, **named: Any
    ) -> _Answer:
        """Calls block, so they never run on the loop's thread. Owners share the threads."""
        give_back = await self._calls.take(owner)
        loop = asyncio.get_running_loop()

        def done(_: Any) -> None:
            with contextlib.suppress(RuntimeError):  # The program ends.
                loop.call_soon_threadsafe(give_back)

        job = self._threads.submit(functools.partial(function, *arguments, **named))
        job.add_done_callback(done)  # Later than the end of a task that was cancelled.
        return await asyncio.wrap_future(job)

    async def read(self, owner: str, function: Callable[..., _Answer], *texts: Any) -> _Answer:
        """Calls a function with what users wrote: texts, messages as bytes, or lists of them."""
        async with self._reads.of(owner):
            if sum(map(_length, texts)) <= _READ_HERE:
                return await self.call(owner, function, *texts)
            return await apart.run(function, *texts)

    async def admit(self, token: str, peer: str) -> Session:
        """Begins a session if the service takes this token, or none. `peer`: who asks."""
        if not token and os.environ.get("MENTOR_TLS_CERT"):
            # Else the certificate's rights would be everybody's.
            raise MentorError(grpc.StatusCode.UNAUTHENTICATED, "sign in with a token")

        def ask() -> None:
            with self.connect(token) as client:
                next(client.list(page_size=1), None)

        await self.call(f"peer {peer}", ask)
        session = self.sessions.begin(token)
        if session is None:
            raise MentorError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self.flags.sessions_max} browsers are signed in already (--sessions_max)",
            )
        return session


def _length(part: Any) -> int:
    if isinstance(part, (str, bytes)):
        return len(part)
    return sum(map(_length, part)) if isinstance(part, (list, tuple)) else 1


_web: List[Web] = []


def web() -> Web:
    return _web[0]


def serve_for(one: Web) -> None:
    _web[:] = [one]


class Page:
    """One open page: its own connection and streams, all closed with it. It is drawn from what
    streams and calls have brought, never faster than its browser takes it.
    """

    def __init__(self, session: Session):
        self.session = session
        self.browser = ui.context.client
        self.client = web().connect(session.token, on_contact=self._contact)
        self.call = functools.partial(web().call, session.owner)
        self.read = functools.partial(web().read, session.owner)
        self.is_open = True
        self.report = ("", b"")  # The latest one, with its own secret name.
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._draw: List[_Draw] = []
        self._start: List[_Action] = []
        self._away: Optional[MentorError] = None
        session.pages.add(self)
        web().pages += 1
        self.browser.on_delete(self._close)

    # The frame.

    def frame(self, title: str) -> None:
        self._dark = ui.dark_mode(self.session.dark)
        ui.colors(primary="#3949ab")
        ui.page_title(f"{title} · Mentor")
        ui.run_javascript(_BEGIN_ANEW)
        if web().flags.read_only:
            ui.query("body").classes("read-only")
        with ui.header(elevated=False).classes("top"):
            ui.link("Mentor", "/").classes("brand")
            with ui.element("nav").props('aria-label="Views"'):
                for path, name in sorted(_LISTED.items()):
                    ui.link(name, path).props("aria-current=page" if name == title else "")
            ui.space()
            text(self.client.server, "server")
            colours = button("", self._other_colours, "flat round dense color=white icon=contrast")
            colours.props('aria-label="Light or dark"')
            if self.session.token:
                leave = functools.partial(web().sessions.end, self.session)
                button("Sign out", leave, "flat dense color=white")
        self._banner = text("", "banner", "role=status")
        self._banner.set_visibility(False)
        self.on_change(self._draw_banner)

    async def _other_colours(self) -> None:
        is_dark = "return document.body.classList.contains('body--dark')"
        self.session.dark = not await self.browser.run_javascript(is_dark, timeout=ANSWER_S)
        for page in self.session.pages:
            page._dark.set_value(self.session.dark)

    def _draw_banner(self) -> None:
        error = self._away
        self._banner.set_visibility(error is not None)
        if error is not None:
            busy = error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
            what = (
                "The service has no room for this page" if busy else "The service does not answer"
            )
            self._banner.set_text(f"{what}; it goes on by itself. ({error.message})")

    @property
    def is_away(self) -> bool:
        """True while the service does not answer."""
        return self._away is not None

    # Calls.

    async def call_until_answered(
        self, function: Callable[..., _Answer], *arguments: Any, **named: Any
    ) -> _Answer:
        """As call, again and again while the service does not answer and the page is open. For what
        a page begins with: it would stay empty when the service is back.
        """
        while True:
            try:
                answer = await self.call(function, *arguments, **named)
            except MentorError as error:
                if error.code not in _NO_ANSWER or not self.is_open:
                    raise
                self._contact(error)
                await asyncio.sleep(_AGAIN_S)
            else:
                if self.is_away:
                    self._contact(None)
                return answer

    async def try_call(
        self, function: Callable[..., _Answer], *arguments: Any, **named: Any
    ) -> Optional[_Answer]:
        """Shows an error, and returns None then."""
        try:
            return await self.call(function, *arguments, **named)
        except MentorError as error:
            self.say(error)
            return None

    def say(self, what: Union[str, MentorError], place: Optional[ui.label] = None) -> None:
        """Tells the user, at a place for errors where there is one."""
        if not self.is_open:
            return
        if isinstance(what, MentorError) and what.code == grpc.StatusCode.UNAUTHENTICATED:
            web().sessions.end(self.session)
            return
        with self.browser:
            if isinstance(what, str):
                ui.notify(what, type="positive", timeout=3000)
            elif place is not None:
                place.set_text(what.message)
            else:
                close = {"label": "Close", "color": "white"}
                ui.notify(what.message, type="negative", timeout=8000, actions=[close])

    async def answer(self, dialog: ui.dialog) -> Any:
        """What a dialog was closed with; None if the page went first."""
        found = await dialog
        if self.is_open:
            dialog.delete()
        return found

    async def confirm(self, question: str, action: str, about: str = _CANCELLED) -> bool:
        with ui.dialog() as dialog, ui.card():
            dialog.props["aria-label"] = question
            text(question, "title")
            text(about)
            with row():
                button(action, lambda: dialog.submit(True), "unelevated color=negative")
                button("Back", lambda: dialog.submit(False), "flat")
        return bool(await self.answer(dialog))

    # Streams.

    def follow(
        self, stream: Callable[[], Iterator[_Answer]], take: Callable[[_Answer], None]
    ) -> None:
        """Reads a stream to its end in a thread of its own. Each item waits until `take` was called
        with it, on the loop's thread; then the page is drawn.
        """

        async def give(item: _Answer) -> None:
            take(item)
            self._changed.set()

        def read() -> None:
            try:
                for item in stream():
                    if not self.is_open:
                        return
                    asyncio.run_coroutine_threadsafe(give(item), self._loop).result()
            except MentorError as error:
                if self.is_open:
                    self._loop.call_soon_threadsafe(self.say, error)

        threading.Thread(target=read, daemon=True, name="stream").start()

    def changed(self) -> None:
        """Something is to be drawn. Any thread may say so."""
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # The program ends.
            pass

    def on_change(self, draw: _Draw) -> None:
        self._draw.append(draw)

    def _contact(self, error: Optional[MentorError]) -> None:
        self._away = error
        self.changed()

    def start(self, action: _Action) -> None:
        """Runs once the browser shows the page."""
        self._start.append(action)

    def soon(self, action: _Draw) -> None:
        """Runs at once, while the browser still loads the page."""
        background_tasks.create(self._do(action))

    def every(self, span_s: float, action: _Action) -> None:
        """Runs now and then, one after the other, while the page is open."""

        async def again() -> None:
            await self.browser.connected()
            while self.is_open:
                await self._do(action)
                await asyncio.sleep(span_s)

        background_tasks.create(again())

    async def _do(self, action: _Draw) -> None:
        with self.browser:
            try:
                waiting = action()
                if waiting is not None:
                    await waiting
            except MentorError as error:
                self.say(error)
            except Exception:  # The rest of the page goes on.
                log.exception("a part of a page failed")

    async def run(self) -> None:
        """Draws what has changed for as long as the page is open."""
        for action in self._start if self.is_open else ():
            self.soon(action)
        while self.is_open:
            await self._changed.wait()
            self._changed.clear()
            for draw in self._draw:
                await self._do(draw)
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
        if not self.is_open:
            return
        self.is_open = False
        self._changed.set()
        self.session.pages.discard(self)
        web().pages -= 1
        self._loop.run_in_executor(None, self.client.close)


_LISTED: Dict[str, str] = {}  # Titles by path.
_Build = Callable[["Page", Dict[str, str]], None]


def view(path: str, title: str, listed: bool = True) -> Callable[[_Build], _Build]:
    """Registers a view: a function of a Page and of the names in its path and query, which draws
    what needs no call. `Page.start` does the rest, once the browser shows that.
    """
    if listed:
        _LISTED[path] = title

    def register(build: _Build) -> _Build:
        async def show(request: Request) -> None:
            session: Session = request.scope["mentor"]
            open_now, most = web().pages, web().flags.pages_max
            if open_now < most:
                open_now, most = web().sessions.pages_of(session.owner), share(most)
            if open_now >= most:
                text(f"{open_now} pages are open already (--pages_max); close one.")
                return
            page = Page(session)
            page.frame(title)
            names: Dict[str, str] = {**request.query_params, **request.path_params}
            with row("view"):
                build(page, names)
            await page.browser.connected()
            await page.run()

        ui.page(path)(show)
        return build

    return register
