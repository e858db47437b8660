"""A run's folder: its numbers, its report, and what `mentor` makes of it."""

from __future__ import annotations

import csv
import hashlib
import html
import pathlib
import tempfile
from typing import Any, Dict, List, Mapping, Optional

from .. import programs, specs
from .follow import Table, frame
from .own_environment import simulators_of
from .show import Curve, main_curve


class Report:
    """A report's page; a notebook shows it."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<Report {self.path}>"

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        # Without rights: the page needs nothing of the notebook's.
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts allow-popups" width="100%" '
            'height="800" style="border: 1px solid #8884" title="Report of the run"></iframe>'
        )


class Run:
    """The folder of a run, finished or not: what mentor.run returns, or Run("runs/x")."""

    def __init__(
        self,
        folder: programs.PathLike,
        *,
        summary: str = "",
        simulators: Optional[Mapping[str, str]] = None,
    ) -> None:
        """`simulators` is for evaluate and export; the folder has that of a run with env=."""
        self.folder = pathlib.Path(folder).absolute()
        self.summary = summary  # What `mentor run` printed at its end.
        if not (self.folder / "FORMAT").is_file():
            raise FileNotFoundError(
                f"{self.folder} is no folder of a run; give one that mentor.run or `mentor run` "
                "made, such as runs/point_reach-0123456789"
            )
        self._simulators = dict(simulators or {})
        self._table = Table(self.folder / "metrics.csv")

    def __repr__(self) -> str:
        self._table.read()
        made = self._table.updates[-1].step if self._table.updates else 0
        return f"<Run {self.folder}: {made} outer updates, {main_curve(self._table.updates)!r}>"

    def _repr_html_(self) -> str:
        self._table.read()
        return (
            f"<div>{html.escape(str(self.folder))}</div>"
            f"{main_curve(self._table.updates)._repr_html_()}"
        )

    def hash(self) -> str:
        """Returns the hash of the newest weights, as `mentor hash` prints it."""
        return programs.answer("hash", self.folder).strip()

    @property
    def spec(self) -> specs.Spec:
        files = sorted(self.folder.glob("experiments/*/merged.txtpb"))
        if not files:
            raise FileNotFoundError(f"{self.folder} has no spec yet; the run has not begun")
        name = self.folder.name
        try:
            whole = specs.checked(str(files[0]), (), name)
            return specs.Spec(whole.text, name, str(self.folder), whole.hash)
        except specs.SpecError:  # Bundles that lie elsewhere: the program can say no more.
            text = files[0].read_text(encoding="utf-8")
            made = hashlib.sha256(text.encode()).hexdigest()
            return specs.Spec(text, name, str(self.folder), made)

    @property
    def metrics(self) -> Any:
        """All metrics by outer update: pandas' frame, or a dict of arrays. Also during the run."""
        self._table.read()
        return frame(dict(self._table.columns()), index="outer_update")

    def plot(self, metric: Optional[str] = None) -> Curve:
        """Returns a curve that a notebook draws; without a name that of the success or return."""
        self._table.read()
        if metric is None:
            return main_curve(self._table.updates)
        curve = Curve(metric, self._table.updates)
        known = sorted({name for update in self._table.updates for name in update.metrics})
        if not curve.values and metric not in known:
            raise KeyError(f"metric is {metric!r}; this run has {', '.join(known)}")
        return curve

    def report(self) -> Report:
        """Returns the report; draws it where the run did not come to it."""
        path = self.folder / "report.html"
        if not path.is_file():
            programs.answer("report", self.folder)
        return Report(path)

    def evaluate(self, **options: Any) -> Any:
        """Teaches new agents, as `mentor evaluate` does, and returns the means as a table.

        The options are its flags by name: evaluate(seeds=5, tasks="test", baselines=["none"]).
        """
        if "out" in options:
            programs.answer("evaluate", self.folder, "--quiet", *self._words(options))
            return _table(pathlib.Path(options["out"]))
        with tempfile.TemporaryDirectory(prefix="mentor-evaluate-") as out:
            words = self._words({**options, "out": out})
            programs.answer("evaluate", self.folder, "--quiet", *words)
            return _table(pathlib.Path(out))

    def export(self, out: programs.PathLike, **options: Any) -> pathlib.Path:
        """Writes the learned signal as files, as `mentor export` does, and returns the folder."""
        folder = pathlib.Path(out).absolute()
        programs.answer("export", self.folder, "--out", folder, *self._words(options))
        return folder

    def _words(self, options: Dict[str, Any]) -> List[str]:
        options = dict(options)
        given = options.pop("simulators", None)
        if given is None or isinstance(given, Mapping):
            given = {**self._simulators, **simulators_of(self.folder), **(given or {})}
        bundles = specs.spec_flags(options.pop("bundles", ()), None)
        simulators = programs.simulator_flags(given)
        return programs.flags(options, ["signal", "bundle", "set"]) + bundles + simulators


def _table(folder: pathlib.Path) -> Any:
    found = sorted(folder.glob("**/evaluation.csv")) or sorted(folder.glob("**/*.csv"))
    with open(found[0], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns: Dict[str, List[Any]] = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        try:
            columns[name] = [float(value) if value else float("nan") for value in values]
        except ValueError:
            columns[name] = values
    return frame(columns)
