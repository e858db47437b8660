"""The report of one run: RUN/report.html, and its numbers in RUN/report/."""

from __future__ import annotations

import os
import pathlib
import urllib.parse
from typing import Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from . import beside, evaluation, figures, outcome, signal_figures, statistics, tables
from . import training, training_figures, words
from .charts import Figure
from .evaluation import Result
from .page import Chapter, Page
from .published import Published
from .records import METHODS, Run
from .statistics import Array, Interval, Level, Sample
from .tables import Table


class Report:
    """Everything that is said about a run, before it is drawn."""

    def __init__(self, run: Run, published: Published, last_episodes: int) -> None:
        self.run, self.published, self.n = run, published, last_episodes
        self.results = evaluation.results_of(run.lives, run.iterations)
        self.comparisons = evaluation.compared(self.results)
        self.outcome = outcome.outcome_of(run, self.results, self.comparisons)
        self.hints = training.hints(run)
        self.opening = outcome.opening(run, self.comparisons)
        self.cohorts = beside.of_run(run)
        self.warnings = _warnings(run, self.results, published)
        self.tables: List[Table] = []

    def summary(self) -> List[str]:
        """The page's words, the answer first."""
        evaluated = outcome.of_evaluation(self.outcome) or [self._unevaluated()]
        steps = [f"{step.text}: {step.command}" for step in self.outcome.next]
        said = beside.sentences(self.cohorts, self.n)
        rest = [self._length(), *self._curve(), *evaluated, *said]
        first = self.opening if self.run.record["failure"] or self.run.record["goes_on"] else []
        last = [one for one in self.opening if one not in first]
        return [*first, self.outcome.sentence, *steps, *last, *rest]

    def _length(self) -> str:
        return outcome.length(self.run)

    def _curve(self) -> List[str]:
        curve = self.outcome.curve
        return [f"{words.capitalised(str(curve))}."] if curve is not None else []

    def _unevaluated(self) -> str:
        if not self.run.lives:
            return "There are no evaluated episodes."
        return "No episode ended within a lifetime, so there are no success rates."

    def page(self, folder: pathlib.Path, date: str) -> Page:
        run, found = self.run, self.outcome
        path = run.path.absolute()
        # An experiment of a service is known by its name, a run by that of its folder.
        name = run.record.get("run") if path.parent.name == "experiments" else path.name
        failure = run.record["failure"]
        drawn, beside_ours = figures.evaluation(run, self.results, self.published)
        trained = training_figures.meta_training(run)
        first = next(iter([*drawn, *trained]), None)

        def rest(section: str) -> List[Figure]:
            return [
                one for one in [*drawn, *trained] if one.section == section and one is not first
            ]

        rule = rest("rule") + rest("statistics")
        chapters = [
            self._evaluation(rest("evaluation"), beside_ours),
            Chapter(
                "beside",
                "Last episodes of agents",
                beside.sentences(self.cohorts, self.n),
                figures.agents_beside(self.cohorts, self.n),
                tables=self._kept([beside.table(self.cohorts, self.n)] if self.cohorts else []),
            ),
            Chapter(
                "meta-training", "Meta-training", [self._length(), *self._curve()], rest("training")
            ),
            Chapter("rule", "The outer rule", training_figures.constants(run), small=rule),
            self._signal(),
            Chapter("films", "Films", films=_films(run, folder)),
            self._cost(),
            self._exactness(),
            Chapter("reading", "How to read this page", reading="reading_run.html"),
        ]
        return Page(
            # A command can change the rule that the spec's title names.
            title=f"{run.title}: {name}, {run.taught_by}, seed {run.seed}",
            date=date,
            answer="nothing" if failure else found.answer,
            headline=f"The run failed: {failure}" if failure else found.headline,
            lede=[found.sentence] if failure else [found.details] if found.details else [],
            next=found.next,
            cautions=[
                *self.opening[bool(failure) :],
                *(f"{words.capitalised(one)}." for one in self.warnings),
            ],
            first=first,
            chapters=chapters,
        )

    def _kept(self, found: List[Table]) -> List[Table]:
        self.tables += found
        return found

    def _evaluation(self, drawn: List[Figure], beside_ours: List[Table]) -> Chapter:
        chapter = Chapter("evaluation", "Evaluation", outcome.of_evaluation(self.outcome))
        if not self.results:
            chapter.sentences = [self._unevaluated()]
            return chapter
        chapter.sentences.append(
            "Success rates with frozen signal weights and fresh agents."
            if self.results[0].success
            else "No episode reports success, so the numbers are shaped returns of an episode, "
            "with frozen signal weights and fresh agents."
        )
        chapter.figures = drawn
        shown = [result_table(self.results, alone) for alone in (False, True)]
        chapter.tables = self._kept([*shown, self._differences(), *self._goals(), *beside_ours])
        chapter.tables = [one for one in chapter.tables if one.rows]
        chapter.notes = [evaluated_words(self.run)]
        self.tables.append(_numbers(self.results))
        return chapter

    def _differences(self) -> Table:
        found = Table(
            "differences",
            "Differences of two methods",
            "comparison | part of the lifetime | difference ~ | reading | goals | paired by goal",
        )
        for one in self.comparisons:
            segments = len(one.result.segments)
            found.add(
                f"{one.result.name} minus {one.baseline.name}",
                words.part(one.segment, segments),
                tables.value(one.difference),
                words.verdict(one.difference),
                words.goals(one.result.split, one.result.has_goals),
                "yes" if one.paired else "no",
            )
        return found

    def _goals(self) -> List[Table]:
        """The last segment by goal, of the tasks that come first; none where each has one life."""
        own = [one for one in figures.by_split(self.results)[0]] if self.results else []
        if not own or not own[0].has_goals or all(one.goals == len(one.lives) for one in own):
            return []
        methods = [one for _, one in figures.shown(own)]
        several = len({level.environment for one in own for level in one.levels}) > 1
        found = Table(
            "goals",
            f"By goal: {words.quantity(own[0].success)} at the end of a lifetime, "
            f"{words.goals(own[0].split)}",
            [
                *(["environment"] if several else []),
                "goal",
                "lifetimes of each #",
                *(f"{one.name} ~" for one in methods),
            ],
        )
        for level in sorted({level for one in own for level in one.levels}):
            lives = [
                one.rates[[i for i, l in enumerate(one.levels) if l == level], -1]
                for one in methods
            ]
            where = [level.environment] if several else []
            found.add(
                *where,
                str(level.goal),
                tables.number(max(map(len, lives))),
                *(tables.value(_of_goal(rates)) for rates in lives),
            )
        return [found]

    def _signal(self) -> Chapter:
        drawn = signal_figures.signal(self.run)
        chapter = Chapter(
            "signal",
            "The signal",
            []
            if drawn or not self.run.record["signal_role"]
            else ["No signals have been recorded yet."],
            [one for one in drawn if not one.name.startswith(("signal_first", "signal_last"))],
            [one for one in drawn if one.name.startswith(("signal_first", "signal_last"))],
        )
        if not drawn:
            return chapter
        found = Table(
            "signal_correlation",
            "Correlation of the signal with the shaped reward",
            "lifetime | steps # | Pearson # | Spearman # | Pearson with its change # | "
            "Spearman with its change #",
        )
        for lifetime, steps, values in signal_figures.correlations(self.run):
            found.add(
                lifetime,
                tables.number(steps),
                *(tables.number(value, words.rounded(value, 3)) for value in values),
            )
        chapter.tables = self._kept([found])
        chapter.notes = [
            "Its change is the shaped reward of a step minus that of the step before, within an "
            "episode: the progress of that step."
        ]
        return chapter

    def _cost(self) -> Chapter:
        trained = self.run.training
        speed, seconds = training.mean_speed(trained), training.phase_seconds(trained)
        chapter = Chapter("cost", "Throughput and cost", figures=training_figures.cost(self.run))
        if not len(trained):
            return Chapter("cost", "Throughput and cost", ["No times have been recorded yet."])
        if np.isfinite(speed):
            chapter.sentences.append(
                f"{speed:,.0f} environment steps a second of wall time, learning included."
            )
        if np.isfinite(seconds).any():
            means = np.nanmean(seconds, axis=0)
            found = Table(
                "phase_means",
                "CPU seconds of one outer update (mean)",
                "phase | seconds # | share #",
            )
            for name, value in zip(training.PHASES, means):
                share = value / means.sum() if means.sum() else 0
                found.add(name, tables.digits(value), tables.number(share, f"{100 * share:.0f} %"))
            found.add("all", tables.digits(means.sum()), tables.NONE)
            chapter.tables = self._kept([found])
        return chapter

    def _exactness(self) -> Chapter:
        """What must be known to make the numbers again."""
        record = self.run.record
        found = Table("facts", "The run", "fact | value")
        for name, value in record["facts"]:
            found.add(name, value)
        command = f"mentor run {record['spec_file']} --out {record['folder']}-again"
        again = (
            "The same spec and version give the same weights on any machine, bit by bit; compare "
            "the hashes of 'mentor hash'."
        )
        texts = [
            ("The command that repeats it", command, True),
            ("Specification, with every default", record["spec_text"], False),
        ]
        return Chapter("run", "The run, exactly", [again], tables=self._kept([found]), texts=texts)


def _of_goal(rates: Array) -> "Interval | None":
    """A single lifetime has no interval."""
    if len(rates) < 2:
        return Interval(float(rates[0])) if len(rates) else None
    return statistics.interval_of(Sample((Level(),) * len(rates), rates))


def _warnings(run: Run, results: Sequence[Result], published: Published) -> List[str]:
    """Reasons for caution, without their stops."""
    found = []
    damaged = run.record["damaged_checkpoints"]
    if damaged:
        found.append(
            "a newer checkpoint is damaged; the one after outer update "
            f"{run.record['outer_updates_made']} is used instead: {' '.join(damaged.split())}"
        )
    shown = [
        (own[0].split, own[0].success, all(one.episodes for one in own))
        for own in figures.by_split(results)
    ]
    return found + not_shown(shown, published)


def not_shown(shown: Sequence[tuple[str, bool, bool]], published: Published) -> List[str]:
    """Why published curves have no place: (split, by success, lifetimes are alike)."""
    drawn = {split for split, success, alike in shown if success and alike}
    missing = sorted({curve.split for curve in published.curves} - drawn)
    if not missing:
        return []
    reasons = [
        f"{split} has lifetimes with other numbers of episodes"
        if not alike
        else f"no episode of {split} succeeded"
        for split, success, alike in shown
        if split in missing
    ]
    known = sorted({split for split, _, _ in shown})
    if not known:
        reasons.append("there is no evaluation")
    elif not set(missing) <= set(known):
        reasons.append(
            f"the evaluation has goals of split {', '.join(known)} alone; give the rows one of "
            "these names in column split, or leave them out with --published_rows"
        )
    return [f"published curves of split {', '.join(missing)} are not shown: {'; '.join(reasons)}"]


def result_table(results: Sequence[Result], by_environment: bool) -> Table:
    """Parts of the lifetime in columns; the first, the last and some between where there are
    many."""
    own = [one for one in results if bool(one.environment) == by_environment]
    segments = max((len(one.segments) for one in own), default=1)
    parts = np.unique(np.linspace(0, segments - 1, min(segments, 5)).astype(int))
    names = [words.part(int(s), segments) for s in parts] + [words.LAST_EPISODE]
    has_det, has_return = (any(getattr(one, n) for one in own) for n in ("det", "last_return"))
    names += [words.WITHOUT_NOISE] * has_det + ["shaped return"] * has_return
    quantity = words.capitalised(words.quantity(not own or own[0].success))
    place = "by environment" if by_environment else "by method"
    found = Table(
        "results_by_environment" if by_environment else "results",
        f"{quantity} {place}, with 95 % intervals",
        ["method", *(["environment"] if by_environment else []), *(f"{name} ~" for name in names)],
    )
    for one in own:
        where = words.goals(one.split, one.has_goals)
        values = [one.segments[s] if s < len(one.segments) else None for s in parts]
        values += [
            one.last,
            *([one.det] if has_det else []),
            *([one.last_return] if has_return else []),
        ]
        found.add(
            tables.Cell(one.name, f"{where}, {words.several(len(one.lives), 'lifetime')}"),
            *([one.environment] if by_environment else []),
            *(tables.value(value) for value in values),
        )
    return found


def _numbers(results: Sequence[Result]) -> Table:
    """Every result by part, for programs: evaluation.csv."""
    columns = "split | environment | method | lifetimes # | goals # | quantity"
    found = Table("evaluation", "Results", f"{columns} | mean # | low # | high #")
    for one in results:
        counts = tables.number(len(one.lives)), tables.number(one.goals)
        values: List[Tuple[str, Optional[Interval]]] = [
            (f"seg{s}", value) for s, value in enumerate(one.segments)
        ]
        values += [("last", one.last), ("det", one.det), ("return", one.last_return)]
        for name, value in values:
            ends = [tables.number(end) for end in value or ()]
            if ends:
                found.add(one.split, one.environment, one.name, *counts, name, *ends)
    return found


def evaluated_words(run: Run) -> str:
    """Which weights, goals and seeds the evaluation holds: the evaluation at the end of the run and
    those of `mentor evaluate` may be pooled."""
    parts, update = [], int(run.record["evaluated_update"])
    if update:
        best = training.best_update(run.training, update)
        more = (
            f"; {METHODS['best'].name}: after outer update {best}, which had the best score on the "
            "training goals"
            if best is not None
            else ""
        )
        parts.append(f"Weights after outer update {update}{more}.")
    by_split: Dict[str, Dict[int, Set[int]]] = {}
    for life in run.lives:
        by_split.setdefault(life.split, {}).setdefault(life.seed, set()).add(life.goal)
    for split, seeds in sorted(by_split.items()):
        of: Dict[tuple[int, ...], List[int]] = {}
        for seed, goals in seeds.items():
            of.setdefault(tuple(sorted(goals)), []).append(seed)
        said = [
            f"seed{'' if len(own) == 1 else 's'} of agents {words.ranges(own)} on "
            f"goal{'' if len(goals) == 1 else 's'} {words.ranges(goals)}"
            for goals, own in sorted(of.items())
        ]
        parts.append(f"{words.capitalised(words.goals(split))}: {'; '.join(said)}.")
    before = run.record["evaluated_before"]
    if before:
        parts.append(
            "Evaluations of older weights are not here: after outer "
            f"update{'' if len(before) == 1 else 's'} {words.ranges(before)}."
        )
    return " ".join(parts)


def _films(run: Run, folder: pathlib.Path) -> List[Dict[str, str]]:
    links = ((film.name, pathlib.PurePath(os.path.relpath(film, folder))) for film in run.films)
    return [{"name": name, "link": urllib.parse.quote(link.as_posix())} for name, link in links]
