"""The program at work: a child process that ends at a checkpoint when its parent is gone."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from typing import Any, Callable, Deque, List, Optional, Sequence

from ..programs import variables

# Runs between Python and the program, since Python must not run code of its own in a child that a
# thread forks. The kernel signals the program when the thread that started it ends, by kill -9 too.
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that asked for the run has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""
_TAIL_LINES = 200
# A line of the log: a full disk pauses a run, and says so there.
_PROBLEM = re.compile(r"\d\S* (\d\S* )?(warning|error) ")


class Child:
    """`mentor WORDS`. One thread starts and waits for it; it must live as long as the child."""

    def __init__(self, command: Sequence[str], warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._tail: Deque[str] = collections.deque(maxlen=_TAIL_LINES)
        self._out: List[str] = []
        self._asked = False
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid())]
        # A session of its own: Ctrl-C in a terminal reaches Python alone, which passes it on once.
        self._process = subprocess.Popen(
            [*launch, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env=variables(),
        )
        self._readers = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._out.append(line)

    def _read_err(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            line = line.rstrip()
            self._tail.append(line)
            if line.startswith("warning: ") or _PROBLEM.match(line):
                # The program would stop at a pipe that nobody reads.
                with contextlib.suppress(Exception):
                    self._warn(line)

    def wait(self, seconds: float) -> Optional[int]:
        """Returns the exit status, or None while the program runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop_once(self) -> None:
        """Asks the program to end at a checkpoint. A second signal would end it sooner."""
        if not self._asked and self._process.poll() is None:
            self._asked = True
            self._process.send_signal(signal.SIGINT)

    @property
    def was_asked(self) -> bool:
        """Whether stop_once was called while the program ran."""
        return self._asked

    def kill(self) -> None:
        """Ends the program at once. What it has committed is kept."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        for reader in self._readers:
            reader.join(10)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def said(self) -> str:
        """Returns the end of what the program said on standard error."""
        return "\n".join(self._tail)

    def printed(self) -> str:
        return "".join(self._out)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()
        self.close()
