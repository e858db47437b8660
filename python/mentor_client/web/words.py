"""Numbers and states in words."""

from __future__ import annotations

import math
import os.path
import re
import time
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from google.protobuf.message import Message

from ..client import Client
from ..experiment import FINAL, Experiment
from ..names import enum_name, is_repeated
from ..sync.content import settings
from ..v1.experiment_pb2 import CatalogueEntry, Priority, ShardInfo
from ..v1.spec_pb2 import ExperimentSpec

_BLOCKS = "▁▂▃▄▅▆▇█"
_VALUE_MAX = 1000  # Characters of a setting's value.
_SETTINGS_MAX = 2000  # Rows of a table of settings.
ENDED = {name.capitalize() for name in FINAL} | {"Cancelling"}


def span(seconds: float) -> str:
    seconds = min(seconds, 1e11)  # Infinity has no hours.
    parts = (86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")
    for part, unit, rest, small in parts:
        if seconds >= part:
            more = int(seconds % part) // rest
            return f"{int(seconds // part)} {unit}" + f" {more} {small}" * (more > 0)
    return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"


def size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"


def number(value: float) -> str:
    for factor, unit in ((1e9, " billion"), (1e6, " million"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.1f}{unit}"
    return f"{value:.0f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def figure(value: float) -> str:
    """Three digits."""
    return number(value) if abs(value) >= 1000 else f"{value:.3g}"


def spark(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> str:
    """Values as blocks, each on the scale from low to high."""
    span = (high - low) or 1.0
    kept = [(value - low) / span for value in values if math.isfinite(value)]
    return "".join(_BLOCKS[min(7, max(0, int(value * 8)))] for value in kept)


def priority(experiment: Experiment) -> str:
    name = enum_name(Priority, experiment.proto.priority, "PRIORITY_")
    return name.replace("UNSPECIFIED", "NORMAL").lower()


def done(experiment: Experiment) -> float:
    """The part that is done, 0 to 1: of meta-training, or of the evaluation once it has begun.
    Success is all of it, also where patience left something out."""
    now = experiment.progress
    if experiment.state == "SUCCEEDED":
        return 1.0
    if evaluates(experiment):
        return now.evaluation_lifetimes / now.evaluation_lifetimes_total
    return now.outer_updates / max(1, now.outer_updates_total)


def evaluates(experiment: Experiment) -> bool:
    now = experiment.progress
    return 0 < now.outer_updates_total == now.outer_updates and now.evaluation_lifetimes_total > 0


def activity(experiment: Experiment) -> str:
    """In the service's words; kinds of learners are as short as in the fleet."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24}\b", r"\1", experiment.activity)


def waits_for(experiment: Experiment) -> str:
    return activity(experiment).partition("waiting for ")[2]


def progress(experiment: Experiment) -> str:
    now = experiment.progress
    text = f"{now.outer_updates} of {now.outer_updates_total}"
    if experiment.state == "RUNNING":
        if evaluates(experiment):
            text = f"evaluates {now.evaluation_lifetimes} of {now.evaluation_lifetimes_total}"
        if now.seconds_left > 0:
            text += f", {span(now.seconds_left)} left"
    return text


def state(experiment: Experiment) -> str:
    return experiment.state.capitalize()


def clock(time: Any) -> str:
    text: str = time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")
    return text


def log_line(line: Any) -> str:
    fields = " ".join(f"{key}={value}" for key, value in sorted(line.fields.items()))
    return f"{clock(line.time)}  {line.severity:7}  {line.message}  {fields}"


def shard(one: ShardInfo) -> Dict[str, str]:
    return {
        "shard": one.name.rpartition("/")[2],
        "state": "waiting" if one.state == one.STATE_WAITING else "running",
        "learner": one.learner.rpartition("/")[2] or "–",
        "lifetimes": str(one.lifetimes),
        "done": f"{one.iterations_done} of {one.iterations_total}",
        "steps": f"{number(one.env_steps)} of {number(one.env_steps_total)}",
    }


def facts(one: Experiment) -> Dict[str, str]:
    now, runs = one.progress, one.state == "RUNNING"
    evaluated = f"{now.evaluation_lifetimes} of {now.evaluation_lifetimes_total}"
    labels = ", ".join(f"{key}={value}" for key, value in sorted(one.labels.items()))
    source = re.sub("experiments/(.*)/checkpoints/0*", r"\1, update ", one.proto.source_checkpoint)
    found = {
        "Name": one.id,
        "Now": activity(one) or state(one),
        "Outer updates": f"{now.outer_updates} of {now.outer_updates_total}",
        "Evaluated lifetimes": evaluated if now.evaluation_lifetimes_total else "–",
        "Left": span(now.seconds_left) if runs and now.seconds_left > 0 else "–",
        "Took": span(took(one)) if took(one) else "–",
        "Environment steps": number(now.env_steps),
        "Steps a second": number(now.env_steps_per_second) if runs else "–",
        "Owner": one.owner,
        "Priority": f"{priority(one)}, weight {one.proto.weight}",
        "Age": span(time.time() - one.proto.create_time.seconds),
        "Began from": source,
        "Labels": labels,
    }
    return {name: value for name, value in found.items() if value}


def success_names(spec: ExperimentSpec, most: int = 8) -> List[str]:
    """Metrics of success by part of the lifetime, at most this many, the first and last among
    them."""
    last = max(0, spec.lifetime.iterations - 1)
    parts = sorted({round(last * part / max(1, most - 1)) for part in range(most)})
    return [f"seg{part}" for part in parts]


class Curve(NamedTuple):
    """By outer update."""

    success: List[Tuple[int, float]] = []  # At the end of a lifetime.
    rewards: List[Tuple[int, float]] = []  # The shaped return of an episode.

    @property
    def succeeds(self) -> bool:
        return any(share > 0 for _, share in self.success)

    @property
    def points(self) -> List[Tuple[int, float]]:
        """Success, or the return where nothing succeeds."""
        return self.success if self.succeeds else self.rewards or self.success

    @property
    def last(self) -> str:
        if not self.points:
            return "–"
        return (percent if self.points is self.success else figure)(self.points[-1][1])

    @property
    def blocks(self) -> str:
        values = [value for _, value in self.points]
        if self.points is self.success or not values:
            return spark(values)
        return spark(values, min(values), max(values))


def curve(client: Client, one: Experiment, most: int) -> Curve:
    """A call."""
    last = success_names(one.spec)[-1]
    names = [last, "success", "shaped_return"]
    found = client.metrics(one.name, names, max_points=most)
    points = {name: list(zip(found[name].steps, found[name].mean)) for name in names}
    merged = [name for name in names if points[name] and found[name].count[-1] > 1]
    if merged:  # The last point stands for several updates: the last update follows alone.
        step = max(found[name].steps[-1] + found[name].count[-1] - 1 for name in merged)
        for name, new in client.metrics(one.name, merged, step_min=step).items():
            points[name] += zip(new.steps, new.mean)
    return Curve(points[last] or points["success"], points["shaped_return"])


def methods(ids: Sequence[str], specs: Sequence[bytes]) -> Dict[str, List[str]]:
    """Ids by method: experiments that differ in nothing but seed and title are one. A method of
    several has the beginning that their ids share as its name."""
    groups: Dict[bytes, List[str]] = {}
    for id, serialized in zip(ids, specs):
        spec = ExperimentSpec.FromString(serialized)
        spec.ClearField("seed")
        spec.ClearField("display_name")
        groups.setdefault(spec.SerializeToString(deterministic=True), []).append(id)
    named: Dict[str, List[str]] = {}
    for ids in groups.values():
        name = ids[0]
        if len(ids) > 1:
            shared = os.path.commonprefix(ids).rstrip("-_.0123456789")
            name = f"{shared or ids[0]}, mean of {len(ids)} seeds"
            if name in named:
                name = f"{ids[0]} and like it, mean of {len(ids)} seeds"
        named[name] = ids
    return named


def mean(curves: Sequence[Sequence[Tuple[int, float]]]) -> List[Tuple[int, float]]:
    """The mean of curves where each of them has begun and goes on, between their points too."""
    kept = [curve for curve in curves if curve]
    if not kept:
        return []
    first, last = max(one[0][0] for one in kept), min(one[-1][0] for one in kept)
    steps = sorted({step for one in kept for step, _ in one if first <= step <= last})
    values = [_at(steps, one) for one in kept]
    return [(step, sum(column) / len(kept)) for step, *column in zip(steps, *values)]


def _at(steps: Sequence[int], curve: Sequence[Tuple[int, float]]) -> List[float]:
    found, at = [], 0
    for step in steps:
        while at + 1 < len(curve) and curve[at + 1][0] <= step:
            at += 1
        (here, value), (then, later) = curve[at], curve[min(at + 1, len(curve) - 1)]
        part = (step - here) / (then - here) if then > here else 0.0
        found.append(value + part * (later - value))
    return found


def took(one: Experiment) -> float:
    """Seconds from the first start to the end; 0 before that."""
    span_ns = one.proto.end_time.ToNanoseconds() - one.proto.start_time.ToNanoseconds()
    return max(0.0, span_ns / 1e9)


def nothing(points: bool) -> str:
    """In the place of a chart of success."""
    return "Nothing has succeeded so far" if points else "No points yet"


def part_name(metric: str, spec: ExperimentSpec) -> str:
    """The part of a lifetime that seg0 counts, in the words of the report."""
    if not metric.startswith("seg") or spec.lifetime.iterations == 1:
        return "whole lifetime"
    updates = int(metric[3:])
    return f"after {updates} update" + "s" * (updates > 1) if updates else "before learning"


def all_settings(serialized: bytes, catalogue: Sequence[bytes]) -> List[Dict[str, Any]]:
    """Every setting by path; `plain` where it is what it would be without a word in the spec."""
    spec = ExperimentSpec.FromString(serialized)
    defaults: Dict[str, str] = {}
    entries = map(CatalogueEntry.FromString, catalogue)
    _add_defaults(spec, "", {(one.kind, one.name): one for one in entries}, defaults)
    given = settings(spec)
    rows = [
        {"path": path, "value": _cut(value), "plain": value == defaults.get(path)}
        for path, value in sorted({**defaults, **given}.items())
    ]
    return _few(rows)


def _cut(value: str) -> str:
    return value if len(value) <= _VALUE_MAX else f"{value[:_VALUE_MAX]} …"


def _few(rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    if len(rows) <= _SETTINGS_MAX:
        return rows
    more = {"path": "…", "value": f"and {len(rows) - _SETTINGS_MAX} more"}
    return [*rows[:_SETTINGS_MAX], more]


def _add_defaults(message: Any, path: str, parts: Dict[Any, Any], found: Dict[str, str]) -> None:
    kind = path.rstrip(".").rpartition(".")[2]
    part = parts.get((kind, getattr(message, "name", "")))
    for setting in part.settings if part is not None else ():
        found[path + setting.name] = setting.default_value
    plain = type(message)()
    for field in message.DESCRIPTOR.fields:
        if is_repeated(field):
            continue
        if isinstance(getattr(message, field.name), Message):
            if message.HasField(field.name):
                _add_defaults(getattr(message, field.name), f"{path}{field.name}.", parts, found)
        elif field.has_default_value:
            setattr(plain, field.name, field.default_value)
    for name, value in settings(plain).items():
        found[path + name] = value


def differences(specs: Sequence[bytes]) -> List[Dict[str, Any]]:
    """The settings in which specs differ: a row each, with the values v0, v1 and so on."""
    all_settings = [settings(ExperimentSpec.FromString(spec)) for spec in specs]
    paths = sorted({path for one in all_settings for path in one} - {"display_name"})
    rows = {path: [one.get(path) or "–" for one in all_settings] for path in paths}
    found = [
        {"path": path, **{f"v{number}": _cut(value) for number, value in enumerate(values)}}
        for path, values in rows.items()
        if len(set(values)) > 1
    ]
    return _few(found)
