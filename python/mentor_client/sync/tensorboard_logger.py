"""Logs to TensorBoard: event files in one folder per experiment."""

from __future__ import annotations

import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import time
from typing import Any, Dict, List, Sequence, Set, Tuple, Union

from ..command import needs
from .content import BY_ENV_STEPS, FINAL, About, Evaluated, Point, settings

INSTALL = "'./python[tensorboard]' in a clone of the repository, or tensorboard"
_FILM_WIDTH, _FILM_FPS = 320, 10
_TIMES = re.compile(r"\w+_(seconds|bytes)")
_LIFETIMES = re.compile(
    r"(seg\d+|success(_episode_\d+)?|shaped_return|meta_return|generation|iteration|best_score"
    r"|env_steps|nonfinite_updates|failed_steps)(/.*)?"
)


def grouped(metric: str) -> str:
    """Returns a metric's tag, the same as in the files of `mentor run --tensorboard`."""
    if _TIMES.fullmatch(metric):
        return f"time/{metric}"
    return f"lifetimes/{metric}" if _LIFETIMES.fullmatch(metric) else f"outer/{metric}"


class TensorboardLogger:
    """Reads the existing event files, then writes a new file in each call. A killed process may
    leave a file that ends inside an event, and nothing can be appended to it.
    """

    def __init__(self, about: About, logdir: pathlib.Path):
        def library(name: str) -> Any:
            return needs(f"tensorboard.{name}", INSTALL, "mentor-sync tensorboard")

        self._event = library("compat.proto.event_pb2")
        self._summary = library("compat.proto.summary_pb2")
        self._tensor = library("compat.proto.tensor_pb2")
        self._text_metadata = library("plugins.text.metadata")
        self._loader = library("backend.event_processing.event_file_loader")
        writer = library("summary.writer.event_file_writer")
        self.folder = logdir / f"{about.name}-{about.uid[:8]}"
        self._known: Set[Tuple[str, int]] = set()
        for file in sorted(self.folder.glob("events.out.tfevents.*")):
            self._read(file)
        self._writer = writer.EventFileWriter(str(self.folder))
        self._describe(about, library("plugins.hparams.summary_v2"))

    def where(self) -> str:
        return f"TensorBoard {self.folder}; look: tensorboard --logdir {self.folder.parent}"

    def points(self, points: Sequence[Point]) -> int:
        new = 0
        for point in points:
            by_update = {grouped(name): value for name, value in point.values.items()}
            by_update[grouped("env_steps")] = float(point.env_steps)
            by_env_steps = {BY_ENV_STEPS + name: value for name, value in point.values.items()}
            fresh = self._add(by_update, point.step, point.time_s)
            fresh |= self._add(by_env_steps, point.env_steps, point.time_s)
            new += fresh
        self._writer.flush()
        return new

    def evaluated(self, evaluated: Evaluated) -> None:
        now_s = time.time()
        self._add(evaluated.numbers, evaluated.step, now_s)
        for curve in evaluated.curves:
            for episode, value in enumerate(curve.values, 1):
                self._add({curve.tag: value}, episode, now_s)
        self._writer.flush()

    def films(self, films: Sequence[pathlib.Path], state: str) -> None:
        """Adds films as GIFs, the only moving pictures that TensorBoard shows."""
        for film in films:
            tag = f"films/{film.stem}"
            if (tag, 0) in self._known:
                continue
            gif = film.read_bytes() if film.suffix == ".gif" else _as_gif(film)
            if not gif:
                text = f"{film.name}: install ffmpeg, or draw a .gif, to see it here"
                self._value(tag, self._text_value(tag, text), 0)
                continue
            width, height = struct.unpack("<HH", gif[6:10])
            image = self._summary.Summary.Image(
                width=width, height=height, colorspace=3, encoded_image_string=gif
            )
            self._value(tag, self._summary.Summary.Value(tag=tag, image=image), 0)
        self._writer.flush()

    def close(self, state: str) -> None:
        if state in FINAL:
            self._value("state", self._text_value("state", state), 0)
        self._writer.close()

    # Inside.

    def _read(self, file: pathlib.Path) -> None:
        for record in self._loader.RawEventFileLoader(str(file)).Load():
            event = self._event.Event.FromString(record)
            self._known.update((value.tag, event.step) for value in event.summary.value)

    def _add(self, values: Dict[str, float], step: int, time_s: float) -> bool:
        """Writes the scalars of one step as one event: all of them, or none."""
        fresh = {tag: value for tag, value in values.items() if (tag, step) not in self._known}
        if fresh:
            self._write(
                [
                    self._summary.Summary.Value(tag=tag, simple_value=value)
                    for tag, value in sorted(fresh.items())
                ],
                step,
                time_s,
            )
        return bool(fresh)

    def _value(self, tag: str, value: Any, step: int) -> None:
        if (tag, step) not in self._known:
            self._write([value], step, time.time())

    def _write(self, values: List[Any], step: int, time_s: float) -> None:
        self._known.update((value.tag, step) for value in values)
        summary = self._summary.Summary(value=values)
        self._writer.add_event(self._event.Event(wall_time=time_s, step=step, summary=summary))

    def _text_value(self, tag: str, text: str) -> Any:
        metadata = self._text_metadata.create_summary_metadata(display_name=tag, description="")
        tensor = self._tensor.TensorProto(dtype=7, string_val=[text.encode()])  # DT_STRING
        tensor.tensor_shape.SetInParent()
        return self._summary.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)

    def _describe(self, about: About, hparams: Any) -> None:
        tag = "_hparams_/session_start_info"
        if (tag, 0) not in self._known:
            values = {name: _number(value) for name, value in settings(about.spec).items()}
            (value,) = hparams.hparams_pb(
                values, trial_id=about.uid, start_time_secs=about.began_s
            ).value
            self._write([value], 0, about.began_s)
        table = "".join(f"    {line}\n" for line in about.spec_text.splitlines())
        self._value("spec", self._text_value("spec", table), 0)
        tags = "".join(f"- {key}: {value}\n" for key, value in sorted(about.tags().items()))
        self._value("tags", self._text_value("tags", tags), 0)
        self._writer.flush()


def _number(text: str) -> Union[bool, float, str]:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _as_gif(film: pathlib.Path) -> bytes:
    """Makes a film smaller and slower by ffmpeg; returns an empty result without ffmpeg."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return b""
    with tempfile.TemporaryDirectory(prefix="mentor-sync-") as folder:
        out = pathlib.Path(folder) / "film.gif"
        scale = f"fps={_FILM_FPS},scale={_FILM_WIDTH}:-1"
        command = [ffmpeg, "-v", "error", "-y", "-i", str(film), "-vf", scale, str(out)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=600)
        return out.read_bytes() if done.returncode == 0 and out.exists() else b""
