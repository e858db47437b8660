"""The grammar of every chart: lines with bands, rows with intervals, bars, clouds of points,
images. Each is an Altair chart (Vega-Lite) over numbers in CSV; drawing.py makes pictures of
them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import altair as alt
import numpy as np

from . import theme, words
from .statistics import Interval

HIDDEN = "hidden"  # The signal with the names of what a reader hides.
_SINGLE_POINTS = 6_000  # The most of all single lines of a chart.
_HOVERED = 3_000  # More places under the pointer make a page slow.
_MARKED = 24  # Places of a line that have a point.
_THREE = ".3~g"  # Digits.

Place = Tuple[float, Interval]


@dataclasses.dataclass
class Line:
    """A line, with a band where places have intervals; a single place has a rule."""

    name: str
    colour: str
    places: List[Place]
    dash: Tuple[int, ...] = ()
    hollow: bool = False  # Published elsewhere.
    # Lines behind the mean, one of each meta-seed: ("2", x, y).
    singles: List[Tuple[str, Any, Any]] = dataclasses.field(default_factory=list)
    points: bool = False  # `singles` are single updates, and points.


@dataclasses.dataclass
class Row:
    """A value with its interval on a line of its own; seeds are small marks."""

    name: str
    colour: str
    value: Interval
    seeds: Sequence[float] = ()


class Key(NamedTuple):
    """An entry of a legend."""

    name: str
    colour: str
    dash: Tuple[int, ...] = ()
    shape: str = ""  # A path; empty: a line.


class Drawn(NamedTuple):
    chart: Any  # A chart of Altair.
    csv: str  # Its numbers in full.
    legend: Sequence[Key] = ()  # Empty, or two and more.


@dataclasses.dataclass
class Figure:
    name: str  # The name of its files, without ending.
    section: str
    title: str
    caption: str
    drawn: Drawn
    words: str  # What it shows, for those who cannot see it.


def line(xs: Any, ys: Any) -> List[Place]:
    return [(float(x), Interval(float(y))) for x, y in zip(xs, ys)]


def _number(value: float, digits: int = 5) -> str:
    return f"{value:.{digits}g}" if math.isfinite(value) else ""


def _exact(value: float) -> str:
    return _number(value, 10)


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _data(header: Sequence[str], rows: Sequence[Sequence[Any]], texts: Sequence[str]) -> Any:
    parse = {name: "string" if name in texts else "number" for name in header}
    return alt.InlineData(
        values=_csv(header, rows), format=alt.CsvDataFormat(type="csv", parse=parse)
    )


def _tip(field: str, title: Any = alt.Undefined, format: Any = alt.Undefined) -> Any:
    return alt.Tooltip(field, title=title, format=format)


def _sized(chart: Any, height: int) -> Any:
    # Altair's calls would copy the whole chart, a tenth of the time of a report.
    chart.width, chart.height = "container", height
    return chart


def _thinned(count: int, most: int) -> Any:
    """At most so many places of `count`; the ends stay."""
    return np.unique(np.linspace(0, count - 1, min(count, max(most, 2))).astype(int))


def rates(highest: float) -> Tuple[float, float]:
    """The ends of an axis of rates: 0 to 1 for high ones."""
    return 0.0, 1.0 if highest > 0.5 else max(0.1, 1.1 * highest)


def _axis(high: float) -> Any:
    """1.5M for large numbers; as many digits as the step needs."""
    return alt.Axis(format="~s" if high >= 10_000 else "~f" if high > 1e-4 else "~g")


def _legend(names: Sequence[str], **how: Any) -> Any:
    """In files; a page has a legend of its own."""
    if len(names) < 2:
        return None
    widest = 60 + 7 * max(map(len, names))
    return alt.Legend(columns=max(1, 720 // widest), symbolType="stroke", symbolOpacity=1, **how)


def _hides(chart: Any) -> Any:
    chart.params = [alt.param(name=HIDDEN, value=[]).param]
    return chart


_SHOWN = f"indexof({HIDDEN}, datum.series) < 0"


def _scales(lines: Sequence[Line], names: Sequence[str]) -> Dict[str, Any]:
    first = {one.name: one for one in reversed(lines)}
    colours = [theme.colour(first[name].colour) for name in names]
    dashes = [list(first[name].dash) or [1, 0] for name in names]
    legend = _legend(names)
    kept: Dict[str, Any] = {
        "color": alt.Color(
            "series:N", scale=alt.Scale(domain=list(names), range=colours), legend=legend
        )
    }
    if any(one.dash for one in lines):
        kept["strokeDash"] = alt.StrokeDash(
            "series:N", scale=alt.Scale(domain=list(names), range=dashes), legend=legend
        )
    return kept


def lines(
    found: Sequence[Line],
    x: str,
    y: str,
    *,
    x_domain: Optional[Tuple[float, float]] = None,
    y_domain: Optional[Tuple[float, float]] = None,
    log: bool = False,
    marks: Sequence[Tuple[float, str]] = (),
    height: int = 280,
) -> Drawn:
    """Lines against a number; a pointer shows the numbers."""
    names = list(dict.fromkeys(one.name for one in found))
    rows, singles = _line_rows(found, names)
    header = ("s", "seed", "x", "y", "low", "high")
    base = alt.Chart(_data(header, rows + singles, ("seed",))).transform_calculate(
        series=f"{json.dumps(names)}[datum.s]"
    )
    every = [row[2] for row in rows + singles]
    most = max(every, default=0.0)
    span = x_domain or (min(every, default=0.0), most)
    scale = {"type": "log"} if log else {"zero": False, "nice": True}
    y_scale = alt.Scale(domain=list(y_domain), nice=False) if y_domain else alt.Scale(**scale)
    axis = _axis(max(map(abs, span)))
    axis.tickCount = 6
    if all(x == int(x) for x in every) and span[1] - span[0] < 6:
        axis.values = list(range(math.ceil(span[0]), math.floor(span[1]) + 1))
    x_axis = alt.X("x:Q", title=x, scale=alt.Scale(domain=list(span), nice=False), axis=axis)
    kept = _scales(found, names)
    color, base = {"color": kept["color"]}, base.transform_filter(_SHOWN)
    mean, single = base.transform_filter("!datum.seed"), "datum.seed"
    layers = _marks(marks, span) if marks else []
    if any(math.isfinite(value.low) for one in found for _, value in one.places):
        band = mean.transform_filter("isValid(datum.low)")
        if max(len(one.places) for one in found) > 1:
            band = band.mark_area(opacity=max(0.07, 0.2 - 0.03 * len(names)))
        else:
            band = band.mark_rule(strokeWidth=2.5, strokeCap="round")
        layers.append(band.encode(x=x_axis, y=alt.Y("low:Q", title=y), y2="high:Q", **color))
    if singles:
        many = len({(row[0], row[1]) for row in singles})
        faint = max(0.06, min(0.45, 4 / max(many, 1)))
        cloud = base.transform_filter(single)
        if any(one.points for one in found):
            part = cloud.mark_circle(size=9, opacity=1)
        else:
            part = cloud.mark_line(strokeWidth=1, opacity=faint, clip=True)
        layers.append(part.encode(x=x_axis, y=alt.Y("y:Q", title=y), detail="seed:N", **color))
    high = max((abs(value.mean) for one in found for _, value in one.places), default=0.0)
    layers.append(
        mean.mark_line(strokeWidth=2.5, clip=True, strokeJoin="round").encode(
            x=x_axis, y=alt.Y("y:Q", title=y, scale=y_scale, axis=_axis(high)), **kept
        )
    )
    smooth = any(one.points and one.singles for one in found)
    if max(len(one.places) for one in found) <= _MARKED and not smooth:
        hollow = [one.name for one in found if one.hollow]
        layers.append(_points(mean, x_axis, y, color, hollow))
    kind = "update" if smooth else "meta-seed"
    layers.append(_hover(base, x_axis, x, y, kind, len(rows) + len(singles) <= _HOVERED))
    first = {one.name: one for one in reversed(found)}
    legend = [Key(name, first[name].colour, first[name].dash) for name in names]
    return Drawn(_hides(_sized(alt.layer(*layers), height)), _line_csv(found), legend)


def _line_rows(found: Sequence[Line], names: Sequence[str]) -> Tuple[List[Any], List[Any]]:
    count = sum(len(one.singles) for one in found)
    each = min(max(2, _SINGLE_POINTS // max(count, 1)), 250)
    rows, singles = [], []
    for one in found:
        s = names.index(one.name)
        keep = _thinned(len(one.places), 300) if one.places else []
        for x, value in (one.places[i] for i in keep):
            rows.append((s, "", float(_number(x) or 0), *map(_number, value)))
        for seed, xs, ys in one.singles:
            for i in _thinned(len(xs), each) if len(xs) else []:
                if math.isfinite(ys[i]):
                    singles.append((s, seed, float(_number(xs[i])), _number(ys[i], 4), "", ""))
    return rows, singles


def _line_csv(found: Sequence[Line]) -> str:
    rows = []
    for one in found:
        rows += [(one.name, "", f"{x:.10g}", *map(_exact, value)) for x, value in one.places]
        for seed, xs, ys in one.singles:
            rows += [(one.name, seed, f"{a:.10g}", _exact(b), "", "") for a, b in zip(xs, ys)]
    return _csv(("series", "meta_seed", "x", "value", "low", "high"), rows)


def _points(mean: Any, x_axis: Any, y: str, color: Dict[str, Any], hollow: List[str]) -> Any:
    test = f"indexof({json.dumps(hollow)}, datum.series) >= 0"
    return mean.mark_point(filled=True, size=34, opacity=1, strokeWidth=1.5).encode(
        x=x_axis,
        y=alt.Y("y:Q", title=y),
        fillOpacity=alt.condition(test, alt.value(0), alt.value(1)) if hollow else alt.value(1),
        **color,
    )


def _hover(base: Any, x_axis: Any, x: str, y: str, single: str, seeds: bool) -> Any:
    """Places under the pointer. The pictures in files do without."""
    places = base if seeds else base.transform_filter("!datum.seed")
    ends = "format(datum.low, '.3~g') + ' to ' + format(datum.high, '.3~g')"
    return (
        places.transform_calculate(
            line=f"datum.series + (datum.seed ? ', {single} ' + datum.seed : '')",
            interval=f"isValid(datum.low) ? {ends} : '-'",
        )
        .mark_point(size=140, opacity=0, filled=True, clip=True)
        .encode(
            x=x_axis,
            y=alt.Y("y:Q", title=y),
            detail="series:N",
            tooltip=[
                _tip("line:N"),
                _tip("x:Q", x, ",.5~g"),
                _tip("y:Q", y or "value", _THREE),
                _tip("interval:N", "95 %"),
            ],
        )
        .properties(name="hover")
    )


def _marks(marks: Sequence[Tuple[float, str]], span: Tuple[float, float]) -> List[Any]:
    """Vertical lines, with words at their upper ends; at the right edge an arrow points back."""
    edge = span[0] + 0.75 * (span[1] - span[0])
    base = alt.Chart(_data(("x", "label"), list(marks), ("label",)))
    muted = theme.colour("muted")
    found = [base.mark_rule(color=muted, strokeDash=[2, 3], opacity=0.6).encode(x="x:Q")]
    sides = ((f"datum.x <= {edge}", "left", 5, 3, ""), (f"datum.x > {edge}", "right", -5, 17, " →"))
    align: Any
    for test, align, dx, dy, arrow in sides:
        text = base.transform_filter(f"datum.label && {test}").mark_text(
            align=align, baseline="top", dx=dx, dy=dy, fontSize=11, color=muted
        )
        said = text.transform_calculate(text=f"datum.label + '{arrow}'")
        found.append(said.encode(x="x:Q", y=alt.value(0), text="text:N"))
    return found


def rows(
    found: Sequence[Row],
    x: str,
    domain: Optional[Tuple[float, float]] = None,
    mark: Optional[float] = None,
) -> Drawn:
    """A value with its interval in each row, its name above it. Small marks are meta-seeds. In a
    narrow chart the number is below, so that the name has the whole width."""
    narrow = "width < 480"
    header = ("place", "name", "y", "low", "high", "text", "color")
    table = [
        (i, one.name, *map(_number, one.value), words.interval(one.value), theme.colour(one.colour))
        for i, one in enumerate(found)
    ]
    texts = ("name", "text", "color")
    base = alt.Chart(_data(header, table, texts))
    y = alt.Y("place:O", axis=None, scale=alt.Scale(paddingInner=0.4, paddingOuter=0.4))
    scale = (
        alt.Scale(domain=list(domain), nice=False) if domain else alt.Scale(zero=False, nice=True)
    )
    axis = alt.Axis(grid=True, format="~f", tickCount=5)
    color = alt.Color("color:N", scale=None, legend=None)

    def x_of(field: str) -> Any:
        return alt.X(f"{field}:Q", title=x, scale=scale, axis=axis)

    layers = []
    if mark is not None:
        one_mark = alt.Chart(_data(("x",), [(mark,)], ()))
        layers.append(one_mark.mark_rule(color=theme.colour("muted")).encode(x=x_of("x")))
    seeds = [
        (i, one.name, _number(seed), theme.colour(one.colour))
        for i, one in enumerate(found)
        for seed in one.seeds
    ]
    if seeds:
        many = max(len(one.seeds) for one in found)
        small = alt.Chart(_data(("place", "name", "y", "color"), seeds, ("name", "color")))
        layers.append(
            small.mark_tick(thickness=1.5, size=22, opacity=max(0.12, min(0.6, 20 / many))).encode(
                x=x_of("y"),
                y=y,
                color=color,
                tooltip=[_tip("name:N", "single meta-seed of"), _tip("y:Q", x, _THREE)],
            )
        )
    layers += [
        base.mark_rule(strokeWidth=3, strokeCap="round").encode(
            x=x_of("low"), x2="high:Q", y=y, color=color
        ),
        base.mark_point(filled=True, size=110, opacity=1).encode(
            x=x_of("y"), y=y, color=color, tooltip=[_tip("name:N", "row"), _tip("text:N", x)]
        ),
        base.mark_text(
            align="left", dy=-17, limit=alt.ExprRef(f"{narrow} ? width : width - 130")
        ).encode(x=alt.value(0), y=y, text="name:N"),
        base.mark_text(
            align="right", dy=alt.ExprRef(f"{narrow} ? 16 : -17"), color=theme.colour("muted")
        ).encode(x=alt.value("width"), y=y, text="text:N"),
    ]
    chart = _sized(alt.layer(*layers), 54 * len(found) + 10)
    file = [(one.name, *map(_exact, one.value), " ".join(map(_exact, one.seeds))) for one in found]
    return Drawn(chart, _csv(("row", "value", "low", "high", "by_meta_seed"), file))


def parts(
    found: Sequence[Tuple[Key, List[Tuple[str, Interval]]]],
    y: str,
    domain: Optional[Tuple[float, float]],
) -> Drawn:
    """Values by name along the axis, side by side: (series, [(name, value)])."""
    names = list(dict.fromkeys(name for _, values in found for name, _ in values))
    every = [(key.name, *part) for key, values in found for part in values]
    table = [(series, name, *map(_number, value)) for series, name, value in every]
    header = ("series", "name", "y", "low", "high")
    base = alt.Chart(_data(header, table, ("series", "name"))).transform_filter(_SHOWN)
    keys = [key for key, _ in found]
    series = [key.name for key in keys]
    legend = _legend(series, symbolSize=70)
    scale = alt.Scale(domain=series, range=[theme.colour(key.colour) for key in keys])
    shapes = alt.Scale(domain=series, range=[key.shape for key in keys])
    x = alt.X(
        "name:N",
        sort=names,
        title=None,
        axis=alt.Axis(
            labelAngle=0, labelExpr="split(replace(datum.label, ' ', '_'), '_')", labelLimit=90
        ),
    )
    encoded = {
        "x": x,
        "xOffset": alt.XOffset("series:N", sort=series, scale=alt.Scale(paddingOuter=0.35)),
        "color": alt.Color("series:N", scale=scale, legend=legend),
    }
    y_scale = alt.Scale(domain=list(domain), nice=False) if domain else alt.Scale(zero=False)
    high = max(abs(value.mean) for _, _, value in every)
    rule = base.mark_rule(strokeWidth=2.5, strokeCap="round").encode(
        y=alt.Y("low:Q", title=y, scale=y_scale, axis=_axis(high)), y2="high:Q", **encoded
    )
    point = base.mark_point(filled=True, size=60, opacity=1).encode(
        y=alt.Y("y:Q", title=y),
        shape=alt.Shape("series:N", scale=shapes, legend=legend),
        tooltip=[
            _tip("series:N", "method"),
            _tip("name:N", "part"),
            _tip("y:Q", y, _THREE),
            *(_tip(f"{end}:Q", format=_THREE) for end in ("low", "high")),
        ],
        **encoded,
    )
    exact = [(series, name, *map(_exact, value)) for series, name, value in every]
    chart = _sized(rule + point, 260)
    return Drawn(_hides(chart), _csv(("series", "part", "value", "low", "high"), exact), keys)


def stacked(
    xs: Any, table: Any, names: Sequence[str], colours: Sequence[str], x: str, y: str
) -> Drawn:
    """Quantities that add up, [x][names]; bars where there are few, else areas."""
    keep = _thinned(len(xs), 300)
    values = [
        (name, float(xs[i]), _number(table[i][n]))
        for n, name in enumerate(names)
        for i in keep
        if math.isfinite(table[i][n])
    ]
    base = alt.Chart(_data(("series", "x", "y"), values, ("series",))).transform_filter(_SHOWN)
    few = len(keep) <= 60
    mark = base.mark_bar() if few else base.mark_area(interpolate="step")
    scale = alt.Scale(domain=list(names), range=[theme.colour(colour) for colour in colours])
    chart = mark.encode(
        x=alt.X("x:O" if few else "x:Q", title=x, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("y:Q", title=y, stack="zero", axis=_axis(np.nansum(table, axis=1).max())),
        color=alt.Color("series:N", scale=scale, legend=_legend(names)),
        order=alt.Order("place:Q"),
        tooltip=[_tip("series:N", "phase"), _tip("x:Q", x), _tip("y:Q", y, _THREE)],
    ).transform_calculate(place=f"indexof({json.dumps(list(names))}, datum.series)")
    cells = [(n, i) for n in range(len(names)) for i in range(len(xs))]
    exact = [(names[n], _exact(xs[i]), _exact(table[i][n])) for n, i in cells]
    legend = [Key(name, colour) for name, colour in zip(names, colours)]
    return Drawn(_hides(_sized(chart, 260)), _csv(("series", "x", "value"), exact), legend)


def bars(edges: Any, shares: Any, x: str, y: str) -> Drawn:
    table = [(_number(a), _number(b), _number(s)) for a, b, s in zip(edges, edges[1:], shares)]
    base = alt.Chart(_data(("low", "high", "y"), table, ()))
    chart = base.mark_bar(color=theme.colour("blue"), opacity=0.85, binSpacing=1).encode(
        x=alt.X("low:Q", title=x, bin="binned", axis=alt.Axis(format="~f", grid=False)),
        x2="high:Q",
        y=alt.Y("y:Q", title=y),
        tooltip=[_tip(f"{name}:Q", format=_THREE) for name in ("low", "high", "y")],
    )
    rows = [(_exact(a), _exact(b), _exact(s)) for a, b, s in zip(edges, edges[1:], shares)]
    return Drawn(_sized(chart, 240), _csv(("low", "high", "share"), rows))


def cloud(xs: Any, ys: Any, trend: Sequence[Tuple[float, float]], x: str, y: str) -> Drawn:
    """Points, and a line through means of them."""
    table = [(_number(a), _number(b)) for a, b in zip(xs, ys)]
    quantitative = {
        "x": alt.X("x:Q", title=x, scale=alt.Scale(zero=False)),
        "y": alt.Y("y:Q", title=y, scale=alt.Scale(zero=False)),
    }
    points = alt.Chart(_data(("x", "y"), table, ())).mark_circle(
        color=theme.colour("sky"), size=9, opacity=1
    )
    through = alt.Chart(_data(("x", "y"), list(trend), ())).mark_line(
        color=theme.colour("vermillion"),
        strokeWidth=2.5,
        point={"color": theme.colour("vermillion")},
    )
    chart = points.encode(**quantitative) + through.encode(**quantitative)
    return Drawn(_sized(chart, 280), _csv(("x", "y"), table))


def image(rows_in: int, columns: int, values: Sequence[float], x: str, y: str) -> Drawn:
    """A stronger colour is a greater value."""
    numbers = map(_number, values[: rows_in * columns])
    table = [(i % columns, i // columns, number) for i, number in enumerate(numbers)]
    axis = alt.Axis(labelAngle=0, labelOverlap=True, domain=False)
    chart = (
        alt.Chart(_data(("x", "y", "value"), table, ()))
        .mark_rect()
        .encode(
            x=alt.X("x:O", title=x, axis=axis),
            y=alt.Y("y:O", title=y, axis=axis),
            color=alt.Color("value:Q", scale=alt.Scale(scheme="blues"), legend=None),
            tooltip=["x:Q", "y:Q", _tip("value:Q", format=_THREE)],
        )
    )
    return Drawn(_sized(chart, 380), _csv(("column", "row", "value"), table))
