"""Results of an evaluation, counted as in `mentor report`: means by method."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple

from .names import enum_name
from .v1.evaluation_pb2 import EvaluatedLifetime, EvaluationMethod, EvaluationShard

_SPLITS = {"test": 0, "train": 1}


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """Means over the lifetimes of one method on one split.

    split        "test" or "train"
    environment  one of several, or "" for all together
    method       who taught, for instance "learned" or "ppo_sparse"
    quantity     what segments and episodes count: "success", or "return" where nothing succeeds
    numbers      seg0, seg1, ... by inner iteration; last: the last episode; det: the deterministic
                 episodes, where there are some; return: of the last segment
    success, returns   by episode of the lifetime, where all have equally many; deterministic
                       episodes left out
    """

    split: str
    environment: str
    method: str
    lifetimes: int
    quantity: str
    numbers: Dict[str, float]
    success: List[float]
    returns: List[float]


class _Row:
    def __init__(self, shard: EvaluationShard, life: EvaluatedLifetime):
        self.split = shard.tasks or shard.split
        self.method = method_name(shard)
        self.key = (life.environment, life.goal, life.number, shard.seed)
        self.success = list(life.episode_success)
        self.returns = list(life.episode_return)
        self.det_success = list(life.deterministic_success)
        self.det_returns = list(life.deterministic_return)
        self.segments = list(life.segment_episodes)

    def of(self, quantity: str, deterministic: bool = False) -> List[float]:
        if quantity == "success":
            return self.det_success if deterministic else self.success
        return self.det_returns if deterministic else self.returns


def method_name(shard: EvaluationShard) -> str:
    """Returns the teacher's name in lower case. Data of 0.1.0 has a name of its own."""
    if not shard.taught_by:
        return shard.method
    return enum_name(EvaluationMethod, shard.taught_by, "EVALUATION_METHOD_").lower()


def summarise(shards: Iterable[EvaluationShard], iterations: int) -> List[EvaluationResult]:
    """Returns means by split and method, then by environment where there are several. Only the
    newest evaluated weights count. `iterations`: inner iterations of a lifetime; 0: as many as the
    first lifetime has.
    """
    kept = list(shards)
    newest = max((shard.outer_step for shard in kept), default=0)
    rows: List[_Row] = []
    known: Set[Tuple[Any, ...]] = set()
    for shard in kept:
        for life in shard.lifetimes if shard.outer_step == newest else ():
            row = _Row(shard, life)
            if row.success and (row.split, row.method, row.key) not in known:
                known.add((row.split, row.method, row.key))
                rows.append(row)
    successful = any(any(row.success) or any(row.det_success) for row in rows)
    quantity = "success" if successful or not all(row.returns for row in rows) else "return"
    environments = sorted({row.key[0] for row in rows})
    results = []
    for environment in [""] + (environments if len(environments) > 1 else []):
        chosen = [row for row in rows if environment in ("", row.key[0])]
        chosen.sort(key=lambda row: (_SPLITS.get(row.split, 2), row.split, row.method))
        for (split, method), group in itertools.groupby(
            chosen, key=lambda row: (row.split, row.method)
        ):
            results.append(
                _summary(split, environment, method, sorted(group, key=_key), iterations, quantity)
            )
    return results


def _key(row: _Row) -> Tuple[Any, ...]:
    return row.key


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _bounds(row: _Row, segments: int, by_iteration: bool) -> List[int]:
    """Returns the first episodes of the segments, and their end."""
    if by_iteration:
        return [0, *itertools.accumulate(row.segments)]
    return [len(row.success) * s // segments for s in range(segments + 1)]


def _summary(
    split: str, environment: str, method: str, rows: List[_Row], iterations: int, quantity: str
) -> EvaluationResult:
    alive = min(len(row.success) for row in rows)
    iterations = iterations or len(rows[0].segments) or 1
    by_iteration = all(len(row.segments) == iterations and all(row.segments) for row in rows)
    segments = iterations if by_iteration else min(iterations, alive)
    has_returns = all(row.returns for row in rows)
    parts: Dict[str, List[float]] = {}
    for row in rows:
        values, bounds = row.of(quantity), _bounds(row, segments, by_iteration)
        for s, (begin, end) in enumerate(zip(bounds, bounds[1:])):
            parts.setdefault(f"seg{s}", []).append(_mean(values[begin:end]))
        parts.setdefault("last", []).append(values[-1])
        if row.det_success:
            parts.setdefault("det", []).append(_mean(row.of(quantity, deterministic=True)))
        if has_returns:
            parts.setdefault("return", []).append(_mean(row.returns[bounds[-2] : bounds[-1]]))
    equally = all(len(row.success) == alive for row in rows)
    return EvaluationResult(
        split,
        environment,
        method,
        len(rows),
        quantity,
        {name: _mean(values) for name, values in parts.items()},
        [_mean([row.success[e] for row in rows]) for e in range(alive if equally else 0)],
        [
            _mean([row.returns[e] for row in rows])
            for e in range(alive if equally and has_returns else 0)
        ],
    )
