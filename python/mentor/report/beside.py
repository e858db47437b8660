"""Agents that learn while their signal does: return and success of the last n whole episodes of
each. Agents of the evaluation are measured after the same number of environment steps."""

from __future__ import annotations

import dataclasses
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from . import evaluation, statistics, tables, words
from .compare import Group, Ranking
from .records import METHODS, PLACES, Life, Run
from .statistics import Interval, Sample
from .tables import Table

_CURVE_RESAMPLES = 500
_PLACES_MAX = 100


@dataclasses.dataclass
class Cohort:
    """Agents that are measured together."""

    name: str
    colour: str
    dash: Tuple[int, ...]
    iteration_steps: int
    group: str = ""  # Empty: a baseline of all.
    beside: bool = False  # They learned beside their signal; otherwise they were evaluated.
    ppo: bool = False
    known: int = 0  # Newest episodes kept of each agent; older ones may be missing.
    lives: List[Tuple[int, Life, int]] = dataclasses.field(default_factory=list)

    @property
    def env_steps(self) -> int:
        return max((n * self.iteration_steps for _, _, n in self.lives), default=0)


class Last(NamedTuple):
    """Means over agents of each agent's mean over its last n episodes, or all if it has fewer."""

    env_steps: int
    returns: Sample
    successes: Sample
    fewest: int
    most: int
    mean_return: Interval
    mean_success: Interval


def _beside(run: Run, group: str, colour: str) -> Cohort:
    name = "agents beside their signal" if run.record["signal_role"] else "agents of meta-training"
    return Cohort(
        name=f"{group}: {name}" if group else name,
        colour=colour,
        dash=(),
        iteration_steps=run.iteration_steps("learned"),
        group=group,
        beside=True,
        known=int(run.record["beside_known"]),
    )


def of_run(run: Run) -> List[Cohort]:
    """Agents beside their signal, and agents of the tasks that come first. Empty when no agent
    learned beside its signal."""
    if not run.beside:
        return []
    own = _beside(run, "", "orange")
    own.lives = [(0, life, len(life.segment_episodes)) for life in run.beside]
    cohorts = [own]
    splits = sorted({life.split for life in run.lives}, key=evaluation.split_place)
    for teacher, method in METHODS.items():
        lives = [x for x in run.lives if splits and (x.split, x.teacher) == (splits[0], teacher)]
        if lives:
            one = Cohort(method.name, method.colour, method.dash, run.iteration_steps(teacher))
            one.ppo = not method.learned and teacher != "random"
            one.lives = [(0, life, run.iterations) for life in lives]
            cohorts.append(one)
    return cohorts


def of_comparison(groups: Sequence[Group], ranked: Sequence[Ranking]) -> List[Cohort]:
    cohorts = []
    for own in groups:
        cohort = _beside(own.runs[0], own.name, own.colour)
        cohort.lives = [
            (seed, life, len(life.segment_episodes))
            for seed, run in enumerate(own.runs)
            for life in run.beside
        ]
        cohorts += [cohort] if cohort.lives else []
    if not cohorts or not ranked:
        return cohorts
    for one in ranked[0].contenders:
        if one.other_weights:
            continue
        name = f"{one.name}: frozen" if one.learned else one.name
        dash = (6, 3) if one.learned else one.dash
        cohort = Cohort(name, one.colour, dash, one.iteration_steps, one.group)
        cohort.ppo = not one.learned and one.teacher != "random"
        cohort.lives = one.lives
        cohorts.append(cohort)
    return sorted(cohorts, key=lambda one: (not one.beside, one.ppo and PLACES["sparse"]))


def measure(
    cohort: Cohort, n: int, env_steps: int, resamples: int = statistics.RESAMPLES
) -> Optional[Last]:
    """After so many environment steps of each agent, or after all if it made fewer. None when no
    episode had ended, or when the needed episodes are no longer kept."""
    if cohort.iteration_steps <= 0:
        return None
    levels, returns, successes, counts = [], [], [], []
    for seed, life, lived in cohort.lives:
        iterations = min(lived, env_steps // cohort.iteration_steps)
        if len(life.segment_episodes) == lived:
            end = sum(life.segment_episodes[:iterations])
        else:  # Equally many per iteration.
            end = life.lifetime_episodes * iterations // lived
        begin = max(0, end - n)
        if end - begin < n and 0 < cohort.known <= life.lifetime_episodes:
            return None
        if end and len(life.returns):
            levels.append(life.level(seed))
            returns.append(life.returns[begin:end].mean())
            successes.append(life.success[begin:end].mean())
            counts.append(end - begin)
    if not levels:
        return None
    own, other = (Sample(tuple(levels), np.array(values)) for values in (returns, successes))
    mean_return, mean_success = (
        statistics.interval_of(sample, resamples=resamples)
        if len(levels) > 1
        else Interval(float(sample.values[0]))
        for sample in (own, other)
    )
    steps = min(env_steps // cohort.iteration_steps * cohort.iteration_steps, cohort.env_steps)
    return Last(steps, own, other, min(counts), max(counts), mean_return, mean_success)


def any_success(cohorts: Sequence[Cohort]) -> bool:
    return any(life.success.any() for one in cohorts for _, life, _ in one.lives)


def _is_baseline(cohorts: Sequence[Cohort], ppo: Cohort, beside: Cohort) -> bool:
    """PPO belongs to the group of these agents, to all groups, or to a group without such
    agents."""
    groups = {one.group for one in cohorts if one.beside}
    return ppo.ppo and (ppo.group in ("", beside.group) or ppo.group not in groups)


def _episodes(n: int) -> str:
    return "last episode" if n == 1 else f"last {n} episodes"


def table(cohorts: Sequence[Cohort], n: int) -> Table:
    """Agents beside their signal get a row at all their steps, and a second one at the steps of
    evaluated agents if those are fewer. Rows of evaluated agents stop at the steps of the others.
    """
    columns = ["agents", "env steps #", "number #", "episodes of each", "return ~", "success ~"]
    title = f"{words.capitalised(_episodes(n))} of each agent, by environment steps of the agent"
    found = Table("last_episodes", title, columns)
    success = any_success(cohorts)
    for one in cohorts:
        if one.beside:
            ppo = [other for other in cohorts if _is_baseline(cohorts, other, one)]
            steps = {one.env_steps, *(min(one.env_steps, other.env_steps) for other in ppo)}
        else:
            beside = [other for other in cohorts if other.beside]
            own = [other.env_steps for other in beside if other.group == one.group]
            steps = {max(own or [other.env_steps for other in beside])}
        for at in sorted(steps, reverse=True):
            last = measure(one, n, at)
            if last is None:
                continue
            each = (
                f"{last.fewest:,}" if last.fewest == last.most else f"{last.fewest} to {last.most}"
            )
            found.add(
                one.name,
                tables.number(last.env_steps),
                tables.number(len(last.returns.values)),
                each,
                tables.value(last.mean_return),
                tables.value(last.mean_success) if success else tables.NONE,
            )
    return found


def sentences(cohorts: Sequence[Cohort], n: int) -> List[str]:
    """Compares each cohort beside its signal with PPO after the same number of steps."""
    success, found = any_success(cohorts), []

    def said(last: Last) -> str:
        text = f"a return of {words.interval(last.mean_return)}"
        if success:
            text += f" and a success of {words.interval(last.mean_success)}"
        return f"{text} ({words.several(len(last.returns.values), 'agent')})"

    for cohort in (one for one in cohorts if one.beside):
        begin = f"Over the {_episodes(n)} of an agent, after {{:,}} environment steps of it: "
        compared = False
        for ppo in (other for other in cohorts if _is_baseline(cohorts, other, cohort)):
            own = measure(cohort, n, min(cohort.env_steps, ppo.env_steps))
            other = measure(ppo, n, own.env_steps) if own else None
            if own is None or other is None:
                continue
            compared = True
            text = f"{cohort.name} have {said(own)}, {ppo.name} {said(other)}"
            if min(len(own.returns.values), len(other.returns.values)) > 1:
                # Goals of meta-training are not those of the evaluation.
                difference, _ = statistics.difference_of_means(
                    own.returns, other.returns, pair=False
                )
                text += (
                    f"; their returns: {words.verdict_on(difference, ppo.name)} "
                    f"(difference {words.interval(difference)})"
                )
            found.append(f"{begin.format(own.env_steps)}{text}.")
        own = measure(cohort, n, cohort.env_steps)
        if not compared and own is not None:
            found.append(f"{begin.format(own.env_steps)}{cohort.name} have {said(own)}.")
    return found


def curves(cohort: Cohort, n: int) -> List[Last]:
    """Measured at up to a hundred places along the lives."""
    longest = max((lived for _, _, lived in cohort.lives), default=0)
    places = min(longest, _PLACES_MAX)
    measured = [
        measure(cohort, n, longest * i // places * cohort.iteration_steps, _CURVE_RESAMPLES)
        for i in range(1, places + 1)
    ]
    return [last for last in measured if last is not None]
