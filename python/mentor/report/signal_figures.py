"""The figures of a run's signal, and how it follows the task's progress."""

from __future__ import annotations

import math
from typing import Any, List, Tuple

import numpy as np

from . import charts, words
from .charts import Figure, Line
from .figures import file_name, line_figure
from .records import Run
from .statistics import Interval, pearson, spearman

_SCATTER = 1500  # More points make the page heavy without adding information.


def correlations(run: Run) -> List[Tuple[str, int, List[float]]]:
    """Correlates the signal of each lifetime, and of all together, with the shaped reward and with
    its change in a step: Pearson and Spearman each."""
    length = int(run.record["episode_steps"])
    pooled: List[Tuple[Any, ...]] = []
    for sample in run.signals:
        change = np.zeros(0, int)
        if length:
            steps = np.arange(1, len(sample.signal))
            change = steps[steps % length != 0]
        pooled.append(
            (
                sample.signal,
                sample.shaped,
                sample.signal[change],
                sample.shaped[change] - sample.shaped[change - 1],
            )
        )
    every = [*pooled]
    if pooled:
        every.append(tuple(np.concatenate(parts) for parts in zip(*pooled)))
    return [
        (
            "pooled" if i == len(pooled) else str(i + 1),
            len(a),
            [pearson(a, b), spearman(a, b), pearson(c, d), spearman(c, d)],
        )
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
            for kind, series, colour in (
                ("signal", first.signal, "blue"),
                ("shaped reward", first.shaped, "green"),
            ):
                found += line_figure(
                    f"signal_{title}_{file_name(kind)}",
                    "signal",
                    f"{words.capitalised(kind)} along the {title} episode",
                    "One agent of the evaluation."
                    if kind == "signal"
                    else "The environment's hand-made measure of progress, of the same steps.",
                    [Line(kind, colour, charts.line(steps, series[begin : begin + length]))],
                    "step of the episode",
                    kind,
                    height=170,
                )
    found += _age(run)
    counts, edges = np.histogram(values, bins=1 if values.min() == values.max() else 40)
    drawn = charts.bars(edges, 100 * counts / len(values), "signal", "share of the steps, %")
    found.append(
        Figure(
            "signal_histogram",
            "signal",
            "Distribution of the signal",
            f"Every step of {words.several(len(run.signals), 'lifetime')} "
            f"({words.several(len(values), 'step')}): the network's output, as the agents used it.",
            drawn,
            f"The signal lies between {values.min():.3g} and {values.max():.3g}.",
        )
    )
    order = np.argsort(shaped, kind="stable")
    tenths = [
        (shaped[part].mean(), values[part].mean())
        for part in np.array_split(order, 10)
        if len(part)
    ]
    keep = slice(None, None, -(-len(values) // _SCATTER))
    drawn = charts.cloud(
        shaped[keep], values[keep], tenths, "shaped reward of the same step", "signal"
    )
    found.append(
        Figure(
            "signal_scatter",
            "signal",
            "The signal against the task's progress",
            "The line joins the means of ten equal groups of steps, ordered by shaped reward.",
            drawn,
            f"Their correlation is {pearson(values, shaped):.3f}.",
        )
    )
    return found + _maps(run)


def _age(run: Run) -> List[Figure]:
    """Mean and spread of the signal by the age of the agent."""
    n = run.iterations
    if n < 2:
        return []
    places = []
    for i in range(n):
        own = np.concatenate(
            [s.signal[i * len(s.signal) // n : (i + 1) * len(s.signal) // n] for s in run.signals]
        )
        if len(own):
            low, high = np.quantile(own, [0.1, 0.9])
            places.append((float(i), Interval(float(own.mean()), float(low), float(high))))
    return line_figure(
        "signal_age",
        "signal",
        "The signal by the age of the agent",
        "Mean over all steps between two updates; the band holds the middle 80 % of the steps.",
        [Line("signal", "blue", places)],
        "updates that the agent has made",
        "signal",
        height=240,
    )


def _maps(run: Run) -> List[Figure]:
    counts: dict[str, int] = {}
    found: List[Figure] = []
    for one in run.maps:
        counts[one["name"]] = counts.get(one["name"], 0) + 1
        if counts[one["name"]] > 4 or one["rows"] < 1 or one["columns"] < 1:
            continue
        values = [math.nan if value is None else value for value in one["values"]]
        drawn = charts.image(
            one["rows"], one["columns"], values, "step looked at", "step that asks"
        )
        found.append(
            Figure(
                f"map_{len(found)}",
                "signal",
                f"{one['name']}, lifetime {one['lifetime']}, "
                f"{words.part(one['iteration'], run.iterations)}",
                "A stronger colour is a greater value. Rows are steps that ask, columns steps that "
                "are looked at.",
                drawn,
                f"{one['rows']} rows of {one['columns']} columns.",
            )
        )
    return found
