"""Results of a study: tables for people, plots by Optuna."""

from __future__ import annotations

import importlib.util
import math
import pathlib
import statistics
import warnings
from typing import Any, Callable, Dict, List, Sequence

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


def best_trials(file: StudyFile, study: Any, count: int) -> str:
    """Returns the best trials that were not pruned, and the counts of all states."""
    states: Dict[str, int] = {}
    for trial in study.get_trials(deepcopy=False):
        name = trial.state.name.lower()
        states[name] = states.get(name, 0) + 1
    done = [one for one in study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
    done.sort(key=lambda one: (-one.value if file.objective.maximise else one.value, one.number))
    paths = [one.path for one in file.parameters]
    rows = [["TRIAL", "VALUE", *paths]]
    for one in done[:count]:
        rows.append(
            [str(one.number), _number(one.value)]
            + [_number(one.params.get(path)) for path in paths]
        )
    counts = ", ".join(f"{number} {name}" for name, number in sorted(states.items()))
    aim = "greatest" if file.objective.maximise else "least"
    head = f"{file.name}: {counts or 'no trials'}; {aim} {file.objective.words()}"
    return head + ("\n" + table(rows) if done else "")


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
        error = statistics.stdev(differences) / math.sqrt(len(seeds))
        spread = f", standard error {error:.3g}"
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
