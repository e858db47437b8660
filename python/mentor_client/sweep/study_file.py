"""study.yaml: its fields and their checks. Every violation is reported at once."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import pathlib
import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

import grpc

from ..client import Client
from ..command import needs
from ..errors import MentorError, Violation
from ..v1.experiment_pb2 import Experiment as ExperimentProto

INSTALL = "'./python[sweep]' in a clone of the repository, or optuna PyYAML matplotlib"
SQLITE = "sqlite:///"
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_NAME_CHARACTERS = 40
_ID_CHARACTERS = 63  # Limit of experiment ids, here NAME-t0001-s12 and NAME-best1-s12.
_SEED_MAX = 2**64 - 1
_TRIALS_MAX, _PARALLEL_MAX, _SEEDS_MAX = 100_000, 256, 100
_DEPTH_MAX, _VALUES_MAX = 8, 100_000  # Limits of the file, checked before its fields.
_TOO_DEEP = f"has more than {_DEPTH_MAX} levels; remove brackets or indentation"
# Beyond these bounds, Optuna's sums are not finite, whole numbers not exact, and steps not
# countable.
_BOUND_MAX, _WHOLE_BOUND_MAX, _STEPS_MAX = 1e300, 2.0**53, 1e15
_CLASSES = ("low", "normal", "high")
_EVALUATION_NUMBER = re.compile(r"seg\d+|last|det|return")

Value = Union[str, int, float, bool]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A setting of the spec and its search range."""

    path: str
    kind: str  # float, int or choices.
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: Optional[float] = None
    choices: Tuple[Value, ...] = ()

    def text(self, value: Any) -> str:
        """Returns the text for --set."""
        if isinstance(value, bool):
            return "true" if value else "false"
        return repr(value) if isinstance(value, float) else str(value)

    def corners(self) -> List[Any]:
        """Returns the extreme values, or all choices."""
        if self.kind == "choices":
            return list(self.choices)
        kind = int if self.kind == "int" else float
        return [kind(self.low), kind(self.high)]


@dataclasses.dataclass(frozen=True)
class Objective:
    """One number of an experiment: a metric, or a result of its final evaluation."""

    metric: str = ""
    at: str = "last"  # last, mean, best or update; for a metric.
    count: int = 1  # For mean: how many of the last values; for update: which one.
    evaluation: str = ""  # seg0 ..., last, det, return.
    method: str = "learned"
    split: str = "test"
    maximise: bool = True

    def value(self, points: Mapping[int, float]) -> Optional[float]:
        """Returns the objective for a metric's values so far, by outer update; None without
        values."""
        steps = sorted(points)
        if self.at == "update":
            steps = [step for step in steps if step <= self.count]
        if not steps:
            return None
        values = [points[step] for step in steps]
        if self.at == "best":
            return max(values) if self.maximise else min(values)
        if self.at == "mean":
            values = values[-self.count :]
            return math.fsum(values) / len(values)
        return values[-1]

    def evaluation_number(self) -> str:
        """Returns its name among the numbers that an experiment reports."""
        return f"evaluation/{self.split}/{self.method}/{self.evaluation}"

    def words(self) -> str:
        if self.evaluation:
            return f"{self.evaluation} of {self.method} on {self.split}"
        at = {"mean": f"mean of the last {self.count}", "update": f"after update {self.count}"}
        return f"{self.metric}, {at.get(self.at, self.at)}"


@dataclasses.dataclass(frozen=True)
class Pruner:
    name: str = "hyperband"  # hyperband, median or none.
    metric: str = ""
    min_updates: int = 1
    factor: int = 3


@dataclasses.dataclass(frozen=True)
class Confirm:
    """Confirmation after the trials: the best settings against the plain spec, on seeds that no
    trial used.
    """

    seeds: Tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class StudyFile:
    name: str
    spec: str  # A file, or the name of a spec that comes with Mentor.
    changes: Tuple[str, ...]  # What `set` says, as for --set.
    experiment: ExperimentProto  # Class, labels and so on; the spec, too, once it is read.
    parameters: Tuple[Parameter, ...]
    objective: Objective
    trials: int
    parallel: int
    seeds: Tuple[int, ...]
    sampler: str  # tpe or grid.
    seed: int  # Seed of the sampler.
    startup_trials: int
    pruner: Pruner
    confirm: Confirm
    storage: str

    @property
    def updates(self) -> int:
        return int(self.experiment.spec.rule.outer_updates)

    def id(self, trial: int, seed: int) -> str:
        """Returns the id of the experiment of one trial and seed."""
        return f"{self.name}-t{trial:04d}-s{seed}"

    def overrides(self, values: Mapping[str, Any], seed: int) -> List[str]:
        """Returns the overrides of one trial and seed."""
        chosen = [
            f"{one.path}={one.text(values[one.path])}"
            for one in self.parameters
            if one.path in values
        ]
        return [*chosen, f"seed={seed}"]

    def plan(self) -> Dict[str, Any]:
        """Returns the part that must not change once the study has begun."""
        spec = ExperimentProto()
        spec.spec.CopyFrom(self.experiment.spec)
        plan = {
            "spec and set": spec.SerializeToString(deterministic=True).hex(),
            "parameters": [repr(one) for one in self.parameters],
            "objective": repr(self.objective),
            "seeds": list(self.seeds),
        }
        return {**plan, "sampler": "grid"} if self.sampler == "grid" else plan


class _Problems:
    def __init__(self) -> None:
        self.found: List[Violation] = []

    def add(self, field: str, description: str) -> None:
        self.found.append(Violation(field, description))


class _Fields:
    """One mapping of the file. Each getter takes a field; fields that were not taken are
    unknown."""

    def __init__(self, problems: _Problems, path: str, value: Any, example: str):
        self._problems, self._path = problems, path
        self.is_mapping = isinstance(value, dict)
        if not self.is_mapping:
            problems.add(
                path or "the file",
                f"is {_shown(value) if path or value else 'empty'}; give fields, for instance "
                f"{example}",
            )
        self._values: Dict[str, Any] = (
            {str(k): v for k, v in value.items()} if self.is_mapping else {}
        )
        self._taken: List[str] = []

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def wrong(self, name: str, description: str) -> None:
        self._problems.add(self.path(name), description)

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def take(self, name: str) -> Any:
        self._taken.append(name)
        return self._values.get(name)

    def number(
        self, name: str, default: float, low: float, high: float, whole: bool = False
    ) -> float:
        value = self.take(name)
        if value is None:
            return default
        got = as_number(value)
        if got is None or (whole and got != int(got)) or not low <= got <= high:
            kind = "a whole number" if whole else "a number"
            self.wrong(name, f"is {_shown(value)}; give {kind} from {low:g} to {high:g}")
            return default
        return got

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        return int(self.number(name, default, low, high, whole=True))

    def word(self, name: str, default: str, choices: Tuple[str, ...] = ()) -> str:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, str) or (choices and value not in choices):
            what = f"one of {', '.join(choices)}" if choices else "text"
            self.wrong(name, f"is {_shown(value)}; give {what}")
            return default
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            self.wrong(name, f"is {_shown(value)}; give true or false")
        return value is True

    def done(self) -> None:
        known = sorted(set(self._taken))
        for name in self._values:
            if name in known:
                continue
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"it may have {', '.join(known)}"
            self.wrong(name, f"is not known; {hint}")


def as_number(value: Any) -> Optional[float]:
    """Accepts text too: YAML reads 3e-4, without a point, as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    return "missing" if value is None else f"{value!r:.80}"


def read_study(path: pathlib.Path) -> StudyFile:
    """Reads a study, but for its spec. Raises INVALID_ARGUMENT with every violation."""
    yaml = needs("yaml", INSTALL, "mentor-sweep")
    text, problems = _text(path), _Problems()
    try:
        _check_depth(yaml, text)
        nodes = _fields_of(yaml.compose(text, Loader=yaml.SafeLoader))
        for count, (field, again) in enumerate(nodes):
            if again:
                problems.add(field, "stands there twice; remove one of the two")
            if count > _VALUES_MAX:
                raise _refused(field, f"is one of more than {_VALUES_MAX} values; leave some out")
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _wrong(f"{path} is not YAML: {_yaml_words(error, text)}") from None
    # For instance 2024-99-99 or !!bool perhaps.
    except (ValueError, LookupError, AttributeError) as error:
        raise _wrong(
            f"{path} has a value that cannot be read: {error}; put it in quotes, and leave out "
            "words that begin with !!"
        ) from None
    study = _study(content, path, problems)
    if problems.found or study is None:
        raise _wrong(f"{path} is not a study:", problems.found)
    return study


def with_spec(file: StudyFile, client: Client) -> StudyFile:
    """Returns the study with its spec, as the service reads it. Raises INVALID_ARGUMENT with every
    violation."""
    try:
        experiment = client.parse_spec(file.spec, file.changes)
    except MentorError as error:
        if error.code != grpc.StatusCode.INVALID_ARGUMENT:
            raise
        paths = {one.partition("=")[0] for one in file.changes}
        found = [Violation("spec", error.message)] if not error.violations else []
        for one in error.violations:
            path = re.sub(r"^--set '(.*)'$", r"\1", one.field)
            where = f"set.{path}" if path in paths else f"spec {one.field}"
            found.append(Violation(where, one.description))
        raise _wrong(f"the spec of study {file.name} cannot be read:", found) from None
    experiment.name = ""
    experiment.MergeFrom(file.experiment)
    problems, objective, pruner = _Problems(), file.objective, file.pruner
    searched = any(one.path == "rule.outer_updates" for one in file.parameters)
    updates = 0 if searched else experiment.spec.rule.outer_updates
    if objective.at in ("update", "mean") and updates and objective.count > updates:
        problems.add(
            "objective.at",
            f"is {objective.at}: {objective.count}, and the spec makes {updates} outer updates; "
            "give at most so many, or set rule.outer_updates",
        )
    if pruner.name != "none" and updates and pruner.min_updates > updates:
        problems.add(
            "pruner.min_updates",
            f"is {pruner.min_updates}, and the spec makes {updates}: no trial would end early",
        )
    if problems.found:
        raise _wrong(f"study {file.name} does not fit its spec:", problems.found)
    return dataclasses.replace(file, experiment=experiment)


def _wrong(message: str, violations: Sequence[Violation] = ()) -> MentorError:
    return MentorError(
        grpc.StatusCode.INVALID_ARGUMENT,
        message,
        reason="INVALID_FIELD",
        violations=list(violations),
    )


def _refused(field: str, description: str) -> MentorError:
    """An error that prevents the check of the rest of the file."""
    return _wrong("the file is not a study:", [Violation(f"{field:.80}", description)])


def _text(path: pathlib.Path) -> str:
    if path.is_dir():
        raise _wrong(f"{path} is a folder; give the file of a study in it")
    try:
        content = path.read_bytes()
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _wrong(f"{path} is not UTF-8 text in line {line}; save it as UTF-8") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise _wrong(f"{path} cannot be read: {why}; give the file of a study") from None


def _yaml_words(error: Any, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    lines = text.splitlines()
    if mark is None or mark.line >= len(lines):
        return str(error)
    if "\t" in lines[mark.line] and "\\t" in str(error.problem):
        return f"line {mark.line + 1} has a tab between its words; write spaces instead"
    return str(error)


def _check_depth(yaml: Any, text: str) -> None:
    """Checks the depth before the whole is parsed, since parsing recurses once per level."""
    depth, field = 0, "the file"
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if depth == 1 and isinstance(event, yaml.ScalarEvent):
            field = event.value
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_MAX:
            raise _refused(field, f"{_TOO_DEEP} (line {event.start_mark.line + 1})")


def _fields_of(
    node: Any, path: str = "", around: Tuple[Any, ...] = ()
) -> Iterator[Tuple[str, bool]]:
    """Yields every value's field, and whether it is a duplicate: YAML would silently take the last
    one. `node`: result of yaml.compose.
    """
    kind = getattr(node, "id", "")
    if kind not in ("mapping", "sequence"):
        return
    if any(node is one for one in around):
        raise _refused(path, "contains itself; write values in the place of the reference '*'")
    if len(around) >= _DEPTH_MAX:
        raise _refused(path, _TOO_DEEP)
    known: Set[str] = set()
    for entry in node.value:
        key, value = entry if kind == "mapping" else (None, entry)
        name = path
        if key is not None and getattr(key, "id", "") == "scalar":
            name = f"{path}.{key.value}" if path else key.value
            yield name, name in known
            known.add(name)
        else:
            yield name, False
        yield from _fields_of(value, name, (*around, node))


def _study(content: Any, path: pathlib.Path, problems: _Problems) -> Optional[StudyFile]:
    top = _Fields(problems, "", content, "spec: point_reach")
    if not top.is_mapping:
        return None
    name = top.word("name", path.stem.lower().replace("_", "-"))
    if not _NAME.fullmatch(name) or len(name) > _NAME_CHARACTERS:
        top.wrong(
            "name",
            f"is '{name}'; give lower-case letters, digits and dashes, a letter first, at most "
            f"{_NAME_CHARACTERS}",
        )
    spec, changes, experiment = _base(top, path.parent)
    sampler, seed, startup = _sampler(top)
    parameters = _parameters(top, sampler)
    given = top.take("set")
    fixed = {_short(str(one)) for one in given} if isinstance(given, dict) else set()
    for one in parameters:
        if _short(one.path) in fixed:
            top.wrong(f"parameters.{one.path}", "stands in set, too; remove one of the two")
    objective = _objective(top)
    pruner = _pruner(top, objective, sampler)
    seeds = _seeds(top, "seeds")
    confirm = _Fields(problems, "confirm", top.take("confirm") or {}, "seeds: [101, 102, 103]")
    fresh = _seeds(confirm, "seeds") if confirm.has("seeds") else ()
    for both in set(fresh) & set(seeds):
        confirm.wrong("seeds", f"has {both}, which trials have too; give others")
    confirm.done()
    cells = math.prod(len(one.choices) for one in parameters) if sampler == "grid" else 0
    if cells > _TRIALS_MAX:
        top.wrong("parameters", f"have {cells} combinations; give at most {_TRIALS_MAX}")
    trials = top.whole("trials", cells, 1, min(cells, _TRIALS_MAX) or _TRIALS_MAX)
    if not cells and not top.has("trials"):
        top.wrong("trials", "is missing; say how many settings shall be tried, for instance 40")
    parallel = top.whole("parallel", max(1, min(cells, _PARALLEL_MAX)), 1, _PARALLEL_MAX)
    storage = _storage(top, name)
    top.done()
    longest = f"{name}-best{max(trials, 1000)}-s{max(seeds + fresh)}"
    if len(longest) > _ID_CHARACTERS:
        top.wrong(
            "name",
            f"is too long: experiments would be called as {longest}, and may have {_ID_CHARACTERS} "
            "characters; give a shorter one, or smaller seeds",
        )
    return StudyFile(
        name,
        spec,
        changes,
        experiment,
        tuple(parameters),
        objective,
        trials,
        parallel,
        seeds,
        sampler,
        seed,
        startup,
        pruner,
        Confirm(fresh),
        storage,
    )


def _storage(top: _Fields, name: str) -> str:
    storage = top.word("storage", f"sqlite:///{name}.db")
    if not re.fullmatch(r"sqlite:///(?!:memory:).*[^/]|postgresql.*", storage):
        top.wrong(
            "storage",
            f"is '{storage}'; give sqlite:///FILE.db or postgresql+psycopg2://USER@HOST/DATABASE",
        )
    missing = missing_folder(storage)
    there = next((one for one in missing.parents if one.exists()), None) if missing else None
    if there and not (there.is_dir() and os.access(there, os.W_OK)):
        top.wrong(
            "storage",
            f"is '{storage}', and its folder cannot be made in {there}; give a folder that you may "
            "write to",
        )
    return storage


def missing_folder(storage: str) -> Optional[pathlib.Path]:
    """Returns the folder of an SQLite file that does not exist yet."""
    if not storage.startswith(SQLITE):
        return None
    folder = pathlib.Path(storage[len(SQLITE) :]).parent.absolute()
    return None if folder.is_dir() else folder


def _base(top: _Fields, folder: pathlib.Path) -> Tuple[str, Tuple[str, ...], ExperimentProto]:
    """Returns the spec, what `set` changes in it, and class, labels and so on."""
    spec = top.word("spec", "")
    if not top.has("spec"):
        top.wrong("spec", "is missing; give a file, or the name of a spec that comes with Mentor")
    for file in (folder / spec, pathlib.Path(spec)):
        if spec and file.is_file():
            spec = str(file)
            break
    else:
        if "/" in spec or "." in spec:
            top.wrong("spec", f"is '{spec}', and there is no such file")
    priority = top.word("class", "low", _CLASSES)
    labels = top.take("labels") or {}
    overrides = top.take("set") or {}
    retention_ttl = top.whole("ttl_days", 0, 1, 36_500)
    keep_last = top.whole("keep_last", 0, 1, 10_000)
    retries_max = top.whole("retries_max", 0, 0, 100)
    if not isinstance(labels, dict) or not all(
        isinstance(text, str) for pair in labels.items() for text in pair
    ):
        top.wrong("labels", f"is {_shown(labels)}; give words, for instance team: vision")
        labels = {}
    for reserved in sorted(set(labels) & {"sweep", "study", "trial", "role"}):
        top.wrong(f"labels.{reserved}", "is written by mentor-sweep; give another word")
    if not isinstance(overrides, dict):
        top.wrong(
            "set", f"is {_shown(overrides)}; give fields, for instance rule.outer_updates: 20"
        )
        overrides = {}
    if "seed" in overrides:
        top.wrong("set.seed", "is not set here; `seeds` says which every trial has")
    as_text = Parameter("", "choices").text
    changes = tuple(f"{path}={as_text(value)}" for path, value in overrides.items())
    around = ExperimentProto(labels=labels, retries_max=retries_max)
    around.MergeFrom(ExperimentProto(priority=f"PRIORITY_{priority.upper()}"))
    if retention_ttl:
        around.retention.ttl.seconds = retention_ttl * 86_400
    if keep_last:
        around.retention.keep_last = keep_last
    return spec, changes, around


def _short(path: str) -> str:
    """Options have two paths: rule.learning_rate and rule.option.learning_rate."""
    return re.sub(r"\.option\.([^.]+)$", r".\1", path)


def _sampler(top: _Fields) -> Tuple[str, int, int]:
    """Returns its name, its seed and the number of trials that are drawn at random first."""
    given = top.take("sampler")
    found = {"name": given} if isinstance(given, str) else given
    fields = _Fields(top._problems, "sampler", found or {}, "seed: 1")
    name = fields.word("name", "tpe", ("tpe", "grid"))
    seed = fields.whole("seed", 0, 0, 2**31)
    startup = fields.whole("startup_trials", 10, 1, 1000)
    for other in ("seed", "startup_trials"):
        if name == "grid" and fields.has(other):
            fields.wrong(other, "goes with tpe: a grid tries every combination; leave it out")
    fields.done()
    return name, seed, startup


def _parameters(top: _Fields, sampler: str) -> List[Parameter]:
    found = top.take("parameters")
    if found is None and sampler == "grid":
        return []  # Only seeds differ.
    example = "rule.learning_rate: {low: 1e-4, high: 1e-2, log: true}"
    if not isinstance(found, dict) or not found:
        top.wrong(
            "parameters", f"is {_shown(found)}; name settings of the spec, for instance {example}"
        )
        return []
    parameters = [_parameter(top, str(path), value) for path, value in found.items()]
    if any(one.path == "seed" for one in parameters):
        top.wrong("parameters.seed", "is not searched; `seeds` says which every trial has")
    for one in parameters:
        if sampler == "grid" and one.kind != "choices":
            top.wrong(f"parameters.{one.path}", "has no list; a grid needs choices: [...]")
    return parameters


def _parameter(top: _Fields, path: str, value: Any) -> Parameter:
    fields = _Fields(top._problems, f"parameters.{path}", value, "low: 1e-4, high: 1e-2, log: true")
    kind = fields.word("type", "float", ("float", "int"))
    choices = fields.take("choices")
    log, low, high = fields.flag("log"), fields.take("low"), fields.take("high")
    step = fields.take("step")
    fields.done()
    if not fields.is_mapping:
        return Parameter(path, kind)
    if choices is not None:
        plain = isinstance(choices, list) and all(
            isinstance(one, (str, int, float, bool)) for one in choices
        )
        if not plain or len(choices) < 2:
            fields.wrong("choices", f"is {_shown(choices)}; give a list of two or more values")
            choices = []
        elif len(set(choices)) < len(choices):  # Optuna treats 1, 1.0 and true as equal.
            fields.wrong("choices", f"is {_shown(choices)}; give values that differ")
        for other in ("low", "high", "log", "step", "type"):
            if fields.has(other):
                fields.wrong(other, "does not go with choices; leave one of them out")
        return Parameter(path, "choices", choices=tuple(choices))
    numbers = {}
    most = _WHOLE_BOUND_MAX if kind == "int" else _BOUND_MAX
    what = "a whole number" if kind == "int" else "a number"
    for name, one in (("low", low), ("high", high)):
        number = as_number(one)
        if number is None or (kind == "int" and number != int(number)):
            fields.wrong(name, f"is {_shown(one)}; give {what}, or choices: [...] instead")
        elif abs(number) > most:
            fields.wrong(name, f"is {number:g}; give a number from {-most:g} to {most:g}")
        else:
            numbers[name] = number
    if len(numbers) == 2 and not numbers["low"] < numbers["high"]:
        fields.wrong("high", f"is {numbers['high']:g}; give more than low, {numbers['low']:g}")
    if log and numbers.get("low", 1.0) <= 0:
        fields.wrong("low", f"is {numbers['low']:g}; give more than 0 where log is true")
    size = as_number(step)
    if step is not None and (
        size is None or size <= 0 or log or (kind == "int" and size != int(size))
    ):
        fields.wrong("step", f"is {_shown(step)}; give {what} above 0, and no log: true beside it")
    elif size and len(numbers) == 2 and size * (1 - 1e-9) > numbers["high"] - numbers["low"]:
        fields.wrong("step", f"is {size:g}, more than from low to high; give a smaller one")
    elif size and len(numbers) == 2 and numbers["high"] - numbers["low"] > size * _STEPS_MAX:
        fields.wrong("step", f"is {size:g}, too small from low to high; give more, or leave it out")
    return Parameter(path, kind, numbers.get("low", 0.0), numbers.get("high", 1.0), log, size)


def _objective(top: _Fields) -> Objective:
    fields = _Fields(top._problems, "objective", top.take("objective"), "metric: shaped_return")
    metric, evaluation = fields.word("metric", ""), fields.word("evaluation", "")
    direction = fields.word("direction", "maximise", ("maximise", "minimise"))
    method, split = fields.word("method", "learned"), fields.word("split", "test")
    at, count = fields.take("at"), 1
    fields.done()
    if fields.is_mapping and bool(metric) == bool(evaluation):
        fields.wrong(
            "metric",
            "and objective.evaluation exclude each other; give one of them, for instance metric: "
            "shaped_return, or evaluation: last",
        )
    if evaluation and not _EVALUATION_NUMBER.fullmatch(evaluation):
        fields.wrong("evaluation", f"is '{evaluation}'; give seg0, seg1, ..., last, det or return")
    for name in ("method", "split"):
        if metric and fields.has(name):
            fields.wrong(name, "goes with objective.evaluation; leave it out")
    if evaluation and at is not None:
        fields.wrong("at", "goes with objective.metric: an evaluation is made at the end")
    words = "last"
    if isinstance(at, dict) and len(at) == 1:
        ((words, number),) = at.items()
        whole = as_number(number)
        if words not in ("mean", "update") or whole is None or whole != int(whole) or whole < 1:
            fields.wrong("at", f"is {_shown(at)}; give {{mean: 5}} or {{update: 20}}")
            words = "last"
        else:
            count = int(whole)
    elif at in ("last", "best"):
        words = str(at)
    elif at is not None:
        fields.wrong("at", f"is {_shown(at)}; give last, best, {{mean: 5}} or {{update: 20}}")
    return Objective(
        metric, words, count, evaluation, method.lower(), split, direction == "maximise"
    )


def _pruner(top: _Fields, objective: Objective, sampler: str) -> Pruner:
    given = top.take("pruner")
    found = {"name": given} if isinstance(given, str) else given
    fields = _Fields(top._problems, "pruner", found or {}, "name: hyperband")
    # Evaluations and grids have no pruner by default, unless the study names one.
    usual = "hyperband" if (objective.metric and sampler != "grid") or found else "none"
    name = fields.word("name", usual, ("hyperband", "median", "none"))
    metric = fields.word("metric", objective.metric)
    if name != "none" and fields.is_mapping and not metric:
        fields.wrong(
            "metric", "is missing: objective.evaluation is known at the end only; name a metric"
        )
    pruner = Pruner(
        name, metric, fields.whole("min_updates", 1, 1, 1_000_000), fields.whole("factor", 3, 2, 10)
    )
    fields.done()
    return pruner


def _seeds(fields: _Fields, name: str) -> Tuple[int, ...]:
    """Reads a list, or a count that stands for 1 to N."""
    value = fields.take(name)
    if value is None:
        return (1,)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _SEEDS_MAX:
        return tuple(range(1, value + 1))
    if (
        isinstance(value, list)
        and 1 <= len(value) <= _SEEDS_MAX
        and all(
            isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= _SEED_MAX
            for one in value
        )
        and len(set(value)) == len(value)
    ):
        return tuple(value)
    fields.wrong(
        name,
        f"is {_shown(value)}; give a list of different seeds (0 to 2^64 - 1), or how many, at most "
        f"{_SEEDS_MAX}",
    )
    return (1,)
