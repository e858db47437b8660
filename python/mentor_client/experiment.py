"""One experiment, as of the server's last answer."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Union

import grpc

from .errors import ExperimentEnded, MentorError, from_status, usage
from .evaluation import EvaluationResult
from .metrics import MetricPoints, Metrics
from .names import enum_name
from .specs import Overrides
from .v1 import experiment_pb2, experiment_service_pb2
from .v1.experiment_pb2 import Experiment as ExperimentProto
from .v1.spec_pb2 import ExperimentSpec

if TYPE_CHECKING:
    from .client import Client

FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


class Experiment:
    """Made by a Client. `refresh` asks the server, `wait` follows the experiment, and methods that
    change it take over the answer. Between calls, properties are those of the last answer. Threads
    may not share an Experiment without a lock.
    """

    def __init__(self, client: "Client", proto: ExperimentProto):
        self._client = client
        self.proto = proto  # The message, with every field of experiment.proto.

    def __repr__(self) -> str:
        """Shows the progress until it is complete."""
        words = [self.state]
        done = self.progress
        if self.state != "SUCCEEDED" and done.outer_updates_total:
            words.append(f"{done.outer_updates} of {done.outer_updates_total} updates")
        if self.state != "SUCCEEDED" and done.evaluation_lifetimes_total:
            words.append(
                f"{done.evaluation_lifetimes} of {done.evaluation_lifetimes_total} lifetimes"
            )
        if self.state == "RUNNING" and done.env_steps_per_second > 0:
            words.append(f"{done.env_steps_per_second:,.0f} steps/s")
        if self.state == "RUNNING" and done.seconds_left > 0:
            words.append(f"{done.seconds_left:.0f} s left")
        return f"<Experiment {self.id}: {', '.join(words)}>"

    # Properties.

    @property
    def name(self) -> str:
        """experiments/{id}."""
        return self.proto.name

    @property
    def id(self) -> str:
        return self.proto.name.rpartition("/")[2]

    @property
    def uid(self) -> str:
        return self.proto.uid

    @property
    def state(self) -> str:
        """QUEUED, RUNNING, PAUSING, PAUSED, CANCELLING, CANCELLED, SUCCEEDED or FAILED; UNKNOWN if
        the server is newer and has others.
        """
        return enum_name(experiment_pb2.Experiment.State, self.proto.state, "STATE_")

    @property
    def is_final(self) -> bool:
        """True if it SUCCEEDED, FAILED or was CANCELLED."""
        return self.state in FINAL

    @property
    def spec(self) -> ExperimentSpec:
        return self.proto.spec

    @property
    def display_name(self) -> str:
        return self.proto.display_name

    @property
    def labels(self) -> Dict[str, str]:
        return dict(self.proto.labels)

    @property
    def owner(self) -> str:
        return self.proto.owner

    @property
    def activity(self) -> str:
        """Activity of a RUNNING experiment."""
        return self.proto.activity

    @property
    def progress(self) -> experiment_pb2.Progress:
        """Outer updates and lifetimes, done and requested. `seconds_left` is negative while it is
        unknown.
        """
        return self.proto.progress

    @property
    def error(self) -> Optional[MentorError]:
        """Why it FAILED or was CANCELLED; None without a reason."""
        return from_status(self.proto.error) if self.proto.HasField("error") else None

    # Refresh and wait.

    def refresh(self) -> "Experiment":
        self.proto = self._client.get(self.name).proto
        return self

    def wait(
        self,
        for_state: Union[str, Iterable[str]] = "SUCCEEDED",
        timeout: Optional[float] = None,
        on_progress: Optional[Callable[["Experiment"], Any]] = None,
    ) -> "Experiment":
        """Waits for the state, or one of the states, at most `timeout` seconds. Calls
        `on_progress(self)` at every change and about once a second while the experiment runs.
        Survives restarts of the server.

        Raises ExperimentEnded for another final state, MentorTimeout after the timeout, MentorError
        NOT_FOUND when the experiment is deleted.
        """
        wanted = {for_state} if isinstance(for_state, str) else set(for_state)
        wanted = {state.upper().replace("STATE_", "") for state in wanted}
        states = [name for name, number in experiment_pb2.Experiment.State.items() if number]
        unknown = wanted - {name[len("STATE_") :] for name in states}
        if unknown:
            known = ", ".join(name[len("STATE_") :] for name in states)
            raise usage("for_state", f"is {', '.join(sorted(unknown))}; give one of {known}")
        events = self._client.watch([self.name], progress=True, timeout=timeout)
        try:
            for event in events:
                if event.experiment is None:
                    continue
                if event.kind == "DELETED" or (self.uid and event.experiment.uid != self.uid):
                    break
                self.proto = event.experiment.proto
                if on_progress:
                    on_progress(self)
                if self.state in wanted:
                    return self
                if self.is_final:
                    raise ExperimentEnded(self)
        finally:
            events.close()
        raise MentorError(grpc.StatusCode.NOT_FOUND, f"{self.name} was deleted", reason="NOT_FOUND")

    # Changes.

    def pause(self) -> "Experiment":
        self.proto = self._client.pause(self.name).proto
        return self

    def resume(self) -> "Experiment":
        self.proto = self._client.resume(self.name).proto
        return self

    def cancel(self, reason: str = "") -> "Experiment":
        self.proto = self._client.cancel(self.name, reason=reason).proto
        return self

    def update(self, **changes: Any) -> "Experiment":
        """As Client.update."""
        self.proto = self._client.update(self.name, **changes).proto
        return self

    def delete(self, force: bool = False) -> None:
        self._client.delete(self.name, force=force)

    def clone(
        self, overrides: Overrides = (), id: str = "", checkpoint: Union[int, str, None] = None
    ) -> "Experiment":
        """Creates an experiment from a checkpoint of this one, by default the newest."""
        return self._client.clone(self.name, overrides=overrides, id=id, checkpoint=checkpoint)

    # Results.

    def metrics(self, names: Iterable[str] = (), **options: Any) -> Metrics:
        """As Client.metrics."""
        return self._client.metrics(self.name, names, **options)  # type: ignore[no-any-return]

    def watch_metrics(
        self, names: Iterable[str] = (), after_step: int = 0, timeout: Optional[float] = None
    ) -> Iterator[MetricPoints]:
        return self._client.watch_metrics(self.name, names, after_step=after_step, timeout=timeout)

    def evaluation(self) -> List[EvaluationResult]:
        """As Client.evaluation."""
        return self._client.evaluation(self.name)

    def checkpoints(self) -> List[experiment_pb2.Checkpoint]:
        return list(self._client.checkpoints(self.name))

    def artifacts(self) -> List[experiment_pb2.Artifact]:
        return self._client.artifacts(self.name)

    def logs(
        self, tail: int = 0, follow: bool = False, timeout: Optional[float] = None
    ) -> Iterator[experiment_service_pb2.WatchLogsResponse]:
        return self._client.logs(self.name, tail=tail, follow=follow, timeout=timeout)

    def download(
        self,
        checkpoint: Union[int, str, None] = None,
        path: "Union[str, os.PathLike[str], None]" = None,
    ) -> pathlib.Path:
        """Downloads a checkpoint, by default the newest."""
        return self._client.download(self._client.checkpoint_name(self.name, checkpoint), path)
