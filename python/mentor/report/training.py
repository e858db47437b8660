"""What the numbers of meta-training say: curves, costs, and symptoms of a run that does not learn.
Thresholds are in docs/it_does_not_learn.md."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from . import words
from .records import Run, Training
from .statistics import Array, Interval, running_mean

_UPDATES_MIN = 8  # Two in each quarter.
_LATEST = 10  # Updates that count as the latest ones.
_MOST_OF_THEM = 0.8  # Their share that shows a symptom.
_PAGE = "docs/it_does_not_learn.md"

PHASES = ("simulation", "policy", "signal network", "inner updates", "outer rule")


@dataclasses.dataclass
class Lifetimes:
    """Agents of one generation along their lives, of rules with decisions inside a lifetime."""

    generation: int
    iterations: Array
    values: Array


def generations(training: Training) -> List[Lifetimes]:
    """Success by inner iteration, or the shaped return where nothing succeeds. Incomplete
    generations are left out if a complete one exists."""
    if "generation" not in training.metrics:
        return []
    metric = "success" if (training.of("success") > 0).any() else "shaped_return"
    table = np.stack([training.of(name) for name in ("generation", "iteration", metric)])
    table = table[:, np.isfinite(table).all(0)]
    found = [
        Lifetimes(int(generation), *table[1:, table[0] == generation])
        for generation in np.unique(table[0])
    ]
    longest = max((len(one.values) for one in found), default=0)
    return [one for one in found if len(one.values) == longest]


@dataclasses.dataclass
class OuterCurve:
    """How the agents of meta-training changed from its first quarter to its last one."""

    quantity: str  # "success after 2 updates"
    unit: str
    window: int  # Their number in each of the two quarters.
    first: float
    last: float
    change: Interval  # From the noise between neighbouring updates, which a trend does not widen.
    movement: str

    def __str__(self) -> str:
        return (
            f"{self.quantity} {self.movement} in meta-training: {words.rounded(self.first)} "
            f"(first {self.window} {self.unit}) to {words.rounded(self.last)} (last "
            f"{self.window}), change {words.interval(self.change)}"
        )


def outer_curve(run: Run) -> Optional[OuterCurve]:
    """None where it says nothing: too few updates, or tasks that a curriculum changes."""
    training, unit = run.training, "outer updates"
    if "curriculum.name" in run.settings:
        return None
    if "generation" in training.metrics:
        lives, unit = generations(training), "generations"
        success = bool((training.of("success") > 0).any())
        values = np.array([life.values[-1] for life in lives])
        quantity = f"{'success' if success else 'the shaped return'} at the end of a lifetime"
    else:
        success, last = training.succeeds, run.iterations - 1
        values = training.known(f"seg{last}" if success else "shaped_return")[1]
        quantity = (
            f"success {words.in_part(last, run.iterations)}"
            if success
            else "the shaped return of an episode"
        )
    if len(values) < _UPDATES_MIN:
        return None
    if training.before:
        unit += f" since update {training.before}"
    quarter = len(values) // 4
    variance = float((np.diff(values) ** 2).sum()) / (2 * (len(values) - 1))
    error = math.sqrt(2 * variance / quarter)
    first, end = float(values[:quarter].mean()), float(values[-quarter:].mean())
    change = Interval(end - first, end - first - 2 * error, end - first + 2 * error)
    least = words.LEAST_OF_SUCCESS if success else words.LEAST_OF_DEVIATION * math.sqrt(variance)
    moved = words.movement(change, least)
    return OuterCurve(quantity, unit, quarter, first, end, change, moved)


def best_update(training: Training, updates: int) -> Optional[int]:
    """The outer update whose weights had the best score, among the first `updates`."""
    best, score = None, -math.inf
    for place, (update, value) in enumerate(zip(training.updates, training.of("best_score"))):
        if update > updates or not value > score:
            continue
        # The lifetimes of an update were taught by the weights before it. The score of the first
        # point may be older.
        score = value
        if place > 0 or training.before == 0:
            best = int(update) - 1
    return best


# --- Cost ---


def phase_seconds(training: Training) -> Array:
    """CPU seconds of each outer update by phase, [updates][PHASES]; NaN where none is known."""
    names = ("rollout", "policy", "signal", "update", "outer")
    table = np.stack([training.of(f"{name}_seconds") for name in names], axis=1)
    known = np.isfinite(table).any(1)
    table = np.where(np.isfinite(table), table, 0)
    # The policy's time is estimated from samples, and can exceed the whole of tiny steps.
    table[:, 1] = np.minimum(table[:, 1], table[:, 0])
    table[:, 0] -= table[:, 1]
    table[~known] = np.nan
    return np.asarray(table)


def steps_of_updates(training: Training) -> Array:
    """Environment steps of each outer update alone; NaN: unknown."""
    if not len(training):
        return np.zeros(0)
    steps = np.diff(training.env_steps, prepend=0.0)
    if training.before:
        steps[0] = np.nan  # The steps of the earlier run are unknown.
    return np.where(steps > 0, steps, np.nan)


def speed(training: Training) -> Array:
    """Environment steps a second of wall time of each outer update."""
    wall = training.of("wall_seconds")
    return steps_of_updates(training) / np.where(wall > 0, wall, np.nan)


def mean_speed(training: Training) -> float:
    steps, wall = steps_of_updates(training), training.of("wall_seconds")
    known = np.isfinite(steps) & (wall > 0)
    return float(steps[known].sum() / wall[known].sum()) if known.any() else math.nan


def window_of(updates: int) -> int:
    """Running means span a tenth of the run, so that a short run keeps several values."""
    return min(max(updates // 10, 1), 10)


# --- Hints ---


@dataclasses.dataclass
class Hint:
    id: str  # Anchor in the page.
    text: str

    def __str__(self) -> str:
        return f"{self.text} More: {_PAGE}#{self.id}."


_Bad = Callable[[Array], Any]


def _since(training: Training, metric: str, bad: _Bad) -> Optional[int]:
    """The first update from which on all values are bad, where most of the latest are."""
    updates, values = training.known(metric)
    ill = np.asarray(bad(values), bool)
    if len(values) < _LATEST or ill[-_LATEST:].sum() < _MOST_OF_THEM * _LATEST:
        return None
    healthy = np.flatnonzero(~ill)
    first = healthy[-1] + 1 if len(healthy) else 0
    return int(updates[min(first, len(updates) - 1)])


def hints(run: Run) -> List[Hint]:
    """In the order in which one should look at them; none for a run that learns."""
    training, found = run.training, []
    updates, skipped = training.known("nonfinite_updates")
    if skipped.any():
        found.append(
            Hint(
                "updates-not-finite",
                f"{words.several(int(skipped.sum()), 'update')} of agents, the first in outer "
                f"update {int(updates[skipped > 0][0])}, had a number that is not finite and were "
                "skipped. Lower agent.learning_rate, and look at the size of rewards, observations "
                "and published weights.",
            )
        )
    # Ranges of a curriculum become harder, and agents of a generation are of any age.
    comparable = "curriculum.name" not in run.settings and "generation" not in training.metrics
    decline = _decline(run) if comparable else ""
    entropy = training.known("entropy")[1]
    grew = len(entropy) > 1 and entropy[-1] - entropy[0] > 1
    if decline:
        found.append(Hint("training-got-worse", decline))
    elif comparable and grew and len(entropy) >= _LATEST:
        found.append(
            Hint(
                "entropy-grows",
                f"The entropy of what the rule trains grew from {words.rounded(entropy[0])} to "
                f"{words.rounded(entropy[-1])}. If success does not grow, lower entropy_coef of "
                "the rule.",
            )
        )
    once = run.settings.get("rule.epochs") != "1"
    for id, metrics, bad, text in _SYMPTOMS:
        for metric in metrics:
            since = _since(training, metric, bad)
            if since is not None and (once or id != "kl-stops-at-once"):
                found.append(Hint(id, text.format(since)))
    return found


_SYMPTOMS: Tuple[Tuple[str, Tuple[str, ...], _Bad, str], ...] = (
    (
        "advantage-floored",
        ("advantage_floored",),
        lambda values: values >= 0.5,
        "Since outer update {} the rule's advantages hardly differ, so that their deviation is "
        "replaced by its floor. Raise target_mean, or give agents tasks on which they differ.",
    ),
    (
        "kl-stops-at-once",
        ("epochs",),
        lambda values: values <= 1,
        "Since outer update {} target_kl is reached in the first epoch, so that each update is "
        "small. Lower the learning rate of the rule, or raise target_kl.",
    ),
    (
        "signal-died",
        ("signal_sd", "signal_std"),
        lambda values: values < 1e-6,
        "The signal has died: since outer update {} it is the same in every step. Begin again with "
        "a smaller learning rate of the rule.",
    ),
    (
        "signal-runs-away",
        ("signal_sd", "signal_std"),
        lambda values: values > 1e3,
        "The signal runs away: since outer update {} its deviation is above 1000. Bound it "
        "(signal.bounded, where the network has it), or lower the learning rate of the rule.",
    ),
)


def _decline(run: Run) -> str:
    """Meta-training that lost at least half of its gain, by means over a tenth of it. The loss must
    exceed what chance explains between updates: the best of many means exceeds its expectation."""
    last = f"seg{run.iterations - 1}"
    updates, values = run.training.known(last if run.training.succeeds else "shaped_return")
    if len(values) < 10:
        return ""
    width = window_of(len(values))
    means = running_mean(values, width)[width - 1 :]
    variance = float((np.diff(values) ** 2).sum()) / (2 * (len(values) - 1))
    first, lost = int(means.argmax()), float(means.max() - means[-1])
    if lost <= 4 * math.sqrt(2 * variance / width) or lost < (means.max() - means.min()) / 2:
        return ""
    text = (
        f"It got worse: from {words.rounded(means.max())} (outer update {updates[first]:.0f} to "
        f"{updates[first + width - 1]:.0f}) to {words.rounded(means[-1])} at the end. Take the "
        "best weights (--weights best of mentor evaluate and mentor export), or train with a "
        "smaller learning rate of the rule"
    )
    # Only rules that train by PPO have this metric, and its weight in their loss.
    entropy = run.training.known("entropy")[1]
    if len(entropy) > 1 and entropy[-1] - entropy[0] > 1:
        text += (
            f" or a smaller entropy_coef: the entropy went from {words.rounded(entropy[0])} to "
            f"{words.rounded(entropy[-1])}"
        )
    return text + "."


_WORDS = {"pg": "policy", "rho": "ratio", "std": "deviation", "sd": "deviation", "grad": "gradient"}


def title_of(info: Dict[str, Any]) -> str:
    """The label of a metric, or its name in words."""
    spelt = (_WORDS.get(word, word) for word in info["name"].split("_"))
    return str(info.get("label") or " ".join(spelt))


def declared(run: Run, metric: str) -> Dict[str, Any]:
    """The declaration of a metric; `*` stands for a number or an environment."""
    family: Dict[str, Any] = {"name": metric, "unit": "1", "panel": "small", "log_scale": False}
    for info in run.record.get("metrics", []):
        if info["name"] == metric:
            return dict(info)
        begin = info["name"][:-1]
        if info["name"].endswith("*") and metric.startswith(begin) and metric != begin:
            family = {**info, "name": metric, "label": ""}
    return family
