"""Learning curves of claims, and what was registered about them: places {verdict KIND CLAIM...}.

The archive has the curve of a run: the metrics that its measures name, against environment steps.
"""

import dataclasses
import inspect
import math
import statistics

import claims
from arms import FIGURES, SIZE, SUCCESS, UPDATE_STEPS
from data_files import Mistake, rows_of

from mentor.report import significance  # data_files says where.

# A return of the game, whatever the agent earned.
RETURNS = ("shaped_return", "episode_return_mean")
# The rule meta_gradient has three outer updates in a generation: agents act in the third after two.
UPDATES_IN_GENERATION = 3
FALL_WINDOW = 20 * UPDATE_STEPS
LIMIT = 0.81  # A run that ends at no more of its best mean falls back.


class Recorded:
    """Claims with the curves of their runs."""

    def __init__(self, known, files):
        self.claims = known
        self.files = files  # The archive's, by name.
        self.missing = []  # Runs that are recorded without a curve.

    def runs(self, claim):
        """All runs of a claim, or the run CLAIM-RUN alone, and those that have ended."""
        known = claims.with_run(claim, self.claims)
        if claim not in known:
            raise Mistake(f"no claim '{claim}'")
        runs = claims.runs_of(claim, known)
        if not runs:
            raise Mistake(f"claim {claim} has no runs; plan them in the file of claims")
        return runs, [row for row in runs if claims.result_of(row)]

    def finals(self, claim):
        """The final returns of the runs that have ended."""
        finals = []
        for row in self.runs(claim)[1]:
            numbers = row["numbers"]
            names = [name for name in numbers if name.partition("@last:")[0] in RETURNS]
            measured = [numbers[name][0] for name in names]
            if len(measured) != 1:
                raise Mistake(
                    f"claim {claim}, run {row['run']}: its measures must name one of "
                    f"{' and '.join(f'{name}@last:N' for name in RETURNS)}"
                )
            finals += measured
        return finals

    def curves(self, claim, shown="return"):
        """[(steps, value), ...] of each run that has ended. Remembers runs that have no curve."""
        curves = []
        for row in self.runs(claim)[1]:
            path = f"curves/{claims.name_of(row)}.csv"
            if path not in self.files:
                self.missing.append(claims.name_of(row))
                continue
            lines = list(rows_of(self.files[path], path, ()))
            if not lines or lines[-1].get("env_steps") != row["env_steps"]:
                raise Mistake(f"{path} is the curve of another run; record the run again")
            if shown == SUCCESS and "meta_gradient" in row["command"]:
                thirds = lines[UPDATES_IN_GENERATION - 1 :: UPDATES_IN_GENERATION]
                lines = [{**line, "seg2": line.get("success")} for line in thirds]
            try:
                curve = [(int(line["env_steps"]), value_of(line, shown)) for line in lines]
            except (KeyError, StopIteration, TypeError, ValueError):
                raise Mistake(f"{path} has no {shown} in a line; record the run again") from None
            curves.append([point for point in curve if point[1] is not None])
        return curves

    def whole_curves(self, claim, shown="return"):
        """The same; a run without a curve is a mistake."""
        known = len(self.missing)
        curves = self.curves(claim, shown)
        if missing := self.missing[known:]:
            raise Mistake(self.complaint(missing))
        return curves

    @staticmethod
    def complaint(missing):
        names = " ".join(dict.fromkeys(missing))
        return f"recorded without a curve: {names}; results/record.py keeps it"

    def verdict(self, words):
        """The text of a place {verdict KIND CLAIM...}: what came out, or that it has not ended."""
        kind, *names = words or [""]
        try:
            inspect.signature(VERDICTS[kind]).bind(self, *names)
        except (KeyError, TypeError):
            raise Mistake(f"{{verdict {' '.join(words)}}}: no verdict of results/curves.py")
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


def whole(value):
    return f"{value:,.0f}".replace(",", " ")


EARLY = 21 * 2048  # Environment steps of the beginning, in row 8.


def learned(recorded, claim):
    """The final return less that of the beginning is above 0."""
    first = [
        statistics.fmean(value for steps, value in curve if steps <= EARLY)
        for curve in recorded.whole_curves(claim)
    ]
    gains = [last - begin for last, begin in zip(recorded.finals(claim), first, strict=True)]
    low, high = significance.student(gains)
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
    """Which arms are above which: where the interval of the difference excludes 0, by Welch's t.
    Arms may have unlike numbers of seeds."""
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
            if other != arm and significance.apart(finals[arm], finals[other])[0] > 0
        ]
        if below:
            said.append(f"{names[arm]} above " + " and above ".join(below))
    return None, "; ".join(said) or "no arm is above another"


def by_steps_of(recorded, claim, other):
    """Success after two updates in meta-training when it had as many steps as the other has, by
    seed."""
    window = 3 * UPDATE_STEPS
    pairs = [recorded.whole_curves(name, SUCCESS) for name in (claim, other)]
    try:
        return [smooth(curve, window)[end[-1][0]] for curve, end in zip(*pairs, strict=True)]
    except (KeyError, ValueError):
        raise Mistake(
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


@dataclasses.dataclass
class Falls:
    end: float  # The last mean, as a part of the best one.
    worst: float  # The least part of the best mean before it that a mean has.
    steps: int  # Environment steps when it has that.


def falls_of(means):
    """How far a run falls below what it had. Means over a window, by environment steps."""
    best, falls = 0.0, Falls(1.0, 1.0, 0)
    for steps, mean in means.items():
        if best and mean / best < falls.worst:
            falls.worst, falls.steps = mean / best, steps
        best = max(best, mean)
        falls.end = mean / best if best else 1.0
    return falls


def all_falls(recorded, claim):
    """How far each run falls below its best mean of 20 outer updates of ML1 or ML10."""
    window = FALL_WINDOW
    for curve in recorded.whole_curves(claim, SUCCESS):
        means = smooth(curve, window)
        yield falls_of({s: mean for s, mean in means.items() if s >= window})


def falls(recorded, claim):
    """Three cells: the last mean, and the worst, in parts of the best before; when, in updates."""
    found = list(all_falls(recorded, claim))
    cells = [", ".join(f"{getattr(one, name):.2f}" for one in found) for name in ("end", "worst")]
    return None, " | ".join([*cells, ", ".join(str(one.steps // UPDATE_STEPS) for one in found)])


def fallen(recorded, *names):
    """How many runs end at no more than the limit."""
    ends = [one.end for name in names for one in all_falls(recorded, name)]
    return None, f"{sum(end <= LIMIT for end in ends)} of {len(ends)}"


# What results/experiments.md registers. Each gives (yes or no, words); None: no threshold was set.
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
