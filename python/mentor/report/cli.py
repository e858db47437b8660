"""The program: `python -m mentor.report RUN...`, which `mentor report` and `mentor run` start."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import pathlib
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import compare, one_run, page, published, records, several_runs
from .records import RecordError

_EXIT_WRONG, _EXIT_FOUND = 2, 3  # As the programs have them (common/process/command_line.h).


def _arguments(given: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mentor.report",
        description="Draws the report of a run, or compares several runs, from their records.",
        epilog="Runs whose specs differ in nothing but seed and benchmark.goal_seed are meta-seeds "
        "of one method. 'mentor report RUN...' takes the same flags, and writes the records first.",
    )
    add = parser.add_argument
    add("runs", metavar="RUN", nargs="+", help="run folders")
    add(
        "--out",
        type=pathlib.Path,
        metavar="DIR",
        help="folder to write to; default: the run folder, or ./comparison for several runs",
    )
    add("--title", default="", help="title of a comparison")
    add(
        "--label",
        action="append",
        default=[],
        metavar="RUN=NAME",
        help="name of a run's method in figures and tables; meta-seeds share it",
    )
    add(
        "--unit",
        choices=("auto", "seed", "lifetime"),
        default="auto",
        help="what one score of a comparison is: an agent's lifetime, or the mean over the "
        "lifetimes of a meta-seed; auto: seed, if every method has three meta-seeds",
    )
    add(
        "--last_episodes",
        type=int,
        metavar="N",
        help="number of last episodes that count for an agent that learned beside its signal",
    )
    add(
        "--published",
        type=pathlib.Path,
        metavar="FILE",
        help="success by episode from other publications, drawn dashed beside the runs' curves",
    )
    add(
        "--published_rows",
        default="",
        metavar="COLUMN=VALUE,...",
        help="rows of the file that are drawn; default: all",
    )
    add("--published_name", default="published", help="what legends call them")
    add("--svg", action="store_true", help="also write each figure as SVG")
    add("--png", action="store_true", help="also write each figure as PNG")
    add(
        "--records",
        action="append",
        default=[],
        metavar="RUN=DIR",
        help="where the records of a run lie that cannot be written; default: RUN/records",
    )
    add("--say", action="store_true", help="say what was learned, and draw nothing")
    add("--json", action="store_true", help="say it as JSON")
    return parser.parse_args(given)


def _pairs(flag: str, given: Sequence[str], runs: Sequence[str]) -> Dict[str, str]:
    """RUN=VALUE by run; RUN may contain a "="."""
    found = {}
    for text in given:
        run = next((one for one in runs if text.startswith(f"{one}=")), None)
        if run is None or len(text) == len(run) + 1:
            raise RecordError(
                f"{flag}: is '{text}': give RUN=..., with a run as it is named in this command: "
                f"{', '.join(runs)}"
            )
        found[run] = text[len(run) + 1 :]
    return found


def _runs_among(folders: Sequence[str]) -> List[str]:
    """Without comparisons, which `runs/*/` also matches."""
    runs = []
    for folder in folders:
        path = pathlib.Path(folder)
        ours = (path / records.FOLDER).exists() or (path / "experiments").exists()
        if len(folders) > 1 and not ours and (path / "comparison.html").exists():
            print(f"note: {folder} is a comparison, not a run: left out", file=sys.stderr)
        else:
            runs.append(folder)
    return runs


def _read(given: argparse.Namespace) -> Tuple[List[records.Run], published.Published]:
    names = _runs_among(given.runs)
    where = _pairs("--records", given.records, names)
    runs = [
        records.read(name, pathlib.Path(where[name]) if name in where else None) for name in names
    ]
    compare.label(runs, _pairs("--label", given.label, names))
    if given.last_episodes is not None and not any(run.beside for run in runs):
        raise RecordError(
            "--last_episodes: no episodes of agents that learned beside their signal are recorded "
            f"in {', '.join(names)}: only rules that decide inside a lifetime have such agents, "
            "and versions before 0.2.0 did not record them; leave the flag out, or run the spec "
            "again"
        )
    curves = published.Published()
    if given.published is not None:
        curves = published.read(given.published, given.published_rows, given.published_name)
    return runs, curves


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(value: Any) -> str:
    return json.dumps(_finite(value), indent=2, ensure_ascii=False) + "\n"


def _one(given: argparse.Namespace, run: records.Run, curves: published.Published) -> int:
    report = one_run.Report(run, curves, given.last_episodes or 100)
    answer = report.outcome.as_json(report.hints)
    if given.say or given.json:
        text = _json(answer) if given.json else report.outcome.as_text(report.hints)
        sys.stdout.write(text)
        return _EXIT_FOUND if report.outcome.answer == "nothing" else 0
    folder = given.out or pathlib.Path(run.name)
    drawn = report.page(folder, _today())
    texts = {
        "outcome.json": _json({**answer, "summary": report.summary(), "warnings": report.warnings})
    }
    _write(given, drawn, folder / "report.html", report, texts)
    return 0


def _several(
    given: argparse.Namespace, runs: Sequence[records.Run], curves: published.Published
) -> int:
    comparison = several_runs.Comparison(
        runs, given.title, given.unit, curves, given.last_episodes or 100
    )
    if given.say or given.json:
        said = "\n".join(comparison.summary()) + "\n"
        sys.stdout.write(_json(several_runs.as_json(comparison)) if given.json else said)
        return 0
    for run in runs:
        if run.record["goes_on"]:
            print(
                f"warning: {run.name} is still running: these are its numbers so far",
                file=sys.stderr,
            )
    folder = given.out or pathlib.Path("comparison")
    drawn = comparison.page(_today())
    texts = {
        "tables.md": comparison.markdown(),
        "outcome.json": _json(several_runs.as_json(comparison)),
    }
    _write(given, drawn, folder / "comparison.html", comparison, texts)
    return 0


def _write(
    given: argparse.Namespace,
    drawn: page.Page,
    file: pathlib.Path,
    said: Any,
    texts: Dict[str, str],
) -> None:
    pictures = [kind for kind in ("svg", "png") if getattr(given, kind)]
    page.write(drawn, file, said.tables, texts, pictures)
    print("\n".join([*said.summary(), str(file)]))
    for warning in said.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _today() -> str:
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    given = _arguments(arguments)
    try:
        runs, curves = _read(given)
        return _one(given, runs[0], curves) if len(runs) == 1 else _several(given, runs, curves)
    except RecordError as error:
        print(f"error: {error}", file=sys.stderr)
        return _EXIT_WRONG
