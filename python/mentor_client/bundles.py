"""Bundles: folders that experiments name by a digest of their content, as on the servers."""

from __future__ import annotations

import hashlib
import logging
import os
import pathlib
import re
import stat
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple, Union

import grpc

from .connection import Connection
from .errors import MentorError, usage
from .v1 import bundle_pb2, bundle_service_pb2 as wire

_BYTES_MAX = 256_000_000
_FILES_MAX = 2000
_FOLDERS_MAX = 2000
_PATH_BYTES_MAX = 255
_PIECE_BYTES = 1 << 20
_WHOLE_BUNDLE_S = 180.0  # For the server to verify and write one bundle.
_RESTARTS_MAX = 3
# Same list as the servers' IsLeftOutOfBundles: version control, swap files, editors' locks and
# backups.
_LEFT_OUT = re.compile(
    r"\.git|\.hg|\.svn|\.DS_Store|.*~|.*\.bak|\.#.*|#.*#|\..+\.sw[a-p]", re.DOTALL
)
_LEFT_OUT_SHOWN = 5
_DIGEST = re.compile(r"(?:sha256:|bundles/)?([0-9a-f]{64})")

log = logging.getLogger("mentor_client")

Folder = Union[str, "os.PathLike[str]"]


class Bundle(NamedTuple):
    """`name` is the value of the option `bundle` in specs."""

    name: str
    size_bytes: int
    file_count: int
    owner: str
    proto: bundle_pb2.Bundle


class _File(NamedTuple):
    path: str
    real: pathlib.Path
    size: int
    sha256: str


def resource_of(name: str) -> str:
    """Returns bundles/DIGEST for bundles/DIGEST, sha256:DIGEST or the digits alone."""
    match = _DIGEST.fullmatch(name)
    if not match:
        raise usage("bundle", f"is '{name[:100]}'; give sha256: and 64 digits of lower case")
    return "bundles/" + match[1]


def bundle_of(proto: bundle_pb2.Bundle) -> Bundle:
    return Bundle(
        "sha256:" + proto.name.rpartition("/")[2],
        proto.size_bytes,
        proto.file_count,
        proto.owner,
        proto,
    )


def _walk(root: pathlib.Path, left_out: List[str]) -> Iterator[pathlib.Path]:
    for folder, folders, files in os.walk(root):
        here = pathlib.Path(folder)
        for names, end in ((folders, "/"), (files, "")):
            for name in [name for name in names if _LEFT_OUT.fullmatch(name)]:
                left_out.append((here / name).relative_to(root).as_posix() + end)
                names.remove(name)
        # os.walk lists links to folders among the folders.
        yield from (here / name for name in folders if (here / name).is_symlink())
        yield from (here / name for name in files)


def _complaint(path: str, real: pathlib.Path, root: pathlib.Path) -> str:
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return "has a name that is not UTF-8; rename it"
    if size > _PATH_BYTES_MAX:
        return f"has {size} bytes; at most {_PATH_BYTES_MAX} are allowed: give it a shorter name"
    if not path.isprintable() or "\\" in path:
        return "has characters that cannot be shown, or '\\'; rename it"
    if not real.exists():
        return "is a symbolic link to nothing; remove it"
    if root not in real.parents:
        return "is a symbolic link that leaves the folder; put a copy in its place"
    if real.is_dir():
        return "is a symbolic link to a folder; put a copy in its place"
    if not stat.S_ISREG(real.stat().st_mode):
        return "is not a regular file; remove it"
    return ""


def read_folder(folder: Folder) -> Tuple[str, List[_File]]:
    """Returns the digest and the sorted files of a folder. Raises at once for content that a bundle
    cannot hold.
    """
    root = pathlib.Path(folder).resolve()
    if not root.is_dir():
        raise usage("folder", f"is '{folder}', where there is no folder")
    wrong: List[str] = []
    found: Dict[bytes, Tuple[str, pathlib.Path]] = {}
    left_out: List[str] = []
    for path in _walk(root, left_out):
        relative = path.relative_to(root).as_posix()
        real = path.resolve()
        problem = _complaint(relative, real, root)
        if problem:
            wrong.append(f"{relative!a}: {problem}")
        else:
            found[relative.encode("utf-8")] = (relative, real)
        if len(found) + len(wrong) > _FILES_MAX:
            wrong.append(f"has more than {_FILES_MAX} files; leave some out, or pack them")
            break
    above = {parent for name, _ in found.values() for parent in pathlib.PurePath(name).parents}
    if len(above) > _FOLDERS_MAX + 1:  # Counts the root folder too.
        wrong.append(f"has more than {_FOLDERS_MAX} folders; give the folder of one model")
    total = sum(real.stat().st_size for _, real in found.values())
    if total > _BYTES_MAX:
        wrong.append(f"has {total} bytes; at most {_BYTES_MAX} are allowed: leave files out")
    if not found and not wrong:
        wrong.append("has no file; give a folder with at least one")
    if wrong:
        raise usage("folder", f"'{folder}' is no bundle: " + "; ".join(wrong[:20]))
    if left_out:
        shown = ", ".join(ascii(name)[1:-1] for name in sorted(left_out)[:_LEFT_OUT_SHOWN])
        more = len(left_out) - _LEFT_OUT_SHOWN
        log.warning(
            "%s: left out of the bundle: %s%s",
            folder,
            shown,
            f" and {more} more" if more > 0 else "",
        )
    files, name = [], hashlib.sha256()
    for _, (relative, real) in sorted(found.items()):
        contents, size = hashlib.sha256(), 0
        with open(real, "rb") as file:
            while block := file.read(_PIECE_BYTES):
                contents.update(block)
                size += len(block)
        files.append(_File(relative, real, size, contents.hexdigest()))
        name.update(f"{contents.hexdigest()} {size} {relative}\n".encode("utf-8"))
    return name.hexdigest(), files


def _piece(files: List[_File], offset: int) -> bytes:
    piece = b""
    for one in files:
        if len(piece) == _PIECE_BYTES:
            break
        if offset >= one.size:
            offset -= one.size
            continue
        with open(one.real, "rb") as file:
            file.seek(offset)
            wanted = min(_PIECE_BYTES - len(piece), one.size - offset)
            data = file.read(wanted)
        if len(data) != wanted:
            raise usage("folder", f"changed while it was sent: {one.path} has become shorter")
        piece += data
        offset = 0
    return piece


def push(connection: Connection, folder: Folder) -> str:
    """Sends the files that the server lacks. Returns the bundle's name."""
    digest, files = read_folder(folder)
    begin = wire.PushBundleRequest(
        name="bundles/" + digest,
        files=[
            bundle_pb2.BundleFile(path=one.path, size_bytes=one.size, sha256=one.sha256)
            for one in files
        ],
    )

    def call(request: Any) -> Any:
        return connection.call(
            "PushBundle", request, timeout=max(connection.timeout, _WHOLE_BUNDLE_S)
        )

    standing, restarts = call(begin), 0
    while not standing.complete:
        offset = standing.next_offset
        request = wire.PushBundleRequest(name=begin.name, offset=offset, data=_piece(files, offset))
        try:
            standing = call(request)
        except MentorError as error:
            # The server lost bytes: the upload was removed, or another client pushes the same
            # bundle.
            lost = error.code in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.FAILED_PRECONDITION)
            restarts += 1
            if not lost or restarts > _RESTARTS_MAX:
                raise
            standing = call(begin)
    return "sha256:" + digest
