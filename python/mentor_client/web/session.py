"""Sessions with their tokens, the sign-in form, and the guard before every request."""

from __future__ import annotations

import asyncio
import collections
import html
import ipaddress
import pathlib
import re
import secrets
import string
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Set

import grpc
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ..errors import MentorError

if TYPE_CHECKING:
    from .page import Page, Web

COOKIE = "mentor_web"
IDLE_S = 12 * 3600.0
REQUEST_S = 10.0  # Until all of a request has come.
BODY_BYTES_MAX = 64 << 10  # In an HTTP request: only the sign-in form has a body.
MESSAGE_BYTES_MAX = 2 << 20  # From a page: a spec has at most 1 MiB.
# From all pages of an owner: a steady rate, and what may come at once. A message costs more than it
# is long.
_BYTES_A_SECOND = 2 << 20
_BURST_S = 4.0
_MESSAGE_COST_BYTES = 4 << 10
_PUBLIC = ("/sign_in", "/healthz", "/favicon.ico")  # And what NiceGUI's pages load.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# A report is a page of scripts and users' names: it gets no cookie, no network, no other page.
_POLICY_REPORT = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'self'"
)


def share(most: int) -> int:
    """How much of something one owner may have: a quarter stays for others."""
    return most - most // 4


class Session:
    """One browser. The token stays here, in memory."""

    def __init__(self, token: str):
        self.id = secrets.token_urlsafe(32)
        self.token = token
        self.used = time.monotonic()
        self.dark: Optional[bool] = None  # None: as the browser prefers.
        self.pages: Set["Page"] = set()

    @property
    def owner(self) -> str:
        """The owner of its work: all browsers with a token share what one owner gets."""
        return self.token or self.id

    def is_over(self) -> bool:
        return not self.pages and time.monotonic() - self.used > IDLE_S


class Sessions:
    def __init__(self, most: int):
        self._most = most
        self._known: Dict[str, Session] = {}

    def find(self, id: Any) -> Optional[Session]:
        session = self._known.get(str(id))
        if session is None or session.is_over():
            return None
        session.used = time.monotonic()
        return session

    def begin(self, token: str) -> Optional[Session]:
        """None if there are as many as there may be, all with open pages."""
        crowd = collections.Counter(one.owner for one in self._known.values())
        idle = sorted(
            (one for one in self._known.values() if not one.pages),
            key=lambda one: (not one.is_over(), -crowd[one.owner], one.used),
        )
        for old in idle:
            is_full = old.token == token and crowd[old.owner] >= share(self._most)
            if old.is_over() or is_full or len(self._known) >= self._most:
                del self._known[old.id]
                crowd[old.owner] -= 1
        if len(self._known) >= self._most or crowd[token] >= share(self._most):
            return None
        session = Session(token)
        self._known[session.id] = session
        return session

    def pages_of(self, owner: str) -> int:
        return sum(len(one.pages) for one in self._known.values() if one.owner == owner)

    def end(self, session: Session) -> None:
        self._known.pop(session.id, None)
        for page in list(session.pages):
            page.leave()
        session.token = ""


class Guard:
    """Before every request and socket: refuses other sites and names, long bodies, strangers."""

    def __init__(self, app: Callable[..., Any], web: "Web"):
        self.app = app  # NiceGUI looks for its application under this name.
        self._web = web
        self._due: Dict[str, float] = {}  # When what an owner has sent is paid for.

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        answer = self._refusal(scope, headers) or await self._stranger(scope, headers)
        socket = scope["mentor"] if scope["type"] == "websocket" and answer is None else None
        policy = _POLICY_REPORT if scope["path"].startswith("/report/") else _POLICY
        received = 0

        async def limited() -> Any:
            nonlocal received
            message = await receive()
            if socket is not None:
                await self._pace(socket.owner, message)
            received += len(message.get("body", b"")) if scope["type"] == "http" else 0
            if received > BODY_BYTES_MAX:
                raise HTTPException(413, f"a body has at most {BODY_BYTES_MAX} bytes")
            return message

        async def protected(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", policy.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"same-origin"),
                ]
            await send(message)

        await (answer or self.app)(scope, limited, protected)

    async def _pace(self, owner: str, message: Any) -> None:
        """Reads the messages of an owner's pages no faster than the one loop of all may take them.
        The socket is not read meanwhile."""
        size = len(message.get("text") or message.get("bytes") or "") + _MESSAGE_COST_BYTES
        now = time.monotonic()
        due = max(self._due.get(owner, 0.0), now - _BURST_S)
        self._due = {one: at for one, at in self._due.items() if at > now - _BURST_S}
        self._due[owner] = due + size / _BYTES_A_SECOND
        if self._due[owner] > now:
            await asyncio.sleep(self._due[owner] - now)

    def _refusal(self, scope: Any, headers: Dict[str, str]) -> Optional[Response]:
        host = headers.get("host", "")
        if not self._web.answers_to(host):
            return PlainTextResponse(
                f"mentor-web does not answer to the name {host!r:.200}; start it with --origin", 421
            )
        is_socket = scope["type"] == "websocket"
        changes = is_socket or scope["method"] not in ("GET", "HEAD")
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        origins = {f"{scheme}://{host}", *self._web.origins}
        from_here = headers.get("sec-fetch-site", "none") in ("same-origin", "none")
        navigates = headers.get("sec-fetch-mode") == "navigate" and not changes
        if (changes and headers.get("origin") not in origins) or not (from_here or navigates):
            return PlainTextResponse("requests from other sites are refused", 403)
        if not from_here and headers.get("sec-fetch-dest", "document") != "document":
            return PlainTextResponse("other sites may not frame this one", 403)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            return PlainTextResponse(f"a body has at most {BODY_BYTES_MAX} bytes", 413)
        return None

    async def _stranger(self, scope: Any, headers: Dict[str, str]) -> Optional[Response]:
        """Finds or begins the session; returns the answer for who has none."""
        session = self._web.sessions.find(scope["session"].get("id"))
        path = scope["path"]
        if scope["type"] == "websocket":
            if session is None or not self._owns(session, scope):
                return PlainTextResponse("sign in first", 403)
            scope["mentor"] = session
            return None
        if session is None and path not in _PUBLIC and not path.startswith("/_nicegui/"):
            if headers.get("sec-fetch-site") == "cross-site":
                # A strict cookie does not come with a link from elsewhere: once more from here.
                return HTMLResponse('<!doctype html><meta http-equiv="refresh" content="0">')
            try:
                session = await self._web.admit("", _peer(scope))
            except MentorError as error:
                if error.code == grpc.StatusCode.UNAUTHENTICATED:
                    query = scope["query_string"].decode("latin-1")
                    here = urllib.parse.quote(path + ("?" + query if query else ""), safe="")
                    return RedirectResponse(f"/sign_in?to={here}", 303)
                return _away(error.message)
            scope["session"]["id"] = session.id
        scope["mentor"] = session
        return None

    def _owns(self, session: Session, scope: Any) -> bool:
        """True if the socket is that of a page of this session."""
        query = urllib.parse.parse_qs(scope["query_string"].decode("latin-1"))
        id = query.get("client_id", [""])[0]
        return any(page.browser.id == id for page in session.pages)


class Impatient(AutoHTTPProtocol):  # type: ignore[misc, unused-ignore]
    """Speaks HTTP, and ends connections that do not finish their request: they are open files."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, error: Optional[Exception]) -> None:
        super().connection_lost(error)
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(REQUEST_S, self._look, self.cycle)

    def _look(self, last: Any) -> None:
        if self.transport.get_protocol() is not self:
            return  # It became a websocket.
        if self.cycle is last and (last is None or last.response_complete or last.more_body):
            self.transport.close()
        else:
            self._wait()


_TEMPLATE = string.Template(
    pathlib.Path(__file__).with_name("sign_in.html").read_text(encoding="utf-8")
)


def _form(to: str, wrong: str = "", status: int = 200) -> Response:
    shown = {"title": "Sign in to Mentor", "to": to, "wrong": wrong}
    return _page(shown, status, {"again": "", "hidden": ""})


def _away(why: str) -> Response:
    """Looks again by itself."""
    again = {"again": '<meta http-equiv="refresh" content="2">', "hidden": "hidden"}
    return _page({"title": "The service does not answer", "to": "", "wrong": why}, 503, again)


def _page(texts: Dict[str, str], status: int, markup: Dict[str, str]) -> Response:
    shown = {name: html.escape(text) for name, text in texts.items()}
    content = _TEMPLATE.substitute(shown, **markup)
    return HTMLResponse(content, status, headers={"cache-control": "no-store"})


def _safe(path: str) -> str:
    """A path of this site, whatever a link said."""
    return path if re.fullmatch(r"/(?![/\\])[^\\\s]*", path) else "/"


async def form(request: Request) -> Response:
    return _form(_safe(request.query_params.get("to", "/")))


async def sign_in(web: "Web", request: Request) -> Response:
    fields = urllib.parse.parse_qs((await request.body()).decode("utf-8", "replace"))
    to = _safe(fields.get("to", ["/"])[0])
    token = fields.get("token", [""])[0].strip()
    try:
        if not re.fullmatch(r"[\x21-\x7e]{1,4096}", token):
            raise MentorError(grpc.StatusCode.UNAUTHENTICATED, "that is no token")
        session = await web.admit(token, _peer(request.scope))
    except MentorError as error:
        await asyncio.sleep(0.5)
        return _form(to, error.message, 401)
    request.session["id"] = session.id
    return RedirectResponse(to, 303)


def _peer(scope: Any) -> str:
    """The place that a sign-in comes from: those of a stranger delay nobody elsewhere."""
    return str((scope.get("client") or ("",))[0])


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
