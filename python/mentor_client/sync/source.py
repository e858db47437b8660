"""Sources of experiments: a run folder, or a service."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from typing import Callable, Iterator, List, Optional, Protocol

import grpc
from google.protobuf import text_format

from ..client import Client
from ..errors import MentorError
from ..experiment import Experiment
from ..v1.spec_pb2 import ExperimentSpec
from .content import About, Clock, Evaluated, Point, evaluated
from .run_folder import RunFolder

_FILMS = (".gif", ".mp4")


class Source(Protocol):
    about: About

    def points(self, follow: bool) -> Iterator[Point]:
        """Yields points from the first. `follow`: also later ones, until the experiment ends."""

    def state(self) -> str:
        ...

    def evaluation(self) -> Optional[Evaluated]:
        ...

    def films(self, scratch: pathlib.Path) -> List[pathlib.Path]:
        """Returns the films' files; fetched ones are put into `scratch`."""


class ServedExperiment:
    def __init__(self, client: Client, name: str):
        self._client = client
        self._experiment = client.get(name)
        proto = self._experiment.proto
        spec, text = proto.spec, ""
        # The merged spec has every default; its file exists from the first run on.
        unread = (MentorError, text_format.ParseError)
        with contextlib.suppress(*unread), tempfile.TemporaryDirectory() as folder:
            artifact = f"{self._experiment.name}/artifacts/merged.txtpb"
            text = client.download(artifact, folder).read_text("utf-8")
            spec = text_format.Parse(text, ExperimentSpec())
        self.about = About(
            proto.uid,
            self._experiment.id,
            proto.display_name or spec.display_name,
            proto.owner,
            dict(proto.labels),
            "experiment",
            proto.create_time.seconds + proto.create_time.nanos / 1e9,
            spec,
            text or text_format.MessageToString(spec),
        )

    def points(self, follow: bool) -> Iterator[Point]:
        name, clock = self._experiment.name, Clock(self.about.began_s)
        last = max((one.last_step for one in self._client.metric_names(name)), default=0)
        if not last and not follow:
            return
        for message in self._client.watch_metrics(name):
            if not follow and message.step > last:
                return
            yield clock.point(message.step, message.values)
            if not follow and message.step == last:
                return

    def state(self) -> str:
        return self._same().state

    def evaluation(self) -> Optional[Evaluated]:
        return evaluated(self._client.evaluation_shards(self._same()), self.about.spec)

    def films(self, scratch: pathlib.Path) -> List[pathlib.Path]:
        return [
            self._client.download(one.name, scratch)
            for one in self._client.artifacts(self._same())
            if one.name.endswith(_FILMS)
        ]

    def _same(self) -> Experiment:
        now = self._client.get(self._experiment.name)
        if now.uid != self.about.uid:
            raise MentorError(
                grpc.StatusCode.NOT_FOUND,
                f"{now.name} was deleted and another one has its name now; run the command again "
                "for that one",
                reason="NOT_FOUND",
            )
        return now


def open_source(text: str, connect: Callable[[], Client]) -> Source:
    """Returns a run folder if `text` is one, else an experiment of the service."""
    folder = pathlib.Path(text)
    if folder.is_dir():
        return RunFolder(folder)
    if "/" in text and not text.startswith("experiments/"):
        raise MentorError(
            grpc.StatusCode.NOT_FOUND,
            f"there is no folder {text}: give the folder of a run, or the name of an experiment",
            reason="NOT_FOUND",
        )
    return ServedExperiment(connect(), text)
