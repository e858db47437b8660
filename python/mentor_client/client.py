"""Client of a meta-learner."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import os
import pathlib
import tempfile
import time
import uuid
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Generator,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Set,
    Type,
    TypeVar,
    Union,
    overload,
)

import grpc
from google.protobuf.message import Message

from . import bundles as _bundles, download as _download, specs as _specs
from .bundles import Bundle
from .connection import Connection, Token, from_environment, open_servers, seconds
from .errors import MentorError, usage
from .evaluation import EvaluationResult, summarise
from .experiment import Experiment
from .metrics import MetricPoints, Metrics, Series
from .names import enum_name, experiment_name, parse_file_name
from .specs import Overrides, SpecLike, override_texts
from .v1 import bundle_service_pb2, experiment_pb2, experiment_service_pb2 as wire
from .v1.evaluation_pb2 import EvaluationShard
from .v1.spec_pb2 import BenchmarkSpec

if TYPE_CHECKING:
    from typing import Literal

    import pandas

Name = Union[str, Experiment]
Span = Union[float, datetime.timedelta]
_UNSET: Any = object()
_UPDATES_MAX = 5
_Message = TypeVar("_Message", bound=Message)


@dataclasses.dataclass(frozen=True)
class WatchEvent:
    """kind is CREATED (new, or there when the watch began), UPDATED, DELETED (`experiment` is its
    last version), PROGRESS (live numbers, no token) or BOOKMARK (nothing happened, no experiment).
    `resume_token` continues a watch after this event.
    """

    kind: str
    experiment: Optional[Experiment]
    resume_token: str


class Client:
    """A connection to a meta-learner. Threads may share it.

    server       HOST:PORT, or those of several of which one leads, with commas: calls find the one
                 that does; default: MENTOR_SERVER, else 127.0.0.1:50052
    ca           file with the authority of the server's certificate (PEM); default: MENTOR_TLS_CA.
                 Needed beyond this machine; without it, an address of this machine is called
                 without TLS
    cert, key    own certificate (PEM); default: MENTOR_TLS_CERT, MENTOR_TLS_KEY
    token        the token, or token_file: a file with it, read again when it changes; default:
                 MENTOR_TOKEN, MENTOR_TOKEN_FILE
    allow_insecure  plain text beyond this machine, where the network protects itself
    timeout      seconds that a call may take, with all its attempts
    patience     seconds that watches wait for a server that is away
    read_only    refuses calls that change something, before they are made
    on_contact   called by watches, in their threads: with the error when the server is lost, with
                 None when it is back

    Calls are repeated after lost connections and exceeded deadlines, and after the delay that a
    busy server names. Calls that create something carry an id, so repeating them is safe. Every
    failure is a MentorError, wrong arguments included; only a local file that cannot be written is
    an OSError.
    """

    def __init__(
        self,
        server: Optional[str] = None,
        *,
        ca: Optional[str] = None,
        cert: Optional[str] = None,
        key: Optional[str] = None,
        token: Optional[str] = None,
        token_file: Optional[str] = None,
        allow_insecure: bool = False,
        timeout: float = 30.0,
        patience: float = 600.0,
        read_only: bool = False,
        on_contact: Optional[Callable[[Optional[MentorError]], None]] = None,
    ):
        if token is not None and token_file is not None:
            raise usage("token", "and token_file exclude each other; give one")
        source = "token"
        if token is None and token_file is None:
            token_file = from_environment(None, "MENTOR_TOKEN_FILE")
            token = None if token_file else from_environment(None, "MENTOR_TOKEN")
            source = "MENTOR_TOKEN"
        allow_insecure = allow_insecure or os.environ.get("MENTOR_ALLOW_INSECURE") == "1"
        self.server = from_environment(server, "MENTOR_SERVER", "127.0.0.1:50052") or ""
        secret = Token(token, os.fspath(token_file) if token_file else None, source)
        servers = open_servers(
            self.server,
            from_environment(ca, "MENTOR_TLS_CA"),
            from_environment(cert, "MENTOR_TLS_CERT"),
            from_environment(key, "MENTOR_TLS_KEY"),
            allow_insecure,
        )
        self._connection = Connection(
            servers,
            secret,
            seconds("timeout", timeout),
            seconds("patience", patience),
            on_contact or (lambda error: None),
            read_only,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all calls under way."""
        self._connection.close()

    def __repr__(self) -> str:
        return f"Client({self.server!r})"

    # Submitting.

    def create(
        self,
        spec: SpecLike,
        *,
        id: str = "",
        overrides: Overrides = (),
        display_name: Optional[str] = None,
        priority: Optional[str] = None,
        weight: Optional[int] = None,
        labels: Optional[Mapping[str, str]] = None,
        keep_last: Optional[int] = None,
        keep_every: Optional[int] = None,
        ttl: Optional[Span] = None,
        deadline: Optional[datetime.datetime] = None,
        retries_max: Optional[int] = None,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Experiment:
        """Submits an experiment. The experiment is durable when this returns.

        spec         file, text, ExperimentSpec, or an experiment around a spec (docs/mentorctl.md)
        id           last part of its name; default: made by the server
        overrides    changes to the spec, each "path.to.field=value" as in `mentorctl create --set`,
                     or a dict of values by path: {"rule.learning_rate": 3e-4}
        priority     LOW, NORMAL or HIGH; weight (1 to 100) is its share among the owner's of that
                     class
        keep_last, keep_every, ttl   which checkpoints are kept; seconds after its end until it is
                                     deleted
        deadline     it fails if it has not ended by then; without a time zone: UTC
        retries_max  how often it is tried again after a failure
        request_id   a UUID, to repeat a call of another process: the answer is the first one's
        """
        request = self._create_request(
            spec,
            id,
            overrides,
            dict(
                display_name=display_name,
                priority=priority,
                weight=weight,
                labels=labels,
                keep_last=keep_last,
                keep_every=keep_every,
                ttl=ttl,
                deadline=deadline,
                retries_max=retries_max,
            ),
            timeout,
        )
        request.MergeFrom(
            _message(wire.CreateExperimentRequest, request_id=request_id or str(uuid.uuid4()))
        )
        return self._experiment(self._connection.call("CreateExperiment", request, timeout))

    def validate(self, spec: SpecLike, *, overrides: Overrides = ()) -> Experiment:
        """Checks everything that create checks, and creates nothing. The answer has no name; its
        spec has every default.
        """
        request = self._create_request(spec, "", overrides, {})
        request.validate_only = True
        return self._experiment(self._connection.call("CreateExperiment", request))

    def parse_spec(
        self,
        spec: SpecLike,
        overrides: Overrides = (),
        *,
        files: bool = True,
        timeout: Optional[float] = None,
    ) -> experiment_pb2.Experiment:
        """Returns an experiment as the service reads it, for `create`: its spec with base and
        overrides, without defaults, and what else the text says (docs/mentorctl.md).

        spec       as in create
        overrides  Enumerations go by name, and lists take "A,B". Entries of other lists go by
                   number ("benchmark.wrapper[0].name=..."), options of registered parts by their
                   own name ("rule.learning_rate=3e-4"). A dict has values by path.
        files      False for the text of somebody else: its base is a spec that comes with Mentor,
                   never a file of this machine
        """
        texts = _list(override_texts(overrides), "overrides")
        return _specs.parse(self._connection, spec, texts, files, timeout)

    def clone(
        self,
        source: Name,
        *,
        checkpoint: Union[int, str, None] = None,
        overrides: Overrides = (),
        id: str = "",
        request_id: Optional[str] = None,
    ) -> Experiment:
        """Creates an experiment from a checkpoint of another one. `checkpoint` is its outer update,
        or None for the newest; `source` may also be the full name of a checkpoint.
        """
        source = _text(source)
        name = source if "/checkpoints/" in source else self.checkpoint_name(source, checkpoint)
        made = self._call(
            "CloneExperiment",
            source_checkpoint=name,
            experiment_id=id,
            spec_overrides=_list(override_texts(overrides), "overrides"),
            request_id=request_id or str(uuid.uuid4()),
        )
        return self._experiment(made)

    # Looking.

    def get(self, name: Name) -> Experiment:
        return self._answer("GetExperiment", name)

    def list(
        self, filter: str = "", order_by: str = "", page_size: int = 0
    ) -> Iterator[Experiment]:
        """Yields experiments; pages are fetched on demand. `filter`: conditions joined by AND, for
        instance 'state=RUNNING AND labels.team="a"'; `order_by`: name, create_time, update_time,
        state or priority, with " desc".
        """
        asked = {"filter": filter, "order_by": order_by, "page_size": page_size}
        return map(self._experiment, self._pages("ListExperiments", "experiments", **asked))

    def watch(
        self,
        names: Union[Name, Iterable[Name]] = (),
        *,
        progress: bool = False,
        bookmarks: bool = False,
        resume_token: str = "",
        timeout: Optional[float] = None,
    ) -> "Generator[WatchEvent, None, None]":
        """Yields experiments (all, or those named) as they are now, then every change once, in
        order. A broken stream continues where it was. If the server no longer has the missed
        events, the present state comes again: as CREATED, and as DELETED for what is gone.

        `timeout`: seconds after which it ends with MentorTimeout; default: none."""
        if isinstance(names, (str, Experiment)):
            names = [names]
        elif not isinstance(names, collections.abc.Iterable):
            raise usage("names", f"is {names!r}; give ids of experiments, or Experiments")
        wanted = [_name(one) for one in names]
        deadline = _deadline(timeout)
        request = _message(
            wire.WatchExperimentsRequest, names=wanted, progress=progress, resume_token=resume_token
        )
        # Names expected in the present state; a missing name was deleted.
        known: Set[str] = set(wanted)
        anew = False
        while True:
            try:
                yield from self._watch(request, known, deadline, bookmarks)
            except MentorError as error:
                if error.code == grpc.StatusCode.OUT_OF_RANGE and request.resume_token:
                    request.resume_token = ""
                    anew = True
                    continue
                gone = error.metadata.get("name", "")
                if error.code != grpc.StatusCode.NOT_FOUND or not anew or gone not in wanted:
                    raise
                wanted.remove(gone)
                if gone in known:
                    known.discard(gone)
                    yield self._gone(gone)
                if not wanted:
                    return
                del request.names[:]
                request.names.extend(wanted)

    def _watch(
        self,
        request: wire.WatchExperimentsRequest,
        known: Set[str],
        deadline: Optional[float],
        bookmarks: bool,
    ) -> "Generator[WatchEvent, None, None]":
        """One watch. Keeps the token in `request` and the names of existing experiments in
        `known`."""
        # Names received of the present state; None once it is complete.
        seen: Optional[Set[str]] = None

        def begin() -> Iterator[Any]:
            nonlocal seen
            seen = None if request.resume_token else set()
            return self._connection.stream("WatchExperiments", request, deadline)

        messages = self._connection.resumed(begin, deadline)
        try:
            for message in messages:
                kind = enum_name(wire.WatchExperimentsResponse.Event, message.event, "EVENT_")
                if message.HasField("experiment"):
                    name = message.experiment.name
                    (known.discard if kind == "DELETED" else known.add)(name)
                    if seen is not None:
                        seen.add(name)
                elif seen is not None:
                    for name in sorted(known - seen):
                        known.discard(name)
                        yield self._gone(name)
                    seen = None
                # Stored before the yield: an event that the caller saw must not come again.
                if message.resume_token:
                    request.resume_token = message.resume_token
                if kind == "BOOKMARK" and not bookmarks:
                    continue
                experiment = (
                    self._experiment(message.experiment) if message.HasField("experiment") else None
                )
                yield WatchEvent(kind, experiment, message.resume_token)
        finally:
            messages.close()

    def _gone(self, name: str) -> WatchEvent:
        return WatchEvent("DELETED", self._experiment(experiment_pb2.Experiment(name=name)), "")

    # Changing.

    def pause(self, name: Name, etag: str = "") -> Experiment:
        """Stops an experiment for now, at its last checkpoint; repeating changes nothing. `etag`,
        of this and other methods: only if the experiment has not changed since (ABORTED
        ETAG_MISMATCH).
        """
        return self._answer("PauseExperiment", name, etag=etag)

    def resume(self, name: Name, etag: str = "") -> Experiment:
        return self._answer("ResumeExperiment", name, etag=etag)

    def cancel(self, name: Name, reason: str = "", etag: str = "") -> Experiment:
        """Ends an experiment; its checkpoints stay."""
        return self._answer("CancelExperiment", name, etag=etag, reason=reason)

    def delete(
        self, name: Name, *, force: bool = False, allow_missing: bool = False, etag: str = ""
    ) -> None:
        """Removes an experiment with all its files. `force` first cancels an experiment that has
        not ended.
        """
        fields = {"etag": etag, "force": force, "allow_missing": allow_missing}
        request = _request("DeleteExperiment", name=_name(name), **fields)
        self._connection.call("DeleteExperiment", request, gone_is_done=True)

    def update(
        self,
        name: Name,
        *,
        display_name: Optional[str] = None,
        labels: Optional[Mapping[str, str]] = None,
        priority: Optional[str] = None,
        weight: Optional[int] = None,
        keep_last: Optional[int] = None,
        keep_every: Optional[int] = None,
        ttl: Optional[Span] = None,
        deadline: Optional[datetime.datetime] = _UNSET,
        retries_max: Optional[int] = None,
        etag: str = "",
    ) -> Experiment:
        """Changes the given fields, with the meanings of create. `labels` replaces all labels and
        deadline=None removes the deadline. Parts of the retention that are not given stay.
        """
        changes = dict(
            display_name=display_name,
            labels=labels,
            priority=priority,
            weight=weight,
            keep_last=keep_last,
            keep_every=keep_every,
            ttl=ttl,
            retries_max=retries_max,
        )
        keeps = any(value is not None for value in (keep_last, keep_every, ttl))
        mask = [
            field
            for field in ("display_name", "labels", "priority", "weight", "retries_max")
            if changes[field] is not None
        ]
        mask += ["retention"] * keeps + ["deadline"] * (deadline is not _UNSET)
        if not mask:
            raise usage("update", "was given nothing to change")
        for left in reversed(range(_UPDATES_MAX)):
            experiment, known = experiment_pb2.Experiment(), etag
            if keeps:  # What another changed since it was read must not be lost.
                now = self.get(name).proto
                experiment.retention.CopyFrom(now.retention)
                known = etag or now.etag
            _specs.fill(
                experiment, dict(changes, deadline=None if deadline is _UNSET else deadline)
            )
            experiment.MergeFrom(_message(experiment_pb2.Experiment, name=_name(name), etag=known))
            request = wire.UpdateExperimentRequest(experiment=experiment)
            request.update_mask.paths.extend(mask)
            try:
                return self._experiment(self._connection.call("UpdateExperiment", request))
            except MentorError as error:
                if known == etag or error.reason != "ETAG_MISMATCH" or not left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    # Bundles.

    def push_bundle(self, folder: "Union[str, os.PathLike[str]]") -> str:
        """Sends a folder of at most 256 MB and 2,000 files. Returns the value for the option
        `bundle` of specs. An interrupted upload resumes; content that the server has is not sent.
        """
        return _bundles.push(self._connection, folder)

    def bundles(self) -> List[Bundle]:
        """Returns all bundles, by name."""
        return [*map(_bundles.bundle_of, self._pages("ListBundles", "bundles", page_size=1000))]

    def delete_bundle(self, name: str, *, allow_missing: bool = False) -> None:
        """Removes a bundle that no experiment names."""
        own = _bundles.resource_of(name)
        request = _request("DeleteBundle", name=own, allow_missing=allow_missing)
        self._connection.call("DeleteBundle", request, gone_is_done=True)

    # Results.

    @overload
    def metrics(
        self,
        name: Name,
        names: Iterable[str] = ...,
        *,
        step_min: int = ...,
        step_max: int = ...,
        max_points: int = ...,
        frame: "Literal[False]" = ...,
    ) -> Metrics:
        ...

    @overload
    def metrics(
        self,
        name: Name,
        names: Iterable[str] = ...,
        *,
        step_min: int = ...,
        step_max: int = ...,
        max_points: int = ...,
        frame: "Literal[True]",
    ) -> "pandas.DataFrame":
        ...

    def metrics(
        self,
        name: Name,
        names: Iterable[str] = (),
        *,
        step_min: int = 0,
        step_max: int = 0,
        max_points: int = 0,
        frame: bool = False,
    ) -> "Union[Metrics, pandas.DataFrame]":
        """Returns metrics by outer update: those named, or all. Each has at most `max_points`
        points (0: 1000; at most 10,000); neighbours are merged beyond that. `frame`: returns the
        means as a pandas table. An unknown name is an error that suggests near ones; a metric
        without values gives a Series without points.
        """
        wanted = _list(names)
        asked = {"step_min": step_min, "step_max": step_max, "max_points": max_points}
        own, metrics = _name(name), Metrics()
        for one in self._pages(
            "QueryMetrics", "series", name=own, metrics=wanted, page_size=1000, **asked
        ):
            columns = (one.steps, one.mean, one.min, one.max, one.count)
            metrics[one.metric] = Series(*map(list, columns))
        for metric in wanted:
            metrics.setdefault(metric, Series([], [], [], [], []))
        return metrics.frame() if frame else metrics

    def metric_names(self, name: Name) -> List[wire.MetricDescriptor]:
        """Names, units and last values of an experiment's metrics."""
        return list(self._call("ListMetrics", name=_name(name)).descriptors)

    def watch_metrics(
        self,
        name: Name,
        names: Iterable[str] = (),
        *,
        after_step: int = 0,
        timeout: Optional[float] = None,
    ) -> Iterator[MetricPoints]:
        """Yields the values of each outer update once, recorded ones first, until the experiment
        ends.
        """
        deadline = _deadline(timeout)
        request = _message(
            wire.WatchMetricsRequest, name=_name(name), metrics=_list(names), after_step=after_step
        )
        for message in self._connection.resumed(
            lambda: self._connection.stream("WatchMetrics", request, deadline), deadline, ends=True
        ):
            request.after_step = message.step
            yield MetricPoints(message.step, dict(message.values))

    def checkpoints(self, name: Name) -> Iterator[experiment_pb2.Checkpoint]:
        """Yields checkpoints by outer update."""
        return self._pages("ListCheckpoints", "checkpoints", parent=_name(name))

    def checkpoint_name(self, name: Name, checkpoint: Union[int, str, None] = None) -> str:
        """Returns the full name of a checkpoint, given by its outer update, or None for the
        newest."""
        if isinstance(checkpoint, str) and not checkpoint.isdigit():
            return checkpoint
        if checkpoint is not None:
            if not isinstance(checkpoint, (int, str)):
                raise usage(
                    "checkpoint", f"is {checkpoint!r}; give an outer update, or a full name"
                )
            return f"{_name(name)}/checkpoints/{int(checkpoint):08d}"
        newest = None
        for newest in self.checkpoints(name):
            pass
        if newest is None:
            raise MentorError(
                grpc.StatusCode.NOT_FOUND,
                f"{_name(name)} has no checkpoint yet",
                reason="NOT_FOUND",
            )
        found: str = newest.name
        return found

    def pin(self, checkpoint: str, pinned: bool = True) -> experiment_pb2.Checkpoint:
        """Keeps a checkpoint (its full name) whatever the retention says, or undoes that."""
        request = wire.UpdateCheckpointRequest(
            checkpoint=_message(
                experiment_pb2.Checkpoint, {"name": "checkpoint"}, name=checkpoint, pinned=pinned
            )
        )
        request.update_mask.paths.append("pinned")
        answer: experiment_pb2.Checkpoint = self._connection.call("UpdateCheckpoint", request)
        return answer

    def artifacts(self, name: Name) -> List[experiment_pb2.Artifact]:
        """Yields the files that the experiment has produced."""
        return list(self._pages("ListArtifacts", "artifacts", parent=_name(name)))

    def evaluation(self, name: Name) -> List[EvaluationResult]:
        """Returns the results of the final evaluation, by split and method; empty before the
        evaluation.
        """
        experiment = self.get(name)
        iterations = experiment.spec.lifetime.iterations
        return summarise(self.evaluation_shards(experiment), iterations)

    def evaluation_shards(self, name: Name) -> List[EvaluationShard]:
        """Returns the final evaluation, lifetime by lifetime."""
        shards = []
        with tempfile.TemporaryDirectory(prefix="mentor-client-") as folder:
            for artifact in self.artifacts(name):
                path = artifact.name.partition("/artifacts/")[2]
                if path.startswith("evaluation/") and path.endswith(".binpb"):
                    file = self.download(artifact.name, folder)
                    shards.append(EvaluationShard.FromString(file.read_bytes()))
        return shards

    def download(
        self,
        name: str,
        path: "Union[str, os.PathLike[str], None]" = None,
        on_progress: Optional[Callable[[int], None]] = None,
    ) -> pathlib.Path:
        """Downloads a checkpoint or an artifact (full name) and returns its path. The target is
        `path`, a file in the folder `path`, or the working folder (a checkpoint:
        EXPERIMENT-UPDATE.ckpt). An interrupted download stays in FILE.part and the next call
        resumes it; the SHA-256 is checked. `on_progress` gets the bytes so far.
        """
        parts = parse_file_name(_message(wire.DownloadRequest, name=name).name)
        if parts is None:
            raise usage(
                "name",
                f"is '{name}'; give experiments/ID/checkpoints/STEP with 8 digits, or "
                "experiments/ID/artifacts/PATH",
            )
        checkpoint = parts.collection == "checkpoints"
        own = f"{parts.experiment}-{parts.rest}.ckpt" if checkpoint else name.rpartition("/")[2]
        target = pathlib.Path(path) if path is not None else pathlib.Path(own)
        if target.is_dir():
            target = target / own
        return _download.fetch(self._connection, name, target, on_progress)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yields a checkpoint or an artifact (full name) as its bytes come; a break is an error.
        `download` checks and resumes.
        """
        method = "DownloadCheckpoint" if "/checkpoints/" in name else "DownloadArtifact"
        for piece in self._connection.stream(method, _message(wire.DownloadRequest, name=name)):
            yield piece.data

    def logs(
        self, name: Name, *, tail: int = 0, follow: bool = False, timeout: Optional[float] = None
    ) -> Iterator[wire.WatchLogsResponse]:
        """Yields the meta-learner's log lines about an experiment: all, or the last `tail`.
        `follow`: stays until the experiment ends.
        """
        deadline = _deadline(timeout)
        patience = self._connection.patience if follow else self._connection.timeout
        request = _message(wire.WatchLogsRequest, name=_name(name), tail=tail, follow=follow)
        last, count = None, 0  # The last line, and how many equal lines have come.
        skip = 0

        def begin() -> Iterator[Any]:
            nonlocal skip
            skip = count
            if last is not None:
                request.tail = 0  # More lines than the tail may have come meanwhile.
            return self._connection.stream("WatchLogs", request, deadline)

        for line in self._connection.resumed(begin, deadline, patience, ends=True):
            if skip and last is not None:
                time_of, time_of_last = ((one.time.seconds, one.time.nanos) for one in (line, last))
                if time_of <= time_of_last:
                    skip -= line == last
                    continue
                skip = 0
            count = count + 1 if line == last else 1
            last = line
            yield line

    # The fleet and what it knows.

    def peers(self) -> List[experiment_pb2.Peer]:
        """Returns the connected learners, each followed by its actors."""
        return list(self._pages("ListPeers", "peers"))

    def drain(self, peer: str) -> None:
        """Drains actors/... or learners/...: the peer finishes its work and gets no more."""
        self._connection.call(
            "DrainPeer", _message(wire.DrainPeerRequest, {"name": "peer"}, name=peer)
        )

    def shards(self, name: Optional[Name] = None) -> List[experiment_pb2.ShardInfo]:
        """Returns shards at work or waiting, of one experiment or of all."""
        parent = "" if name is None else _name(name)
        return list(self._pages("ListShards", "shards", parent=parent))

    def catalogue(self, kind: str = "") -> List[experiment_pb2.CatalogueEntry]:
        """Returns what a spec can name: of one kind (environment, benchmark, signal, rule, wrapper,
        curriculum) or all.
        """
        return list(self._call("ListCatalogue", kind=kind).entries)

    def tasks(self, benchmark: Union[str, BenchmarkSpec]) -> Iterator[experiment_pb2.TaskInfo]:
        """Returns the tasks of a benchmark, given by its name or as in a spec: training, then test
        tasks.
        """
        if isinstance(benchmark, str):
            benchmark = _message(BenchmarkSpec, {"name": "benchmark"}, name=benchmark)
        return self._pages("ListTasks", "tasks", benchmark=benchmark)

    # Inside.

    def _call(self, method: str, /, **fields: Any) -> Any:
        return self._connection.call(method, _request(method, **fields))

    def _answer(self, method: str, name: Name, **fields: Any) -> Experiment:
        """The experiment as it is after a call about it."""
        return self._experiment(self._call(method, name=_name(name), **fields))

    def _pages(self, method: str, items: str, /, **fields: Any) -> Iterator[Any]:
        """Yields the items of all pages."""
        request = _request(method, **fields)
        while True:
            page = self._connection.call(method, request)
            yield from getattr(page, items)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _experiment(self, proto: experiment_pb2.Experiment) -> Experiment:
        return Experiment(self, proto)

    def _create_request(
        self,
        spec: SpecLike,
        id: str,
        overrides: Overrides,
        changes: Mapping[str, Any],
        timeout: Optional[float] = None,
    ) -> wire.CreateExperimentRequest:
        experiment = self.parse_spec(spec, overrides, timeout=timeout)
        id = id or experiment.name.rpartition("/")[2]
        experiment.name = ""
        _specs.fill(experiment, changes)
        return _message(wire.CreateExperimentRequest, experiment_id=id, experiment=experiment)


# Arguments whose name differs from the field that holds them.
_ARGUMENTS = {
    "experiment_id": "id",
    "metrics": "names",
    "parent": "name",
    "source_checkpoint": "checkpoint",
    "spec_overrides": "overrides",
}


def _message(
    kind: Type[_Message], arguments: Mapping[str, str] = _ARGUMENTS, /, **fields: Any
) -> _Message:
    """Returns a message of this kind. A value that its field cannot hold is a wrong argument."""
    message = kind()
    for field, value in fields.items():
        try:
            message.MergeFrom(kind(**{field: value}))
        except (TypeError, ValueError, OverflowError) as error:
            raise usage(arguments.get(field, field), f"is {value!r:.200}: {error}") from None
    return message


def _request(method: str, /, **fields: Any) -> Any:
    """Returns the request of a method of either service."""
    name = f"{method}Request"
    return _message(getattr(wire, name, None) or getattr(bundle_service_pb2, name), **fields)


def _deadline(timeout: Optional[float]) -> Optional[float]:
    """Returns the time.monotonic() deadline, or None without a timeout."""
    return None if timeout is None else time.monotonic() + seconds("timeout", timeout)


def _text(name: Name) -> str:
    text = name.name if isinstance(name, Experiment) else name
    if not isinstance(text, str):
        raise usage("name", f"is {text!r}; give the id of an experiment, or an Experiment")
    return text


def _name(name: Name) -> str:
    """Returns experiments/ID for an id, a full name or an Experiment."""
    text = _text(name)
    if not text:
        raise usage("name", "is empty; give the id of an experiment")
    return experiment_name(text)


def _list(names: Iterable[str], argument: str = "names") -> List[str]:
    try:
        wanted = [names] if isinstance(names, str) else list(names)
    except TypeError:
        wanted = [names]  # type: ignore[list-item]
    for name in wanted:
        if not isinstance(name, str):
            raise usage(argument, f"has {name!r}; give text")
    return wanted
