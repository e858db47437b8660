"""Reports and comparisons as the program `mentor` makes them, shown inside a page."""

from __future__ import annotations

import asyncio
import os
import pathlib
import secrets
import shutil
import signal
import sys
import tempfile
from typing import Callable, Dict, List, Optional, Sequence

from nicegui import ui

from ..errors import MentorError
from . import words
from .page import Page, web
from .places import Places

_SECONDS_MAX = 300.0
_BYTES_MAX = 16 << 20
_COPY_BYTES_MAX = 2 << 30  # Experiments, while something is made of them.
# Becomes the program, with a low priority, and is killed when mentor-web is. The image of
# mentor-web has no programs for that. A function between fork and exec could wait for a lock.
_BEGIN = """import ctypes, os, sys
os.nice(10)
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL.
os.execvp("mentor", ["mentor", *sys.argv[1:]])"""
_at_once = Places(2, 1)


def environment(page: Page, folder: pathlib.Path) -> Dict[str, str]:
    """For `run`: the caller's token, and no other credentials that this program's user may have."""
    if not page.is_open:  # Its browser may still be there, and has signed out.
        raise RuntimeError("this page is closed")
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


async def run(
    folder: pathlib.Path,
    variables: Optional[Dict[str, str]],
    *arguments: str,
    seconds: float = _SECONDS_MAX,
    tell: Callable[[str], None] = lambda line: None,
) -> str:
    """Returns what `mentor` printed; raises RuntimeError with its error. The program has a low
    priority, and ends with the task that waits for it, or with mentor-web. `tell` gets each line of
    its progress.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _BEGIN, *arguments),
        cwd=folder,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    wrong: List[str] = []

    async def listen() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            wrong.append(line.decode("utf-8", "replace").strip())
            tell(wrong[-1])

    async def both() -> bytes:
        assert process.stdout is not None
        printed, *_ = await asyncio.gather(process.stdout.read(), listen(), process.wait())
        return printed

    try:
        printed = await asyncio.wait_for(both(), seconds)
    except asyncio.TimeoutError:
        raise RuntimeError(f"mentor {arguments[0]} took more than {seconds:.0f} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        errors = [line[7:] for line in wrong if line.startswith("error: ")] or wrong[-3:]
        raise RuntimeError("\n".join(errors)[:2000])
    return printed.decode("utf-8", "replace")


async def show(page: Page, ids: Sequence[str], place: ui.element) -> None:
    """Fetches the experiments, and shows their report or their comparison at the place."""
    with place:
        status = ui.label().classes("quiet").props("role=status")
    if shutil.which("mentor") is None:
        status.set_text(
            "Statistics come from the program `mentor`, which is not on the PATH of mentor-web."
        )
        return
    status.set_text("Waiting for other reports …")
    async with _at_once.of(page.session.owner):
        with tempfile.TemporaryDirectory(prefix="mentor-web-") as name:
            folder = pathlib.Path(name)
            try:
                await _make(page, folder, list(ids), status)
            except (RuntimeError, OSError, MentorError) as error:
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
    variables = environment(page, folder)
    # Folders are numbered: a name from a browser is never a path.
    runs = {f"run{number}": id for number, id in enumerate(ids)}
    await fetch(page, folder, variables, runs, status.set_text)
    status.set_text("Computing intervals …")
    out = ("--out", "out") if len(runs) > 1 else ()
    await run(folder, variables, "report", *runs, *out)


async def fetch(
    page: Page,
    folder: pathlib.Path,
    variables: Dict[str, str],
    runs: Dict[str, str],
    tell: Callable[[str], None],
) -> None:
    """Copies experiments, given by the names of their copies, unless they are large together."""

    def ask(id: str) -> int:
        sizes = (one.size_bytes for one in page.client.checkpoints(id))
        newest = max(sizes, default=0)
        return newest + sum(one.size_bytes for one in page.client.artifacts(id))

    size = sum([await page.call(ask, id) for id in runs.values()])
    if size > _COPY_BYTES_MAX:
        raise RuntimeError(f"{', '.join(runs.values())}: {words.size(size)}; mentor fetch takes it")
    for name, id in runs.items():
        tell(f"Fetching {id} ({words.size(size)} in all) …")
        await run(folder, variables, "fetch", "--quiet", "--out", name, "--", id)
