"""Optuna's storage of a study, and the lock of the one process that works on it."""

from __future__ import annotations

import pathlib
import zlib
from typing import Any, ContextManager

import grpc

from ..command import needs
from ..errors import MentorError
from ..lock import Lock
from .study_file import INSTALL, SQLITE, StudyFile


class _DatabaseLock:
    """A PostgreSQL lock: it ends with the connection, so with the process, on any machine."""

    def __init__(self, url: str, name: str):
        sqlalchemy = needs("sqlalchemy", INSTALL, "mentor-sweep")
        self._engine = sqlalchemy.create_engine(url)
        self._connection = self._engine.connect()
        key = zlib.crc32(f"mentor-sweep {name}".encode())
        query = sqlalchemy.text("SELECT pg_try_advisory_lock(:key)")
        if not self._connection.execute(query, {"key": key}).scalar():
            self.__exit__()
            raise MentorError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"mentor-sweep of {name} is at work already; leave it to that one, or end it first",
                reason="IN_USE",
            )
        self._connection.commit()

    def __enter__(self) -> "_DatabaseLock":
        return self

    def __exit__(self, *error: Any) -> None:
        self._connection.close()
        self._engine.dispose()


def lock(file: StudyFile) -> ContextManager[Any]:
    if not file.storage.startswith(SQLITE):
        return _DatabaseLock(file.storage, file.name)
    path = pathlib.Path(file.storage[len(SQLITE) :])
    return Lock(path.with_name(path.name + ".lock"), f"mentor-sweep of {file.name}")


def open_study(file: StudyFile, create: bool) -> Any:
    """Returns the optuna.Study. Raises NOT_FOUND if it does not exist and `create` is false."""
    optuna = needs("optuna", INSTALL, "mentor-sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if file.storage.startswith(SQLITE):
        path = pathlib.Path(file.storage[len(SQLITE) :])
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            raise _none_yet(file)
    storage = optuna.storages.RDBStorage(file.storage)
    pruner = _pruner(optuna, file)
    if create:
        return optuna.create_study(
            storage=storage,
            study_name=file.name,
            direction="maximize" if file.objective.maximise else "minimize",
            pruner=pruner,
            load_if_exists=True,
        )
    try:
        return optuna.load_study(storage=storage, study_name=file.name, pruner=pruner)
    except KeyError:
        raise _none_yet(file) from None


def _none_yet(file: StudyFile) -> MentorError:
    return MentorError(
        grpc.StatusCode.NOT_FOUND,
        f"there is no study {file.name} in {file.storage} yet; run it without this flag first",
        reason="NOT_FOUND",
    )


def _pruner(optuna: Any, file: StudyFile) -> Any:
    wanted = file.pruner
    if wanted.name == "none":
        return optuna.pruners.NopPruner()
    if wanted.name == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=wanted.min_updates)
    return optuna.pruners.HyperbandPruner(
        min_resource=wanted.min_updates,
        max_resource=max(file.updates, wanted.min_updates),
        reduction_factor=wanted.factor,
    )


def sampler(file: StudyFile, number: int, path: str = "") -> Any:
    """Returns the sampler of one trial and one setting. Its draws depend only on these and on the
    results of earlier trials, not on restarts of the program.
    """
    optuna = needs("optuna", INSTALL, "mentor-sweep")
    if file.sampler == "grid":
        return _grid(optuna, file)
    return optuna.samplers.TPESampler(
        seed=zlib.crc32(f"{file.seed}/{number}/{path}".encode()),
        n_startup_trials=file.startup_trials,
    )


def _grid(optuna: Any, file: StudyFile) -> Any:
    """Returns the sampler that gives trial N the Nth combination, in an order of its own."""

    class Grid(optuna.samplers.GridSampler):  # type: ignore[misc]
        def after_trial(self, *arguments: Any) -> None:
            """Optuna's would stop Study.optimize, which is not at work here."""

    return Grid({one.path: one.choices for one in file.parameters})
