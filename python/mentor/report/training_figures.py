"""The figures of a run's meta-training and cost."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np

from . import charts, training, words
from .charts import Figure, Line
from .figures import file_name, line_figure
from .records import Run, Training
from .statistics import running_mean


def smooth(name: str, colour: str, xs: Any, ys: Any) -> Line:
    """The running mean, with points for single updates behind it."""
    window = training.window_of(len(ys))
    single = [("alone", xs, ys)] if window > 1 else []
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
    control = (
        " Before learning nothing can change: the signal acts from the agent's first update on."
        if run.record["seg0_is_control"] and run.iterations > 1
        else ""
    )
    found += line_figure(
        "training_by_update",
        "training",
        "Success by outer update",
        f"Success of agents on the goals of meta-training, with sampled signals. {said}{control}",
        _by_part(run),
        "outer updates",
        "success rate",
        rates=True,
    )
    if "success" in trained.metrics:
        found += line_figure(
            "training_by_steps",
            "training",
            "Success by environment steps",
            "Each outer update is one inner iteration of agents that live on. The curve falls "
            f"whenever new agents begin after a lifetime. {said}",
            [smooth("success", "blue", trained.env_steps, trained.of("success"))],
            "environment steps of meta-training",
            "success rate",
            rates=True,
        )
    found += lives(trained)
    found += line_figure(
        "training_return",
        "training",
        "Shaped return",
        "Sum of the environment's hand-made progress reward over an episode, mean over all "
        f"episodes of an outer update. {said}",
        [smooth("shaped return", "green", trained.updates, trained.of("shaped_return"))],
        "outer updates",
        "shaped return of an episode",
    )
    return found + _metrics(run)


def _by_part(run: Run) -> List[Line]:
    """Success of each part of the lifetime, the last part first."""
    trained = run.training
    numbers = sorted(
        int(name[3:])
        for name in trained.metrics
        if name[3:].isdecimal() and name.startswith("seg") and np.isfinite(trained.of(name)).any()
    )
    if len(numbers) > 5:
        numbers = [numbers[i] for i in np.linspace(0, len(numbers) - 1, 5).astype(int)]
    ramp = ["blue", "orange", "purple", "sky", "grey"]
    return [
        smooth(
            words.part(n, run.iterations),
            "grey" if i + 1 == len(numbers) > 1 else ramp[min(i, 4)],
            trained.updates,
            trained.of(f"seg{n}"),
        )
        for i, n in enumerate(reversed(numbers))
    ]


def lives(trained: Training) -> List[Figure]:
    """Learning curves of agents by inner iteration: the first, some and the last generations."""
    every = training.generations(trained)
    if not every:
        return []
    success = bool((trained.of("success") > 0).any())
    chosen = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, 4).astype(int))]
    colours = ["grey", "sky", "purple", "blue"][-len(chosen) :]
    lines = [
        Line(f"generation {one.generation}", colour, charts.line(one.iterations, one.values))
        for one, colour in zip(chosen, colours)
    ]
    return line_figure(
        "training_lives",
        "training",
        "Learning curves of agents",
        "Success of agents of one generation along their lives, during meta-learning of the "
        "signal. The signal of generation 0 was untrained at first.",
        lines,
        "updates that the agent has made",
        words.quantity(success),
        rates=success,
    )


def _known(run: Run) -> List[Tuple[Dict[str, Any], Any, Any]]:
    """The run's metrics as their declarations say; others are small and come last."""
    order = {info["name"]: place for place, info in enumerate(run.record.get("metrics", []))}
    infos = [training.declared(run, name) for name in run.training.metrics]
    infos = [one for one in infos if one["panel"] != "none"]
    infos.sort(key=lambda one: (one["panel"] == "small", order.get(one["name"], len(order))))
    found = [(info, *run.training.known(info["name"])) for info in infos]
    return [one for one in found if len(one[2])]


def constants(run: Run) -> List[str]:
    """What a chart would say nothing of."""
    still = [(info, ys[0]) for info, _, ys in _known(run) if ys.min() == ys.max()]
    said = ", ".join(f"{training.title_of(info)} {value:.4g}" for info, value in still)
    return [f"What had one value all the time: {said}."] if still else []


def _metrics(run: Run) -> List[Figure]:
    found = []
    for info, xs, ys in [one for one in _known(run) if one[2].min() < one[2].max()][:24]:
        unit = info.get("unit", "1")
        found += line_figure(
            f"metric_{file_name(info['name'])}",
            "rule" if info["panel"] != "small" else "statistics",
            words.capitalised(training.title_of(info)),
            info.get("help", ""),
            [smooth(info["name"], "blue", xs, ys)],
            "outer updates",
            "" if unit == "1" else unit,
            log=bool(info.get("log_scale")) and bool((ys > 0).all()),
            height=170,
        )
    return found


def cost(run: Run) -> List[Figure]:
    trained = run.training
    if not len(trained):
        return []
    found = line_figure(
        "throughput",
        "cost",
        "Throughput",
        "Environment steps of an outer update divided by its whole wall time, learning included.",
        [smooth("all updates", "blue", trained.updates, training.speed(trained))],
        "outer updates",
        "environment steps a second",
        height=200,
    )
    seconds = training.phase_seconds(trained)
    if np.isfinite(seconds).any():
        colours = ("blue", "orange", "sky", "purple", "green")
        drawn = charts.stacked(
            trained.updates,
            seconds,
            training.PHASES,
            colours,
            "outer updates",
            "CPU seconds of an outer update",
        )
        found.append(
            Figure(
                "phases",
                "cost",
                "CPU time by phase",
                "CPU seconds of all threads for one outer update. Simulation is the rollout "
                "without policy and noise; inner updates are those of the agents.",
                drawn,
                "; ".join(
                    f"{name} {np.nanmean(seconds[:, i]):.3g} s"
                    for i, name in enumerate(training.PHASES)
                )
                + ".",
            )
        )
    return found
