"""Downloads a file of the server: resumable, and either whole or absent."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import time
from typing import BinaryIO, Callable, Optional

import grpc

from .connection import Connection, log, wait_before
from .errors import MentorError
from .v1 import experiment_service_pb2 as wire

try:  # Detects a broken piece at once; without it the SHA-256 at the end does.
    from google_crc32c import value as _crc32c  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    _crc32c = None


def _data_loss(message: str) -> MentorError:
    return MentorError(grpc.StatusCode.DATA_LOSS, message, reason="DATA_LOSS")


def fetch(
    connection: Connection,
    name: str,
    path: pathlib.Path,
    on_progress: Optional[Callable[[int], None]] = None,
) -> pathlib.Path:
    """Writes `path`. Received bytes are kept in `path`.part, from which a later call resumes. Gives
    up when nothing came for the timeout of the connection.
    """
    part = path.with_name(path.name + ".part")
    with open(part, "ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MentorError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"{part} is in use by another download; wait for it",
            ) from None
        try:
            _fill(connection, name, file, on_progress)
        except BaseException as error:
            # Without a file or without any bytes there is nothing to resume.
            gone = isinstance(error, MentorError) and error.code == grpc.StatusCode.NOT_FOUND
            if gone or file.seek(0, os.SEEK_END) == 0:
                part.unlink(missing_ok=True)
            raise
        file.flush()
        os.fsync(file.fileno())
        os.replace(part, path)
    return path


def _fill(
    connection: Connection, name: str, file: BinaryIO, on_progress: Optional[Callable[[int], None]]
) -> None:
    method = "DownloadCheckpoint" if "/checkpoints/" in name else "DownloadArtifact"
    file.seek(0)
    hash, size = hashlib.sha256(), 0
    while block := file.read(1 << 20):
        hash.update(block)
        size += len(block)
    resumed, attempt, contact = size > 0, 0, time.monotonic()
    while True:
        try:
            end = None
            for piece in connection.stream(method, wire.DownloadRequest(name=name, offset=size)):
                if piece.sha256:
                    end = piece
                if not piece.data:
                    continue
                if piece.offset != size:
                    raise _data_loss(
                        f"{name}: a piece came for byte {piece.offset}, expected {size}"
                    )
                if _crc32c is not None and _crc32c(piece.data) != piece.crc32c:
                    raise _data_loss(
                        f"{name}: the piece at byte {size} has another CRC32C than it was sent with"
                    )
                file.write(piece.data)
                hash.update(piece.data)
                size += len(piece.data)
                attempt, contact = 0, time.monotonic()
                if on_progress:
                    on_progress(size)
            if end is None:
                raise MentorError(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
            if size == end.size_bytes and hash.hexdigest() == end.sha256:
                return
            raise _data_loss(f"{name}: the bytes that came have another SHA-256 than the file")
        except MentorError as failure:
            error = failure
        too_long = resumed and error.code in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.OUT_OF_RANGE,
        )
        if too_long or error.code == grpc.StatusCode.DATA_LOSS:
            file.truncate(0)
            hash, size = hashlib.sha256(), 0
            if not resumed:
                raise error
            # Restarts from the beginning: the part may belong to a file that has changed since.
            resumed = False
            continue
        pause = wait_before(error, attempt)
        if pause is None or time.monotonic() + pause - contact > connection.timeout:
            raise error
        log.debug("%s: %s; again from byte %d in %.2f s", name, error, size, pause)
        resumed = resumed or size > 0
        attempt += 1
        time.sleep(pause)
