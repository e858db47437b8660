"""The application: NiceGUI behind the guard, the routes that are no views, every view of this
package."""

from __future__ import annotations

import argparse
import functools
import importlib
import pathlib
import pkgutil
import secrets
import urllib.parse
from typing import Any

from fastapi import FastAPI, Request
from nicegui import Client, app as nicegui_app, core, ui
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from ..errors import MentorError
from ..names import parse_file_name
from . import page, session


def application(flags: argparse.Namespace) -> Any:
    """Returns the ASGI application."""
    web = page.Web(flags)
    page.serve_for(web)
    web.connect("").close()  # A wrong address or certificate is an error now, not on a page.
    routes = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    routes.add_route("/sign_in", session.form, methods=["GET"])
    routes.add_route("/sign_in", functools.partial(session.sign_in, web), methods=["POST"])
    routes.add_route("/healthz", _health, methods=["GET"])
    routes.add_route("/download/{name:path}", _download, methods=["GET"])
    routes.add_route("/report/{key}", _report, methods=["GET"])
    for module in pkgutil.iter_modules([str(pathlib.Path(__file__).parent)]):
        if module.name != "main":
            importlib.import_module(f"{__package__}.{module.name}")
    nicegui_app.add_exception_handler(404, _nothing)  # NiceGUI's own makes a page for each.
    ui.add_css(pathlib.Path(__file__).with_name("style.css").read_text(), shared=True)
    core.sio.eio.transports = ["websocket"]  # Polling would pass messages as bodies.
    core.sio.eio.max_http_buffer_size = session.MESSAGE_BYTES_MAX
    nicegui_app.config.socket_io_js_transports = ["websocket"]
    nicegui_app.config.quasar_config["loadingBar"] = {"skipHijack": True}
    ui.run_with(
        routes,
        title="Mentor",
        favicon=_ICON,
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=10.0,
        message_history_length=50,
        show_welcome_message=False,
    )
    secure = bool(flags.tls_cert) or any(one.startswith("https:") for one in web.origins)
    return SessionMiddleware(
        session.Guard(routes, web),
        secret_key=secrets.token_hex(32),
        session_cookie=session.COOKIE,
        max_age=None,
        same_site="strict",
        https_only=secure,
    )


async def _health(request: Request) -> Response:
    """For probes. Without the service these pages say so themselves, so it is not asked. A browser
    that names its page learns whether the page has ended here.
    """
    page = request.query_params.get("page")
    return PlainTextResponse("ok" if page is None or page in Client.instances else "gone")


async def _nothing(request: Request, error: Exception) -> Response:
    return PlainTextResponse("there is no such page", 404)


async def _download(request: Request) -> Response:
    """A checkpoint or an artifact, at the pace of the browser."""
    name = request.path_params["name"]
    parts = parse_file_name(name)
    if parts is None:
        return PlainTextResponse("there is no such file", 404)
    web, session = page.web(), request.scope["mentor"]
    client = web.connect(session.token)
    pieces = client.pieces(name)
    try:
        first = await web.call(session.owner, next, pieces, b"")
    except MentorError as error:
        client.close()
        return PlainTextResponse(error.message, 404 if error.reason == "NOT_FOUND" else 502)

    async def body() -> Any:
        piece = first
        try:
            while piece:
                yield piece
                piece = await web.call(session.owner, next, pieces, b"")
        finally:
            client.close()

    kind = ".ckpt" if parts.collection == "checkpoints" else ""
    own = urllib.parse.quote(f"{parts.experiment}-{parts.rest.rpartition('/')[2]}{kind}", safe="")
    return StreamingResponse(
        body(),
        media_type="application/octet-stream",
        headers={"content-disposition": f"attachment; filename*=UTF-8''{own}"},
    )


async def _report(request: Request) -> Response:
    for one in request.scope["mentor"].pages:
        key, content = one.report
        if key and secrets.compare_digest(key, request.path_params["key"]):
            return Response(content, media_type="text/html", headers={"cache-control": "no-store"})
    return PlainTextResponse("this report is gone; make it again", 404)


_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" '
    'rx="7" fill="#3949ab"/><path d="M6 23l6-6 5 3 9-11" fill="none" stroke="#fff" '
    'stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/></svg>'
)
