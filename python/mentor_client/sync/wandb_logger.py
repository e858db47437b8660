"""Logs to Weights & Biases: one run per experiment. The run's id follows from the experiment's."""

from __future__ import annotations

import os
import pathlib
import shutil
import struct
from typing import Any, Dict, Optional, Sequence, Set

import grpc
from google.protobuf.message import DecodeError

from ..command import needs
from ..errors import MentorError
from .content import FINAL, About, Evaluated, Point, settings

INSTALL = "'./python[wandb]' in a clone of the repository, or wandb"
_TAG_CHARACTERS = 64
_BLOCK, _PART_HEADER = 32768, 7  # Bytes; see is_whole.


def run_id(uid: str) -> str:
    return uid.replace("-", "")[:16]


class WandbLogger:
    """Rows by outer update, with env_steps beside it: charts take either as their x axis.

    Offline, a run is a folder that cannot grow after its process has ended. So a call writes a new
    folder with every point, which replaces the experiment's folders of earlier calls. Online, the
    server says which row is its last.
    """

    def __init__(
        self, about: About, project: str, entity: Optional[str], mode: str, folder: pathlib.Path
    ):
        self._wandb = needs("wandb", INSTALL, "mentor-sync wandb")
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
            for older in (folder / "wandb").glob(f"offline-run-*-{run_id(about.uid)}"):
                shutil.rmtree(older)
        self._run = self._wandb.init(
            project=project,
            entity=entity,
            id=run_id(about.uid),
            name=about.name,
            notes=about.title or None,
            mode=mode,
            resume="allow",
            dir=str(folder),
            config={**settings(about.spec), **about.tags()},
            tags=[f"{key}={value}"[:_TAG_CHARACTERS] for key, value in about.labels.items()],
            settings=self._wandb.Settings(console="off", x_disable_stats=True),
        )
        self._run.define_metric("outer_update", hidden=True)
        self._defined: Set[str] = set()
        # Rows up to this one exist already.
        self._last: int = max(0, int(self._run.starting_step or 0) - 1)
        self._keep(about.spec_text)

    def where(self) -> str:
        run = self._run
        if not run.offline:
            return f"W&B {run.url}"
        folder = pathlib.Path(run.dir).parent
        return f"W&B {folder}; send it: wandb sync {folder}"

    def points(self, points: Sequence[Point]) -> int:
        new = 0
        for point in points:
            if point.step <= self._last:
                continue
            row = {"outer_update": point.step, "env_steps": point.env_steps, **point.values}
            self._row(row, "outer_update", point.step)
            new += 1
        return new

    def evaluated(self, evaluated: Evaluated) -> None:
        self._run.summary.update(evaluated.numbers)
        episodes = max((len(curve.values) for curve in evaluated.curves), default=0)
        for episode in range(1, episodes + 1):
            row: Dict[str, Any] = {
                curve.tag: curve.values[episode - 1]
                for curve in evaluated.curves
                if episode <= len(curve.values)
            }
            row["evaluation/episode"] = episode
            step = evaluated.step + episode
            if step > self._last:
                self._row(row, "evaluation/episode", step)

    def films(self, films: Sequence[pathlib.Path], state: str) -> None:
        if not self._run.offline and state not in FINAL:
            return  # Its row would take the place of the next outer update.
        for film in films:
            key = f"films/{film.stem}"
            if key in self._run.summary.keys():
                continue
            ending = film.suffix[1:]
            self._run.log({key: self._wandb.Video(str(film), format=ending)}, step=self._last + 1)
            self._last += 1

    def close(self, state: str) -> None:
        if state:
            self._run.summary["mentor.state"] = state
        folder, offline = pathlib.Path(self._run.dir).parent, self._run.offline
        self._run.finish(exit_code=0 if state not in FINAL or state == "SUCCEEDED" else 1)
        self._wandb.teardown()  # Waits for W&B's process, which writes on after finish.
        for file in folder.glob("*.wandb") if offline and state else ():
            if not self.is_whole(file):
                raise MentorError(
                    grpc.StatusCode.DATA_LOSS,
                    f"{file} is not whole: W&B could not write all of it, and says why in "
                    f"{folder / 'logs'}; is the disk full? The same command makes it anew",
                )

    @staticmethod
    def is_whole(file: pathlib.Path) -> bool:
        """True if the run's end was written. W&B writes in a process of its own, which does not
        report a full disk.
        """
        wire = needs("wandb.proto.wandb_internal_pb2", INSTALL, "mentor-sync wandb")
        # LevelDB's log format: blocks of record parts, each after checksum, length and kind.
        data, at, record = file.read_bytes(), _PART_HEADER, b""
        while at + _PART_HEADER <= len(data):
            left = _BLOCK - at % _BLOCK
            if left < _PART_HEADER:
                at += left
                continue
            length, kind = struct.unpack_from("<HB", data, at + 4)
            at += _PART_HEADER + length
            record += data[at - length : at]
            if kind in (1, 4):  # A full record, or its last part.
                try:
                    if wire.Record.FromString(record).HasField("exit"):
                        return True
                except DecodeError:
                    return False
                record = b""
        return False

    # Inside.

    def _row(self, row: Dict[str, Any], axis: str, step: int) -> None:
        for name in sorted(set(row) - self._defined - {axis}):
            self._run.define_metric(name, step_metric=axis)
            self._defined.add(name)
        self._run.log(row, step=step)
        self._last = step

    def _keep(self, spec_text: str) -> None:
        file = pathlib.Path(self._run.dir) / "spec.txtpb"
        file.write_text(spec_text, "utf-8")
        self._run.save(str(file), base_path=self._run.dir, policy="now")
