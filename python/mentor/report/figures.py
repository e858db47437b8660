"""The figures of one run."""

from __future__ import annotations

import math
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from . import beside, charts, training, words
from .charts import Figure, Line
from .evaluation import Result
from .published import Curve, Published
from .records import METHODS, Run, Training
from .statistics import Interval, pearson, running_mean, spearman
from .tables import Column, Table, number

_SCATTER = 1500  # More points make the page heavy without adding information.


def describe(lines: Sequence[Line], y: str) -> str:
    """A chart in words, for those who cannot see it."""
    said = []
    for one in lines:
        known = [value.mean for _, value in one.places if math.isfinite(value.mean)]
        if known:
            said.append(f"{one.name} from {known[0]:.3g} to {known[-1]:.3g}")
    return f"{words.capitalised(y)}: {'; '.join(said)}."


def line_figure(
    name: str, section: str, title: str, caption: str, found: Sequence[Line], x: str, y: str,
    **how: Any,
) -> List[Figure]:
    """Nothing where no line has a number. `rates`: the axis is that of a success rate."""
    found = [one for one in found if any(math.isfinite(v.mean) for _, v in one.places)]
    if not found:
        return []
    if how.pop("rates", False):
        ends = [max(v.mean, v.high) if v.high == v.high else v.mean for o in found for _, v in o.places]
        singles = [float(np.nanmax(ys)) for o in found for _, _, ys in o.singles if len(ys)]
        how["y_domain"] = charts.rates(max([e for e in ends if math.isfinite(e)] + singles))
    drawn = charts.lines(found, x, y, **how)
    return [Figure(name, section, title, caption, drawn, describe(found, y))]


# --- Evaluation ---


def same_lives(a: Result, b: Result) -> bool:
    """Best and final weights gave the same results, for instance because they are the same."""
    return (
        a.levels == b.levels
        and np.array_equal(a.rates, b.rates)
        and all(np.array_equal(x.returns, y.returns) for x, y in zip(a.lives, b.lives))
    )


def shown(results: Sequence[Result]) -> List[Tuple[str, Result]]:
    """Without the best weights where they did what the final ones did; one line stands for both."""
    found: List[Tuple[str, Result]] = []
    for one in results:
        first = found[0] if found else None
        if first and first[1].teacher == "learned" and one.teacher == "best":
            if same_lives(first[1], one):
                found[0] = (f"{first[0]} (final and best weights)", first[1])
                continue
        found.append((one.name, one))
    return found


def by_split(results: Sequence[Result]) -> List[List[Result]]:
    """Results over all environments."""
    splits: dict[str, List[Result]] = {}
    for one in results:
        if not one.environment:
            splits.setdefault(one.split, []).append(one)
    return list(splits.values())


def evaluation(run: Run, results: Sequence[Result], published: Published) -> List[Figure]:
    found = []
    for own in by_split(results):
        methods = shown(own)
        if all(one.episodes for one in own):
            lines = [
                Line(name, METHODS[one.teacher].colour,
                     [(e + 1.0, value) for e, value in enumerate(one.episodes)],
                     METHODS[one.teacher].dash)
                for name, one in methods
            ]
            found += episodes(
                lines, own[0].split, own[0].has_goals, own[0].success, own[0].lifetime_episodes,
                len(own[0].segments), published, aliases(run), "evaluation",
            )
        found.append(_parts(own, methods))
    return found


def aliases(run: Run) -> dict[str, str]:
    """Names under which publications know our methods."""
    role = run.record["signal_role"]
    names = ["learned", run.identity["rule"], *([f"learned {role}"] if role else [])]
    found = {name.lower(): "learned" for name in names}
    return {**found, **{m.name.lower(): m.name for m in METHODS.values()}}


def episodes(
    lines: List[Line], split: str, has_goals: bool, success: bool, alive: int, segments: int,
    published: Published, aliases: dict[str, str], section: str,
) -> List[Figure]:
    """Success by episode of the lifetime; deterministic episodes come last."""
    colours = {one.name: one.colour for one in lines}
    last = max((place for one in lines for place, _ in one.places), default=0.0)
    others = [c for c in published.curves if c.split == split and success]
    free = [c for c in ("orange", "olive", "brown", "sky", "purple") if c not in colours.values()]
    for curve in others:
        mine = aliases.get(curve.method.lower(), curve.method)
        colour = colours.get(mine) or (free.pop(0) if free else "ink")
        lines = [*lines, _published_line(curve, f"{curve.method}, {published.name}", colour, alive)]
    marks = [
        (s * alive // segments + 0.5, f"update {s}" if segments <= 6 else "")
        for s in range(1, segments)
    ]
    if last > alive:
        marks.append((alive + 0.5, words.WITHOUT_NOISE))
    caption = (
        "Thin lines are single meta-seeds, thick ones their mean with its 95 % interval."
        if any(one.singles for one in lines)
        else "Bands are 95 % intervals over goals and lifetimes."
    )
    if segments > 1:
        caption += " Vertical lines are the agent's updates, the only places where it learns."
    if last > alive:
        caption += " In the last ones agents act without noise."
    if others:
        caption += f" Hollow points are not from these runs: {published.name}."
    quantity = words.quantity(success)
    return line_figure(
        f"episodes_{file_name(split)}", section,
        f"{words.capitalised(quantity)} by episode of the lifetime, {words.goals(split, has_goals)}",
        caption, lines, "episode of the lifetime", quantity, rates=success, marks=marks,
        x_domain=(0.5, max(last, alive) + 0.5), height=320,
    )


def _published_line(curve: Curve, name: str, colour: str, alive: int) -> Line:
    places = charts.line(sorted(curve.episodes), [curve.episodes[e] for e in sorted(curve.episodes)])
    if curve.deterministic is not None:
        places += charts.line([alive + 1], [curve.deterministic])
    return Line(name, colour, places, (4, 3), hollow=True)


def published_table(
    split: str, has_goals: bool, alive: int, segments: int, published: Published,
    ours: "dict[str, Tuple[str, List[Interval], Optional[Interval]]]",
) -> Optional[Table]:
    """What is published beside our numbers, by part of the lifetime. `ours` is by lower-case name:
    name, segments, without noise."""
    curves = [curve for curve in published.curves if curve.split == split]
    columns = [
        Column("published method"), Column("part of the lifetime"), Column("episodes"),
        Column("published", "number"), Column("ours"), Column("success rate", "interval"),
        Column("difference", "number"),
    ]
    title = f"Beside what is published ({published.name}), {words.goals(split, has_goals)}"
    found = Table(f"published_{file_name(split)}", title, columns)
    from .tables import NONE, Cell, value  # noqa: PLC0415

    for curve in curves:
        name, rates, det = ours.get(curve.method.lower(), ("-", [], None))
        rows: List[Tuple[str, str, List[float], Optional[Interval]]] = []
        for s in range(segments):
            first, last = s * alive // segments + 1, (s + 1) * alive // segments
            values = [rate for e, rate in curve.episodes.items() if first <= e <= last]
            whole = last - first + 1
            some = "" if len(values) == whole else f", of which {len(values)} published"
            mine = rates[s] if s < len(rates) else None
            rows.append((words.part(s, segments), f"{first} to {last}{some}", values, mine))
        if curve.deterministic is not None:
            rows.append((words.WITHOUT_NOISE, "after the lifetime", [curve.deterministic], det))
        for part, range_, values, mine in rows:
            mean = float(np.mean(values)) if values else math.nan
            apart = mine.mean - mean if mine is not None else math.nan
            found.add(
                curve.method, part, range_, number(mean, f"{mean:.2f}"), Cell(name),
                value(mine) if mine is not None else NONE, number(apart, f"{apart:+.2f}"),
            )
    return found if found.rows else None


def _parts(own: Sequence[Result], methods: Sequence[Tuple[str, Result]]) -> Figure:
    segments = max(len(one.segments) for one in own)
    found, highest = [], 0.0
    for name, one in methods:
        values = [(words.part(s, segments), value) for s, value in enumerate(one.segments)]
        if len(values) > 7:  # The first, the last and some between.
            values = [values[i] for i in np.linspace(0, len(values) - 1, 6).astype(int)]
        values.append((words.LAST_EPISODE, one.last))
        if one.det is not None:
            values.append((words.WITHOUT_NOISE, one.det))
        highest = max([highest, *(value.high for _, value in values if value.high == value.high)])
        found.append((name, METHODS[one.teacher].colour, values))
    quantity, success = words.quantity(own[0].success), own[0].success
    drawn = charts.parts(found, quantity, charts.rates(highest) if success else None)
    where = words.goals(own[0].split, own[0].has_goals)
    said = "; ".join(f"{name} {words.interval(values[-1][1])}" for name, _, values in found)
    return Figure(
        f"evaluation_{file_name(own[0].split)}", "evaluation",
        f"{words.capitalised(quantity)} by part of the lifetime, {where}",
        "Means with 95 % intervals over goals and lifetimes. Last episode: the lifetime's last one. "
        "Without noise: deterministic episodes after it.",
        drawn, f"{words.capitalised(quantity)} at the end: {said}.",
    )


def file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c == "-" else "_" for c in name)


# --- Meta-training ---


def smooth(name: str, colour: str, xs: Any, ys: Any) -> Line:
    """The running mean, with points for single updates behind it."""
    window = training.window_of(len(ys))
    single = [("single updates", xs, ys)] if window > 1 else []
    return Line(name, colour, charts.line(xs, running_mean(ys, window)), (), False, single, True)


def _updates_words(count: int) -> str:
    window = training.window_of(count)
    return (
        "Lines join single outer updates."
        if window == 1
        else f"Points are single outer updates, lines the mean of the last {window} updates."
    )


def meta_training(run: Run) -> List[Figure]:
    trained, found = run.training, []
    if not len(trained):
        return []
    said = _updates_words(len(trained))
    numbers = sorted(int(name[3:]) for name in trained.metrics if name[3:].isdecimal()
                     and name.startswith("seg") and np.isfinite(trained.of(name)).any())
    if len(numbers) > 5:
        numbers = [numbers[i] for i in np.linspace(0, len(numbers) - 1, 5).astype(int)]
    ramp = ["blue", "sky", "purple", "orange", "grey"]
    lines = {}
    for axis, xs in (("outer updates", trained.updates), ("environment steps", trained.env_steps)):
        lines[axis] = [
            smooth(words.part(n, run.iterations),
                   "grey" if i + 1 == len(numbers) > 1 else ramp[min(i, 4)], xs, trained.of(f"seg{n}"))
            for i, n in enumerate(reversed(numbers))
        ]
    control = (
        " Before learning nothing can change: the signal acts from the agent's first update on."
        if run.record["seg0_is_control"] and run.iterations > 1
        else ""
    )
    found += line_figure(
        "training_by_update", "training", "Success by outer update",
        f"Success of agents on the goals of meta-training, with sampled signals. {said}{control}",
        lines["outer updates"], "outer updates", "success rate", rates=True,
    )
    found += line_figure(
        "training_by_steps", "training", "Success by environment steps",
        "The same curve against the interactions with the environment.",
        lines["environment steps"], "environment steps of meta-training", "success rate", rates=True,
    )
    if "success" in trained.metrics:
        found += line_figure(
            "training_by_steps", "training", "Success by environment steps",
            "Each outer update is one inner iteration of agents that live on. The curve falls "
            f"whenever new agents begin after a lifetime. {said}",
            [smooth("success", "blue", trained.env_steps, trained.of("success"))],
            "environment steps of meta-training", "success rate", rates=True,
        )
    found += lives(trained)
    found += line_figure(
        "training_return", "training", "Shaped return",
        "Sum of the environment's hand-made progress reward over an episode, mean over all episodes "
        f"of an outer update. {said}",
        [smooth("shaped return", "green", trained.updates, trained.of("shaped_return"))],
        "outer updates", "shaped return of an episode",
    )
    return found + _metrics(run, said)


def lives(trained: Training) -> List[Figure]:
    """Learning curves of agents by inner iteration: the first, some and the last generations."""
    every = training.generations(trained)
    if not every:
        return []
    success = bool((trained.of("success") > 0).any())
    chosen = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, 4).astype(int))]
    colours = ["grey", "sky", "purple", "blue"][-len(chosen):]
    lines = [
        Line(f"generation {one.generation}", colour, charts.line(one.iterations, one.values))
        for one, colour in zip(chosen, colours)
    ]
    return line_figure(
        "training_lives", "training", "Learning curves of agents",
        "Success of agents of one generation along their lives, during meta-learning of the signal. "
        "The signal of generation 0 was untrained at first.",
        lines, "updates that the agent has made", words.quantity(success), rates=success,
    )


def _metrics(run: Run, said: str) -> List[Figure]:
    """The run's metrics as their declarations say; others are small and come last."""
    order = {info["name"]: place for place, info in enumerate(run.record.get("metrics", []))}
    infos = [training.declared(run, name) for name in run.training.metrics]
    infos = [one for one in infos if one["panel"] != "none"]
    infos.sort(key=lambda one: (one["panel"] == "small", order.get(one["name"], len(order))))
    found = []
    for info in infos[:24]:
        name = info["name"]
        xs, ys = run.training.known(name)
        if not len(ys):
            continue
        title = words.capitalised(info.get("label") or name.replace("_", " "))
        unit = info.get("unit", "1")
        log = bool(info.get("log_scale")) and bool((ys > 0).all())
        found += line_figure(
            f"metric_{file_name(name)}", "rule" if info["panel"] != "small" else "statistics", title,
            info.get("help", ""), [smooth(name, "blue", xs, ys)],
            "outer updates", title.lower() + ("" if unit == "1" else f", {unit}"), log=log, height=170,
        )
    return found


# --- The signal ---


def correlations(run: Run) -> List[Tuple[str, int, List[float]]]:
    """Of each lifetime and of all together: with the shaped reward, and with its change in a step,
    Pearson and Spearman each."""
    length, pooled = int(run.record["episode_steps"]), []
    for sample in run.signals:
        change = np.zeros(0, int)
        if length:
            steps = np.arange(1, len(sample.signal))
            change = steps[steps % length != 0]
        pooled.append((sample.signal, sample.shaped, sample.signal[change],
                       sample.shaped[change] - sample.shaped[change - 1]))
    every = [*pooled]
    if pooled:
        every.append(tuple(np.concatenate(parts) for parts in zip(*pooled)))  # type: ignore[arg-type]
    return [
        ("pooled" if i == len(pooled) else str(i + 1), len(a),
         [pearson(a, b), spearman(a, b), pearson(c, d), spearman(c, d)])
        for i, (a, b, c, d) in enumerate(every)
    ]


def signal(run: Run) -> List[Figure]:
    if not run.signals:
        return []
    found, length = [], int(run.record["episode_steps"])
    values = np.concatenate([one.signal for one in run.signals])
    shaped = np.concatenate([one.shaped for one in run.signals])
    first = run.signals[0]
    if length > 1 and len(first.signal) >= 2 * length:
        end = (len(first.signal) // length - 1) * length
        for title, begin in (("first", 0), ("last", end)):
            steps = np.arange(length)
            for kind, series, colour in (("signal", first.signal, "blue"),
                                         ("shaped reward", first.shaped, "green")):
                found += line_figure(
                    f"signal_{title}_{file_name(kind)}", "signal",
                    f"{words.capitalised(kind)} along the {title} episode",
                    "One agent of the evaluation." if kind == "signal" else
                    "The environment's hand-made measure of progress, of the same steps.",
                    [Line(kind, colour, charts.line(steps, series[begin:begin + length]))],
                    "step of the episode", kind, height=170,
                )
    found += _age(run)
    counts, edges = np.histogram(values, bins=1 if values.min() == values.max() else 40)
    drawn = charts.bars(edges, 100 * counts / len(values), "signal", "share of the steps, %")
    found.append(Figure(
        "signal_histogram", "signal", "Distribution of the signal",
        f"Every step of {words.several(len(run.signals), 'lifetime')} "
        f"({words.several(len(values), 'step')}): the network's output, as the agents used it.",
        drawn, f"The signal lies between {values.min():.3g} and {values.max():.3g}.",
    ))
    order = np.argsort(shaped, kind="stable")
    tenths = [(shaped[part].mean(), values[part].mean()) for part in np.array_split(order, 10)
              if len(part)]
    keep = slice(None, None, -(-len(values) // _SCATTER))
    drawn = charts.cloud(shaped[keep], values[keep], tenths,
                              "shaped reward of the same step", "signal")
    found.append(Figure(
        "signal_scatter", "signal", "The signal against the task's progress",
        "The line joins the means of ten equal groups of steps, ordered by shaped reward.",
        drawn, f"Their correlation is {pearson(values, shaped):.3f}.",
    ))
    return found + _maps(run)


def _age(run: Run) -> List[Figure]:
    """Mean and spread of the signal by the age of the agent."""
    n = run.iterations
    if n < 2:
        return []
    places = []
    for i in range(n):
        own = np.concatenate([s.signal[i * len(s.signal) // n:(i + 1) * len(s.signal) // n]
                              for s in run.signals])
        if len(own):
            low, high = np.quantile(own, [0.1, 0.9])
            places.append((float(i), Interval(float(own.mean()), float(low), float(high))))
    return line_figure(
        "signal_age", "signal", "The signal by the age of the agent",
        "Mean over all steps between two updates; the band holds the middle 80 % of the steps.",
        [Line("signal", "blue", places)], "updates that the agent has made", "signal", height=240,
    )


def _maps(run: Run) -> List[Figure]:
    counts: dict[str, int] = {}
    found = []
    for one in run.maps:
        counts[one["name"]] = counts.get(one["name"], 0) + 1
        if counts[one["name"]] > 4 or one["rows"] < 1 or one["columns"] < 1:
            continue
        drawn = charts.image(one["rows"], one["columns"], one["values"],
                                  "step looked at", "step that asks")
        found.append(Figure(
            f"map_{len(found)}", "signal",
            f"{one['name']}, lifetime {one['lifetime']}, "
            f"{words.part(one['iteration'], run.iterations)}",
            "A stronger colour is a greater value. Rows are steps that ask, columns steps that are "
            "looked at.", drawn, f"{one['rows']} rows of {one['columns']} columns.",
        ))
    return found


# --- Agents beside their signal, and cost ---


def agents_beside(cohorts: Sequence[beside.Cohort], n: int) -> List[Figure]:
    found: List[Figure] = []
    measured = [(one, beside.curves(one, n)) for one in cohorts]
    kinds = [("return", "mean_return", False)]
    kinds += [("success", "mean_success", True)] if beside.any_success(cohorts) else []
    for kind, member, rates in kinds:
        lines = [
            Line(one.name, one.colour,
                 [(float(last.env_steps), getattr(last, member)) for last in lasts], one.dash)
            for one, lasts in measured
        ]
        found += line_figure(
            f"last_episodes_{kind}", "beside", f"{words.capitalised(kind)} of agents by their steps",
            f"At each place the mean over the last {n} episodes that had ended: of agents while their "
            "signal learned, and of fresh agents in the evaluation. Bands are 95 % intervals over "
            "agents.", lines, "environment steps of an agent", words.quantity(rates), rates=rates,
        )
    return found


def cost(run: Run) -> List[Figure]:
    trained = run.training
    if not len(trained):
        return []
    found = line_figure(
        "throughput", "cost", "Throughput",
        "Environment steps of an outer update divided by its whole wall time, learning included.",
        [smooth("all updates", "blue", trained.updates, training.speed(trained))],
        "outer updates", "environment steps a second", height=200,
    )
    seconds = training.phase_seconds(trained)
    if np.isfinite(seconds).any():
        colours = ("blue", "sky", "orange", "green", "purple")
        drawn = charts.stacked(trained.updates, seconds, training.PHASES, colours,
                                    "outer updates", "CPU seconds of an outer update")
        found.append(Figure(
            "phases", "cost", "CPU time by phase",
            "CPU seconds of all threads for one outer update. Simulation is the rollout without "
            "policy and noise; inner updates are those of the agents.", drawn,
            "; ".join(f"{name} {np.nanmean(seconds[:, i]):.3g} s"
                      for i, name in enumerate(training.PHASES)) + ".",
        ))
    return found
