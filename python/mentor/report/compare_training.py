"""The figures of meta-training in a comparison."""

from __future__ import annotations

from typing import Any, Callable, List, Sequence, Tuple

import numpy as np

from . import charts, compare, compared_words, figures, statistics, training, words
from .charts import Figure, Line
from .compare import Group, Ranking
from .records import Run
from .statistics import Interval

_CURVE_RESAMPLES = 500

_Cost = Callable[[Run], Any]
_AGAINST: Tuple[Tuple[str, str, str, bool, _Cost], ...] = (
    (
        "training_by_steps",
        "By environment steps",
        "environment steps of meta-training",
        False,
        lambda run: run.training.env_steps,
    ),
    (
        "training_by_cpu",
        "By CPU time",
        "CPU seconds of meta-training",
        True,
        lambda run: np.cumsum(training.phase_seconds(run.training).sum(1)),
    ),
    (
        "training_by_wall",
        "By wall time",
        "seconds of wall time",
        True,
        lambda run: np.cumsum(run.training.of("wall_seconds")),
    ),
)


def _series(run: Run, metric: str, cost: _Cost, window: int) -> Tuple[Any, Any, Any]:
    """Outer updates, costs and running means. Agents that live across updates count only at the end
    of their lives, if there are several generations. Whole lifetimes show the same."""
    trained = run.training
    keep = np.ones(len(trained), bool)
    if len(training.generations(trained)) > 1:
        keep = ~(trained.of("iteration") != run.iterations - 1)
    values = statistics.running_mean(trained.of(metric)[keep], window)
    return trained.updates[keep], np.asarray(cost(run))[keep], values


def _curve(
    groups: Sequence[Group],
    own: Group,
    metric_of: Callable[[Run], str],
    cost: _Cost,
    seconds: bool,
    window: int,
) -> Line:
    """The mean over the meta-seeds at each outer update that all of them made, and each alone."""
    runs = [run for run in own.runs if len(run.training) and not (seconds and run.training.before)]
    series = [_series(run, metric_of(run), cost, window) for run in runs]
    line = Line(own.name, own.colour, [])
    if not series:
        return line
    common = set(series[0][0]).intersection(*(set(updates) for updates, _, _ in series[1:]))
    table = np.array(
        [[(x, y) for update, x, y in zip(*one) if update in common] for one in series]
    ).reshape(len(series), len(common), 2)
    keep = np.isfinite(table).all((0, 2))
    table = table[:, keep]
    if len(series) > 1:
        levels = [statistics.Level(meta_seed=seed) for seed in range(len(series))]
        values = statistics.intervals_of_columns(levels, table[:, :, 1], _CURVE_RESAMPLES)
        line.singles = [
            (compare.seed_name(groups, run), x, y) for run, (_, x, y) in zip(runs, series)
        ]
    else:
        values = [Interval(float(y)) for y in table[0, :, 1]]
    line.places = [(float(x), value) for x, value in zip(table[:, :, 0].mean(0), values)]
    return line


def meta_training(groups: Sequence[Group], ranked: Sequence[Ranking]) -> List[Figure]:
    runs = [run for own in groups for run in own.runs]
    success = any(run.training.succeeds for run in runs)
    window = training.window_of(min((len(r.training) for r in runs if len(r.training)), default=1))
    found: List[Figure] = []

    def metric(run: Run) -> str:
        if not success:
            return "shaped_return"
        whole = "success" in run.training.metrics
        return "success" if whole else f"seg{run.iterations - 1}"

    for name, title, label, seconds, cost in _AGAINST:
        lines = [_curve(groups, own, metric, cost, seconds, window) for own in groups]
        # A meta-seed may take longer than the mean.
        ends = [x for line in lines for _, xs, _ in line.singles for x in xs if np.isfinite(x)]
        ends += [line.places[-1][0] for line in lines if line.places]
        most = float(max(ends, default=0.0))
        if most and ranked and ranked[0].success == success:
            lines += _baselines(ranked[0], most)
        unknown = f" {compared_words.unknown_costs(groups)}" if seconds else ""
        found += figures.line_figure(
            name,
            "training",
            title,
            f"Training goals, {_mean_words(window)}; with several meta-seeds their mean and its 95 "
            f"% interval. Baselines stand at their mean score of the evaluation.{unknown}".strip(),
            lines,
            label,
            words.quantity(success),
            rates=success,
            x_domain=(0.0, most or 1.0),
        )
    lines = []
    for own in groups:
        every = training.generations(own.runs[0].training)
        for one, dash in {
            id(e): (e, d) for e, d in zip(every[:1] + every[-1:], ((4, 3), ()))
        }.values():
            name = f"{own.name}, generation {one.generation}"
            lines.append(Line(name, own.colour, charts.line(one.iterations, one.values), dash))
    return found + figures.line_figure(
        "training_lives",
        "training",
        "Learning curves of agents",
        "First and last agents that lived to the end, of the first meta-seed.",
        lines,
        "updates that the agent has made",
        words.quantity(success),
        rates=success,
    )


def _baselines(ranking: Ranking, most: float) -> List[Line]:
    found = []
    for one in ranking.shown():
        sample = ranking.scores(one)
        if not one.learned and sample is not None:
            mean = float(statistics.mean([p[None, :] for p in statistics.pool(sample)])[0])
            found.append(Line(one.name, one.colour, charts.line([0, most], [mean, mean]), one.dash))
    return found


def _mean_words(window: int) -> str:
    return "at each outer update" if window == 1 else f"mean of the last {window} outer updates"


def metrics(groups: Sequence[Group]) -> List[Figure]:
    """Metrics that are declared for comparisons, by name."""
    infos = {
        info["name"]: info
        for own in groups
        for info in own.runs[0].record.get("metrics", [])
        if info["panel"] == "compared"
    }
    lengths = [len(r.training) for own in groups for r in own.runs if len(r.training)]
    window = training.window_of(min(lengths, default=1))
    found: List[Figure] = []
    for name, info in sorted(infos.items()):
        if name == "outer_grad_variance" and not compare.variance_alike(groups):
            continue

        def metric(_: Run, name: str = name) -> str:
            return name

        lines = [_curve(groups, own, metric, _AGAINST[0][4], False, window) for own in groups]
        positive = all(v.mean > 0 for line in lines for _, v in line.places)
        unit = info.get("unit", "1")
        found += figures.line_figure(
            f"metric_{figures.file_name(name)}",
            "cost",
            words.capitalised(training.title_of(info)),
            f"{info.get('help', '')} {words.capitalised(_mean_words(window))}. Rules differ in "
            "scale.".strip(),
            lines,
            _AGAINST[0][2],
            "" if unit == "1" else unit,
            log=bool(info.get("log_scale")) and positive,
            height=200,
        )
    return found
