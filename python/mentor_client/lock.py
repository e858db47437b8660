"""Inter-process lock. It ends with the process, however the process ends. Its file is removed too,
unless the process was killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
from typing import Any, TextIO

import grpc

from .errors import MentorError


def cache_file(*parts: str) -> pathlib.Path:
    """A file of this user's, named by what it is for."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    return pathlib.Path(cache) / "mentor" / f"{digest}.lock"


class Lock:
    def __init__(self, file: pathlib.Path, what: str):
        """Raises FAILED_PRECONDITION if another process holds the lock."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._path = file
        while True:
            self._file: TextIO = open(file, "a+", encoding="utf-8")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.seek(0)
                owner = self._file.read().strip()
                self._file.close()
                raise MentorError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"{what} is at work already (process {owner or 'unknown'}); leave it to that "
                    "one, or end it first",
                    reason="IN_USE",
                ) from None
            if self._has_the_name():
                break
            self._file.close()  # The holder removed the file between open and flock.
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def _has_the_name(self) -> bool:
        """True if the open file is still the one at the path."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *error: Any) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()
