"""The synchronised data, independent of any logger."""

from __future__ import annotations

import dataclasses
import io
import math
import pathlib
from typing import Dict, List, Optional, Protocol, Sequence

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ..evaluation import summarise
from ..names import is_repeated
from ..v1.evaluation_pb2 import EvaluationShard
from ..v1.spec_pb2 import ExperimentSpec

BY_ENV_STEPS = "by_env_steps/"
FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclasses.dataclass(frozen=True)
class About:
    """Facts that do not change while an experiment runs."""

    uid: str
    name: str  # For people: the experiment's id, or the name of the run's folder.
    title: str
    owner: str
    labels: Dict[str, str]
    origin: str  # "run" or "experiment".
    began_s: float  # Unix time.
    spec: ExperimentSpec
    spec_text: str

    def tags(self) -> Dict[str, str]:
        tags = {
            "mentor.uid": self.uid,
            "mentor.name": self.name,
            "mentor.title": self.title,
            "mentor.owner": self.owner,
            "mentor.rule": self.spec.rule.name,
            "mentor.benchmark": self.spec.benchmark.name,
            "mentor.seed": str(self.spec.seed),
        }
        tags.update((f"mentor.label.{key}", value) for key, value in self.labels.items())
        return {key: value for key, value in tags.items() if value}


@dataclasses.dataclass(frozen=True)
class Point:
    """The finite values of one outer update."""

    step: int
    env_steps: int
    time_s: float  # Unix time: start of the run plus the wall time of the outer updates so far.
    values: Dict[str, float]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve of a lifetime: one value per episode, from the first."""

    tag: str
    values: List[float]


@dataclasses.dataclass(frozen=True)
class Evaluated:
    step: int  # Outer updates behind the weights.
    numbers: Dict[str, float]
    curves: List[Curve]


class Logger(Protocol):
    """Accepts data and keeps what is new. One thread; one process per experiment (lock.py)."""

    def where(self) -> str:
        """Describes the target to people."""

    def points(self, points: Sequence[Point]) -> int:
        """Adds points, in order over one or several calls. Returns how many were new."""

    def evaluated(self, evaluated: Evaluated) -> None:
        ...

    def films(self, films: Sequence[pathlib.Path], state: str) -> None:
        """`state`: the experiment's state by now."""

    def close(self, state: str) -> None:
        """`state`: the experiment's state; "" if the call was interrupted."""


def finite(values: Dict[str, float]) -> Dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}


class Clock:
    """Makes points. Times follow from recorded values, so they are the same in every call."""

    def __init__(self, began_s: float):
        self._time_s = began_s

    def point(self, step: int, values: Dict[str, float]) -> Point:
        values = finite(values)
        self._time_s += max(0.0, values.get("wall_seconds", 0.0))
        return Point(step, int(values.pop("env_steps", 0)), self._time_s, values)


def evaluated(shards: Sequence[EvaluationShard], spec: ExperimentSpec) -> Optional[Evaluated]:
    """Returns None without shards."""
    if not shards:
        return None
    numbers: Dict[str, float] = {}
    curves: List[Curve] = []
    for one in summarise(shards, spec.lifetime.iterations):
        parts = ["evaluation", one.split, one.method] + [one.environment] * bool(one.environment)
        tag = "/".join(parts)
        numbers.update((f"{tag}/{name}", value) for name, value in one.numbers.items())
        for kind, values in (("success", one.success), ("return", one.returns)):
            if values:
                curves.append(Curve(f"{tag}/{kind}_by_episode", values))
    return Evaluated(max(shard.outer_step for shard in shards), numbers, curves)


def settings(spec: ExperimentSpec) -> Dict[str, str]:
    """Returns set fields by path, entries of lists by number, options under the path of their part:
    as in --set.
    """
    found: Dict[str, str] = {}
    _add_settings(spec, "", found)
    return found


def _add_settings(message: Message, path: str, found: Dict[str, str]) -> None:
    for field, value in message.ListFields():
        name = path + field.name
        values = list(value) if is_repeated(field) else [value]
        if field.message_type is None:
            found[name] = ",".join(_text(field, one) for one in values)
            continue
        for number, one in enumerate(values):
            if field.message_type.full_name == "mentor.v1.Option":
                found[path + one.name] = one.value
            else:
                _add_settings(one, f"{name}.{number}." if is_repeated(field) else name + ".", found)


def _text(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, str):
        return value
    out = io.StringIO()
    text_format.PrintFieldValue(field, value, out)
    return out.getvalue()
