"""Results of a study: tables for people, plots by Optuna."""

from __future__ import annotations

import csv
import importlib.util
import math
import pathlib
import statistics
import warnings
from typing import Any, Callable, Dict, List, Mapping, Sequence

from ..client import Client
from ..command import needs
from .study import Confirmed
from .study_file import INSTALL, StudyFile

_PLOTS = {
    "history": "plot_optimization_history",
    "importance": "plot_param_importances",
    "parallel": "plot_parallel_coordinate",
    "intermediate": "plot_intermediate_values",
}


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    )


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _complete(file: StudyFile, study: Any) -> List[Any]:
    """Returns the trials that were not pruned, the best first."""
    done = [one for one in study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
    done.sort(key=lambda one: (-one.value if file.objective.maximise else one.value, one.number))
    return done


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))


def means_of(
    file: StudyFile, study: Any, client: Client, metrics: Sequence[str]
) -> Dict[str, Dict[int, float]]:
    """Returns the means of other metrics over the seeds, by metric and trial. The outer updates
    are those of the objective."""
    found: Dict[str, Dict[int, float]] = {metric: {} for metric in metrics}
    for trial in _complete(file, study):
        seeds = [
            client.metrics(file.id(trial.number, seed), metrics, max_points=10_000)
            for seed in file.seeds
        ]
        for metric in metrics:
            series = [one[metric] for one in seeds]
            values = [file.objective.value(dict(zip(one.steps, one.mean))) for one in series]
            known = [value for value in values if value is not None]
            if known:
                found[metric][trial.number] = math.fsum(known) / len(known)
    return found


def best_trials(
    file: StudyFile, study: Any, count: int, more: Mapping[str, Mapping[int, float]] = {}
) -> str:
    """Returns the best trials that were not pruned, and the counts of all states. `more`: other
    numbers of a trial, by title."""
    states: Dict[str, int] = {}
    for trial in study.get_trials(deepcopy=False):
        name = trial.state.name.lower()
        states[name] = states.get(name, 0) + 1
    paths = [one.path for one in file.parameters]
    rows = [["TRIAL", "VALUE", *["STD ERROR"] * (len(file.seeds) > 1), *more, *paths]]
    for one in _complete(file, study)[:count]:
        row = [str(one.number), _number(one.value)]
        if len(file.seeds) > 1:
            row.append(f"{_standard_error(list(one.user_attrs['mentor.by_seed'].values())):.3g}")
        row += [_number(numbers.get(one.number, "-")) for numbers in more.values()]
        rows.append(row + [_number(one.params.get(path)) for path in paths])
    counts = ", ".join(f"{number} {name}" for name, number in sorted(states.items()))
    aim = "greatest" if file.objective.maximise else "least"
    head = f"{file.name}: {counts or 'no trials'}; {aim} {file.objective.words()}"
    return head + ("\n" + table(rows) if len(rows) > 1 else "")


def write_csv(
    file: StudyFile, study: Any, path: pathlib.Path, more: Mapping[str, Mapping[int, float]] = {}
) -> None:
    """Writes all trials with the objective of every seed."""
    paths = [one.path for one in file.parameters]
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        seeds = [f"seed {seed}" for seed in file.seeds]
        writer.writerow(["trial", "state", *paths, "value", *seeds, *more])
        for one in study.get_trials(deepcopy=False):
            by_seed = one.user_attrs.get("mentor.by_seed", {})
            writer.writerow(
                [one.number, one.state.name.lower()]
                + [one.params.get(path, "") for path in paths]
                + [one.value if one.state.name == "COMPLETE" else ""]
                + [by_seed.get(str(seed), "") for seed in file.seeds]
                + [numbers.get(one.number, "") for numbers in more.values()]
            )


def confirmed(file: StudyFile, found: Confirmed) -> str:
    seeds = sorted(found.best)
    rows = [["SETTINGS", *(f"seed {seed}" for seed in seeds), "MEAN"]]
    for name, values in ((f"trial {found.trial}", found.best), ("spec", found.base)):
        numbers = [values[seed] for seed in seeds]
        rows.append([name, *map(_number, numbers), _number(math.fsum(numbers) / len(numbers))])
    differences = [found.best[seed] - found.base[seed] for seed in seeds]
    mean = math.fsum(differences) / len(differences)
    spread = ""
    if len(seeds) > 1:
        spread = f", standard error {_standard_error(differences):.3g}"
    return f"{table(rows)}\ndifference {mean:.6g}{spread}, {len(seeds)} fresh seeds"


def plots(study: Any, folder: pathlib.Path, say: Callable[[str], None]) -> List[pathlib.Path]:
    """Writes PNG by matplotlib, and HTML where plotly is installed. Neither needs a browser. Skips
    plots that Optuna cannot draw yet, for instance importance with too few trials.
    """
    matplotlib = needs("matplotlib", INSTALL, "--plots")
    matplotlib.use("Agg")
    pyplot = needs("matplotlib.pyplot", INSTALL, "--plots")
    drawing = needs("optuna.visualization.matplotlib", INSTALL, "--plots")
    html = None
    if importlib.util.find_spec("plotly") is not None:
        html = needs("optuna.visualization", INSTALL, "--plots")
    folder.mkdir(parents=True, exist_ok=True)
    written: List[pathlib.Path] = []
    for name, function in _PLOTS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                axes = getattr(drawing, function)(study)
                figure = getattr(axes, "figure", None) or axes.flat[0].figure
                figure.set_size_inches(10, 5)
                figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
                pyplot.close("all")
                written.append(folder / f"{name}.png")
                if html is not None:
                    getattr(html, function)(study).write_html(folder / f"{name}.html")
                    written.append(folder / f"{name}.html")
            except (ValueError, RuntimeError) as error:
                say(f"no plot of {name}: {error}")
    return written
