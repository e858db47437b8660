"""Means with 95 % intervals, and the statistics of Agarwal et al. (2021, "Deep reinforcement
learning at the edge of the statistical precipice"): interquartile means, performance profiles,
probabilities of improvement.

Every interval is a percentile bootstrap by levels, of one function, `interval_of`. Lifetimes of one
goal share the goal, and goals of one meta-seed share what it has learned, so they are not
independent. A resample draws meta-seeds with replacement, within each of them goals, and within
each goal lifetimes (Davison and Hinkley 1997, section 3.8; Saravanan, Berman and Sober 2020).
Environments are strata: every resample contains all of them. A level with one member is not drawn,
so its interval does not cover other members.

The random numbers are those of Mentor's programs (Philox4x32-10, purpose "bootstrap"), so a page
shows the numbers that `mentor evaluate` prints.
"""

from __future__ import annotations

import functools
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

_BOOTSTRAP = 9  # Purpose::kBootstrap of common/rng.h.
_LOW_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float = float("nan")  # A single value has none.
    high: float = float("nan")


class Level(NamedTuple):
    """The position of a lifetime in the levels."""

    environment: str = ""
    meta_seed: int = 0
    goal_seed: int = 0  # Draw of the goals.
    goal: int = 0  # Index in that draw.


class Sample(NamedTuple):
    """Values of lifetimes. `of_seeds`: a score is the mean over the lifetimes of one meta-seed in
    one environment; otherwise each lifetime is a score."""

    levels: Tuple[Level, ...]
    values: Array
    of_seeds: bool = False


# Scores by stratum: a row for each resample; NaN where a resample has fewer scores.
Pooled = List[Array]
Statistic = Callable[[Pooled], Array]


def _bits(step: Whole, draw: Whole, stream: int) -> npt.NDArray[np.uint64]:
    """Words 0 and 1 of the blocks (draw, step) of Philox4x32-10 with key 0."""
    one, two = draw.astype(np.uint64), step.astype(np.uint64)
    three = np.full(len(draw), _BOOTSTRAP << 24 | stream, np.uint64)
    four, keys = np.zeros(len(draw), np.uint64), [0, 0]
    for _ in range(10):
        first, second = one * np.uint64(0xD2511F53), three * np.uint64(0xCD9E8D57)
        one, three = (
            (second >> _HALF) ^ two ^ np.uint64(keys[0]),
            (first >> _HALF) ^ four ^ np.uint64(keys[1]),
        )
        two, four = second & _LOW_WORD, first & _LOW_WORD
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return two << _HALF | one


def _below(count: Whole, step: Whole, draw: Whole, stream: int) -> Whole:
    """Uniform in [0, count), by the upper half of a product of 128 bits."""
    bits, n = _bits(step, draw, stream), count.astype(np.uint64)
    high, low = bits >> _HALF, bits & _LOW_WORD
    drawn: Whole = ((high * n + (low * n >> _HALF)) >> _HALF).astype(np.int64)
    return drawn


class _Draws:
    """Counts the draws of each resample."""

    def __init__(self, resamples: int, stream: int) -> None:
        self.step = np.arange(resamples, dtype=np.int64)
        self.draw = np.zeros(resamples, np.int64)
        self._stream = stream

    def choose(self, count: Whole, active: npt.NDArray[np.bool_]) -> Whole:
        """One of `count` members for each active resample; a single one needs no draw."""
        several = active & (count > 1)
        chosen = np.zeros(len(count), np.int64)
        if several.any():
            chosen[several] = _below(
                count[several], self.step[several], self.draw[several], self._stream
            )
            self.draw[several] += 1
        return chosen


# By stratum, meta-seed and goal: how many lifetimes. Equal sizes have equal draws.
_Sizes = Tuple[Tuple[Tuple[int, ...], ...], ...]


def _nested(levels: Sequence[Level]) -> Tuple[List[int], _Sizes]:
    """The order of lifetimes by their levels, and the sizes of the levels."""
    order = sorted(range(len(levels)), key=lambda i: levels[i])
    sizes: List[List[List[int]]] = []
    before = None
    for i in order:
        level = levels[i]
        if before is None or before.environment != level.environment:
            sizes.append([[0]])
        elif before.meta_seed != level.meta_seed:
            sizes[-1].append([0])
        elif before != level:
            sizes[-1][-1].append(0)
        sizes[-1][-1][-1] += 1
        before = level
    return order, tuple(tuple(tuple(seed) for seed in stratum) for stratum in sizes)


def _columns(sizes: _Sizes) -> List[Tuple[int, int]]:
    """For each stratum: its meta-seeds, and how many columns one of them needs at most."""
    return [
        (len(seeds), max(map(len, seeds)) * max(max(goals) for goals in seeds)) for seeds in sizes
    ]


@functools.lru_cache(maxsize=32)
def _resampled(sizes: _Sizes, resamples: int, stream: int) -> npt.NDArray[np.int32]:
    """Places of drawn lifetimes: a row for each resample, blocks of columns as in _columns; -1
    where a drawn meta-seed or goal has fewer."""
    draws = _Draws(resamples, stream)
    every = np.ones(resamples, bool)
    columns, place = [], 0
    for seeds in sizes:
        goals_of = np.array([len(goals) for goals in seeds])
        first_goal = np.concatenate([[0], np.cumsum(goals_of)[:-1]])
        lives_of = np.array([lives for goals in seeds for lives in goals])
        first_life = place + np.concatenate([[0], np.cumsum(lives_of)[:-1]])
        place += int(lives_of.sum())
        for _ in seeds:
            seed = draws.choose(np.full(resamples, len(seeds)), every)
            for goal in range(goals_of.max()):
                active = goal < goals_of[seed]
                drawn = first_goal[seed] + draws.choose(goals_of[seed], active)
                for life in range(lives_of.max()):
                    living = active & (life < lives_of[drawn])
                    chosen = first_life[drawn] + draws.choose(lives_of[drawn], living)
                    columns.append(np.where(living, chosen, -1).astype(np.int32))
    return np.stack(columns, axis=1)


def _pool(sample: Sample, resamples: int = 0, stream: int = 0) -> Pooled:
    """The scores of resamples; of the sample itself where there are none."""
    order, sizes = _nested(sample.levels)
    values = np.append(sample.values[order], np.nan)
    if resamples:
        drawn = values[_resampled(sizes, resamples, stream)]
    else:  # The sample as if it were drawn, in its order.
        places, at = [], 0
        for seeds, (_, width) in zip(sizes, _columns(sizes)):
            for goals in seeds:
                own = sum(goals)
                places += [*range(at, at + own), *[-1] * (width - own)]
                at += own
        drawn = values[np.array(places)][None, :]
    pooled, at = [], 0
    for seeds_in, width in _columns(sizes):
        part = drawn[:, at : at + seeds_in * width]
        at += seeds_in * width
        if sample.of_seeds:
            part = known_mean(part.reshape(len(part), seeds_in, width))
        pooled.append(part)
    return pooled


def pool(sample: Sample) -> List[Array]:
    """The scores of the sample itself by stratum."""
    return [part[0][~np.isnan(part[0])] for part in _pool(sample)]


def known_mean(values: Array) -> Array:
    """The mean over the last axis without NaN; NaN where there is nothing else."""
    known = ~np.isnan(values)
    count = known.sum(-1)
    sums = np.where(known, values, 0.0).sum(-1)
    return np.asarray(np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0))


def percentile(value: float, resampled: Array) -> Interval:
    """The 95 % interval of a value from its resamples (Efron 1979)."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Interval(float(value))
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def interval_of(
    sample: Sample, statistic: "Statistic | None" = None, resamples: int = RESAMPLES
) -> Interval:
    """The statistic of the sample, by default its mean, with its interval."""
    statistic = statistic or mean
    return percentile(statistic(_pool(sample))[0], statistic(_pool(sample, resamples)))


def intervals_of_columns(
    levels: Sequence[Level], rows: Array, resamples: int = RESAMPLES
) -> List[Interval]:
    """The mean of each column of [lifetimes][columns], all from the same resamples. NaN is a
    missing number."""
    order, sizes = _nested(levels)
    weights = _weights(sizes, resamples)
    own = rows[order]
    known = ~np.isnan(own)
    filled = np.where(known, own, 0.0)
    counts, resampled = known.sum(0), np.full((resamples, rows.shape[1]), np.nan)
    for first in range(0, resamples, 500):  # A thousand meta-seeds fit into memory.
        part = weights[first : first + 500].astype(np.float64)
        drawn = part @ known
        np.divide(part @ filled, drawn, out=resampled[first : first + 500], where=drawn > 0)
    means = np.divide(filled.sum(0), counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return [percentile(value, resampled[:, c]) for c, value in enumerate(means)]


@functools.lru_cache(maxsize=8)
def _weights(sizes: _Sizes, resamples: int) -> npt.NDArray[np.uint16]:
    """How often each resample draws each lifetime."""
    drawn = _resampled(sizes, resamples, 0)
    count = sum(sum(map(sum, stratum)) for stratum in sizes)
    weights = np.zeros((resamples, count), np.uint16)
    for resample, places in enumerate(drawn):
        weights[resample] = np.bincount(places[places >= 0], minlength=count)
    return weights


def by_seed(sample: Sample) -> List[Sample]:
    """The scores of each meta-seed, in order."""
    own: Dict[int, List[int]] = {}
    for i, level in enumerate(sample.levels):
        own.setdefault(level.meta_seed, []).append(i)
    return [
        Sample(tuple(sample.levels[i] for i in places), sample.values[places], sample.of_seeds)
        for _, places in sorted(own.items())
    ]


# --- Statistics of pooled scores ---


def mean(pooled: Pooled) -> Array:
    return known_mean(np.concatenate(pooled, axis=1))


def interquartile_mean(pooled: Pooled) -> Array:
    """The mean of the middle half: floor(n / 4) of the least and of the greatest are left out."""
    scores = np.sort(np.concatenate(pooled, axis=1), axis=1)  # NaN comes last.
    count = (~np.isnan(scores)).sum(1, keepdims=True)
    place, cut = np.arange(scores.shape[1])[None, :], count // 4
    return known_mean(np.where((place >= cut) & (place < count - cut), scores, np.nan))


def median(pooled: Pooled) -> Array:
    return np.asarray(np.nanmedian(np.concatenate(pooled, axis=1), axis=1))


def share_above(threshold: float) -> Statistic:
    """The share of scores above the threshold, as the mean over the strata: one place of a
    performance profile."""

    def share(pooled: Pooled) -> Array:
        above = [known_mean(np.where(np.isnan(p), np.nan, p > threshold)) for p in pooled]
        return np.asarray(np.mean(above, axis=0))

    return share


def _improvement(a: Pooled, b: Pooled) -> Array:
    """How probable a score of a is higher than one of b, ties half (Mann and Whitney's U), as the
    mean over the strata."""
    chances = np.zeros(len(a[0]))
    for own, other in zip(a, b):
        for r in range(len(own)):
            x, y = own[r][~np.isnan(own[r])], np.sort(other[r][~np.isnan(other[r])])
            wins = np.searchsorted(y, x, "left") + np.searchsorted(y, x, "right")
            chances[r] += 0.5 * wins.sum() / (len(x) * len(y))
    return chances / len(a)


def probability_of_improvement(a: Sample, b: Sample) -> Interval:
    """For independent samples with the same strata."""
    drawn = _improvement(_pool(a, RESAMPLES, 0), _pool(b, RESAMPLES, 1))
    return percentile(_improvement(_pool(a), _pool(b))[0], drawn)


# --- Differences ---


class Difference(NamedTuple):
    interval: Interval
    paired: bool  # By goal.


def difference_of_means(a: Sample, b: Sample, pair: bool = True) -> Difference:
    """mean(a) - mean(b), paired by goal (unless told not to be) where every meta-seed of one lived
    on the goals of some meta-seed of the other. A resample then draws goals, and lifetimes within
    each goal, once for both, and the meta-seeds of each by itself (Owen 2007, "The pigeonhole
    bootstrap"). So what makes a goal easy cancels out. Meta-seeds with goals of their own are drawn
    together with them."""
    value = mean(_pool(a))[0] - mean(_pool(b))[0]
    blocks = _blocks(a.levels, b.levels) if pair else None
    if blocks is None:
        apart = mean(_pool(a, RESAMPLES, 0)) - mean(_pool(b, RESAMPLES, 1))
        return Difference(percentile(value, apart), False)
    means = []
    for sample, weights in zip((a, b), _paired(blocks, RESAMPLES, a.of_seeds)):
        means.append(weights @ sample.values / weights.sum(1))
    return Difference(percentile(value, means[0] - means[1]), True)


# For each stratum, for each set of goals: the meta-seeds of a and those of b, each a tuple over
# goals of the places of its lifetimes.
_Seed = Tuple[Tuple[int, ...], ...]
_Seeds = Tuple[_Seed, ...]
_Blocks = Tuple[Tuple[Tuple[_Seeds, _Seeds], ...], ...]


def _blocks(a: Sequence[Level], b: Sequence[Level]) -> "_Blocks | None":
    """None where the goals differ."""
    found: Dict[Tuple[str, Tuple[Tuple[int, int], ...]], Tuple[List[_Seed], List[_Seed]]] = {}
    for side, levels in enumerate((a, b)):
        seeds: Dict[Tuple[str, int], Dict[Tuple[int, int], List[int]]] = {}
        for i, level in enumerate(levels):
            goals = seeds.setdefault((level.environment, level.meta_seed), {})
            goals.setdefault((level.goal_seed, level.goal), []).append(i)
        for (environment, _), goals in sorted(seeds.items()):
            key = environment, tuple(sorted(goals))
            block = found.setdefault(key, ([], []))
            block[side].append(tuple(tuple(goals[goal]) for goal in sorted(goals)))
    strata: Dict[str, List[Tuple[_Seeds, _Seeds]]] = {}
    for (environment, _), (of_a, of_b) in sorted(found.items()):
        if not of_a or not of_b:
            return None
        strata.setdefault(environment, []).append((tuple(of_a), tuple(of_b)))
    return tuple(tuple(blocks) for blocks in strata.values())


@functools.lru_cache(maxsize=16)
def _paired(blocks: _Blocks, resamples: int, of_seeds: bool) -> Tuple[Array, Array]:
    """How much each lifetime of a, and of b, counts in each resample."""
    flat: Tuple[List[int], List[int]] = ([], [])
    for stratum in blocks:
        for block in stratum:
            for own, seeds in zip(flat, block):
                own += [life for seed in seeds for lives in seed for life in lives]
    weights = (np.zeros((resamples, len(flat[0]))), np.zeros((resamples, len(flat[1]))))
    step, draw = np.arange(resamples), np.zeros(resamples, np.int64)
    for stratum in blocks:
        for _ in stratum:
            count = np.full(resamples, len(stratum))
            chosen = _below(count, step, draw, 0)
            draw += 1
            for number, block in enumerate(stratum):
                which = np.flatnonzero(chosen == number)
                if len(which):
                    draw[which] = _draw_block(block, which, draw[which], weights, of_seeds)
    return weights


def _draw_block(
    block: Tuple[_Seeds, _Seeds],
    step: Whole,
    draw: Whole,
    weights: Tuple[Array, Array],
    of_seeds: bool,
) -> Whole:
    """Draws goals, then meta-seeds, then lifetimes. Every meta-seed uses the same draws for its
    lifetimes. Returns the next draws."""

    def choose(count: int) -> Whole:
        nonlocal draw
        drawn = _below(np.full(len(step), count), step, draw, 0)
        draw = draw + 1
        return drawn

    goals = [choose(len(block[0][0])) for _ in block[0][0]]
    seeds = [[choose(len(side)) for _ in side] for side in block]
    first, end = draw, draw
    for side, chosen, weight in zip(block, seeds, weights):
        lives = np.array([[len(own) for own in seed] for seed in side])
        places = np.full((*lives.shape, lives.max()), -1)
        for s, seed in enumerate(side):
            for g, own in enumerate(seed):
                places[s, g, : len(own)] = own
        for drawn_seed in chosen:
            at = first
            counts = np.stack([lives[drawn_seed, goal] for goal in goals])
            total = counts.sum(0) if of_seeds else np.ones(len(step))
            for goal, count in zip(goals, counts):
                for life in range(lives.max()):
                    living = life < count
                    drawn = np.where(count > 1, _below(np.maximum(count, 1), step, at, 0), 0)
                    np.add.at(
                        weight,
                        (step[living], places[drawn_seed, goal, drawn][living]),
                        1 / total[living],
                    )
                    at = at + living
            end = np.maximum(end, at)
    return end


# --- Series ---


def running_mean(values: Array, window: int) -> Array:
    """The mean of the last `window` values at each place, fewer at the beginning; without NaN."""
    known = ~np.isnan(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    first = np.maximum(np.arange(len(values)) + 1 - window, 0)
    ends = np.arange(len(values)) + 1
    count = counts[ends] - counts[first]
    means = np.full(len(values), np.nan)
    np.divide(sums[ends] - sums[first], count, out=means, where=count > 0)
    return means


def pearson(x: Array, y: Array) -> float:
    """NaN when a series is constant or shorter than two."""
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    return float(np.clip((dx * dy).sum() / np.sqrt((dx * dx).sum() * (dy * dy).sum()), -1, 1))


def mid_ranks(x: Array) -> Array:
    """Ranks from 1; ties share their mean rank."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - 0.5 * (count - 1))[place], float)


def spearman(x: Array, y: Array) -> float:
    return pearson(mid_ranks(x), mid_ranks(y))
