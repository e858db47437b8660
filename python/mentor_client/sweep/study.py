"""Runs a study: Optuna's trials as experiments of a service."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import queue
import threading
import uuid
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import grpc

from ..client import Client
from ..command import check_interrupted, needs
from ..errors import MentorError, Violation
from ..experiment import FINAL, Experiment
from . import storage
from .study_file import INSTALL, Parameter, StudyFile

_POLL_S = 1.0
_FAILURES_MAX = 5  # In a row; more failures mean that the study itself is wrong.


@dataclasses.dataclass
class _Event:
    """An event from a thread that watches an experiment. `state` is empty for a point."""

    trial: int
    seed: int
    step: int = 0
    values: Dict[str, float] = dataclasses.field(default_factory=dict)
    state: str = ""
    value: Optional[float] = None  # The objective of an ended experiment.
    error: Optional[Exception] = None


@dataclasses.dataclass
class _Trial:
    number: int
    trial: Any
    params: Dict[str, Any]
    known_steps: Set[int]  # Reported by an earlier call.
    names: Dict[int, str] = dataclasses.field(default_factory=dict)  # By seed, here and below.
    pruning: Dict[int, Dict[int, float]] = dataclasses.field(default_factory=dict)
    ended: Dict[int, Optional[float]] = dataclasses.field(default_factory=dict)
    reported: int = 0


@dataclasses.dataclass(frozen=True)
class Confirmed:
    """The objective on fresh seeds, by seed."""

    trial: int
    best: Dict[int, float]
    base: Dict[int, float]


class Study:
    """Used by one thread; other threads only watch experiments for it."""

    def __init__(
        self,
        file: StudyFile,
        client: Client,
        say: Callable[[str], None],
        check_service: Callable[[], None] = lambda: None,
    ):
        """Opens or creates the study. The caller holds its lock. `check_service` raises if waiting
        would never end.
        """
        self._optuna = needs("optuna", INSTALL, "mentor-sweep")
        self._file, self._client, self._say = file, client, say
        self._check_service = check_service
        self.study = storage.open_study(file, create=True)
        self._uid = self._identity()
        self._events: "queue.Queue[_Event]" = queue.Queue()
        self._active: Dict[int, _Trial] = {}
        self._failures = 0

    # Before the trials.

    def _identity(self) -> str:
        """Written once. A continued study must be the one that began; only the objective may be
        corrected, and only before results.
        """
        attributes = self.study.user_attrs
        plan = self._file.plan()
        if "mentor.plan" not in attributes:
            self.study.set_user_attr("mentor.plan", json.dumps(plan))
        before = json.loads(self.study.user_attrs["mentor.plan"])
        changed = [name for name in plan if plan[name] != before.get(name)]
        if changed == ["objective"] and self._may_seek_another():
            self.study.set_user_attr("mentor.plan", json.dumps(plan))
        elif changed:
            raise MentorError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"study {self._file.name} began with other values of {', '.join(changed)}; give it "
                "another name, or take the change back (trials, parallel, pruner, class and labels "
                "may change; the objective, but for its direction, while no trial has a value)",
            )
        if "mentor.uid" not in attributes:
            self.study.set_user_attr("mentor.uid", uuid.uuid4().hex[:12])
        return str(self.study.user_attrs["mentor.uid"])

    def _may_seek_another(self) -> bool:
        """Checks the objective. Optuna keeps the direction and every reported value."""
        wanted, ended = self._file.objective, self._optuna.trial.TrialState
        maximises = self.study.direction == self._optuna.study.StudyDirection.MAXIMIZE
        return bool(maximises == wanted.maximise) and not any(
            one.state in (ended.COMPLETE, ended.PRUNED)
            # Intermediate values are of the pruner's metric, which is the objective's.
            or (one.intermediate_values and not wanted.evaluation)
            for one in self._trials()
        )

    # Trials.

    def run(self) -> None:
        """Runs until there are as many trials as wanted."""
        for frozen in self._trials():
            if frozen.state == self._optuna.trial.TrialState.RUNNING:
                self.study.sampler = storage.sampler(self._file, frozen.number)
                self._begin(self._optuna.trial.Trial(self.study, frozen._trial_id), "goes on")
        while True:
            while (
                len(self._active) < self._file.parallel and len(self._trials()) < self._file.trials
            ):
                self.study.sampler = storage.sampler(self._file, len(self._trials()))
                self._begin(self.study.ask(), "begins")
            if not self._active:
                return
            self._handle(self._next_event())

    def _next_event(self) -> _Event:
        while True:
            check_interrupted()
            self._check_service()
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=_POLL_S)

    def _trials(self) -> List[Any]:
        found: List[Any] = self.study.get_trials(deepcopy=False)
        return found

    def _begin(self, trial: Any, verb: str) -> None:
        params = suggest(self.study, trial, self._file)
        frozen = self._trials()[trial.number]
        active = _Trial(trial.number, trial, params, set(frozen.intermediate_values))
        self._active[active.number] = active
        self._say(f"trial {trial.number} {verb}: {settings_text(params)}")
        for seed in self._file.seeds:
            active.names[seed] = self._create(
                self._file.id(trial.number, seed),
                self._file.overrides(params, seed),
                {"trial": str(trial.number)},
            )
            active.pruning[seed] = {}
        if "mentor.pruned" in frozen.user_attrs:  # An earlier call decided to prune, then ended.
            self._prune(active)
            return
        for seed, name in active.names.items():
            self._watch(active.number, seed, name)

    def _create(self, id: str, overrides: Sequence[str], labels: Mapping[str, str]) -> str:
        """Returns the experiment's name. Idempotent: repeated calls create one experiment."""
        try:
            found = self._client.get(id)
        except MentorError as error:
            if error.code != grpc.StatusCode.NOT_FOUND:
                raise
            own = {**labels, "sweep": self._file.name, "study": self._uid}
            return self._client.create(
                self._file.experiment,
                id=id,
                overrides=overrides,
                labels={**self._file.experiment.labels, **own},
            ).name
        if found.labels.get("study") != self._uid:
            raise MentorError(
                grpc.StatusCode.ALREADY_EXISTS,
                f"there is an experiment {found.id} that is not of this study; give the study "
                "another name, or remove those of an earlier one: mentorctl delete $(mentorctl "
                f"list --label sweep={self._file.name} --output name)",
            )
        return found.name

    def _watch(self, trial: int, seed: int, name: str) -> None:
        events = self._events

        def watch() -> None:
            last = _Event(trial, seed)
            try:
                points: Dict[int, float] = {}
                for step, values in self._observe(name):
                    if self._file.objective.metric in values:
                        points[step] = values[self._file.objective.metric]
                    events.put(_Event(trial, seed, step, values))
                last.state, last.value = self._end(name, points)
            except Exception as error:
                last.state, last.error = "UNKNOWN", error
            events.put(last)

        threading.Thread(target=watch, name=name, daemon=True).start()

    def _observe(self, name: str) -> Iterator[Tuple[int, Dict[str, float]]]:
        """Watches the metrics that count, by outer update, until the experiment ends."""
        metrics = {self._file.objective.metric}
        if self._file.pruner.name != "none":
            metrics.add(self._file.pruner.metric)
        metrics.discard("")
        if metrics:
            for point in self._client.watch_metrics(name, sorted(metrics)):
                yield point.step, point.values

    def _end(self, name: str, points: Mapping[int, float]) -> Tuple[str, Optional[float]]:
        experiment = self._client.get(name)
        if not experiment.is_final:
            experiment.wait(FINAL)
        succeeded = experiment.state == "SUCCEEDED"
        return experiment.state, self._objective(experiment, points) if succeeded else None

    def _objective(self, experiment: Experiment, points: Mapping[int, float]) -> Optional[float]:
        wanted = self._file.objective
        if not wanted.evaluation:
            return wanted.value(points)
        results = [one for one in experiment.evaluation() if not one.environment]
        for one in results:
            is_wanted = (one.split, one.method) == (wanted.split, wanted.method)
            if is_wanted and wanted.evaluation in one.numbers:
                return one.value(wanted.evaluation)
        there = ", ".join(f"{one.split} {one.method}" for one in results) or "nothing"
        raise MentorError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"the evaluation of {experiment.id} has no {wanted.words()}; it has {there}: change "
            "objective, or evaluation of the spec",
        )

    # Results of experiments.

    def _handle(self, event: _Event) -> None:
        active = self._active.get(event.trial)
        if active is None:  # The trial was pruned.
            return
        if not event.state:
            metric = self._file.pruner.metric
            if metric in event.values:
                active.pruning[event.seed][event.step] = event.values[metric]
                if self._report(active):
                    self._prune(active)
            return
        if event.error is not None:
            if not self._is_gone(active.names[event.seed], event.error):
                raise event.error
            self._fail(active, f"{active.names[event.seed]} was deleted")
        elif event.state != "SUCCEEDED":
            self._fail(active, f"{active.names[event.seed]} is {event.state}")
        elif event.value is None:
            self._fail(active, f"{active.names[event.seed]} has no {self._file.objective.words()}")
        else:
            active.ended[event.seed] = event.value
            if len(active.ended) == len(self._file.seeds):
                self._complete(active)

    def _is_gone(self, name: str, error: Exception) -> bool:
        """True if the error says that the experiment was deleted, rather than that a metric is
        missing.
        """
        if not isinstance(error, MentorError) or error.code != grpc.StatusCode.NOT_FOUND:
            return False
        try:
            self._client.get(name)
        except MentorError as now:
            return bool(now.code == grpc.StatusCode.NOT_FOUND)
        return False

    def _report(self, active: _Trial) -> bool:
        """Reports to Optuna the steps that all seeds have reached. True if Optuna prunes the
        trial."""
        reached = min(max(points, default=0) for points in active.pruning.values())
        steps = {step for points in active.pruning.values() for step in points}
        for step in sorted(one for one in steps if active.reported < one <= reached):
            active.reported = step
            values = [
                self._so_far({one: value for one, value in points.items() if one <= step})
                for points in active.pruning.values()
            ]
            known = [value for value in values if value is not None]
            if len(known) < len(values):
                continue
            if step not in active.known_steps:
                active.trial.report(sum(known) / len(known), step)
            elif step < max(active.known_steps):  # An earlier call has asked already.
                continue
            if self._file.pruner.name != "none" and active.trial.should_prune():
                return True
        return False

    def _so_far(self, points: Mapping[int, float]) -> Optional[float]:
        objective = self._file.objective
        if self._file.pruner.metric == objective.metric:
            return objective.value(points)
        return points[max(points)] if points else None

    def _prune(self, active: _Trial) -> None:
        # Stored first: a call that resumes here must also prune.
        active.trial.set_user_attr("mentor.pruned", active.reported)
        self._cancel(active, f"pruned by study {self._file.name}")
        self._tell(active, None, self._optuna.trial.TrialState.PRUNED)
        self._say(f"trial {active.number} pruned after outer update {active.reported}")

    def _fail(self, active: _Trial, why: str) -> None:
        active.trial.set_user_attr("mentor.why", why)
        self._cancel(active, f"trial {active.number} of study {self._file.name} failed")
        self._tell(active, None, self._optuna.trial.TrialState.FAIL)
        self._say(f"trial {active.number} failed: {why}")
        self._failures += 1
        if self._failures >= _FAILURES_MAX:
            raise MentorError(
                grpc.StatusCode.ABORTED,
                f"{_FAILURES_MAX} trials in a row failed, the last one since {why}; mentorctl logs "
                "says more. The same command continues",
            )

    def _complete(self, active: _Trial) -> None:
        values = [value for value in active.ended.values() if value is not None]
        by_seed = {str(seed): value for seed, value in sorted(active.ended.items())}
        active.trial.set_user_attr("mentor.by_seed", by_seed)
        mean = sum(values) / len(values)
        self._failures = 0
        self._tell(active, mean, self._optuna.trial.TrialState.COMPLETE)
        best = self.study.best_trial
        self._say(f"trial {active.number}: {mean:.6g}; best {best.value:.6g}, trial {best.number}")

    def _tell(self, active: _Trial, value: Optional[float], state: Any) -> None:
        self.study.tell(active.number, value, state=state, skip_if_finished=True)
        del self._active[active.number]

    def _cancel(self, active: _Trial, reason: str) -> None:
        for name in active.names.values():
            cancel(self._client, name, reason)

    # Confirmation on fresh seeds.

    def confirm(self) -> Optional[Confirmed]:
        """Runs the best settings and the spec's own on fresh seeds. None if the study asks for no
        confirmation or no trial succeeded.
        """
        seeds = self._file.confirm.seeds
        try:
            best = self.study.best_trial
        except ValueError:
            return None
        if not seeds:
            return None
        self._events = queue.Queue()  # Threads of pruned trials may still send events.
        names: Dict[Tuple[int, int], str] = {}
        self._say(f"fresh seeds: trial {best.number} against the spec as it is")
        for seed in seeds:
            for side, params in enumerate((best.params, {})):
                label = f"best{best.number}" if side == 0 else "base"
                names[side, seed] = self._create(
                    f"{self._file.name}-{label}-s{seed}",
                    self._file.overrides(params, seed),
                    {"role": "confirm"},
                )
        for (side, seed), name in names.items():
            self._watch(side, seed, name)
        results: Tuple[Dict[int, float], Dict[int, float]] = ({}, {})
        while len(results[0]) + len(results[1]) < len(names):
            event = self._next_event()
            if event.error is not None:
                raise event.error
            if not event.state:
                continue
            name = names[event.trial, event.seed]
            if event.value is None:
                raise MentorError(
                    grpc.StatusCode.ABORTED,
                    f"{name} is {event.state} and has no {self._file.objective.words()}; delete it "
                    "and run the same command again",
                )
            results[event.trial][event.seed] = event.value
        return Confirmed(best.number, *results)


def suggest(study: Any, trial: Any, file: StudyFile) -> Dict[str, Any]:
    """Returns a trial's settings. Settings that it has already stay and do not change the
    others."""
    params = {}
    for one in file.parameters:
        study.sampler = storage.sampler(file, trial.number, one.path)
        params[one.path] = _suggest(trial, one)
    return params


def _suggest(trial: Any, parameter: Parameter) -> Any:
    if parameter.kind == "choices":
        return trial.suggest_categorical(parameter.path, list(parameter.choices))
    if parameter.kind == "int":
        low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
        return trial.suggest_int(parameter.path, low, high, step=step, log=parameter.log)
    return trial.suggest_float(
        parameter.path, parameter.low, parameter.high, step=parameter.step, log=parameter.log
    )


def settings_text(params: Mapping[str, Any]) -> str:
    return " ".join(
        f"{path}={value:.4g}" if isinstance(value, float) else f"{path}={value}"
        for path, value in params.items()
    )


def cancel(client: Client, name: str, reason: str) -> None:
    """Cancels an experiment; ignores one that has ended or is gone."""
    try:
        client.cancel(name, reason=reason)
    except MentorError as error:
        if error.code not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND):
            raise


def check(file: StudyFile, client: Client) -> None:
    """Asks the server to check the spec with the bounds of every parameter, and whether such
    experiments report the objective. Raises all violations at once.
    """
    found: List[Violation] = []
    known: Set[Tuple[str, str]] = set()
    cases = [("spec", "")]
    cases += [
        (f"parameters.{one.path}", f"{one.path}={one.text(value)}")
        for one in file.parameters
        for value in one.corners()
    ]
    for field, override in cases:
        with_it = f"with {override}: " if override else ""
        try:
            valid = client.validate(file.experiment, overrides=[override] if override else [])
        except MentorError as error:
            if error.code != grpc.StatusCode.INVALID_ARGUMENT:
                raise
            for one in error.violations or [Violation(field, error.message)]:
                if (one.field, one.description) not in known:
                    known.add((one.field, one.description))
                    found.append(Violation(field, f"{with_it}{one.field} {one.description}"))
            continue
        for one in unreported(file, valid.proto.reported_numbers):
            if (one.field, "") not in known:
                known.add((one.field, ""))
                found.append(Violation(one.field, with_it + one.description))
    if found:
        raise MentorError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "the study has experiments that the service refuses, or that do not report what it "
            "seeks:",
            reason="INVALID_FIELD",
            violations=found,
        )


def unreported(file: StudyFile, names: Sequence[str]) -> List[Violation]:
    """Returns what the study seeks and its experiments do not report. `names`: reported_numbers of
    a valid experiment; older servers give none.
    """
    wanted: Dict[str, str] = {}
    if file.pruner.name != "none":
        wanted["pruner.metric"] = file.pruner.metric
    if file.objective.evaluation:
        wanted["objective.evaluation"] = file.objective.evaluation_number()
    else:
        wanted["objective.metric"] = file.objective.metric
        if wanted.get("pruner.metric") == file.objective.metric:
            del wanted["pruner.metric"]
    found = []
    for field, name in wanted.items():
        evaluated = field == "objective.evaluation"
        of_its_kind = [one for one in names if one.startswith("evaluation/") == evaluated]
        if names and not any(_is_named(name, one) for one in of_its_kind):
            hint = _hint(name, of_its_kind)
            found.append(
                Violation(field, f"is '{name}', which the experiments do not report; {hint}")
            )
    return found


def _is_named(wanted: str, name: str) -> bool:
    """A trailing `*` stands for a number or an environment."""
    if name.endswith("*"):
        return wanted.startswith(name[:-1]) and len(wanted) >= len(name)
    return wanted == name


def _hint(wanted: str, names: Sequence[str]) -> str:
    if not names:
        return "they report none: look at rule.outer_updates and evaluation.lifetimes_per_goal"
    near = difflib.get_close_matches(wanted, [one for one in names if not one.endswith("*")], 1)
    return f"did you mean '{near[0]}'?" if near else f"they report {', '.join(sorted(names))}"
