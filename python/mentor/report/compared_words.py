"""What a comparison says in words: budgets, cautions, and which method is better."""

from __future__ import annotations

import math
from typing import Dict, List, Sequence, Set

import numpy as np

from . import statistics, training, words
from .compare import Contender, Group, Ranking, aggregate, comparable, over_runs
from .records import Run

RESOURCES = ("outer updates", "lifetimes", "environment steps", "CPU seconds")


def budget(run: Run) -> Dict[str, float]:
    """What meta-training had, by resource; NaN: unknown. And the evaluated lifetimes."""
    trained, each = run.training, run.identity["lifetimes_per_update"]
    cpu = training.phase_seconds(trained)
    updates = float(trained.updates[-1]) if len(trained) else 0.0
    # Agents that live across outer updates begin once per generation.
    rounds = trained.of("generation")[-1] + 1 if "generation" in trained.metrics else updates
    known = np.isfinite(cpu).all(1).any() if len(trained) else False
    seconds = float(np.nansum(cpu)) if known and not trained.before else math.nan
    return {
        "outer updates": updates,
        "lifetimes": float(rounds * each) if each else math.nan,
        "environment steps": float(trained.env_steps[-1]) if len(trained) else 0.0,
        "CPU seconds": seconds if len(trained) else 0.0,
        "evaluated lifetimes": float(sum(life.teacher == "learned" for life in run.lives)),
    }


def range_of(runs: Sequence[Run], resource: str) -> str:
    """ "38 to 40"; empty when none is known."""
    known = [budget(run)[resource] for run in runs]
    known = [value for value in known if math.isfinite(value)]
    if not known:
        return ""
    low, high = f"{round(min(known)):,}", f"{round(max(known)):,}"
    return low if low == high else f"{low} to {high}"


def mean_budget(runs: Sequence[Run], resource: str) -> float:
    return over_runs(runs, lambda run: budget(run)[resource])


def budget_words(groups: Sequence[Group]) -> str:
    """Whether all runs had the same budget, CPU seconds aside, and which. Empty for one run."""
    runs = [run for one in groups for run in one.runs]
    if len(runs) < 2:
        return ""

    def listed(of: Sequence[Run], resources: Sequence[str]) -> str:
        parts = [f"{range_of(of, r)} {r}" for r in resources if range_of(of, r)]
        return words.joined(parts) or "nothing"

    if all("to" not in range_of(runs, resource) for resource in RESOURCES[:3]):
        cpu = [
            f"{one.name} {seconds}"
            for one in groups
            if (seconds := range_of(one.runs, "CPU seconds"))
        ]
        return (
            f"All runs had the same budget of meta-training: {listed(runs, RESOURCES[:3])} each."
            + (f" CPU seconds of a run: {', '.join(cpu)}." if cpu else "")
        )
    text = "The budgets of meta-training were not equal: "
    if len(groups) > 3:
        return f"{text}a run had {listed(runs, RESOURCES)}."
    parts = [f"a run of {one.name} had {listed(one.runs, RESOURCES)}" for one in groups]
    return (
        f"{text}{'; '.join(parts)}. Compare the curves against environment steps and CPU seconds."
    )


def unknown_costs(groups: Sequence[Group]) -> str:
    """Which runs' seconds are not known, and why; empty: of none."""
    parts = []
    for run in (run for one in groups for run in one.runs):
        if before := run.training.before:
            where = f"in {run.record['origin']}" if run.record["origin"] else "elsewhere"
            parts.append(
                f"{run.name} (its first {words.several(before, 'outer update')} "
                f"{'was' if before == 1 else 'were'} made {where})"
            )
    return f"CPU seconds and wall time leave out {', '.join(parts)}." if parts else ""


# --- Cautions and words ---


def shared_goals(groups: Sequence[Group]) -> str:
    """Which goal seeds of one method must not be pooled as if their goals were independent."""
    found = set()
    for one in groups:
        tests: Dict[int, Set[object]] = {}  # By goal seed: a comparison may have a thousand runs.
        trainings: Dict[int, Set[object]] = {}
        for run in one.runs:
            tests.setdefault(run.goal_seed, set()).update(run.identity["test_goals"])
            trainings.setdefault(run.goal_seed, set()).update(run.identity["training_goals"])
        for tested, goals in tests.items():
            for trained, others in trainings.items():
                if tested != trained and goals & others:
                    found.add(
                        f"test goals of goal_seed {tested} are training goals of "
                        f"goal_seed {trained}"
                    )
    if not found:
        return ""
    return (
        f"{', '.join(sorted(found))}: meta-seeds of one method share goals, and the intervals "
        "count them as independent; give runs odd goal seeds, --set benchmark.goal_seed=1, 3, 5, "
        "..."
    )


def without_evaluation(groups: Sequence[Group]) -> str:
    runs = [run for one in groups for run in one.runs]
    without = [run.name for run in runs if not run.lives]
    if not without or len(without) == len(runs):
        return ""
    named = without if len(without) <= 5 else [*without[:5], f"{len(without) - 5} others"]
    return (
        f"there is no evaluation of {', '.join(named)}: scores and their meta-seeds are of the "
        "other runs alone; end the run, or leave it out"
    )


def against(ranking: Ranking, x: Contender, others: Sequence[Contender]) -> str:
    """Compares x with the others in words; empty when none is comparable."""
    own, parts = ranking.scores(x), []
    for y in others:
        other = ranking.scores(y)
        if own is None or other is None:
            continue
        difference = statistics.difference_of_means(own, other).interval
        verb = "" if words.verdict(difference) == "cannot be told apart" else "is "
        parts.append(
            f"{verb}{words.verdict_on(difference, y.name)} "
            f"(difference {words.interval(difference)})"
        )
    return f"{x.name} {'; '.join(parts)}." if parts else ""


def summary(groups: Sequence[Group], ranked: Sequence[Ranking]) -> List[str]:
    """The best method against the others comes first; then what was compared, the order of the
    means, and the methods that beat the baselines."""
    runs = [run for one in groups for run in one.runs]
    found = [f"{words.several(len(runs), 'run')} of {words.several(len(groups), 'method')}."]
    if len({one.protocol for one in groups}) > 1:
        found.append(
            "Take care: the methods differ in tasks, lifetimes or agents, so each has its own "
            "baselines."
        )
    found += [text for text in (budget_words(groups), unknown_costs(groups)) if text]
    if not ranked:
        found.insert(
            0,
            "The methods were evaluated in no common environment, so their scores cannot be "
            "compared: mentor evaluate RUN... --tasks ..."
            if any(run.lives for run in runs)
            else "No run has been evaluated yet: mentor evaluate RUN...",
        )
        return found
    found = _said(ranked[0], found)
    single = [one.name for one in groups if len(one.runs) == 1]
    if single:
        named = "" if len(single) == len(groups) else f" ({', '.join(single)})"
        found.append(
            f"One seed{named}: the intervals cover other goals and lifetimes, not other "
            "meta-seeds, with which meta-training may turn out differently."
        )
    return found


def _said(ranking: Ranking, found: List[str]) -> List[str]:
    samples = {one.name: ranking.scores(one) for one in ranking.shown()}
    means = {name: aggregate(sample) for name, sample in samples.items() if sample is not None}
    order = sorted(ranking.shown(), key=lambda one: -means[one.name].interval.mean)
    learned = [one for one in order if one.learned]
    first = against(ranking, learned[0], learned[1:]) if len(learned) > 1 else ""
    listed = [
        f"{one.name} {words.interval(means[one.name].interval, means[one.name].seeds)}"
        for one in order
    ]
    seeds = any(mean.seeds for mean in means.values())
    found.append(
        f"Mean {ranking.title}, at the end of a lifetime"
        f"{' (in parentheses: of each meta-seed)' if seeds else ''}: {', '.join(listed)}."
    )
    below = []
    for x in ranking.contenders:
        if x.learned and not x.other_weights:
            others = [y for y in ranking.contenders if not y.learned and comparable(x, y)]
            below.append(against(ranking, x, others))
    below = [text for text in below if text]
    if not first and below:  # With one method the answer is whether it beats the baselines.
        first = below.pop(0)
    return [*([first] if first else []), *found, *below]
