"""Numbers and states in words."""

from __future__ import annotations

import math
import time
from typing import Any, Dict, List, Sequence

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ..experiment import Experiment
from ..sync.content import settings
from ..v1.experiment_pb2 import CatalogueEntry, Priority
from ..v1.spec_pb2 import ExperimentSpec

_BLOCKS = "▁▂▃▄▅▆▇█"


def span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            rest = int(seconds % size) // {86400: 3600, 3600: 60, 60: 1}[size]
            small = {"d": "h", "h": "min", "min": "s"}[unit]
            return f"{int(seconds // size)} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"


def size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"


def number(value: float) -> str:
    for factor, unit in ((1e9, " billion"), (1e6, " million"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.1f}{unit}"
    return f"{value:.0f}"


def spark(values: Sequence[float]) -> str:
    """Success rates as blocks, each on the scale from 0 to 1."""
    kept = [value for value in values if math.isfinite(value)]
    return "".join(_BLOCKS[min(7, max(0, int(value * 8)))] for value in kept)


def priority(experiment: Experiment) -> str:
    name: str = Priority.Name(experiment.proto.priority)
    return name[len("PRIORITY_") :].replace("UNSPECIFIED", "NORMAL").lower()


def done(experiment: Experiment) -> float:
    """The part that is done, 0 to 1, lifetimes of the evaluation included."""
    now = experiment.progress
    parts = [
        (now.outer_updates, now.outer_updates_total),
        (now.evaluation_lifetimes, now.evaluation_lifetimes_total),
    ]
    shares = [min(1.0, part / total) for part, total in parts if total]
    return 1.0 if experiment.state == "SUCCEEDED" else sum(shares) / max(1, len(shares))


def progress(experiment: Experiment) -> str:
    now = experiment.progress
    text = f"{now.outer_updates} of {now.outer_updates_total}"
    if experiment.state == "RUNNING":
        if now.evaluation_lifetimes_total and now.outer_updates == now.outer_updates_total:
            text = f"evaluates {now.evaluation_lifetimes} of {now.evaluation_lifetimes_total}"
        if now.seconds_left > 0:
            text += f", {span(now.seconds_left)} left"
    return text


def state(experiment: Experiment) -> str:
    return experiment.state.capitalize()


def age(experiment: Experiment) -> float:
    """Seconds since its creation."""
    return max(0.0, time.time() - experiment.proto.create_time.ToNanoseconds() / 1e9)


def success_names(spec: ExperimentSpec, most: int = 8) -> List[str]:
    """Metrics of success by part of the lifetime, at most this many, the first and last among
    them."""
    last = max(0, spec.lifetime.iterations - 1)
    parts = sorted({round(last * part / max(1, most - 1)) for part in range(most)})
    return [f"seg{part}" for part in parts]


def part_name(metric: str, spec: ExperimentSpec) -> str:
    """seg0 in words: how often the agent has been updated by then."""
    if not metric.startswith("seg"):
        return metric.replace("_", " ")
    updates = int(metric[3:])
    return "untrained" if not updates else f"after {updates} update" + "s" * (updates > 1)


def defaults(spec: ExperimentSpec, catalogue: Sequence[CatalogueEntry]) -> Dict[str, str]:
    """What each setting would be if the spec left it out, by path."""
    found: Dict[str, str] = {}
    _add_defaults(spec, "", {(one.kind, one.name): one for one in catalogue}, found)
    return found


def _add_defaults(message: Any, path: str, parts: Dict[Any, Any], found: Dict[str, str]) -> None:
    kind = path.rstrip(".").rpartition(".")[2]
    part = parts.get((kind, getattr(message, "name", "")))
    for setting in part.settings if part is not None else ():
        found[path + setting.name] = setting.default_value
    plain = type(message)()
    for field in message.DESCRIPTOR.fields:
        if field.label == FieldDescriptor.LABEL_REPEATED:
            continue
        if isinstance(getattr(message, field.name), Message):
            if message.HasField(field.name):
                _add_defaults(getattr(message, field.name), f"{path}{field.name}.", parts, found)
        elif field.has_default_value:
            setattr(plain, field.name, field.default_value)
    for name, value in settings(plain).items():
        found[path + name] = value


def differences(specs: Sequence[ExperimentSpec]) -> Dict[str, List[str]]:
    """The settings in which specs differ, by path, one value for each."""
    all_settings = [settings(spec) for spec in specs]
    paths = sorted({path for one in all_settings for path in one} - {"display_name"})
    rows = {path: [one.get(path, "") for one in all_settings] for path in paths}
    return {path: values for path, values in rows.items() if len(set(values)) > 1}
