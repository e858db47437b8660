"""Reads the folder of `mentor run` or `mentor fetch`."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import pathlib
import sqlite3
import time
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import grpc
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from ..command import check_interrupted
from ..errors import MentorError, usage
from ..v1.evaluation_pb2 import EvaluationShard
from ..v1.experiment_pb2 import Experiment as ExperimentProto
from .content import About, Clock, Evaluated, Point, evaluated

_POLL_S = 1.0
_FILMS = (".gif", ".mp4")


class RunFolder:
    """Read-only: writes nothing and takes no lock."""

    def __init__(self, folder: pathlib.Path, sleep: Callable[[float], None] = time.sleep):
        self._folder = folder
        self._sleep = sleep
        self._experiment = _only_experiment(folder)
        proto = ExperimentProto()
        merged = self._experiment / "merged.txtpb"
        try:
            text_format.Parse(_unsealed(self._experiment / "experiment.txtpb"), proto)
            spec_text = merged.read_text("utf-8") if merged.exists() else ""
            if spec_text:
                proto.spec.Clear()
                text_format.Parse(spec_text, proto.spec)
        except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
            raise MentorError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"{self._experiment} cannot be read: {error}; is it of a newer version? Then "
                "install the client that came with it",
            ) from None
        if not proto.uid:
            raise MentorError(
                grpc.StatusCode.DATA_LOSS,
                f"{self._experiment / 'experiment.txtpb'} does not say which experiment it is of: "
                "it is damaged; put a good copy in its place",
            )
        own = proto.name.rpartition("/")[2]
        self.about = About(
            proto.uid,
            _printable(folder.resolve().name) if own in ("", "run") else own,
            proto.display_name or proto.spec.display_name,
            proto.owner,
            dict(proto.labels),
            "run",
            proto.create_time.seconds + proto.create_time.nanos / 1e9,
            proto.spec,
            spec_text or text_format.MessageToString(proto.spec),
        )

    def points(self, follow: bool) -> Iterator[Point]:
        """Yields points from the first. `follow`: also later ones, until no process works on the
        run.
        """
        clock, last = Clock(self.about.began_s), 0
        while True:
            # Read before the numbers, so the last numbers are not missed.
            at_work = self._at_work()
            for step, values in self._rows():
                if step > last:
                    last = step
                    yield clock.point(step, values)
            if not follow or not at_work:
                return
            check_interrupted()
            self._sleep(_POLL_S)

    def state(self) -> str:
        """Returns RUNNING, or the recorded state; "" if the state is unknown."""
        if self._at_work():
            return "RUNNING"
        path = self._folder / "mentor.db"
        wal = pathlib.Path(f"{path}-wal")
        # After a kill, the write-ahead log holds data that the file lacks.
        if not path.exists() or (wal.exists() and wal.stat().st_size > 0):
            return ""
        query = "SELECT state FROM experiments WHERE uid = ?"
        try:
            database = sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)
            with contextlib.closing(database):
                found = database.execute(query, [self.about.uid]).fetchone()
        except sqlite3.Error:  # The database is of another version.
            return ""
        return str(ExperimentProto.State.Name(int(found[0])))[len("STATE_") :] if found else ""

    def shards(self) -> List[EvaluationShard]:
        """Returns the results of the evaluation at the end of the run."""
        shards = []
        for file in sorted((self._experiment / "artifacts" / "evaluation").glob("*.binpb")):
            try:
                shards.append(EvaluationShard.FromString(file.read_bytes()))
            except DecodeError:
                raise MentorError(
                    grpc.StatusCode.DATA_LOSS,
                    f"{file} is not an evaluation; remove it and run the experiment again",
                ) from None
        return shards

    def evaluation(self) -> Optional[Evaluated]:
        """Returns the means of the evaluation at the end of the run."""
        return evaluated(self.shards(), self.about.spec)

    def films(self, scratch: pathlib.Path) -> List[pathlib.Path]:
        """Returns the films in the folder of the run or of its experiment."""
        return [
            file
            for folder in (self._folder, self._experiment)
            for file in sorted(folder.iterdir())
            if file.suffix in _FILMS and file.is_file()
        ]

    # Inside.

    def _at_work(self) -> bool:
        """Whether a process holds the folder's lock. It is looked at and not tried: a try could
        keep `mentor run` from starting."""
        try:
            inode = str((self._folder / "LOCK").stat().st_ino)
            locks = pathlib.Path("/proc/locks").read_text("ascii")
        except OSError:
            return False
        return any(
            "FLOCK" in line and f":{inode} " in line and "->" not in line
            for line in locks.splitlines()
        )

    def _rows(self) -> Iterator[Tuple[int, Dict[str, float]]]:
        file = self._folder / "metrics.csv"
        text = file.read_text("utf-8", "replace") if file.exists() else ""
        # The last line is still being written if it has no line end.
        whole = text[: text.rfind("\n") + 1]
        rows = csv.DictReader(io.StringIO(whole))
        for row in rows:
            try:
                step = int(row.pop("outer_update"))
                values = {name: float(value) for name, value in row.items() if value}
            except (KeyError, TypeError, ValueError):
                raise MentorError(
                    grpc.StatusCode.DATA_LOSS,
                    f"{file}, line {rows.line_num}, is no row of numbers by outer update: it is "
                    "damaged; put a good copy in its place",
                ) from None
            yield step, values


def _unsealed(path: pathlib.Path) -> str:
    """The first line has the SHA-256 of the others (common/sealed.h), but for earlier versions."""
    data = path.read_bytes()
    line, _, contents = data.partition(b"\n")
    if not line.startswith(b"#") and not line[1:].startswith(b" sha256 "):
        return data.decode("utf-8")
    if line != b"# sha256 " + hashlib.sha256(contents).hexdigest().encode():
        raise MentorError(
            grpc.StatusCode.DATA_LOSS,
            f"{path} is damaged: its SHA-256 is not the one in its first line; put a good copy in "
            "its place",
        )
    return contents.decode("utf-8")


def _printable(name: str) -> str:
    """Folder names may be invalid UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _only_experiment(folder: pathlib.Path) -> pathlib.Path:
    if (folder / "experiment.txtpb").exists():
        raise usage("RUN", f"is the experiment's own folder {folder}; give {folder.parents[1]}")
    found = sorted(path.parent for path in folder.glob("experiments/*/experiment.txtpb"))
    if len(found) == 1:
        return found[0]
    if found:
        raise usage(
            "RUN",
            f"{folder} holds {len(found)} experiments: it is the state of a service; name an "
            "experiment and ask the service",
        )
    raise MentorError(
        grpc.StatusCode.NOT_FOUND,
        f"{os.fspath(folder)} is not a run: give the folder that `mentor run --out` or `mentor "
        "fetch` wrote, or the name of an experiment",
        reason="NOT_FOUND",
    )
