"""Reads the records of a run, which Mentor's programs write into RUN/records:

    run.json        what the run is: its spec, identity, facts, declared metrics; how many rows each
                    file below has
    training.csv    outer_update, env_steps, and a column for each metric
    lifetimes.csv   the evaluated lifetimes: teacher, split, environment, lifetime, goal, goal_seed,
                    has_goals, seed, lifetime_episodes, segment_episodes, episode_success,
                    episode_return; the last three hold numbers separated by blanks
    beside.csv      the same, of agents that learned while their signal did
    signals.csv     lifetime, step, signal, shaped_reward
    maps.json       images from inside a signal network: name, lifetime, iteration, rows, columns,
                    values

Every file but run.json may be missing. A RecordError names the file, what is wrong, and the command
that writes it again.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
from typing import Any, Dict, List, Tuple

import numpy as np
import polars

from .statistics import Array, Level

FORMAT = 1
FOLDER = "records"


class RecordError(Exception):
    """Records are missing, cut, or of another version; the text says what to do."""


@dataclasses.dataclass(frozen=True)
class Method:
    name: str  # In reports.
    learned: bool
    colour: str  # A name of the theme.
    shape: str  # Likewise.
    dash: Tuple[int, ...] = ()


# By the name on the command line, in the order of reports (common/evaluation_method.cc).
METHODS = {
    "learned": Method("learned", True, "blue", "circle"),
    "best": Method("learned (best)", True, "purple", "square"),
    "average": Method("learned (average)", True, "orange", "diamond"),
    "sparse": Method("PPO sparse", False, "vermillion", "up", (6, 3)),
    "shaped": Method("PPO shaped", False, "green", "down", (2, 2)),
    "sparse_and_shaped": Method("PPO sparse and shaped", False, "brown", "glass", (6, 2, 2, 2)),
    "potential": Method("PPO potential", False, "sky", "plus", (8, 4)),
    "rnd": Method("PPO RND", False, "crimson", "right", (8, 2, 2, 2, 2, 2)),
    "icm": Method("PPO ICM", False, "olive", "left", (4, 2)),
    "counts": Method("PPO counts", False, "indigo", "cross", (10, 2)),
    "random": Method("random signal", False, "grey", "bar", (1, 3)),
}
PLACES = {option: place for place, option in enumerate(METHODS)}


@dataclasses.dataclass
class Life:
    """One lifetime. Learning episodes come first; the episodes after them are deterministic."""

    teacher: str
    split: str  # "test" or "train"; otherwise a name of the tasks.
    environment: str
    lifetime: int
    goal: int
    goal_seed: int  # Lives of equal environment, goal_seed and goal had the same goal.
    has_goals: bool  # The environment's tasks differ.
    seed: int  # Decides the agents' randomness.
    lifetime_episodes: int
    segment_episodes: List[int]  # Episodes that ended in each inner iteration; empty: equally many.
    success: Array
    returns: Array

    def level(self, meta_seed: int = 0) -> Level:
        return Level(self.environment, meta_seed, self.goal_seed, self.goal)


@dataclasses.dataclass
class Signal:
    """What the signal network put out along one lifetime."""

    signal: Array
    shaped: Array


@dataclasses.dataclass
class Training:
    """Outer updates in order; a metric is NaN where an update does not have it."""

    updates: Array = dataclasses.field(default_factory=lambda: np.zeros(0))
    env_steps: Array = dataclasses.field(default_factory=lambda: np.zeros(0))
    metrics: Dict[str, Array] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.updates)

    def of(self, metric: str) -> Array:
        return self.metrics.get(metric, np.full(len(self), np.nan))

    def known(self, metric: str) -> Tuple[Array, Array]:
        """The finite values of a metric, with their outer updates."""
        values = self.of(metric)
        finite = np.isfinite(values)
        return self.updates[finite], values[finite]

    @property
    def before(self) -> int:
        """Outer updates before the first point, for instance of a run that continues another. Their
        environment steps are counted, but their seconds are not."""
        return int(max(self.updates[0], 1)) - 1 if len(self) else 0

    @property
    def succeeds(self) -> bool:
        """Meta-training saw a success. Some environments have only shaped returns."""
        return any(
            (values[np.isfinite(values)] > 0).any()
            for name, values in self.metrics.items()
            if name == "success" or name.startswith("seg")
        )


@dataclasses.dataclass
class Run:
    """run.json, and the files beside it."""

    path: pathlib.Path
    name: str  # As the user named it.
    record: Dict[str, Any]
    training: Training
    lives: List[Life]
    beside: List[Life]
    signals: List[Signal]
    maps: List[Dict[str, Any]]
    title: str = ""

    def __post_init__(self) -> None:
        self.title = self.title or str(self.record.get("title") or "Mentor run")

    @property
    def identity(self) -> Dict[str, Any]:
        return dict(self.record["identity"])

    @property
    def iterations(self) -> int:
        return int(self.record["iterations"])

    @property
    def meta_learns(self) -> bool:
        """False: outer updates only let agents live. Older records do not say it."""
        return bool(self.record.get("meta_learns", True))

    @property
    def taught_by(self) -> str:
        if not self.record["outer_updates_total"]:
            return "no meta-training"
        return f"rule {self.identity['rule']}"

    @property
    def settings(self) -> Dict[str, str]:
        return dict(self.identity["settings"])

    @property
    def seed(self) -> int:
        return int(self.identity["seed"])

    @property
    def goal_seed(self) -> int:
        return int(self.identity["goal_seed"])

    def iteration_steps(self, teacher: str) -> int:
        """Environment steps of an inner iteration."""
        taught = METHODS[teacher].learned or teacher == "random"
        return int(self.identity["iteration_steps" if taught else "baseline_iteration_steps"])

    @property
    def films(self) -> List[pathlib.Path]:
        """Films of agents in the folder of the run or of its experiment."""
        endings = (".gif", ".mp4")
        found = [*self.path.glob("*"), *self.path.glob("experiments/*/*")]
        return sorted(film for film in found if film.suffix in endings and film.is_file())


def read(folder: "pathlib.Path | str", records: "pathlib.Path | None" = None) -> Run:
    """Reads a run folder; `records` is where its records lie, by default in it."""
    path, name = pathlib.Path(folder), str(folder)
    where = records or path / FOLDER
    reader = _Reader(where, name)
    record = reader.record()
    # Commands name the run as the user does, wherever its folder was when it was recorded. RUN/20
    # and the like name no folder.
    if path.is_dir():
        record["folder"] = name
    else:
        path = pathlib.Path(record["folder"])
    return Run(
        path=path,
        name=name,
        record=record,
        training=reader.training(),
        lives=reader.lives("lifetimes.csv"),
        beside=reader.lives("beside.csv"),
        signals=reader.signals(),
        maps=reader.maps(),
    )


class _Reader:
    def __init__(self, folder: pathlib.Path, run: str) -> None:
        self._folder, self._run = folder, run
        self._rows: Dict[str, int] = {}

    def _wrong(self, file: str, what: str) -> RecordError:
        return RecordError(
            f"{self._folder / file}: {what}; write the records again: mentor report {self._run}"
        )

    def record(self) -> Dict[str, Any]:
        path = self._folder / "run.json"
        if not path.is_file():
            if not self._folder.parent.is_dir():
                raise RecordError(f"{self._folder.parent}: is no run folder")
            raise RecordError(
                f"{path}: is not there: a run that an older version made, or that was copied in "
                f"part, has no records; this writes them: mentor report {self._run}"
            )
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise self._wrong("run.json", f"cannot be read: {error}") from None
        except json.JSONDecodeError as error:
            raise self._wrong("run.json", f"is cut or changed: {error}") from None
        found = record.get("format") if isinstance(record, dict) else None
        what = f"has format {found}, and this version reads {FORMAT}"
        if isinstance(found, int) and found > FORMAT:
            raise RecordError(f"{path}: {what}; update the Python package of Mentor")
        if found != FORMAT:
            raise self._wrong("run.json", what)
        missing = [key for key in ("identity", "iterations", "files") if key not in record]
        if missing:
            raise self._wrong("run.json", f"lacks {', '.join(missing)}")
        self._rows = dict(record["files"])
        return dict(record)

    def _text(self, file: str) -> str:
        """Empty for a file that this run does not have."""
        if not self._rows.get(file):
            return ""
        try:
            return (self._folder / file).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise self._wrong(file, "is not there, and run.json counts its rows") from None
        except (OSError, UnicodeDecodeError) as error:
            raise self._wrong(file, f"cannot be read: {error}") from None

    def _count(self, file: str, found: int) -> None:
        if found != self._rows[file]:
            raise self._wrong(
                file, f"has {found} rows, and run.json counts {self._rows[file]}: it is cut"
            )

    def _frame(self, file: str) -> "polars.DataFrame | None":
        text = self._text(file)
        if not text:
            return None
        try:
            frame = polars.read_csv(text.encode(), infer_schema=False)
            frame = frame.with_columns(polars.all().cast(polars.Float64))
        except polars.exceptions.PolarsError as error:
            raise self._wrong(
                file, f"is no table of numbers: {str(error).splitlines()[0]}"
            ) from None
        self._count(file, len(frame))
        return frame.fill_null(float("nan"))

    def training(self) -> Training:
        frame = self._frame("training.csv")
        if frame is None:
            return Training()
        columns = {name: frame[name].to_numpy() for name in frame.columns}
        try:
            updates, steps = columns.pop("outer_update"), columns.pop("env_steps")
        except KeyError as column:
            raise self._wrong("training.csv", f"has no column {column}") from None
        if (np.diff(updates) <= 0).any() or (np.diff(steps) < 0).any():
            raise self._wrong("training.csv", "its outer updates or steps do not rise")
        return Training(updates, steps, columns)

    def lives(self, file: str) -> List[Life]:
        text = self._text(file)
        if not text:
            return []
        lives = []
        for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):
            try:
                lives.append(_life(row, named=file == "lifetimes.csv"))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise self._wrong(f"{file}:{line}", f"is not as written: {error}") from None
        self._count(file, len(lives))
        return lives

    def signals(self) -> List[Signal]:
        frame = self._frame("signals.csv")
        if frame is None:
            return []
        if not np.isfinite(frame.select("signal", "shaped_reward").to_numpy()).all():
            raise self._wrong("signals.csv", "holds a number that is not finite")
        return [
            Signal(own["signal"].to_numpy(), own["shaped_reward"].to_numpy())
            for own in frame.partition_by("lifetime", maintain_order=True)
        ]

    def maps(self) -> List[Dict[str, Any]]:
        text = self._text("maps.json")
        if not text:
            return []
        try:
            maps = json.loads(text)
        except json.JSONDecodeError as error:
            raise self._wrong("maps.json", f"is cut or changed: {error}") from None
        self._count("maps.json", len(maps))
        return list(maps)


def _life(row: Dict[str, str], named: bool) -> Life:
    if row["teacher"] not in METHODS:
        raise ValueError(f"teacher is '{row['teacher']}', expected one of {', '.join(METHODS)}")
    life = Life(
        teacher=row["teacher"],
        split=row["split"],
        environment=row["environment"],
        lifetime=int(row["lifetime"]),
        goal=int(row["goal"]),
        goal_seed=int(row["goal_seed"]),
        has_goals=row["has_goals"] == "1",
        seed=int(row["seed"]),
        lifetime_episodes=int(row["lifetime_episodes"]),
        segment_episodes=[int(count) for count in row["segment_episodes"].split()],
        success=np.array(row["episode_success"].split(), float),
        returns=np.array(row["episode_return"].split(), float),
    )
    episodes = len(life.success)
    if named and not life.split:
        raise ValueError("split is empty")
    if not 0 <= life.lifetime_episodes <= episodes:
        raise ValueError(f"lifetime_episodes is {life.lifetime_episodes} of {episodes} episodes")
    if len(life.returns) not in (0, episodes):
        raise ValueError(f"{len(life.returns)} returns for {episodes} episodes")
    if life.segment_episodes and sum(life.segment_episodes) != life.lifetime_episodes:
        raise ValueError("the episodes of its segments are not those of the lifetime")
    if not np.isin(life.success, (0, 1)).all() or not np.isfinite(life.returns).all():
        raise ValueError("success is 0 or 1, and a return is finite")
    return life
