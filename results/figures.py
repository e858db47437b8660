"""Pictures of results, in docs/images: learning curves (arms.py), and success by part of a life.

They are drawn as reports are (mentor.report), panel beside panel.
"""

import itertools
import statistics

import teachers as table
from arms import FIGURES as CURVES
from data_files import Mistake
from places import interval
from published import half_band, paper_values

from mentor.report import charts, drawing, significance, theme  # data_files says where.
from mentor.report.statistics import Interval

COLOURS = ("green", "blue", "purple", "orange", "vermillion")
PANEL_WIDTH, NAME_WIDTH = 330, 72
# The learned rewards that stand beside the paper's. Door-close alone has its outer rate and its
# choice of weights by now.
REWARDS = {
    "reach": ("reach-reward", "test.learned"),
    "door-close": ("door-close-paper-rate", "test.learned_best"),
    "button-press": ("button-press-reward", "test.learned"),
}
# The parts of a life, and their numbers in claims and in paper_figures.csv.
PARTS = {
    "1-4": ("seg0", "1-4"),
    "5-8": ("seg1", "5-8"),
    "9-12": ("seg2", "9-12"),
    "without noise": ("det", "deterministic"),
}
# Teachers of paper_figures.csv: their names in tables, colours of ours and of the paper's.
TEACHERS = {
    "learned reward": ("learned reward", "blue", "sky"),
    "learned advantage": ("learned advantage", "green", "olive"),
    "PPO shaped": ("PPO, shaped reward", "orange", "brown"),
    "PPO tuned": ("PPO, tuned", "vermillion", "vermillion"),
    "PPO sparse": ("PPO, success alone", "muted", "grey"),
}
NETWORKS = {"lstm": "LSTM", "whole": "attention", "past": "past alone"}
SETTINGS = {
    "rate": "outer rate",
    "std": "first deviation",
    "entropy": "entropy coefficient",
    "target": "target mean",
    "lifetimes": "lives in an update",
}
ML10 = {"train": "training classes", "test": "unseen classes"}
AFTER_TWO = "test.learned.seg2"


def mean_of(values):
    return Interval(statistics.fmean(values), *interval(values))


def values_of(recorded, claim, number, seeds=None):
    """A number of each run that has ended; of the first `seeds` runs."""
    return [row["numbers"][number][0] for row in recorded.runs(claim)[1][:seeds]]


# --- Learning curves ---


def smooth_lines(curves, window):
    """(steps, Interval) wherever all curves have a value."""
    from curves import smooth

    made = [smooth(curve, window) for curve in curves]
    for steps in sorted(set.intersection(*map(set, made))) if made else ():
        yield steps / 1e6, mean_of([curve[steps] for curve in made])


def curve_panel(recorded, figure, panel):
    lines, end = [], (panel.steps or figure.steps) / 1e6
    for (label, claim), colour in zip(panel.arms.items(), COLOURS):
        curves = recorded.curves(claim, figure.shown)
        every = len(recorded.runs(claim)[0])
        seeds = f"{every}" if len(curves) == every else f"{len(curves)} of {every}"
        if claim in recorded.claims:  # Else it is one run.
            label += f" ({seeds} seed{'s' * (every > 1)})"
        places = [one for one in smooth_lines(curves, figure.window) if one[0] <= end]
        # The legend still names an arm that has not ended.
        lines.append(charts.Line(label, colour, places or [(0.0, Interval(*[float("nan")] * 3))]))
    return charts.lines(
        lines,
        "million environment steps",
        figure.shown,
        x_domain=(0, end),
        y_domain=(0, figure.highest) if figure.highest else None,
    )


def curves_of(name):
    def panels(recorded):
        figure = CURVES[name]
        return {panel.title: curve_panel(recorded, figure, panel) for panel in figure.panels}

    return panels


def dots(series, y, domain):
    """Values by name, [(series, colour, [(name, value)])]; each series has a shape of its own."""
    shapes = itertools.cycle(theme.SHAPES.values())
    keyed = [
        (charts.Key(name, colour, shape=shape), values)
        for (name, colour, values), shape in zip(series, shapes)
    ]
    return charts.parts(keyed, y, domain)


# --- Success by part of a life, beside the paper's ---


def ours_of(recorded, claim, prefix):
    whole = recorded.claims[claim].get("all")
    rows = recorded.runs(claim)[1]
    found = []
    for part, (number, _) in PARTS.items():
        name = f"{prefix}.{number}"
        one = whole or (rows[0] if len(rows) == 1 else None)
        pooled = one and one["numbers"].get(name)
        found.append(
            (part, Interval(*pooled) if pooled else mean_of(values_of(recorded, claim, name)))
        )
    return found


def theirs_of(key):
    found = []
    for part, (_, episodes) in PARTS.items():
        try:
            mean = statistics.fmean(paper_values("", key, episodes))
            half = half_band("", key, episodes)
        except Mistake:  # Not in the paper, or without a band.
            continue
        found.append((part, Interval(mean, mean - half, mean + half)))
    return found


def life_panel(recorded, published, arms):
    """`arms`: (teacher, claim, prefix of its numbers)."""
    series = []
    for teacher, claim, prefix in arms:
        title, ours, theirs = TEACHERS[teacher]
        if recorded.runs(claim)[1]:
            series.append((title, ours, ours_of(recorded, claim, prefix)))
        if found := theirs_of((*published, teacher)):
            series.append((f"{title}, paper", theirs, found))
    return dots(series, "success", None)


def rewards(recorded):
    arms = (("shaped", ""), ("tuned", "-tuned"), ("sparse", ""))
    return {
        task: life_panel(
            recorded,
            ("1", f"ml1 {task}", "test"),
            [("learned reward", *reward)]
            + [
                (f"PPO {kind}", claim, f"test.ppo_{kind.replace('tuned', 'shaped')}")
                for kind, end in arms
                if (claim := f"{task}-ppo{end}") in recorded.claims
            ],
        )
        for task, reward in REWARDS.items()
    }


def advantages(recorded):
    return {
        task: life_panel(
            recorded,
            ("3", f"ml1 {task}", "test"),
            [
                ("learned advantage", f"{task}-advantage", "test.learned"),
                ("learned reward", *reward),
            ],
        )
        for task, reward in REWARDS.items()
    }


def ml10_arms(split):
    """PPO was recorded on unseen classes alone."""
    arms = [(f"learned {r}", f"ml10-{r}", f"{split}.learned") for r in ("reward", "advantage")]
    kinds = ("shaped", "sparse") if split == "test" else ()
    return arms + [(f"PPO {kind}", "ml10-ppo", f"test.ppo_{kind}") for kind in kinds]


def ml10(recorded):
    return {
        title: life_panel(recorded, ("3", "ml10", split), ml10_arms(split))
        for split, title in ML10.items()
    }


def ml10_classes(recorded):
    found = {}
    for split, title in ML10.items():
        series = []
        for teacher, claim, prefix in ml10_arms(split):
            numbers = recorded.runs(claim)[1][0]["numbers"]
            names = sorted(name for name in numbers if name.startswith(f"{prefix}.seg2/"))
            classes = [name.partition("/")[2][:-3].replace("-", " ") for name in names]
            values = [(one, Interval(*numbers[n])) for one, n in zip(classes, names, strict=True)]
            series.append((*TEACHERS[teacher][:2], values))
        found[title] = dots(series, "success after two updates", (0, 1))
    return found


# --- Small environments ---


def later_steps(recorded):
    series = []
    for network, colour in zip(NETWORKS, COLOURS):
        values = {t: values_of(recorded, f"later-{t}-{network}", AFTER_TWO) for t in ("v", "m")}
        cells = [(f"tier {t.upper()}", mean_of(found)) for t, found in values.items()]
        series.append((NETWORKS[network], colour, cells))
    ppo = [
        (
            f"tier {t.upper()}",
            mean_of(values_of(recorded, f"later-{t}-whole", "test.ppo_sparse.seg2")),
        )
        for t in ("v", "m")
    ]
    series.append((TEACHERS["PPO sparse"][0], "grey", ppo))
    return {"": dots(series, "success after two updates", (0, 1))}


def settings(recorded):
    series = []
    for how, colour in (("a third", "blue"), ("as it is", "grey"), ("three times", "vermillion")):
        cells = []
        for setting, title in SETTINGS.items():
            kind = {"a third": "third", "three times": "triple"}.get(how)
            claim = f"settings-{setting}-{kind}" if kind else "point-reach-reward"
            cells.append((title, mean_of(values_of(recorded, claim, AFTER_TWO, 3))))
        series.append((how, colour, cells))
    return {"": dots(series, "success after two updates", None)}


def student_of(values):
    """A mean of success rates with the interval of the page, where there are several."""
    if len(values) == 1:
        return Interval(*values)
    return Interval(statistics.fmean(values), *significance.student_of_rates(values))


def teachers(recorded):
    """What has ended of the table of teachers, a panel for each task."""
    found = {}
    for name, task in table.TASKS.items():
        series = []
        for teacher, (title, colour) in table.TEACHERS.items():
            cells = []
            for updates in table.LIVES:
                claim = table.claim_of(name, updates, teacher)
                if table.why_not(name, teacher) or claim not in recorded.claims:
                    continue
                if recorded.runs(claim)[1]:
                    values = values_of(recorded, claim, table.number_of(updates, teacher))
                    cells.append((f"{updates} updates", student_of(values)))
            if cells:
                series.append((title, colour, cells))
        if series:
            found[task.title] = dots(series, "success at the end of a life", (0, 1))
    return found


MADE = {
    **{name: curves_of(name) for name in CURVES},
    "rewards": rewards,
    "advantages": advantages,
    "ml10": ml10,
    "ml10_classes": ml10_classes,
    "later_steps": later_steps,
    "settings": settings,
    "teachers": teachers,
}


def without_hidden(chart):
    """What a picture can do without: what a pointer finds, and what a reader hides."""
    kept = {key: one for key, one in chart.items() if key not in ("params", "$schema", "config")}
    if "layer" in kept:
        layers = [one for one in kept["layer"] if one.get("name") != "hover"]
        kept["layer"] = [without_hidden(one) for one in layers]
    if "transform" in kept:
        kept["transform"] = [one for one in kept["transform"] if charts.HIDDEN not in str(one)]
    for name in ("color", "strokeDash", "shape"):
        encoded = kept.get("encoding", {}).get(name)
        if encoded and encoded.get("legend"):
            encoded["legend"] = {**encoded["legend"], "orient": "bottom", "columns": 1}
    return kept


def width_of(chart):
    """Names along the axis want room."""
    names = chart["layer"][0]["encoding"]["x"].get("sort", ())
    return max(PANEL_WIDTH, NAME_WIDTH * len(names))


def chart_of(panels):
    found, datasets = [], {}
    for title, drawn in panels.items():
        chart = without_hidden(drawn.chart.to_dict(validate=False))
        datasets.update(chart.pop("datasets", {}))
        chart.update(width=width_of(chart), title={"text": title, "anchor": "start", "offset": 22})
        found.append(chart)
    config = {**theme.config(), "autosize": "pad", "padding": 8}
    return {
        "hconcat": found,
        "datasets": datasets,
        "spacing": 36,
        "resolve": {"scale": dict.fromkeys(("color", "shape", "xOffset"), "independent")},
        "background": theme.colour("page"),
        "config": config,
    }


def data(recorded):
    """Asks for all numbers of all figures."""
    for make in MADE.values():
        make(recorded)


def draw(recorded, names, out):
    """Writes OUT/NAME.svg."""
    if unknown := set(names) - set(MADE):
        raise Mistake(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(MADE)}")
    out.mkdir(parents=True, exist_ok=True)
    for name in names or MADE:
        panels = MADE[name](recorded)
        if not panels:
            continue  # Nothing of it has ended.
        svg = drawing.picture(chart_of(panels))
        (out / f"{name}.svg").write_text(theme.light(svg), encoding="utf-8")
