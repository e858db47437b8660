#!/usr/bin/env python3
"""Draws learning curves of claims, and says what they show.

`mentor reproduce --record` keeps the curve of each run in curves/CLAIM-RUN.csv beside the file of
claims: the metrics that its measures name, against environment steps. A figure has a line for each
arm: the mean over the seeds that have ended, with a band. The legend says how many these are.

Usage: docs/curves.py [--claims FILE] [--out DIR] [FIGURE...]
  --claims FILE   file of claims; default: docs/data/claims.csv
  --out DIR       folder for FIGURE.svg; default: docs/images
  FIGURE          names of figures; default: all of them

Example: docs/curves.py lirpg_delayed

Needs gnuplot; else standard library only.
"""

import argparse
import dataclasses
import inspect
import math
import pathlib
import re
import statistics
import subprocess
import sys

import claims
import falling_back

# A return of the game, whatever the agent earned.
RETURNS = ("shaped_return", "episode_return_mean")
SIZE = "size of the reward"  # sqrt(mean^2 + deviation^2) of an outer update
SUCCESS = "success after two updates"
# The rule meta_gradient has three outer updates in a generation: agents act in the third after two.
UPDATES_IN_GENERATION = 3
COLOURS = ("#009e73", "#0072b2", "#b8639a", "#e69f00", "#d55e00")  # of mentor.report
INK, MUTED, GRID = "#1f2933", "#66727f", "#dfe4e9"
UPDATE_STEPS = 180000  # Environment steps of an outer update of ML1 and ML10.
PANEL_WIDTH, PANEL_HEIGHT = 380, 400
# Millions of steps between the numbers of an axis, where it has fewer steps than that.
TICS = ((2e6, 0.2), (4e6, 0.5), (40e6, 5), (math.inf, 20))


@dataclasses.dataclass
class Panel:
    title: str
    arms: dict  # claims by their names in the legend
    steps: int = 0  # The end of the axis, where it is not the figure's.


@dataclasses.dataclass
class Figure:
    panels: list
    steps: int  # The end of the axis.
    window: int  # Environment steps of the running mean, which are those of the final return.
    shown: str = "return"
    highest: float = 0  # The end of the vertical axes, where they are alike.


def delayed(name):
    return {
        "PPO": f"delayed-ppo-{name}",
        "LIRPG, c_ex 0": f"lirpg-{name}",
        "LIRPG, c_ex 0.01": f"lirpg-task-{name}",
        "c_ex 0, untrained reward": f"lirpg-untrained-{name}",
        "c_ex 0.01, untrained reward": f"lirpg-task-untrained-{name}",
    }


def undelayed(name):
    return {
        "PPO": f"ppo-{name}",
        "CLN, c_ex 0": f"stn-{name}",
        "CLN, c_ex 1": f"stn-task-{name}",
        "LIRPG": f"lirpg-undelayed-{name}",
    }


def terms(claim):
    return {
        "[17]": f"{claim}-direct",
        "[17] + [12] + [13]": f"{claim}-all",
        "[13]": f"{claim}-reward",
    }


FIGURES = {
    "lirpg_delayed": Figure(
        [
            Panel("Hopper", delayed("hopper")),
            Panel("HalfCheetah", delayed("halfcheetah")),
            Panel("Walker2d", delayed("walker2d")),
        ],
        steps=1000000,
        window=40960,
    ),
    "stn_returns": Figure(
        [Panel("Hopper", undelayed("hopper")), Panel("HalfCheetah", undelayed("halfcheetah"))],
        steps=3014656,
        window=163840,
    ),
    "stn_terms": Figure(
        [
            Panel("Hopper, c_ex 0", terms("stn-terms")),
            Panel("Hopper, c_ex 1", terms("stn-task-terms")),
        ],
        steps=1015808,
        window=163840,
    ),
    "stn_reward": Figure(
        [
            Panel(
                "Hopper, c_ex 0", {"no tanh": "stn-hopper", "within a tanh": "stn-bounded-hopper"}
            ),
            Panel("HalfCheetah, c_ex 0", {"no tanh": "stn-halfcheetah"}),
        ],
        steps=3014656,
        window=0,
        shown=SIZE,
    ),
    "meta_training": Figure(
        [
            Panel(
                task, {"learned advantage": f"{task}-advantage", "learned reward": f"{task}-reward"}
            )
            for task in ("reach", "button-press")
        ]
        + [
            Panel(
                "door-close, learned reward",
                {
                    "shaped reward": "door-close-reward-best",
                    "success alone": "door-close-sparse-only",
                    "the paper's rate": "door-close-paper-rate",
                },
                steps=90000000,
            ),
            Panel(
                "ML10",
                {"learned advantage": "ml10-advantage", "learned reward": "ml10-reward"},
                steps=72000000,
            ),
        ],
        steps=27000000,
        window=20 * UPDATE_STEPS,
        shown=SUCCESS,
    ),
    "black_box_or_meta_gradient": Figure(
        [
            Panel(
                f"door-close, meta-seed {seed}",
                {
                    "meta-gradient, LSTM": f"door-close-meta-gradient-{seed}",
                    "meta-gradient, mlp": f"door-close-meta-gradient-mlp-{seed}",
                    "black box": f"door-close-reward-best-{seed}",
                },
            )
            for seed in (1, 2, 3)
        ],
        steps=2880000,
        window=3 * UPDATE_STEPS,
        shown=SUCCESS,
        highest=0.8,
    ),
}


class Recorded:
    """Claims with the curves of their runs."""

    def __init__(self, file):
        self.claims = claims.read(file)
        self.folder = file.parent / "curves"
        self.missing = []

    def runs(self, claim):
        """All runs of a claim, or the run CLAIM-RUN alone, and those that have ended."""
        known = claims.with_run(claim, self.claims)
        if claim not in known:
            raise claims.Mistake(f"no claim '{claim}'")
        runs = claims.runs_of(claim, known)
        if not runs:
            raise claims.Mistake(f"claim {claim} has no runs; plan them in the file of claims")
        return runs, [row for row in runs if claims.result_of(row)]

    def finals(self, claim):
        """The final returns of the runs that have ended."""
        finals = []
        for row in self.runs(claim)[1]:
            measured = [
                value[0]
                for number, value in row["numbers"].items()
                if number.partition("@last:")[0] in RETURNS
            ]
            if len(measured) != 1:
                raise claims.Mistake(
                    f"claim {claim}, run {row['run']}: its measures must name one of "
                    f"{' and '.join(f'{name}@last:N' for name in RETURNS)}"
                )
            finals += measured
        return finals

    def curves(self, claim, shown="return"):
        """[(steps, value), ...] of each run that has ended. Remembers runs that have no curve."""
        curves = []
        for row in self.runs(claim)[1]:
            path = self.folder / f"{row['claim']}-{row['run']}.csv"
            if not path.exists():
                self.missing.append(path.stem)
                continue
            lines = list(claims.table_of(path, ()))
            if not lines or lines[-1].get("env_steps") != row["env_steps"]:
                raise claims.Mistake(f"{path} is the curve of another run; record the run again")
            if shown == SUCCESS and "meta_gradient" in row["command"]:
                thirds = lines[UPDATES_IN_GENERATION - 1 :: UPDATES_IN_GENERATION]
                lines = [{**line, "seg2": line.get("success")} for line in thirds]
            try:
                curve = [(int(line["env_steps"]), value_of(line, shown)) for line in lines]
            except (KeyError, StopIteration, TypeError, ValueError):
                raise claims.Mistake(
                    f"{path} has no {shown} in a line; record the run again"
                ) from None
            curves.append([point for point in curve if point[1] is not None])
        return curves

    def whole_curves(self, claim, shown="return"):
        """The same; a run without a curve is a mistake."""
        known = len(self.missing)
        curves = self.curves(claim, shown)
        if missing := self.missing[known:]:
            raise claims.Mistake(self.complaint(missing))
        return curves

    @staticmethod
    def complaint(missing):
        names = " ".join(dict.fromkeys(missing))
        return f"recorded without a curve; 'mentor reproduce {names} --from RUNS --record' keeps it"

    def verdict(self, words):
        """The text of a place {verdict KIND CLAIM...}: what came out, or that it has not ended."""
        kind, *names = words or [""]
        try:
            inspect.signature(VERDICTS[kind]).bind(self, *names)
        except (KeyError, TypeError):
            raise claims.Mistake(f"{{verdict {' '.join(words)}}}: no verdict of docs/curves.py")
        runs = [self.runs(name) for name in names]
        every, ended = (sum(len(pair[i]) for pair in runs) for i in (0, 1))
        if ended < every:
            return f"not ended ({ended} of {every} runs)"
        came, said = VERDICTS[kind](self, *names)
        return said if came is None else f"**{'yes' if came else 'no'}**: {said}"


def value_of(line, shown):
    """The value of a line of a curve; None: no episode ended."""
    if shown == SIZE:
        return math.hypot(float(line["signal_mean"]), float(line["signal_std"]))
    if shown == SUCCESS:
        return float(line["seg2"])
    text = next(line[name] for name in RETURNS if name in line)
    return float(text) if text else None


def smooth(curve, window):
    """Running means over the environment steps of the window, by steps."""
    made = {}
    for steps, value in curve:
        inside = [v for s, v in curve if steps - window < s <= steps]
        made[steps] = statistics.fmean(inside) if inside else value
    return made


def lines_of(curves, window):
    """(steps, mean, low, high) wherever all curves have a value."""
    made = [smooth(curve, window) for curve in curves]
    for steps in sorted(set.intersection(*map(set, made))) if made else ():
        values = [curve[steps] for curve in made]
        yield steps, statistics.fmean(values), *claims.interval(values)


def whole(value):
    return f"{value:,.0f}".replace(",", " ")


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def script_of(name, figure, recorded):
    """The commands for gnuplot."""
    yield "set encoding utf8"
    yield (
        f"set terminal svg size {PANEL_WIDTH * len(figure.panels)},{PANEL_HEIGHT} "
        f"font 'DejaVu Sans,13' background '#ffffff' name {quoted(name)} noenhanced"
    )
    yield f"set border 3 linecolor rgb '{MUTED}' linewidth 1"
    yield f"set tics nomirror textcolor rgb '{INK}' scale 0.5"
    yield f"set grid ytics linecolor rgb '{GRID}' linetype 1 linewidth 1"
    rows = max(len(panel.arms) for panel in figure.panels)
    yield f"set key above left vertical maxrows {rows} reverse Left samplen 2 textcolor rgb '{INK}'"
    # Panels are equally high, whatever their legends have.
    yield f"set tmargin {2 + 1.3 * rows}"
    yield "set style fill transparent solid 0.16 noborder"
    for what in ("xlabel", "ylabel", "title"):
        yield f"set {what} textcolor rgb '{INK}' noenhanced"
    yield "set xlabel 'environment steps, millions'"
    yield f"set ylabel {quoted(figure.shown)}"
    plots = []
    for p, panel in enumerate(figure.panels):
        parts, empty = [], True
        for a, (label, claim) in enumerate(panel.arms.items()):
            curves = recorded.curves(claim, figure.shown)
            every = len(recorded.runs(claim)[0])
            seeds = f"{every}" if len(curves) == every else f"{len(curves)} of {every}"
            if claim in recorded.claims:  # Else it is one run.
                label += f" ({seeds} seeds)"
            colour = f"linecolor rgb '{COLOURS[a]}'"
            line = f"with lines linewidth 2 {colour} title {quoted(label)}"
            if not curves:
                parts.append(f"NaN {line}")  # The legend still names the arm.
                continue
            empty = False
            block = f"$data_{p}_{a}"
            yield f"{block} << EOD"
            for steps, *values in lines_of(curves, figure.window):
                yield f"{steps / 1e6:.6g} " + " ".join(f"{value:.6g}" for value in values)
            yield "EOD"
            parts += [
                f"{block} using 1:3:4 with filledcurves {colour} notitle",
                f"{block} using 1:2 {line}",
            ]
        steps = panel.steps or figure.steps
        plots.append(f"set title {quoted(panel.title)}")
        plots.append(f"set xrange [0:{steps / 1e6:.6g}]")
        plots.append(f"set xtics {next(tic for most, tic in TICS if steps < most)}")
        highest = figure.highest or (1 if empty else 0)
        plots.append(f"set yrange [0:{highest}]" if highest else "set yrange [*:*]")
        plots.append("plot " + ", ".join(parts))
    yield f"set multiplot layout 1,{len(figure.panels)}"
    yield from plots
    yield "unset multiplot"


def draw(name, recorded, out):
    """Writes OUT/NAME.svg."""
    script = "\n".join(script_of(name, FIGURES[name], recorded)) + "\n"
    made = subprocess.run(
        ["gnuplot", "-d", "-"], input=script, capture_output=True, text=True, check=True
    ).stdout
    # Browsers show a title under the pointer, and gnuplot invents them.
    (out / f"{name}.svg").write_text(re.sub(r"<title>[^<]*</title>\n*", "", made), encoding="utf-8")


EARLY = 21 * 2048  # Environment steps of the beginning, in row 8.


def learned(recorded, claim):
    """The final return less that of the beginning is above 0."""
    first = [
        statistics.fmean(value for steps, value in curve if steps <= EARLY)
        for curve in recorded.whole_curves(claim)
    ]
    gains = [last - begin for last, begin in zip(recorded.finals(claim), first, strict=True)]
    low, high = claims.interval(gains)
    gain = f"{whole(statistics.fmean(gains))} [{whole(low)}, {whole(high)}]"
    return low > 0, f"{gain} above the beginning"


def not_below(recorded, claim, other):
    """The mean is at least that of the other, less the standard error of their difference."""
    arms = [recorded.finals(claim), recorded.finals(other)]
    error = math.sqrt(sum(statistics.variance(arm) / len(arm) for arm in arms))
    difference = statistics.fmean(arms[0]) - statistics.fmean(arms[1])
    return difference >= -error, f"difference {whole(difference)}, standard error {whole(error)}"


def grows(recorded, claim):
    """The size of the reward still grows in the last fifth, and is above 1 there; in each seed."""
    curves = recorded.whole_curves(claim, SIZE)
    rising = 0
    for curve in curves:
        fifth = len(curve) // 5
        before, last = (
            statistics.fmean(value for _, value in part)
            for part in (curve[-2 * fifth : -fifth], curve[-fifth:])
        )
        rising += last > max(before, 1)
    return rising == len(curves), f"in {rising} of {len(curves)} seeds"


def order(recorded, *arms):
    """Which arms are above which: where the interval of the difference excludes 0."""
    finals = {arm: recorded.finals(arm) for arm in arms}
    names = {
        claim: label
        for figure in reversed(FIGURES.values())  # The first that has the claim names it.
        for panel in figure.panels
        for label, claim in panel.arms.items()
    }
    said = []
    for arm in sorted(arms, key=lambda one: -statistics.fmean(finals[one])):
        below = [
            names[other]
            for other in arms
            if other != arm and claims.interval(finals[arm], less=finals[other])[0] > 0
        ]
        if below:
            said.append(f"{names[arm]} above " + " and above ".join(below))
    return None, "; ".join(said) or "no arm is above another"


def by_steps_of(recorded, claim, other):
    """Success after two updates in meta-training when it had as many steps as the other has, by
    seed."""
    window = FIGURES["black_box_or_meta_gradient"].window
    pairs = [recorded.whole_curves(name, SUCCESS) for name in (claim, other)]
    try:
        return [smooth(curve, window)[end[-1][0]] for curve, end in zip(*pairs, strict=True)]
    except (KeyError, ValueError):
        raise claims.Mistake(
            f"claims {claim} and {other} must have as many runs, and {claim} the last steps of "
            f"{other} in each"
        ) from None


def early(recorded, claim, other):
    """The success of a claim when it had as many steps as the other has in the end."""
    return None, ", ".join(f"{value:.2f}" for value in by_steps_of(recorded, claim, other))


def early_gain(recorded, claim, other):
    """The success of a claim in the end, less that of the other after as many steps."""
    ends = by_steps_of(recorded, claim, claim), by_steps_of(recorded, other, claim)
    return None, ", ".join(f"{one - two:+.2f}" for one, two in zip(*ends, strict=True))


def all_falls(recorded, claim):
    """How far each run falls below its best mean of 20 outer updates of ML1 or ML10."""
    window = FIGURES["meta_training"].window
    for curve in recorded.whole_curves(claim, SUCCESS):
        means = smooth(curve, window)
        yield falling_back.falls_of({s: mean for s, mean in means.items() if s >= window})


def falls(recorded, claim):
    """Three cells: the last mean, and the worst, in parts of the best before; when, in updates."""
    found = list(all_falls(recorded, claim))
    cells = [", ".join(f"{getattr(one, name):.2f}" for one in found) for name in ("end", "worst")]
    return None, " | ".join([*cells, ", ".join(str(one.steps // UPDATE_STEPS) for one in found)])


def fallen(recorded, *names):
    """How many runs end at no more than the limit."""
    ends = [one.end for name in names for one in all_falls(recorded, name)]
    return None, f"{sum(end <= falling_back.LIMIT for end in ends)} of {len(ends)}"


# What docs/experiments.md registers. Each gives (yes or no, words); None: no threshold was set.
VERDICTS = {
    "learned": learned,
    "not-below": not_below,
    "grows": grows,
    "order": order,
    "early": early,
    "early-gain": early_gain,
    "falls": falls,
    "fallen": fallen,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--claims", type=pathlib.Path, default=claims.CLAIMS)
    parser.add_argument("--out", type=pathlib.Path, default=claims.ROOT / "docs" / "images")
    parser.add_argument("figures", nargs="*", metavar="FIGURE")
    flags = parser.parse_args()
    if unknown := set(flags.figures) - set(FIGURES):
        parser.error(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    try:
        recorded = Recorded(flags.claims)
        flags.out.mkdir(parents=True, exist_ok=True)
        for name in flags.figures or FIGURES:
            draw(name, recorded, flags.out)
    except claims.Mistake as mistake:
        sys.exit(f"curves.py: {mistake}")
    except FileNotFoundError as error:
        sys.exit(f"curves.py: {error}; gnuplot is in gnuplot-nox")
    except subprocess.CalledProcessError as error:
        sys.exit(f"curves.py: gnuplot failed: {error.stderr}")
    if recorded.missing:
        print(f"curves.py: {recorded.complaint(recorded.missing)}", file=sys.stderr)


if __name__ == "__main__":
    main()
