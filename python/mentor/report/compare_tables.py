"""The tables of a comparison."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, List, Sequence

import numpy as np

from . import compare, compared_words, figures, statistics, tables, training, words
from .compare import Group, Ranking
from .records import Run
from .tables import Cell, Table


def tabulate(groups: Sequence[Group], ranked: Sequence[Ranking]) -> List[Table]:
    found = [_budget_table(groups)]
    for ranking in ranked:
        found += [
            _score_table(ranking),
            _part_table(ranking),
            _environments(ranking),
            _differences(ranking),
        ]
    return [*found, _cost_table(groups), _run_table(groups)]


def _budget_table(groups: Sequence[Group]) -> Table:
    resources = [*compared_words.RESOURCES, "evaluated lifetimes"]
    found = Table(
        "budgets",
        "Budget of a run of each method: what meta-training had, and how many lifetimes its "
        "weights were evaluated on",
        ["method", "runs #", *(f"{r} #" for r in resources)],
    )
    for own in groups:
        cells = [
            tables.number(
                compared_words.mean_budget(own.runs, r), compared_words.range_of(own.runs, r)
            )
            for r in resources
        ]
        found.add(own.name, tables.number(len(own.runs)), *cells)
    return found


def _score_table(ranking: Ranking) -> Table:
    middle = ranking.middle_tells()
    names = ["mean", "IQM", "median"] if middle else ["mean"]
    unit = (
        "the mean over the lifetimes of one meta-seed (of PPO: of one goal seed)"
        if ranking.of_seeds
        else "that of one agent's lifetime"
    )
    rest = "" if middle else "; most are 0 or 1, so only their mean means something"
    found = Table(
        f"scores_{figures.file_name(ranking.split)}",
        f"Scores at the end of a lifetime: {ranking.title}; a score is {unit}{rest}",
        ["method", "meta-seeds #", "scores #", "lifetimes #", *(f"{name} ~*" for name in names)],
    )
    for one in ranking.contenders:
        sample = ranking.scores(one)
        if sample is None:
            continue
        seeds = len(statistics.by_seed(sample))
        measures = [statistics.mean, statistics.interquartile_mean, statistics.median]
        found.add(
            one.name,
            tables.number(seeds) if one.learned or seeds > 1 else tables.NONE,
            tables.number(sum(map(len, statistics.pool(sample)))),
            tables.number(len(one.lives)),
            *(_aggregate(compare.aggregate(sample, m)) for m in measures[: len(names)]),
        )
    return found


def _aggregate(one: compare.Aggregate) -> Cell:
    return tables.value(one.interval, one.seeds)


def _part_table(ranking: Ranking) -> Table:
    longest = max(len(means) for one in ranking.contenders for means in one.means)
    parts = np.unique(np.linspace(0, longest - 1, min(6, longest)).astype(int))
    names = [words.part(int(part), longest) for part in parts]
    names += [words.LAST_EPISODE, words.WITHOUT_NOISE, "shaped return"]
    found = Table(
        f"parts_{figures.file_name(ranking.split)}",
        f"Means by part of the lifetime: {ranking.title}",
        ["method", *(f"{name} ~*" for name in names)],
    )
    for one in ranking.contenders:
        result = ranking.result(one)
        (seeds, means), n = result.by_seed(), len(result.segments)
        own = means if len(seeds) > 1 else means[:0]
        cells = [
            tables.value(result.segments[p], own[:, p].tolist()) if p < n else tables.NONE
            for p in parts
        ]
        ends = ((result.last, n + 2), (result.det, n), (result.last_return, n + 1))
        cells += [tables.value(value, own[:, c].tolist()) for value, c in ends]
        found.add(one.name, *cells)
    return found


def _environments(ranking: Ranking) -> Table:
    found = Table(
        f"environments_{figures.file_name(ranking.split)}",
        f"By environment: mean {ranking.title} at the end of a lifetime",
        "environment | method | mean ~*",
    )
    for environment in ranking.environments if len(ranking.environments) > 1 else []:
        one = dataclasses.replace(ranking, environments=[environment])
        for contender in ranking.contenders:
            if (sample := one.scores(contender)) is not None:
                mean = _aggregate(compare.aggregate(sample))
                found.add(environment, contender.name, mean)
    return found


def _differences(ranking: Ranking) -> Table:
    found = Table(
        f"differences_{figures.file_name(ranking.split)}",
        "Differences of two means, and the probability that a score of one method is higher than "
        f"one of the other: {ranking.title}",
        "method | against | difference ~ | reading | paired by goal | probability ~",
    )
    for x, y in compare.pairs(ranking.contenders):
        own, other = ranking.scores(x), ranking.scores(y)
        if own is not None and other is not None:
            difference, paired = statistics.difference_of_means(own, other)
            chance = statistics.probability_of_improvement(own, other)
            found.add(
                x.name,
                y.name,
                tables.value(difference),
                words.verdict(difference),
                "yes" if paired else "no",
                tables.value(chance),
            )
    return found


def _cost_table(groups: Sequence[Group]) -> Table:
    names = "outer updates | env steps | wall s | wall s / update | env steps / s".split(" | ")
    names += [*training.PHASES, "peak MiB"]
    names += [f"gradient {name}" for name in ("norm", "variance", "noise")]
    found = Table(
        "cost",
        "What meta-training cost: means over the runs of a method; CPU seconds are of one outer "
        "update, gradient noise is the variance of the outer gradient as a share of its squared "
        "norm",
        ["method", "rule", "runs #", *(f"{name} #" for name in names)],
    )
    alike = compare.variance_alike(groups)
    for own in groups:
        measured = [_costs(run, alike) for run in own.runs]
        means = statistics.known_mean(np.array(measured, float).T)
        cells = [tables.digits(value) for value in means]
        cells[8] = tables.number(means[8])  # Whole MiB.
        budget = [
            tables.number(compared_words.mean_budget(own.runs, name))
            for name in ("outer updates", "environment steps")
        ]
        runs = tables.number(len(own.runs))
        found.add(own.name, own.runs[0].identity["rule"], runs, *budget, *cells)
    return found


def _costs(run: Run, alike: bool) -> List[float]:
    """The numbers of one run, as the table has them from its wall time on; NaN: unknown."""
    trained = run.training

    def known(metric: str) -> Any:
        return trained.known(metric)[1]

    def mean(metric: str) -> float:
        return float(statistics.known_mean(known(metric)))

    wall, seconds = float(known("wall_seconds").sum()), training.phase_seconds(trained)
    return [
        math.nan if trained.before or not wall else wall,
        mean("wall_seconds"),
        training.mean_speed(trained),
        *statistics.known_mean(seconds.T),
        max(known("peak_memory_bytes"), default=math.nan) / 2**20,
        mean("grad_norm"),
        *(mean(f"outer_grad_{name}") if alike else math.nan for name in ("variance", "noise")),
    ]


def _run_table(groups: Sequence[Group]) -> Table:
    found = Table(
        "runs", "The runs", "method | run | meta-seed | outer updates # | best weights # | hash"
    )
    for own in groups:
        for run in own.runs:
            best = training.best_update(run.training, int(run.record["evaluated_update"]))
            updates = run.training.updates
            found.add(
                own.name,
                run.name,
                compare.seed_name(groups, run),
                tables.number(updates[-1] if len(updates) else 0),
                tables.NONE if best is None else tables.number(best),
                str(run.identity["state_hash"])[:16] or "-",
            )
    return found
