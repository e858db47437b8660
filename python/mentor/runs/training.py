"""mentor.run: the run of `mentor run`, followed from Python."""

from __future__ import annotations

import operator
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
from typing import Any, Callable, Mapping, Optional, Sequence

from .. import programs, specs
from .child import Child
from .follow import Table, Update
from .own_environment import NAME as OWN, NO_SUCCESS, OwnEnvironment
from .result import Run
from .show import Progress

_POLL_SECONDS = 0.1
_FAILED_SECONDS = 3  # For a checkpoint after an exception of the user's environment.
# The program's exit status after a signal, and after a second SIGTERM that ended it at once.
_EXITS_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
# A remedy in the words of a spec (common/failed_step.h), and in those of a call.
_IN_SPECS = 'benchmark.wrapper { name: "failed_step" }'
_IN_OVERRIDES = "the override {'benchmark.wrapper': ['failed_step']}"
_GO_ON = "the same call continues from the last checkpoint"


class _Stop:
    def __repr__(self) -> str:
        return "mentor.STOP"


STOP = _Stop()  # What on_update returns to end the run at a checkpoint.


class RunError(programs.ProgramError):
    """A run that failed; the text is what the program said. `folder` may be continued."""

    def __init__(self, message: str, folder: pathlib.Path) -> None:
        super().__init__(message)
        self.folder = folder


def run(
    spec: specs.SpecLike,
    overrides: specs.Overrides = (),
    *,
    env: Optional[Callable[..., Any]] = None,
    out: Optional[programs.PathLike] = None,
    on_update: Optional[Callable[[Update], Any]] = None,
    bundles: Sequence[programs.PathLike] = (),
    simulators: Optional[Mapping[str, str]] = None,
    actors: Optional[int] = None,
    threads: Optional[int] = None,
    device: Optional[str] = None,
    tensorboard: Optional[programs.PathLike] = None,
    progress: bool = True,
    stop_seconds: float = 600,
) -> Run:
    """Trains, or continues what the same call began; the same run as `mentor run`.

    `spec` is what mentor.spec takes, and `overrides` changes it: {"rule.learning_rate": 3e-4}. The
    folder is `out`, or runs/NAME-HASH.

    `env` is a class of Gymnasium, or a function that makes an environment, wherever it is written.
    It takes the place of the spec's benchmark; overrides set its options: "benchmark.success". It
    is tried first, in this process, so an exception of its own arrives before anything has begun.

    `on_update` is called with each outer update that this call adds, in order and once. It returns
    mentor.STOP to end the run at a checkpoint; updates that are under way by then still arrive.
    After an exception no more arrive, the run ends at a checkpoint, and the exception goes on.
    Ctrl-C ends the run at a checkpoint, too, and raises KeyboardInterrupt. A second Ctrl-C, or
    `stop_seconds` without an end, ends it at once: it continues from the last checkpoint.
    """
    if on_update is not None and not callable(on_update):
        raise TypeError(f"on_update is {on_update!r}; give a function of one update")
    for field, value, most in (("actors", actors, 256), ("threads", threads, 1024)):
        if value is not None and not (_is_integer(value) and 1 <= value <= most):
            raise ValueError(f"{field}: is {value!r}; give an integer from 1 to {most}")
    if out is not None:
        _folder(out)
    # The check comes first: a refused spec begins no folder, and an error is a SpecError.
    with tempfile.TemporaryDirectory(prefix="mentor-run-") as temporary:
        own = None
        if env is not None:
            (pathlib.Path(temporary) / "environment").mkdir()
            own = OwnEnvironment(env, overrides, pathlib.Path(temporary) / "environment")
            spec = own.replaces_benchmark(spec, bundles, simulators)
            overrides, simulators = own.overrides, {**(simulators or {}), **own.simulators}
        common = specs.spec_flags(bundles, simulators)
        source, name = _source(spec, bundles, simulators, temporary)
        common += specs.override_flags(overrides)
        checked = specs.checked(source, common, name)
        folder = _folder(out if out is not None else checked.run_folder)
        command = [str(programs.find()), "run", source, *common, "--out", str(folder)]
        command += programs.flags(
            {
                "actors": actors,
                "threads": threads,
                "device": device,
                "tensorboard": tensorboard and str(_path("tensorboard", tensorboard)),
            }
        )
        table = Table(folder / "metrics.csv")
        table.read()
        shown = Progress(name, checked.outer_updates, len(table.updates)) if progress else None
        delivery = _Delivery(table, on_update, own, folder)
        code, child = _follow(command, delivery, shown, stop_seconds)
        return _result(code, child, delivery, simulators)


def _result(
    code: int, child: Child, delivery: _Delivery, simulators: Optional[Mapping[str, str]]
) -> Run:
    """Returns the run, or raises what went wrong."""
    own, folder = delivery.own, delivery.folder
    if own and own.failed() and code != 0:
        raise RunError(f"{own.failure()}\nin a simulator of the run {folder}; {_GO_ON}", folder)
    if code in _EXITS_STOPPED and not child.was_asked:
        raise RunError(f"{folder}: somebody else stopped the run; {_GO_ON}", folder)
    if code < 0:
        ended = f"mentor run was ended by signal {-code} ({_name_of(-code)})"
        raise RunError(f"{folder}: {ended}; {_GO_ON}", folder)
    if code not in (0, *_EXITS_STOPPED):
        said = programs.words_of_failure(child.said()) or f"mentor run ended with {code}"
        raise RunError(said.replace(_IN_SPECS, _IN_OVERRIDES), folder)
    if own is None:
        return Run(folder, summary=child.printed(), simulators=simulators)
    own.keep(folder)
    summary = own.words(child.printed(), folder)
    if not _ever_succeeded(delivery.table):
        summary = f"{summary}{NO_SUCCESS}\n"
        print(NO_SUCCESS, file=sys.stderr)
    kept = {name: command for name, command in (simulators or {}).items() if name != OWN}
    return Run(folder, summary=summary, simulators=kept)


def _name_of(number: int) -> str:
    if number == signal.SIGKILL:
        return "SIGKILL, as where memory runs out"
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _is_integer(value: Any) -> bool:
    try:
        return operator.index(value) is not None and not isinstance(value, bool)
    except TypeError:
        return False


def _path(field: str, path: programs.PathLike) -> pathlib.Path:
    if not isinstance(path, (str, os.PathLike)) or "\0" in os.fspath(path) or not os.fspath(path):
        raise TypeError(f"{field}: is {path!r}; give the path of a folder")
    return pathlib.Path(path)


def _folder(out: programs.PathLike) -> pathlib.Path:
    folder = _path("out", out).absolute()
    try:
        if not folder.exists() or folder.is_dir():
            return folder
    except OSError as error:
        raise type(error)(f"out: {folder}: {error.strerror or error}; give another") from None
    raise NotADirectoryError(f"out: {folder} is no folder; give another")


def _source(
    spec: specs.SpecLike,
    bundles: Sequence[programs.PathLike],
    simulators: Optional[Mapping[str, str]],
    temporary: str,
) -> "tuple[str, str]":
    """Returns the words that name the spec for the program, and its name for people."""
    if isinstance(spec, os.PathLike) or (isinstance(spec, str) and not specs.is_text(spec)):
        path = specs.file_word(spec)
        return path, pathlib.Path(path).stem
    if not isinstance(spec, specs.Spec):
        spec = specs.spec(spec, bundles=bundles, simulators=simulators)
    return str(specs.write(spec.text, temporary, f"{spec.name}.txtpb")), spec.name


def _say(line: str) -> None:
    """Shows what goes wrong where no progress is shown."""
    if not line.startswith("warning: "):
        print(line, file=sys.stderr)


def _ever_succeeded(table: Table) -> bool:
    shown = [
        value
        for update in table.updates
        for name, value in update.metrics.items()
        if name == "success" or re.fullmatch(r"seg\d+", name)
    ]
    return not shown or any(value > 0 for value in shown)


def _follow(
    command: Sequence[str], delivery: _Delivery, shown: Optional[Progress], stop_seconds: float
) -> "tuple[int, Child]":
    """Runs the program to its end. Returns its exit status."""
    table, own = delivery.table, delivery.own
    say = shown.say if shown else _say
    with Child(command, own.quieter(say) if own else say) as child:
        try:
            code = None
            while code is None:
                code = child.wait(_POLL_SECONDS)
                delivery.deliver(child)
                if own and own.failed() and code is None:
                    _end(child, _FAILED_SECONDS)  # Other actors would meet the same.
                    code = -signal.SIGKILL
                if shown:
                    done = bool(table.updates) and table.updates[-1].step >= shown.total
                    shown.show(table.updates, "evaluating" if done else "training")
            if shown and code in (0, *_EXITS_STOPPED):
                shown.show(table.updates, "done" if code == 0 else "stopped", last=True)
        except BaseException as error:
            _end(child, stop_seconds)
            if isinstance(error, KeyboardInterrupt):
                delivery.deliver(child)
                if shown:
                    shown.show(table.updates, "stopped", last=True)
            raise
        return code, child


class _Delivery:
    """Calls on_update with each update of a table, once, whenever Ctrl-C comes."""

    def __init__(
        self,
        table: Table,
        on_update: Optional[Callable[[Update], Any]],
        own: Optional[OwnEnvironment],
        folder: pathlib.Path,
    ) -> None:
        self.table = table
        self.own = own
        self.folder = folder
        self._on_update = on_update
        self._count = len(table.updates)

    def deliver(self, child: Child) -> None:
        self.table.read()
        while self._count < len(self.table.updates):
            update = self.table.updates[self._count]
            self._count += 1
            if self.own:
                self.own.keep(self.folder)
            if self._on_update is not None and self._on_update(update) is STOP:
                child.stop_once()


def _end(child: Child, stop_seconds: float) -> None:
    """Ends the program at a checkpoint; at once after a second Ctrl-C or the deadline."""
    deadline = time.monotonic() + stop_seconds
    try:
        child.stop_once()
        while child.wait(min(1.0, max(0.0, deadline - time.monotonic()))) is None:
            if time.monotonic() >= deadline:
                break
    except KeyboardInterrupt:
        pass
    child.kill()
