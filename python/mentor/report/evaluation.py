"""Success rates of an evaluation with intervals, and methods compared by goal."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from . import statistics
from .records import METHODS, PLACES, Life
from .statistics import Array, Interval, Level, Sample


@dataclasses.dataclass
class Result:
    """All lifetimes of one method on one split. `segments` covers the episodes that ended in each
    inner iteration, `last` the lifetime's last episode, `det` the deterministic episodes."""

    teacher: str
    split: str
    environment: str  # Empty: all environments together.
    success: bool  # What is compared: success rates, or shaped returns where nothing succeeds.
    lives: List[Life]
    levels: Tuple[Level, ...]
    rates: Array  # [lifetimes][segments]
    segments: List[Interval]
    last: Interval
    det: Optional[Interval]
    last_return: Optional[Interval]  # Shaped return of an episode of the last segment.
    # Every episode, the deterministic ones last; empty where lifetimes differ in their number.
    episodes: List[Interval]
    table: Array  # [lifetimes][segments, det, last return, last, episodes]

    @property
    def name(self) -> str:
        return METHODS[self.teacher].name

    @property
    def learned(self) -> bool:
        return METHODS[self.teacher].learned

    @property
    def goals(self) -> int:
        return len(set(self.levels))

    @property
    def has_goals(self) -> bool:
        return any(life.has_goals for life in self.lives)

    @property
    def lifetime_episodes(self) -> int:
        return self.lives[0].lifetime_episodes

    def by_seed(self) -> Tuple[List[int], Array]:
        """The meta-seeds, and the means of the table's columns over each one's lifetimes."""
        of = np.array([level.meta_seed for level in self.levels])
        seeds = sorted(set(of.tolist()))
        return seeds, np.array([statistics.known_mean(self.table[of == s].T) for s in seeds])

    def sample(self, segment: int) -> Sample:
        return Sample(self.levels, self.rates[:, segment])

    def growth(self) -> Interval:
        """The last segment minus the first one, lifetime by lifetime."""
        return statistics.difference_of_means(self.sample(-1), self.sample(0)).interval


@dataclasses.dataclass
class Comparison:
    result: Result
    baseline: Result
    segment: int
    difference: Interval
    paired: bool


def split_place(split: str) -> Tuple[int, str]:
    """Unseen goals, then goals of meta-training, then other tasks by name."""
    return {"test": 0, "train": 1}.get(split, 2), split


def by_success(lives: Sequence[Life]) -> bool:
    """Success is compared, unless no episode succeeds and returns are there."""
    return not lives or any(
        life.success.any() or (len(life.success) and not len(life.returns)) for life in lives
    )


def bounds(life: Life, segments: int, counted: bool = True) -> List[int]:
    """The first episode of each segment, and the end; equally many where none are counted."""
    if counted and len(life.segment_episodes) == segments:
        return [0, *np.cumsum(life.segment_episodes).tolist()]
    return [life.lifetime_episodes * s // segments for s in range(segments + 1)]


def segment_means(life: Life, segments: int, success: bool, counted: bool = True) -> Array:
    """NaN for a segment in which no episode ended."""
    values, ends = (life.success if success else life.returns), bounds(life, segments, counted)
    return np.array(
        [values[a:b].mean() if b > a else np.nan for a, b in zip(ends, ends[1:])], float
    )


def results_of(
    lives: Sequence[Life], iterations: int, success: Optional[bool] = None
) -> List[Result]:
    """By split (test goals first) and method; with several environments the results of each follow.
    Lifetimes in which no episode ended are left out."""
    groups: Dict[Tuple[str, Tuple[int, str], int], List[Life]] = {}
    environments = {life.environment for life in lives}
    for life in lives:
        if life.lifetime_episodes == 0:
            continue
        for environment in {"", life.environment if len(environments) > 1 else ""}:
            key = environment, split_place(life.split), PLACES[life.teacher]
            groups.setdefault(key, []).append(life)
    success = by_success(lives) if success is None else success
    return [
        result_of([(0, life) for life in own], environment, iterations, success)
        for (environment, _, _), own in sorted(groups.items(), key=lambda group: group[0])
    ]


def result_of(
    of_seeds: Sequence[Tuple[int, Life]], environment: str, iterations: int, success: bool
) -> Result:
    """The result of lives, each with its meta-seed."""
    of_seeds = sorted(
        of_seeds, key=lambda one: (one[1].level(one[0]), one[1].lifetime, one[1].seed)
    )
    lives = [life for _, life in of_seeds]
    counted = all(
        len(life.segment_episodes) == iterations and 0 not in life.segment_episodes
        for life in lives
    )
    fewest = min(life.lifetime_episodes for life in lives)
    segments = iterations if counted else min(iterations, fewest)
    counts = {(life.lifetime_episodes, len(life.success)) for life in lives}
    alike, returns = len(counts) == 1, all(len(life.returns) for life in lives)
    has_det = all(len(life.success) > life.lifetime_episodes for life in lives)
    rows = []
    for life in lives:
        values, end = (life.success if success else life.returns), life.lifetime_episodes
        det = values[end:].mean() if has_det else np.nan
        last = segment_means(life, segments, False, counted)[-1] if returns else np.nan
        own = [*segment_means(life, segments, success, counted), det, last, values[end - 1]]
        rows.append([*own, *values] if alike else own)
    levels, table = tuple(life.level(seed) for seed, life in of_seeds), np.array(rows, float)
    found = statistics.intervals_of_columns(levels, table)
    return Result(
        teacher=lives[0].teacher,
        split=lives[0].split,
        environment=environment,
        success=success,
        lives=lives,
        levels=levels,
        rates=table[:, :segments],
        segments=found[:segments],
        det=found[segments] if has_det else None,
        last_return=found[segments + 1] if returns else None,
        last=found[segments + 2],
        episodes=found[segments + 3 :],
        table=table,
    )


def compared(results: Sequence[Result]) -> List[Comparison]:
    """Every learned method with every baseline of its split, in the last segment; segment 0 serves
    as the control."""
    found = []
    for learned in results:
        for baseline in results:
            if not learned.learned or baseline.learned or learned.split != baseline.split:
                continue
            if learned.environment or baseline.environment:
                continue
            if len(learned.segments) != len(baseline.segments):
                continue
            last = len(learned.segments) - 1
            for segment in sorted({0, last}):
                difference = statistics.difference_of_means(
                    learned.sample(segment), baseline.sample(segment)
                )
                found.append(Comparison(learned, baseline, segment, *difference))
    return found
