"""Results of an evaluation, counted as in `mentor report`: means by method."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Dict, Iterable, List, Sequence, Tuple

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

    def value(self, name: str) -> float:
        """Returns a number that is success, whatever succeeds: 0 where nothing does. `return` is
        the return."""
        return self.numbers[name] if self.quantity == "success" or name == "return" else 0.0


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
    lives: Dict[Tuple[Any, ...], EvaluatedLifetime] = {}
    for shard in kept:
        for life in shard.lifetimes if shard.outer_step == newest else ():
            of = (shard.tasks or shard.split, method_name(shard))
            if life.episode_success:
                key = (*of, life.environment, life.goal, life.number, shard.seed)
                lives.setdefault(key, life)
    every = lives.values()
    succeeds = any(any(one.episode_success) or any(one.deterministic_success) for one in every)
    quantity = "success" if succeeds or not all(one.episode_return for one in every) else "return"
    environments = sorted({life.environment for life in every})
    results = []
    for environment in ["", *(environments if len(environments) > 1 else [])]:
        groups: Dict[Tuple[int, str, str], List[EvaluatedLifetime]] = {}
        for (split, method, *_), life in sorted(lives.items(), key=lambda item: item[0]):
            if environment in ("", life.environment):
                groups.setdefault((_SPLITS.get(split, 2), split, method), []).append(life)
        for (_, split, method), own in sorted(groups.items(), key=lambda item: item[0]):
            results.append(_summary(split, environment, method, own, iterations, quantity))
    return results


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _summary(
    split: str,
    environment: str,
    method: str,
    lives: List[EvaluatedLifetime],
    iterations: int,
    quantity: str,
) -> EvaluationResult:
    counts = {len(one.episode_success) for one in lives}
    iterations = iterations or len(lives[0].segment_episodes) or 1
    counted = all(
        len(one.segment_episodes) == iterations and all(one.segment_episodes) for one in lives
    )
    segments = iterations if counted else min(iterations, *counts)
    has_returns = all(one.episode_return for one in lives)
    parts: Dict[str, List[float]] = {}
    for one in lives:
        values, without_noise = one.episode_success, one.deterministic_success
        if quantity == "return":
            values, without_noise = one.episode_return, one.deterministic_return
        ends = [len(one.episode_success) * s // segments for s in range(segments + 1)]
        if counted:
            ends = [0, *itertools.accumulate(one.segment_episodes)]
        for s, (begin, end) in enumerate(zip(ends, ends[1:])):
            parts.setdefault(f"seg{s}", []).append(_mean(values[begin:end]))
        parts.setdefault("last", []).append(values[-1])
        if one.deterministic_success:
            parts.setdefault("det", []).append(_mean(without_noise))
        if has_returns:
            parts.setdefault("return", []).append(_mean(one.episode_return[ends[-2] : ends[-1]]))

    def by_episode(name: str) -> List[float]:
        columns = zip(*(getattr(one, name) for one in lives)) if len(counts) == 1 else ()
        return [_mean(column) for column in columns]

    return EvaluationResult(
        split,
        environment,
        method,
        len(lives),
        quantity,
        {name: _mean(values) for name, values in parts.items()},
        by_episode("episode_success"),
        by_episode("episode_return") if has_returns else [],
    )
