"""Work on long texts of users, by a process of its own. A million fields in an editor would
otherwise hold the lock of this program's Python, and with it every page. The process has a low
priority and bounds of time and memory, and ends with the task that waits for it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pickle
import resource
import sys
from typing import Any, Callable, TypeVar

import grpc

from ..errors import MentorError, usage

CPU_S = 5
_WALL_S = 60.0  # Beside others, at a low priority.
_MEMORY_BYTES = 1 << 30
_BEGIN = (
    "import sys; sys.path[:] = sys.argv[1:]; from mentor_client.web import apart; apart.serve()"
)
_Answer = TypeVar("_Answer")


async def run(function: Callable[..., _Answer], *arguments: Any) -> _Answer:
    """Calls a function of a module, there."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _BEGIN, *filter(None, sys.path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        asked = process.communicate(pickle.dumps((CPU_S, function, arguments)))
        printed, _ = await asyncio.wait_for(asked, _WALL_S)
    except asyncio.TimeoutError:
        printed = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not printed:
        bounds = f"{CPU_S} s or a gigabyte"
        raise usage("spec", f"takes more than {bounds} to read; break its lines, or shorten it")
    answer, error = pickle.loads(printed)
    if error is not None:
        raise error
    return answer  # type: ignore[no-any-return]


def serve() -> None:
    """The process."""
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL.
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    cpu_s, function, arguments = pickle.load(sys.stdin.buffer)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    answer, error = None, None
    try:
        answer = function(*arguments)
    except MentorError as thrown:
        error = thrown
    except (MemoryError, RecursionError):
        error = MentorError(grpc.StatusCode.INVALID_ARGUMENT, "the spec is too large to read")
    sys.stdout.buffer.write(pickle.dumps((answer, error)))
    sys.stdout.flush()
    os._exit(0)  # Without the clean-up of what takes a while.
