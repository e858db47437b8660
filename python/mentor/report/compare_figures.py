"""The figures of a comparison's evaluation."""

from __future__ import annotations

import math
from typing import List, Sequence, Tuple

import numpy as np

from . import charts, compare, compared_words, figures, statistics, words
from .charts import Figure, Line, Row
from .compare import Contender, Group, Ranking
from .evaluation import Result

from .published import Published
from .tables import Table

_CURVE_RESAMPLES = 500


def evaluation(
    groups: Sequence[Group], ranking: Ranking, published: Published
) -> Tuple[List[Figure], List[Table]]:
    """And the table beside what is published."""
    section = f"evaluation_{figures.file_name(ranking.split)}"
    found, tables = _episodes(groups, ranking, published, section)
    found = [*_scores(ranking, section), *found, *_profiles(ranking, section)]
    found += [*_efficiency(ranking, section), *_improvement(ranking, section)]
    return found + _budgets(groups, ranking, section), tables


def _scores(ranking: Ranking, section: str) -> List[Figure]:
    rows = []
    for one in ranking.shown():
        sample = ranking.scores(one)
        assert sample is not None
        mean = compare.aggregate(sample)
        rows.append(Row(one.name, one.colour, mean.interval, mean.seeds))
    quantity = words.quantity(ranking.success)
    domain = None
    if ranking.success:
        highest = max(max([row.value.high, *row.seeds]) for row in rows)
        domain = charts.rates(highest if math.isfinite(highest) else 1.0)
    seeds = any(row.seeds for row in rows)
    return figures.row_figure(
        f"means_{figures.file_name(ranking.split)}",
        section,
        f"{words.capitalised(quantity)} by method, "
        f"{words.goals(ranking.split, ranking.has_goals)}",
        "Mean at the end of a lifetime, with 95 % intervals."
        + (" Small marks are single meta-seeds; of PPO, draws of goals." if seeds else ""),
        rows,
        f"mean {quantity}",
        domain=domain,
    )


def _episodes(
    groups: Sequence[Group], ranking: Ranking, published: Published, section: str
) -> Tuple[List[Figure], List[Table]]:
    """Nothing where lifetimes differ in their number of episodes: equal indices are then not equal
    parts of a lifetime."""
    lines: List[Line] = []
    ours = figures.Ours()
    alive = segments = 0
    for one in ranking.shown():
        result = ranking.result(one)
        if not result.episodes:
            return [], []
        lines.append(_episode_line(groups, one, result))
        alive = max(alive, result.lifetime_episodes)
        segments = max(segments, len(result.segments))
        run = next((g.runs[0] for g in groups if g.name == one.group), None)
        ours.add(run, one.name, one.teacher, result.segments, result.det)
    lived = figures.Lived(ranking.split, ranking.has_goals, ranking.success, alive, segments)
    return figures.episodes(lines, ours, lived, published, section)


def _episode_line(groups: Sequence[Group], one: Contender, result: Result) -> Line:
    seeds, means = result.by_seed()
    group = next((g for g in groups if g.name == one.group or len(groups) == 1), None)
    places = [(e + 1.0, value) for e, value in enumerate(result.episodes)]
    line = Line(one.name, one.colour, places, one.dash)
    if len(seeds) > 1 and group is not None and one.has_meta_seeds:
        xs, names = np.arange(1, len(places) + 1), group.runs
        for seed, own in zip(seeds, means[:, -len(places) :]):
            line.singles.append((compare.seed_name(groups, names[seed]), xs, own))
    return line


def _profiles(ranking: Ranking, section: str) -> List[Figure]:
    samples = [(one, ranking.scores(one)) for one in ranking.shown()]
    pooled = {one.name: np.concatenate(statistics.pool(s)) for one, s in samples if s is not None}
    low, high = 0.0, 1.0
    if not ranking.success:
        low = float(min(scores.min() for scores in pooled.values()))
        high = float(max(scores.max() for scores in pooled.values()))
    if not high > low:
        return []
    lines = []
    for one, sample in samples:
        assert sample is not None
        places = []
        for at in np.unique(np.linspace(low, high, 26)):
            above = statistics.share_above(at)
            share = statistics.interval_of(sample, above, _CURVE_RESAMPLES)
            places.append((float(at), share))
        lines.append(Line(one.name, one.colour, places, one.dash))
    return figures.line_figure(
        f"profiles_{figures.file_name(ranking.split)}",
        section,
        "Performance profiles",
        "Share of scores above each value, with 95 % bands.",
        lines,
        words.quantity(ranking.success),
        "share of scores above",
        y_domain=(0, 1),
        x_domain=(low, high),
        height=240,
    )


def _efficiency(ranking: Ranking, section: str) -> List[Figure]:
    """The score over the agents' lifetimes."""
    lines = []
    for one in ranking.shown():
        iterations = max(map(len, one.means))
        places = []
        for i in np.unique(np.linspace(0, iterations - 1, min(iterations, 50)).astype(int)):
            sample = ranking.scores(one, int(i))
            if sample is not None:
                mean = statistics.interval_of(sample, resamples=_CURVE_RESAMPLES)
                places.append((float(i + 1) * one.iteration_steps, mean))
        lines.append(Line(one.name, one.colour, places, one.dash))
    return figures.line_figure(
        f"sample_efficiency_{figures.file_name(ranking.split)}",
        section,
        "Sample efficiency of the agents",
        "Mean after each part of a lifetime, against the environment steps of the agent until "
        "then. The first place is before any update.",
        lines,
        "environment steps of the lifetime",
        f"mean {words.quantity(ranking.success)}",
        rates=ranking.success,
        height=240,
    )


def _improvement(ranking: Ranking, section: str) -> List[Figure]:
    rows = []
    for x, y in compare.pairs(ranking.shown()):
        own, other = ranking.scores(x), ranking.scores(y)
        if own is not None and other is not None:
            chance = statistics.probability_of_improvement(own, other)
            family = f"{x.name.partition(', ')[0]}, "  # "point_reach, " need not stand twice.
            rows.append(Row(f"{x.name} > {y.name.removeprefix(family)}", x.colour, chance))
    return figures.row_figure(
        f"probability_of_improvement_{figures.file_name(ranking.split)}",
        section,
        "Probability of improvement",
        "Probability that a score of the first is higher than one of the second; 0.5 means no "
        "difference.",
        rows,
        "probability that a score of the first is higher",
        domain=(0, 1),
        mark=0.5,
    )


def _budgets(groups: Sequence[Group], ranking: Ranking, section: str) -> List[Figure]:
    """Final scores against budgets, for methods whose budgets differ by a tenth or more."""
    found: List[Figure] = []
    for resource in ("environment steps", "CPU seconds"):
        lines = []
        for one in ranking.shown():
            runs = [run for own in groups if own.name == one.group for run in own.runs]
            at, sample = compared_words.mean_budget(runs, resource), ranking.scores(one)
            if one.learned and math.isfinite(at) and sample is not None:
                lines.append(Line(one.name, one.colour, [(at, statistics.interval_of(sample))]))
        budgets = [line.places[0][0] for line in lines]
        if lines and max(budgets) > 1.1 * min(budgets):
            found += figures.line_figure(
                f"scores_by_{resource.split()[-1]}_{figures.file_name(ranking.split)}",
                section,
                f"Scores against {resource} of meta-training",
                "Mean at the end of a lifetime against the mean budget of the method's runs. "
                "Higher and further left is better.",
                lines,
                f"{resource} of meta-training",
                f"mean {words.quantity(ranking.success)}",
                rates=ranking.success,
                height=240,
                x_domain=(0.0, 1.05 * max(budgets)),
            )
    return found
