"""The figures of an evaluation, and what all figures share."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from . import beside, charts, theme, words
from .charts import Figure, Line, Row
from .evaluation import Result
from .published import Curve, Published
from .records import METHODS, Run
from .statistics import Interval
from .tables import NONE, Cell, Table, number, value


def describe(lines: Sequence[Line], y: str) -> str:
    """A chart in words, for those who cannot see it."""
    said = []
    for one in lines:
        known = [value.mean for _, value in one.places if math.isfinite(value.mean)]
        if known:
            said.append(f"{one.name} from {known[0]:.3g} to {known[-1]:.3g}")
    return f"{words.capitalised(y)}: {'; '.join(said)}."


def line_figure(
    name: str,
    section: str,
    title: str,
    caption: str,
    found: Sequence[Line],
    x: str,
    y: str,
    **how: Any,
) -> List[Figure]:
    """There is none where no line has a number. `rates`: the axis is that of a success rate. An
    empty `y`: the title says it."""
    found = [one for one in found if any(math.isfinite(v.mean) for _, v in one.places)]
    if not found:
        return []
    if how.pop("rates", False):
        ends = [
            max(v.mean, v.high) if v.high == v.high else v.mean for o in found for _, v in o.places
        ]
        singles = [float(np.nanmax(ys)) for o in found for _, _, ys in o.singles if len(ys)]
        how["y_domain"] = charts.rates(max([e for e in ends if math.isfinite(e)] + singles))
    drawn = charts.lines(found, x, y, **how)
    return [Figure(name, section, title, caption, drawn, describe(found, y or title))]


def row_figure(
    name: str, section: str, title: str, caption: str, found: Sequence[Row], x: str, **how: Any
) -> List[Figure]:
    """There is none without rows."""
    said = "; ".join(f"{row.name} {words.interval(row.value)}" for row in found) + "."
    drawn = charts.rows(found, x, **how) if found else None
    return [Figure(name, section, title, caption, drawn, said)] if drawn else []


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


def evaluation(
    run: Run, results: Sequence[Result], published: Published
) -> Tuple[List[Figure], List[Table]]:
    """And the tables beside what is published."""
    found: List[Figure] = []
    tables: List[Table] = []
    for own in by_split(results):
        methods, one = shown(own), own[0]
        if all(one.episodes for one in own):
            ours, lines = Ours(), []
            for name, mine in methods:
                method = METHODS[mine.teacher]
                places = [(e + 1.0, value) for e, value in enumerate(mine.episodes)]
                lines.append(Line(name, method.colour, places, method.dash))
                ours.add(run, name, mine.teacher, mine.segments, mine.det)
            lived = Lived(
                one.split, one.has_goals, one.success, one.lifetime_episodes, len(one.segments)
            )
            drawn, beside_ours = episodes(lines, ours, lived, published, "evaluation")
            found, tables = found + drawn, tables + beside_ours
        found.append(_parts(own, methods))
    return found, tables


class Lived(NamedTuple):
    """What lives have in common that are drawn together."""

    split: str
    has_goals: bool
    success: bool
    alive: int  # Learning episodes.
    segments: int


class Ours(Dict[str, Tuple[str, List[Interval], Optional[Interval]]]):
    """Our lines, their segments and what follows without noise, by the lower-case names under which
    publications know them."""

    def add(
        self,
        run: Optional[Run],
        name: str,
        teacher: str,
        segments: List[Interval],
        det: Optional[Interval],
    ) -> None:
        """`run`: of the learned method."""
        names = [name, METHODS[teacher].name]
        if run is not None and METHODS[teacher].learned:
            role = run.record["signal_role"]
            names += ["learned", run.identity["rule"], *([f"learned {role}"] if role else [])]
        for one in names:
            self.setdefault(one.lower(), (name, segments, det))


def episodes(
    lines: List[Line], ours: Ours, lived: Lived, published: Published, section: str
) -> Tuple[List[Figure], List[Table]]:
    """Success by episode of the lifetime; deterministic episodes come last. And the table beside
    what is published."""
    split, has_goals, success, alive, segments = lived
    colours = {one.name: one.colour for one in lines}
    last = max((place for one in lines for place, _ in one.places), default=0.0)
    others = [c for c in published.curves if c.split == split and success]
    free = [c for c in ("orange", "olive", "brown", "sky", "purple") if c not in colours.values()]
    for curve in others:
        mine, *_ = ours.get(curve.method.lower(), ("",))
        colour = colours.get(mine) or (free.pop(0) if free else "ink")
        places = charts.line(*zip(*sorted(curve.episodes.items()))) if curve.episodes else []
        if curve.deterministic is not None:
            places += charts.line([alive + 1], [curve.deterministic])
        name = f"{curve.method}, {published.name}"
        lines = [*lines, Line(name, colour, places, (4, 3), hollow=True)]
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
    drawn = line_figure(
        f"episodes_{file_name(split)}",
        section,
        f"{words.capitalised(quantity)} by episode of the lifetime, "
        f"{words.goals(split, has_goals)}",
        caption,
        lines,
        "episode of the lifetime",
        quantity,
        rates=success,
        marks=marks,
        x_domain=(0.5, max(last, alive) + 0.5),
        height=320,
    )
    return drawn, [_published_table(others, ours, lived, published.name)] if others else []


def _published_table(curves: Sequence[Curve], ours: Ours, lived: Lived, whose: str) -> Table:
    """What is published beside our numbers, by part of the lifetime."""
    split, has_goals, _, alive, segments = lived
    found = Table(
        f"published_{file_name(split)}",
        f"Beside what is published ({whose}), {words.goals(split, has_goals)}",
        "published method | part of the lifetime | episodes | published # | ours | success rate ~ "
        "| difference #",
    )
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
                curve.method,
                part,
                range_,
                number(mean, f"{mean:.2f}"),
                Cell(name),
                value(mine) if mine is not None else NONE,
                number(apart, f"{apart:+.2f}".replace("-0.00", "+0.00")),
            )
    return found


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
        method = METHODS[one.teacher]
        key = charts.Key(name, method.colour, shape=theme.SHAPES[method.shape])
        found.append((key, values))
    quantity, success = words.quantity(own[0].success), own[0].success
    drawn = charts.parts(found, quantity, charts.rates(highest) if success else None)
    where = words.goals(own[0].split, own[0].has_goals)
    said = "; ".join(f"{key.name} {words.interval(values[-1][1])}" for key, values in found)
    return Figure(
        f"evaluation_{file_name(own[0].split)}",
        "evaluation",
        f"{words.capitalised(quantity)} by part of the lifetime, {where}",
        "Means with 95 % intervals over goals and lifetimes. Last episode: the lifetime's last one."
        + " Without noise: deterministic episodes after it."
        * any(one.det is not None for one in own),
        drawn,
        f"{words.capitalised(quantity)} at the end: {said}.",
    )


def file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c == "-" else "_" for c in name)


def agents_beside(cohorts: Sequence[beside.Cohort], n: int) -> List[Figure]:
    found: List[Figure] = []
    measured = [(one, beside.curves(one, n)) for one in cohorts]
    kinds = [("return", "mean_return", False)]
    kinds += [("success", "mean_success", True)] if beside.any_success(cohorts) else []
    for kind, member, rates in kinds:
        lines = [
            Line(
                one.name,
                one.colour,
                [(float(last.env_steps), getattr(last, member)) for last in lasts],
                one.dash,
            )
            for one, lasts in measured
        ]
        found += line_figure(
            f"last_episodes_{kind}",
            "beside",
            f"{words.capitalised(kind)} of agents by their steps",
            f"At each place the mean over the last {n} episodes that had ended: of agents while "
            "their signal learned, and of fresh agents in the evaluation. Bands are 95 % intervals "
            "over agents.",
            lines,
            "environment steps of an agent",
            words.quantity(rates),
            rates=rates,
        )
    return found
