"""Reports and comparisons as the program `mentor` makes them, shown inside a page."""

from __future__ import annotations

import asyncio
import os
import pathlib
import secrets
import shutil
import signal
import tempfile
from typing import Dict, List, Sequence

from nicegui import ui

from .page import Page, web

_SECONDS_MAX = 300.0
_BYTES_MAX = 16 << 20
_at_once = asyncio.Semaphore(2)


def _environment(page: Page, folder: pathlib.Path) -> Dict[str, str]:
    """The caller's token, and no other credentials that this program's user may have."""
    kept = {
        name: one
        for name, one in os.environ.items()
        if name not in ("MENTOR_TOKEN_FILE", "MENTOR_CONTEXT")
    }
    empty = folder / "config.txtpb"
    empty.touch()
    kept.update(MENTOR_SERVER=page.client.server, MENTOR_CONFIG=str(empty))
    kept["MENTOR_TOKEN"] = page.session.token
    if web().flags.allow_insecure:
        kept["MENTOR_ALLOW_INSECURE"] = "1"
    return kept


async def _run(folder: pathlib.Path, environment: Dict[str, str], *arguments: str) -> None:
    """Raises RuntimeError with the program's error."""
    process = await asyncio.create_subprocess_exec(
        "mentor",
        *arguments,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, wrong = await asyncio.wait_for(process.communicate(), _SECONDS_MAX)
    except asyncio.TimeoutError:
        raise RuntimeError(f"mentor {arguments[0]} took more than {_SECONDS_MAX:.0f} s") from None
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    if process.returncode:
        lines = [line for line in wrong.decode("utf-8", "replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error:")] or lines[-3:]
        raise RuntimeError("\n".join(errors)[:2000])


async def show(page: Page, ids: Sequence[str]) -> None:
    """Fetches the experiments, and shows their report or their comparison here."""
    status = ui.label().classes("quiet").props("role=status")
    place = ui.element("div")
    if shutil.which("mentor") is None:
        status.set_text(
            "Statistics come from the program `mentor`, which is not on the PATH of mentor-web."
        )
        return
    status.set_text("Waiting for other reports …")
    async with _at_once:
        with tempfile.TemporaryDirectory(prefix="mentor-web-") as name:
            folder = pathlib.Path(name)
            try:
                await _make(page, folder, list(ids), status)
            except (RuntimeError, OSError) as error:
                status.classes(replace="wrong").set_text(str(error))
                return
            file = folder / ("out/comparison.html" if len(ids) > 1 else "run0/report.html")
            if file.stat().st_size > _BYTES_MAX:
                status.set_text(f"The report has more than {_BYTES_MAX >> 20} MiB.")
                return
            key = secrets.token_urlsafe(16)
            page.report = (key, file.read_bytes())
    if not page.is_open:
        return
    status.set_text("By mentor report, of the state at this moment. 95 % intervals.")
    with place:
        ui.element("iframe").classes("report").props(
            f'src="/report/{key}" sandbox="allow-scripts" title="Report"'
        )


async def _make(page: Page, folder: pathlib.Path, ids: List[str], status: ui.label) -> None:
    environment = _environment(page, folder)
    runs = []
    for number, id in enumerate(ids):
        status.set_text(f"Fetching {id} ({number + 1} of {len(ids)}) …")
        # Folders are numbered: a name from a browser is never a path.
        await _run(folder, environment, "fetch", "--quiet", "--out", f"run{number}", "--", id)
        runs.append(f"run{number}")
    status.set_text("Computing intervals …")
    out = ("--out", "out") if len(runs) > 1 else ()
    await _run(folder, environment, "report", *runs, *out)
