"""The figures and tables of a comparison."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from . import charts, compare, figures, statistics, tables, training, words
from .charts import Figure, Line, Row
from .compare import Contender, Group, Ranking
from .published import Published
from .records import METHODS, Run
from .statistics import Interval
from .tables import Cell, Column, Table

_CURVE_RESAMPLES = 500


# --- Evaluation ---


def evaluation(
    groups: Sequence[Group], ranking: Ranking, published: Published
) -> Tuple[List[Figure], Optional[Table]]:
    """And the table beside what is published."""
    section = f"evaluation_{figures.file_name(ranking.split)}"
    found, table = _episodes(groups, ranking, published, section)
    found = [*_scores(ranking, section), *found, *_profiles(ranking, section)]
    found += [*_efficiency(ranking, section), *_improvement(ranking, section)]
    return found + _budgets(groups, ranking, section), table


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
    drawn = charts.rows(rows, f"mean {quantity}", domain)
    seeds = any(row.seeds for row in rows)
    return [
        Figure(
            f"means_{figures.file_name(ranking.split)}",
            section,
            f"{words.capitalised(quantity)} by method, "
            f"{words.goals(ranking.split, ranking.has_goals)}",
            "Mean at the end of a lifetime, with 95 % intervals."
            + (" Small marks are single meta-seeds; of PPO, draws of goals." if seeds else ""),
            drawn,
            "; ".join(f"{row.name} {words.interval(row.value)}" for row in rows) + ".",
        )
    ]


def _episodes(
    groups: Sequence[Group], ranking: Ranking, published: Published, section: str
) -> Tuple[List[Figure], Optional[Table]]:
    """Nothing where lifetimes differ in their number of episodes: equal indices are then not equal
    parts of a lifetime."""
    lines, ours = [], {}
    aliases: Dict[str, str] = {}
    alive = segments = 0
    for one in ranking.shown():
        lives = [(seed, life) for seed, life, _ in one.lives if life.environment in
                 ranking.environments]
        if len({(life.lifetime_episodes, len(life.success)) for _, life in lives}) > 1:
            return [], None
        line, rates, det = _episode_line(groups, ranking, one, lives)
        lines.append(line)
        alive = max(alive, lives[0][1].lifetime_episodes)
        segments = max(segments, len(rates))
        names = [one.name, METHODS[one.teacher].name]
        if one.learned:
            run = next(g for g in groups if g.name == one.group).runs[0]
            role = run.record["signal_role"]
            names += ["learned", run.identity["rule"], *([f"learned {role}"] if role else [])]
        for name in names:
            ours.setdefault(name.lower(), (one.name, rates, det))
            aliases.setdefault(name.lower(), one.name)
    found = figures.episodes(lines, ranking.split, ranking.has_goals, ranking.success, alive,
                             segments, published, aliases, section)
    table = None
    if ranking.success:
        table = figures.published_table(ranking.split, ranking.has_goals, alive, segments,
                                        published, ours)
    return found, table


def _episode_line(
    groups: Sequence[Group], ranking: Ranking, one: Contender, lives: Sequence[Tuple[int, Any]]
) -> Tuple[Line, List[Interval], Optional[Interval]]:
    values = np.array([life.success if ranking.success else life.returns for _, life in lives])
    means = np.array([m for (_, life, _), m in zip(one.lives, one.means)
                      if life.environment in ranking.environments])
    alive = lives[0][1].lifetime_episodes
    det = values[:, alive:].mean(1, keepdims=True) if values.shape[1] > alive else None
    table = np.concatenate([values, means, *([det] if det is not None else [])], axis=1)
    levels = [life.level(seed) for seed, life in lives]
    found = statistics.intervals_of_columns(levels, table)
    episodes = values.shape[1]
    singles = []
    seeds = np.array([seed for seed, _ in lives])
    group = next((g for g in groups if g.name == one.group or len(groups) == 1), None)
    if len(set(seeds)) > 1 and group is not None and one.has_meta_seeds:
        for seed in sorted(set(seeds)):
            name = compare.seed_name(groups, group.runs[seed])
            own = values[seeds == seed].mean(0)
            singles.append((f"meta-seed {name}", np.arange(1, episodes + 1), own))
    places = [(e + 1.0, value) for e, value in enumerate(found[:episodes])]
    line = Line(one.name, one.colour, places, one.dash, singles=singles)
    segments = found[episodes : episodes + means.shape[1]]
    return line, segments, found[-1] if det is not None else None


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
        # The shares change at scores alone.
        places = np.unique(np.linspace(low, high, 26))
        lines.append(
            Line(
                one.name,
                one.colour,
                [
                    (float(at), statistics.interval_of(
                        sample, statistics.share_above(at), _CURVE_RESAMPLES))
                    for at in places
                ],
                one.dash,
            )
        )
    return figures.line_figure(
        f"profiles_{figures.file_name(ranking.split)}", section, "Performance profiles",
        "Share of scores above each value, with 95 % bands.", lines,
        words.quantity(ranking.success), "share of scores above", y_domain=(0, 1),
        x_domain=(low, high), height=240,
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
        f"sample_efficiency_{figures.file_name(ranking.split)}", section,
        "Sample efficiency of the agents",
        "Mean after each part of a lifetime, against the environment steps of the agent until then. "
        "The first place is before any update.", lines, "environment steps of the lifetime",
        f"mean {words.quantity(ranking.success)}", rates=ranking.success, height=240,
    )


def _improvement(ranking: Ranking, section: str) -> List[Figure]:
    rows = []
    for x, y in compare.pairs(ranking.shown()):
        own, other = ranking.scores(x), ranking.scores(y)
        if own is not None and other is not None:
            chance = statistics.probability_of_improvement(own, other)
            rows.append(Row(f"{x.name} > {y.name}", x.colour, chance))
    if not rows:
        return []
    drawn = charts.rows(
        rows, "probability that a score of the first is higher", (0, 1), mark=0.5
    )
    return [
        Figure(
            f"probability_of_improvement_{figures.file_name(ranking.split)}", section,
            "Probability of improvement",
            "Probability that a score of the first is higher than one of the second; 0.5 means no "
            "difference.", drawn,
            "; ".join(f"{row.name} {words.interval(row.value)}" for row in rows) + ".",
        )
    ]


def _budgets(groups: Sequence[Group], ranking: Ranking, section: str) -> List[Figure]:
    """Final scores against budgets, for methods whose budgets differ."""
    found: List[Figure] = []
    for resource in ("environment steps", "CPU seconds"):
        lines = []
        for one in ranking.shown():
            runs = [run for own in groups if own.name == one.group for run in own.runs]
            at, sample = compare.mean_budget(runs, resource), ranking.scores(one)
            if one.learned and math.isfinite(at) and sample is not None:
                lines.append(Line(one.name, one.colour, [(at, statistics.interval_of(sample))]))
        if len({line.places[0][0] for line in lines}) > 1:
            found += figures.line_figure(
                f"scores_by_{resource.split()[0].lower()}_{figures.file_name(ranking.split)}", section,
                f"Scores against {resource} of meta-training",
                "Mean at the end of a lifetime against the mean budget of the method's runs. Higher "
                "and further left is better.", lines, f"{resource} of meta-training",
                f"mean {words.quantity(ranking.success)}", rates=ranking.success, height=240,
                x_domain=(0.0, 1.05 * max(line.places[0][0] for line in lines)),
            )
    return found


# --- Meta-training ---

_Cost = Callable[[Run], Any]
_AGAINST: Tuple[Tuple[str, str, str, bool, _Cost], ...] = (
    ("training_by_steps", "By environment steps", "environment steps of meta-training", False,
     lambda run: run.training.env_steps),
    ("training_by_cpu", "By CPU time", "CPU seconds of meta-training", True,
     lambda run: np.cumsum(training.phase_seconds(run.training).sum(1))),
    ("training_by_wall", "By wall time", "seconds of wall time", True,
     lambda run: np.cumsum(run.training.of("wall_seconds"))),
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


def _curve(groups: Sequence[Group], own: Group, metric_of: Callable[[Run], str], cost: _Cost,
           seconds: bool, window: int) -> Line:
    """The mean over the meta-seeds at each outer update that all of them made, and each alone."""
    runs = [run for run in own.runs if len(run.training) and not (seconds and run.training.before)]
    series = [_series(run, metric_of(run), cost, window) for run in runs]
    line = Line(own.name, own.colour, [])
    if not series:
        return line
    common = set(series[0][0]).intersection(*(set(updates) for updates, _, _ in series[1:]))
    table = np.array([
        [(x, y) for update, x, y in zip(*one) if update in common] for one in series
    ]).reshape(len(series), len(common), 2)
    keep = np.isfinite(table).all((0, 2))
    table = table[:, keep]
    if len(series) > 1:
        levels = [statistics.Level(meta_seed=seed) for seed in range(len(series))]
        values = statistics.intervals_of_columns(levels, table[:, :, 1], _CURVE_RESAMPLES)
        line.singles = [
            (f"meta-seed {compare.seed_name(groups, run)}", x, y)
            for run, (_, x, y) in zip(runs, series)
        ]
    else:
        values = [Interval(float(y), math.nan, math.nan) for y in table[0, :, 1]]
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
        most = max((line.places[-1][0] for line in lines if line.places), default=0.0)
        if most and ranked and ranked[0].success == success:
            lines += _baselines(ranked[0], most)
        unknown = f" {compare.unknown_costs(groups)}" if seconds else ""
        found += figures.line_figure(
            name, "training", title,
            f"Training goals, {_mean_words(window)}; with several meta-seeds their mean and its 95 % "
            f"interval. Baselines stand at their mean score of the evaluation.{unknown}".strip(),
            lines, label, words.quantity(success), rates=success, x_domain=(0.0, most or 1.0),
        )
    lines = []
    for own in groups:
        every = training.generations(own.runs[0].training)
        for one, dash in {id(e): (e, d) for e, d in zip(every[:1] + every[-1:], ((4, 3), ()))}.values():
            name = f"{own.name}, generation {one.generation}"
            lines.append(Line(name, own.colour, charts.line(one.iterations, one.values), dash))
    return found + figures.line_figure(
        "training_lives", "training", "Learning curves of agents",
        "First and last agents that lived to the end, of the first meta-seed.", lines,
        "updates that the agent has made", words.quantity(success), rates=success,
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
        lines = [
            _curve(groups, own, lambda _, name=name: name, _AGAINST[0][4], False, window)  # type: ignore[misc]
            for own in groups
        ]
        positive = all(v.mean > 0 for line in lines for _, v in line.places)
        label, unit = info.get("label") or name, info.get("unit", "1")
        found += figures.line_figure(
            f"metric_{figures.file_name(name)}", "cost", words.capitalised(label),
            f"{info.get('help', '')} {words.capitalised(_mean_words(window))}. Rules differ in "
            "scale.".strip(), lines, _AGAINST[0][2], label + ("" if unit == "1" else f", {unit}"),
            log=bool(info.get("log_scale")) and positive, height=200,
        )
    return found


# --- Tables ---


def tabulate(groups: Sequence[Group], ranked: Sequence[Ranking]) -> List[Table]:
    found = [_budget_table(groups)]
    for ranking in ranked:
        found += [_score_table(ranking), _part_table(ranking), _environments(ranking),
                  _differences(ranking)]
    return [*found, _cost_table(groups), _run_table(groups)]


def _budget_table(groups: Sequence[Group]) -> Table:
    resources = [*compare.RESOURCES, "evaluated lifetimes"]
    found = Table(
        "budgets",
        "Budget of a run of each method: what meta-training had, and how many lifetimes its weights "
        "were evaluated on",
        [Column("method"), Column("runs", "number"), *(Column(r, "number") for r in resources)],
    )
    for own in groups:
        cells = [
            tables.number(compare.mean_budget(own.runs, r), compare.range_of(own.runs, r))
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
        [Column("method"), Column("meta-seeds", "number"), Column("scores", "number"),
         Column("lifetimes", "number"), *(Column(name, "interval", True) for name in names)],
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
        [Column("method"), *(Column(name, "interval", True) for name in names)],
    )
    for one in ranking.contenders:
        levels, rows, seeds = [], [], []
        for (seed, life, iterations), means in zip(one.lives, one.means):
            if life.environment not in ranking.environments:
                continue
            values, end = (life.success if ranking.success else life.returns), life.lifetime_episodes
            own = life.segment_episodes[-1] if life.segment_episodes else end // iterations
            last = life.returns[max(0, end - max(1, own)) : end]
            rows.append([
                *(means[part] if part < len(means) else np.nan for part in parts),
                values[end - 1],
                values[end:].mean() if len(values) > end else np.nan,
                last.mean() if len(last) else np.nan,
            ])
            levels.append(life.level(seed))
            seeds.append(seed)
        table, which = np.array(rows, float), np.array(seeds)
        own_means = np.array([
            _column_means(table[which == seed]) for seed in sorted(set(seeds))
        ])
        several = len(own_means) > 1
        found.add(one.name, *(
            tables.value(value, own_means[:, c].tolist() if several else ())
            for c, value in enumerate(statistics.intervals_of_columns(levels, table))
        ))
    return found


def _column_means(table: Any) -> Any:
    known = np.isfinite(table)
    sums = np.where(known, table, 0).sum(0)
    return np.divide(sums, known.sum(0), out=np.full(table.shape[1], np.nan), where=known.any(0))


def _environments(ranking: Ranking) -> Table:
    found = Table(
        f"environments_{figures.file_name(ranking.split)}",
        f"By environment: mean {ranking.title} at the end of a lifetime",
        [Column("environment"), Column("method"), Column("mean", "interval", True)],
    )
    for environment in ranking.environments if len(ranking.environments) > 1 else []:
        one = Ranking(ranking.split, ranking.has_goals, ranking.success, ranking.of_seeds,
                      [environment], ranking.contenders)
        for contender in ranking.contenders:
            if (sample := one.scores(contender)) is not None:
                mean = _aggregate(compare.aggregate(sample))
                found.add(environment, contender.name, mean)
    return found


def _differences(ranking: Ranking) -> Table:
    found = Table(
        f"differences_{figures.file_name(ranking.split)}",
        "Differences of two means, and the probability that a score of one method is higher than one "
        f"of the other: {ranking.title}",
        [Column("method"), Column("against"), Column("difference", "interval"), Column("reading"),
         Column("paired by goal"), Column("probability", "interval")],
    )
    for x, y in compare.pairs(ranking.contenders):
        own, other = ranking.scores(x), ranking.scores(y)
        if own is not None and other is not None:
            difference, paired = statistics.difference_of_means(own, other)
            chance = statistics.probability_of_improvement(own, other)
            found.add(x.name, y.name, tables.value(difference), words.verdict(difference),
                      "yes" if paired else "no", tables.value(chance))
    return found


def _cost_table(groups: Sequence[Group]) -> Table:
    names = ("outer updates", "env steps", "wall s", "wall s / update", "env steps / s",
             *training.PHASES, "peak MiB", "gradient norm", "gradient variance", "gradient noise")
    found = Table(
        "cost",
        "What meta-training cost: means over the runs of a method; CPU seconds are of one outer "
        "update, gradient noise is the variance of the outer gradient as a share of its squared norm",
        [Column("method"), Column("rule"), Column("runs", "number"),
         *(Column(name, "number") for name in names)],
    )
    alike = compare.variance_alike(groups)
    for own in groups:

        def mean(metric: str, own: Group = own) -> float:
            return compare.over_runs(own.runs, lambda run: _mean(run.training.known(metric)[1]))

        def phase(place: int, own: Group = own) -> float:
            return compare.over_runs(
                own.runs,
                lambda run: _mean(training.phase_seconds(run.training)[:, place])
                if len(run.training) else math.nan,
            )

        wall = compare.over_runs(own.runs, lambda run: math.nan if run.training.before
                                 else float(np.nansum(run.training.of("wall_seconds")))
                                 or math.nan)
        memory = compare.over_runs(own.runs, lambda run: _greatest(run, "peak_memory_bytes") / 2**20)
        short = [wall, mean("wall_seconds"),
                 compare.over_runs(own.runs, lambda run: training.mean_speed(run.training)),
                 *(phase(i) for i in range(5))]
        gradient = [mean("grad_norm"), *(mean(f"outer_grad_{n}") if alike else math.nan
                                         for n in ("variance", "noise"))]
        found.add(
            own.name, own.runs[0].identity["rule"], tables.number(len(own.runs)),
            tables.number(compare.mean_budget(own.runs, "outer updates")),
            tables.number(compare.mean_budget(own.runs, "environment steps")),
            *(tables.number(value, f"{value:.3g}") for value in short), tables.number(memory),
            *(tables.number(value, f"{value:.3g}") for value in gradient),
        )
    return found


def _mean(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _greatest(run: Run, metric: str) -> float:
    known = run.training.known(metric)[1]
    return float(known.max()) if len(known) else math.nan


def _run_table(groups: Sequence[Group]) -> Table:
    found = Table("runs", "The runs", [
        Column("method"), Column("run"), Column("meta-seed"), Column("outer updates", "number"),
        Column("best weights", "number"), Column("hash"),
    ])
    for own in groups:
        for run in own.runs:
            best = training.best_update(run.training, int(run.record["evaluated_update"]))
            updates = run.training.updates
            found.add(
                own.name, run.name, compare.seed_name(groups, run),
                tables.number(updates[-1] if len(updates) else 0),
                tables.NONE if best is None else tables.number(best),
                str(run.identity["state_hash"])[:16] or "-",
            )
    return found
