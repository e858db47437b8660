"""Several runs side by side: methods, their scores, and what tells them apart.

A meta-seed is (seed, benchmark.goal_seed): runs whose specs differ in these two only are meta-seeds
of one method. A score is what Agarwal et al. (2021) call a run on a task. It is the success rate of
agents in the last inner iteration of their lives in one environment. Where nothing succeeds, it is
their shaped return."""

from __future__ import annotations

import collections
import dataclasses
import functools
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from . import evaluation, statistics, words
from .records import METHODS, PLACES, Life, RecordError, Run
from .statistics import Array, Interval, Sample

_SEEDS_FOR_UNIT = 3
_FREEDOM_MIN = 5  # Degrees of freedom of a variance that is compared.
# Some baselines have the same ones, and their lines are dashed.
COLOURS = ("blue", "purple", "orange", "sky", "ink", "olive", "brown")


@dataclasses.dataclass
class Group:
    """Runs that are meta-seeds of one method."""

    name: str
    runs: List[Run]
    colour: str = "blue"

    @functools.cached_property
    def goal_seeds(self) -> List[int]:
        """The runs have these, each is named once."""
        return sorted({run.goal_seed for run in self.runs})

    @property
    def protocol(self) -> str:
        """Equal where tasks, lifetimes and agents are: baselines are the same."""
        draws = words.ranges(self.goal_seeds)
        return f"{self.runs[0].identity['protocol']}\n{draws}"


@dataclasses.dataclass
class Contender:
    """One line of a comparison: a method's final or best weights, or a baseline. Baselines that are
    the same for several methods appear once."""

    name: str
    group: str  # That it belongs to; empty: a baseline of all.
    teacher: str
    colour: str
    dash: Tuple[int, ...]
    iteration_steps: int
    success: bool = True
    lives: List[Tuple[int, Life, int]] = dataclasses.field(default_factory=list)
    # [lives]: means over the episodes that ended in each inner iteration.
    means: List[Array] = dataclasses.field(default_factory=list)

    @property
    def learned(self) -> bool:
        return METHODS[self.teacher].learned

    @property
    def has_meta_seeds(self) -> bool:
        """PPO knows of no meta-seed: its number is that of the draw of goals."""
        return self.learned or self.teacher == "random"

    @property
    def other_weights(self) -> bool:
        """Other weights than the last: the best ones, or an average."""
        return self.learned and self.teacher != "learned"


@dataclasses.dataclass
class Ranking:
    split: str
    has_goals: bool
    success: bool
    of_seeds: bool  # A score is the mean of a meta-seed; otherwise it is that of a lifetime.
    environments: List[str]  # That all contenders have: the strata.
    contenders: List[Contender]

    @property
    def title(self) -> str:
        return f"{words.quantity(self.success)}, {words.goals(self.split, self.has_goals)}"

    def scores(self, contender: Contender, iteration: int = -1) -> Optional[Sample]:
        """After an inner iteration, or the last one; None when an environment has none."""
        levels, values = [], []
        for (seed, life, _), means in zip(contender.lives, contender.means):
            known = means if iteration < 0 else means[: iteration + 1]
            known = known[np.isfinite(known)]  # The last iteration so far in which one ended.
            if len(known) and life.environment in self.environments:
                levels.append(life.level(seed))
                values.append(known[-1])
        if {level.environment for level in levels} != set(self.environments):
            return None
        return Sample(tuple(levels), np.array(values), self.of_seeds)

    def result(self, contender: Contender) -> evaluation.Result:
        """Measures all parts of its lifetimes in the common environments."""
        lives = [one for one in contender.lives if one[1].environment in self.environments]
        own = [(seed, life) for seed, life, _ in lives]
        return evaluation.result_of(own, "", lives[0][2], self.success)

    def shown(self) -> List[Contender]:
        """Final weights: figures with both kinds would be too full."""
        return [
            one for one in self.contenders if not one.other_weights and self.scores(one) is not None
        ]

    def middle_tells(self) -> bool:
        """An interquartile mean and a median say something: where most scores of a method are 0 or
        1, and not all alike, both leave out what differs."""
        for contender in self.contenders if self.success else []:
            sample = self.scores(contender)
            scores = np.concatenate(statistics.pool(sample)) if sample else np.zeros(0)
            ends = np.isin(scores, (0, 1)).sum()
            if 2 * ends > len(scores) and scores.min() < scores.max():
                return False
        return True


def comparable(x: Contender, y: Contender) -> bool:
    """Two learned contenders, or a learned one with a baseline of its own."""
    return x.teacher == y.teacher if y.learned else y.group in ("", x.group)


def pairs(contenders: Sequence[Contender]) -> List[Tuple[Contender, Contender]]:
    """Each pair of learned methods once, and each learned one with its baselines."""
    return [
        (x, y)
        for a, x in enumerate(contenders)
        for b, y in enumerate(contenders)
        if x.learned and a != b and not (y.learned and b < a) and comparable(x, y)
    ]


def check(runs: Sequence[Run]) -> None:
    """Refuses a run that would count twice."""
    names: Dict[str, str] = {}
    seeds: Dict[Tuple[str, int, int], str] = {}
    for run in runs:
        uid = run.identity["experiment"]
        if uid and uid in names:
            raise RecordError(
                f"{names[uid]} and {run.name} are the same run (experiment {uid}), which would "
                "count as two; name it once"
            )
        names[uid] = run.name
        key = run.identity["method"], run.seed, run.goal_seed
        if key in seeds:
            draw = f" and goal_seed {run.goal_seed}" if run.goal_seed else ""
            raise RecordError(
                f"{seeds[key]} and {run.name} have the same spec and the same meta-seed, seed "
                f"{run.seed}{draw}, and would count as two meta-seeds; name one of them"
            )
        seeds[key] = run.name


def label(runs: Sequence[Run], labels: Mapping[str, str]) -> None:
    """Gives methods short names: labels by the names of runs, one run of each method is enough."""
    by_method: Dict[str, Run] = {}
    by_label: Dict[str, Run] = {}
    for run in runs:
        if run.name not in labels:
            continue
        name, method = labels[run.name], run.identity["method"]
        first, other = by_method.setdefault(method, run), by_label.setdefault(name, run)
        if labels[first.name] != name:
            raise RecordError(
                f"--label: {first.name} and {run.name} are meta-seeds of one method and get two "
                f"names, '{labels[first.name]}' and '{name}'; label one of them"
            )
        if other.identity["method"] != method:
            raise RecordError(
                f"--label: {other.name} and {run.name} are two methods and get the same name, "
                f"'{name}'; give each its own"
            )
    taken = {method.name for method in METHODS.values() if not method.learned}
    taken |= {run.title for run in runs if run.identity["method"] not in by_method}
    for name, run in by_label.items():
        if name in taken:
            raise RecordError(
                f"--label: {run.name} gets the name '{name}', which is taken; give it another one "
                f"than {', '.join(sorted(taken))}"
            )
    for run in runs:
        if run.identity["method"] in by_method:
            run.title = labels[by_method[run.identity["method"]].name]


def group(runs: Sequence[Run]) -> List[Group]:
    """By method, in the order of the runs. Methods with the same title get different names: by the
    settings in which they differ (if there are few), then by rule, then by number."""
    by_method: Dict[str, List[Run]] = {}
    for run in runs:
        by_method.setdefault(run.identity["method"], []).append(run)
    groups = [
        Group(own[0].title, own, COLOURS[place % len(COLOURS)])
        for place, own in enumerate(by_method.values())
    ]
    differences = _differences(groups)

    def kind(one: Group, number: int) -> str:
        record, identity = one.runs[0].record, one.runs[0].identity
        if identity["method"] in differences:
            return f" [{differences[identity['method']]}]"
        parts = [identity["rule"], identity["signal"], record["signal_role"]]
        return f" [{' '.join(parts if record['signal_role'] else parts[:1])}]"

    for suffix in (kind, lambda one, number: f" #{number}"):
        counts = collections.Counter(one.name for one in groups)
        seen: Dict[str, int] = collections.Counter()
        for one in groups:
            name = one.name
            if counts[name] > 1:
                seen[name] += 1
                one.name += suffix(one, seen[name])
    return groups


def _differences(groups: Sequence[Group]) -> Dict[str, str]:
    """Settings such as "rule.learning_rate 1e-3" by method, for groups with equal titles whose
    specs differ in at most three settings."""
    by_title: Dict[str, List[Run]] = {}
    for one in groups:
        by_title.setdefault(one.name, []).append(one.runs[0])
    found = {}
    for methods in by_title.values():
        names = sorted({name for run in methods for name in run.settings})
        names = [
            name
            for name in names
            if len({run.settings.get(name, "default") for run in methods}) > 1
        ]
        for run in methods if 0 < len(names) <= 3 else []:
            parts = [f"{name} {run.settings.get(name, 'default')}" for name in names]
            found[run.identity["method"]] = ", ".join(parts)
    return found


def seed_name(groups: Sequence[Group], run: Run) -> str:
    """ "2", or "2 (goals 3)" where goals of several draws are compared."""
    draws = {draw for one in groups for draw in one.goal_seeds}
    return f"{run.seed} (goals {run.goal_seed})" if len(draws) > 1 else str(run.seed)


def rankings(groups: Sequence[Group], unit: str = "auto") -> List[Ranking]:
    """One for each split that has contenders; test goals first."""
    splits = {life.split for one in groups for run in one.runs for life in run.lives}
    ranked = [_ranking(groups, split, unit) for split in sorted(splits, key=evaluation.split_place)]
    return [one for one in ranked if one.contenders and one.environments]


def _ranking(groups: Sequence[Group], split: str, unit: str) -> Ranking:
    success = evaluation.by_success([x for one in groups for run in one.runs for x in run.lives])
    found: Dict[Tuple[int, str], Contender] = {}
    known: Set[Tuple[str, object, int, int]] = set()
    alone = len({one.protocol for one in groups}) == 1
    for own in groups:
        for number, run in enumerate(own.runs):
            for life in run.lives:
                if life.split != split or not life.lifetime_episodes:
                    continue
                one = _contender(groups, own, run, life.teacher, alone)
                one = found.setdefault((PLACES[life.teacher], one.name), one)
                number_of = number if one.has_meta_seeds else 0
                key = one.name, life.level(number_of), life.lifetime, life.seed
                if key in known:  # The same agents on the same goal are the same lifetime.
                    continue
                known.add(key)
                seed = number if one.has_meta_seeds else run.goal_seed
                one.lives.append((seed, life, run.iterations))
    # Learned methods in the order of the groups; baselines in that of reports.
    order = {own.name: place for place, own in enumerate(groups)}
    contenders = [
        one
        for _, one in sorted(
            found.items(), key=lambda item: (item[0][0], order.get(item[1].group, 0))
        )
    ]
    counts = collections.Counter(
        environment
        for one in contenders
        for environment in {life.environment for _, life, _ in one.lives}
    )
    for one in contenders:
        one.success = success
        one.means = [evaluation.segment_means(life, n, success) for _, life, n in one.lives]
    return Ranking(
        split=split,
        has_goals=any(life.has_goals for one in contenders for _, life, _ in one.lives),
        success=success,
        of_seeds=_of_seeds(contenders) if unit == "auto" else unit == "seed",
        environments=sorted(name for name, n in counts.items() if n == len(contenders)),
        contenders=contenders,
    )


def _contender(
    groups: Sequence[Group], own: Group, run: Run, teacher: str, alone: bool
) -> Contender:
    method, steps = METHODS[teacher], run.iteration_steps(teacher)
    if method.learned:
        suffix = {"learned": "", "best": " (best)", "average": " (average)"}[teacher]
        dash = () if teacher == "learned" else (6, 3)
        return Contender(own.name + suffix, own.name, teacher, own.colour, dash, steps)
    shared = len(groups) == 1 if teacher == "random" else alone
    if shared:
        return Contender(method.name, "", teacher, method.colour, method.dash or (6, 3), steps)
    # A baseline of one method takes the method's colour.
    name = f"{method.name} ({own.name})"
    return Contender(name, own.name, teacher, own.colour, method.dash or (6, 3), steps)


def _of_seeds(contenders: Sequence[Contender]) -> bool:
    """Scores are per meta-seed when all methods have enough; PPO may have a single draw of
    goals."""
    unit = False
    for one in contenders:
        seeds: Dict[str, Set[int]] = {}
        for seed, life, _ in one.lives:
            seeds.setdefault(life.environment, set()).add(seed)
        enough = all(len(own) >= _SEEDS_FOR_UNIT for own in seeds.values())
        unit = unit or enough
        if not enough and one.has_meta_seeds:
            return False
    return unit


@dataclasses.dataclass
class Aggregate:
    """A statistic of scores with its interval, and with several meta-seeds each one's own value."""

    interval: Interval
    seeds: List[float]


def aggregate(
    sample: Sample, statistic: statistics.Statistic = statistics.mean, resamples: int = 0
) -> Aggregate:
    found = statistics.interval_of(sample, statistic, resamples or statistics.RESAMPLES)
    seeds = statistics.by_seed(sample)
    own = [float(statistic([part[None, :] for part in statistics.pool(seed)])[0]) for seed in seeds]
    return Aggregate(found, own if len(seeds) > 1 else [])


def variance_alike(groups: Sequence[Group]) -> bool:
    """All runs estimate the variance of the outer gradient alike: one rule, as many parts of as
    many lifetimes, at least five degrees of freedom."""
    estimators = set()
    for run in (run for one in groups for run in one.runs):
        settings, lifetimes = run.settings, int(run.identity["lifetimes_per_update"])
        # Rules by gradient have a part for each shard, PPO rules one for each group of lifetimes.
        grouped = "rule.gradient_variance" in settings
        name = "rule.group_lifetimes" if grouped else "rule.shard_lifetimes"
        part = int(settings.get(name, 0 if grouped else 15)) or max(5, (lifetimes + 11) // 12)
        if -(-lifetimes // part) - 1 < _FREEDOM_MIN:
            return False
        estimators.add((run.identity["rule"], lifetimes, part))
    return len(estimators) == 1


Measure = Callable[[Run], float]


def over_runs(runs: Sequence[Run], measure: Measure) -> float:
    """The mean over the runs that have the number."""
    return float(statistics.known_mean(np.array([measure(run) for run in runs], float)))
