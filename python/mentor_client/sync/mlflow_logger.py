"""Logs to MLflow's tracking: one run per experiment, found by its tag mentor.uid."""

from __future__ import annotations

import os
import pathlib
import random
import time
from typing import Any, Dict, List, Optional, Sequence, Set

from ..command import needs
from .content import BY_ENV_STEPS, About, Evaluated, Point, settings

INSTALL = "'./python[mlflow]' in a clone of the repository, or mlflow"
_METRICS_MAX, _PARAMS_MAX, _TAGS_MAX = 1000, 100, 100  # Limits of one log_batch.
_VALUE_CHARACTERS = 500  # Limit of a parameter on servers of any age.
_TAG_CHARACTERS = 5000
_TRIES = 5
_DISTURBED = ("TEMPORARILY_UNAVAILABLE", "BAD_REQUEST")
_ENDS = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELLED": "KILLED"}
_UID = "mentor.uid"


class MlflowLogger:
    """MLflow stores a repeated value again. So the logger reads a run's metrics before it adds to
    them.
    """

    def __init__(self, about: About, tracking_uri: Optional[str], experiment: str):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        mlflow = needs("mlflow", INSTALL, "mentor-sync mlflow")
        self._entities = needs("mlflow.entities", INSTALL, "mentor-sync mlflow")
        self._error = mlflow.exceptions.MlflowException
        tracking_uri = (
            tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        )
        mlflow.set_tracking_uri(tracking_uri)
        self._client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        self._uri, self._name = tracking_uri, experiment
        self._about = about
        self._experiment_id = self._find_experiment(experiment)
        self._run = self._find_or_create_run()
        self._known: Dict[str, Set[int]] = {}
        self._had = set(self._run.data.metrics)  # Names with a history.
        self._describe()

    def where(self) -> str:
        return f"MLflow {self._uri}, experiment {self._name}, run {self._run.info.run_id}"

    def points(self, points: Sequence[Point]) -> int:
        batch: List[Any] = []
        new = 0
        for point in points:
            fresh = []
            for name, value in [("env_steps", float(point.env_steps)), *point.values.items()]:
                axes = [(name, point.step)]
                if name != "env_steps":
                    axes.append((BY_ENV_STEPS + name, point.env_steps))
                for key, step in axes:
                    fresh += self._metric(key, value, step, point.time_s)
            new += bool(fresh)
            if len(batch) + len(fresh) > _METRICS_MAX:
                self._log(batch)
                batch = []
            batch += fresh
        self._log(batch)
        return new

    def evaluated(self, evaluated: Evaluated) -> None:
        batch: List[Any] = []
        now_s = self._about.began_s + evaluated.step  # The same in every call.
        for tag, value in evaluated.numbers.items():
            batch += self._metric(tag, value, evaluated.step, now_s)
        for curve in evaluated.curves:
            for episode, value in enumerate(curve.values, 1):
                batch += self._metric(curve.tag, value, episode, now_s)
        self._log(batch)

    def films(self, films: Sequence[pathlib.Path], state: str) -> None:
        there = {one.path: one.file_size for one in self._client.list_artifacts(self._id, "films")}
        for film in films:
            if there.get(f"films/{film.name}") != film.stat().st_size:
                self._client.log_artifact(self._id, str(film), "films")

    def close(self, state: str) -> None:
        if state:
            self._log_batch(tags=[self._entities.RunTag("mentor.state", state)])
        if state in _ENDS:
            self._client.set_terminated(self._id, _ENDS[state])

    # Inside.

    @property
    def _id(self) -> str:
        return str(self._run.info.run_id)

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except self._error:  # Another process created it first.
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _find_or_create_run(self) -> Any:
        """The lock of this machine keeps two processes from creating one each. Where two machines
        did, the same run is found ever after."""
        found = self._client.search_runs(
            [self._experiment_id], filter_string=f"tags.`{_UID}` = '{self._about.uid}'"
        )
        if found:
            return min(found, key=lambda run: run.info.run_id)
        return self._client.create_run(
            self._experiment_id,
            start_time=int(self._about.began_s * 1000),
            tags={_UID: self._about.uid},
            run_name=self._about.name,
        )

    def _describe(self) -> None:
        params = [
            self._entities.Param(name, value[:_VALUE_CHARACTERS])
            for name, value in sorted(settings(self._about.spec).items())
        ]
        tags = [
            self._entities.RunTag(key, value[:_TAG_CHARACTERS])
            for key, value in sorted(self._about.tags().items())
        ]
        params = [param for param in params if param.key not in self._run.data.params]
        for begin in range(0, len(params), _PARAMS_MAX):
            self._log_batch(params=params[begin : begin + _PARAMS_MAX])
        for begin in range(0, len(tags), _TAGS_MAX):
            self._log_batch(tags=tags[begin : begin + _TAGS_MAX])
        self._client.log_text(self._id, self._about.spec_text, "spec.txtpb")

    def _metric(self, key: str, value: float, step: int, time_s: float) -> List[Any]:
        """Returns the metric to log, or nothing if the run has it."""
        if key not in self._known:
            history = self._client.get_metric_history(self._id, key) if key in self._had else []
            self._known[key] = {one.step for one in history}
        if step in self._known[key]:
            return []
        self._known[key].add(step)
        return [self._entities.Metric(key, value, int(time_s * 1000), step)]

    def _log(self, metrics: List[Any]) -> None:
        for begin in range(0, len(metrics), _METRICS_MAX):
            self._log_batch(metrics=metrics[begin : begin + _METRICS_MAX])

    def _log_batch(self, **batch: List[Any]) -> None:
        """Logs a batch. MLflow ignores what it has, but two processes that write the same at once
        may disturb each other: its database is locked, or has a row already. Then it tries again.
        """
        for left in reversed(range(_TRIES)):
            try:
                self._client.log_batch(self._id, **batch)
                return
            except self._error as error:
                if not left or error.error_code not in _DISTURBED:
                    raise
                time.sleep(random.uniform(0.1, 1.0))
