"""A private service on this machine for one study: three programs, which end with this one."""

from __future__ import annotations

import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
from typing import Any, List, Sequence

import grpc

from ..errors import MentorError

_START_S = 60.0
# In starting order, with the seconds that each has to stop. An actor loses no work, and its hosts
# may hang.
_PROGRAMS = {"mentor-meta-learner": 30.0, "mentor-learner": 30.0, "mentor-actor": 5.0}
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class LocalService:
    def __init__(self, folder: pathlib.Path, hosts: Sequence[str] = ()):
        """`folder` gets the service's state and its programs' output. `hosts` are the --simulator
        arguments of mentor-actor.
        """
        missing = [name for name in _PROGRAMS if shutil.which(name) is None]
        if missing:
            raise MentorError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"--local needs {', '.join(missing)} on the PATH; in a clone of the repository: "
                "export PATH=$PWD/build/bin:$PATH",
            )
        self._folder = folder
        self._children: List["subprocess.Popen[bytes]"] = []
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.server = self._start(
                "mentor-meta-learner", "--state", str(folder / "state"), "--listen", "127.0.0.1:0"
            )
            learner = self._start(
                "mentor-learner", "--meta_learner", self.server, "--listen", "127.0.0.1:0"
            )
            threads = str(len(os.sched_getaffinity(0)))
            offers = [word for host in hosts for word in ("--simulator", host)]
            self._start(
                *("mentor-actor", "--learner", learner, "--threads", threads, *offers),
                listens=False,
            )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "LocalService":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def check(self) -> None:
        """Raises FAILED_PRECONDITION if one of the programs has ended; experiments would wait for
        it forever.
        """
        for name, child in zip(_PROGRAMS, self._children):
            if child.poll() is not None:
                end = f"signal {-child.returncode}" if child.returncode < 0 else child.returncode
                raise MentorError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"{name} of the service here has ended ({end}): {self._last_words(name)}; the "
                    "same command continues",
                )

    def close(self) -> None:
        for child, stop_s in reversed(list(zip(self._children, _PROGRAMS.values()))):
            if child.poll() is None:
                child.terminate()
            try:
                child.wait(stop_s)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()

    def _start(self, *command: str, listens: bool = True) -> str:
        """Returns the address on which it listens."""
        said = self._folder / f"{command[0]}.out"
        log = self._folder / f"{command[0]}.log"
        with open(said, "wb") as out, open(log, "ab") as errors:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                preexec_fn=_end_with_parent,
                # Ctrl-C goes to this program, which ends the children in order.
                start_new_session=True,
            )
        self._children.append(child)
        end = time.monotonic() + _START_S
        while listens:
            found = re.search(r"listening on (\S+)\n", said.read_text("utf-8", "replace"))
            if found:
                return found[1]
            if child.poll() is not None or time.monotonic() > end:
                raise MentorError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"{command[0]} did not start: {self._last_words(command[0])}",
                )
            time.sleep(0.05)
        return ""

    def _last_words(self, program: str) -> str:
        log = self._folder / f"{program}.log"
        last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        return f"{''.join(last) or 'it said nothing'} ({log})"
