"""Did the agents learn anything? The answer in one sentence, what it rests on, and what to do where
nothing was learned. The report, the end of `mentor run` and `mentor doctor RUN` say it."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional, Sequence

from . import training, words
from .evaluation import Comparison, Result
from .records import Run
from .training import OuterCurve

_UPDATES_WORTH_IT = 200  # As many as ready specs make at least, about.
_MORE_UPDATES, _LONGER_LIFE = 4, 4
_ITERATIONS_MAX = 1000  # The spec's bound.
# Untrained policies are the same for all methods. A first part further above a baseline than this
# margin is a leak, not chance.
_LEAK = 0.03


@dataclasses.dataclass
class Step:
    text: str
    command: str


@dataclasses.dataclass
class Outcome:
    # "worked": better than every baseline; "partly": than some; "learning": meta-training still
    # rises; "nothing"; "unknown": there are too few numbers.
    answer: str
    sentence: str
    headline: str  # The sentence with the baseline's number in place of comparisons.
    details: str  # The comparisons with baselines.
    curve: Optional[OuterCurve]
    learned: Optional[Result]  # The evaluated weights that the answer is about.
    comparisons: List[Comparison]  # With baselines, at the end of a lifetime.
    next: List[Step]  # What to do where nothing was learned, first things first.

    def as_json(self, hints: Sequence[training.Hint]) -> Dict[str, Any]:
        """For programs: `mentor doctor RUN --json`."""
        found: Dict[str, Any] = {"answer": self.answer, "sentence": self.sentence}
        if self.curve is not None:
            found["meta_training"] = {
                **dataclasses.asdict(self.curve),
                "change": self.curve.change._asdict(),
                "verdict": self.curve.movement,
            }
            del found["meta_training"]["movement"]
        if self.learned is not None:
            found["evaluation"] = {
                "method": self.learned.name,
                "split": self.learned.split,
                "quantity": words.quantity(self.learned.success),
                "lifetimes": len(self.learned.lives),
                "goals": self.learned.goals,
                "value": self.learned.segments[-1]._asdict(),
                "within_lifetime": self.learned.growth()._asdict(),
            }
        found["comparisons"] = [
            {
                "baseline": one.baseline.name,
                "difference": one.difference._asdict(),
                "paired": one.paired,
                "verdict": words.verdict(one.difference),
            }
            for one in self.comparisons
        ]
        found["hints"] = [dataclasses.asdict(hint) for hint in hints]
        found["next"] = [dataclasses.asdict(step) for step in self.next]
        return found

    def as_text(self, hints: Sequence[training.Hint]) -> str:
        """For people: `mentor doctor RUN`."""
        lines = []
        if self.curve is not None:
            lines.append(f"meta-training    {self.curve}")
        if self.learned is not None:
            one = self.learned
            lines.append(
                f"evaluation       {one.name} {words.quantity(one.success)} "
                f"{words.interval(one.segments[-1])}, of "
                f"{words.several(len(one.lives), 'lifetime')} on "
                f"{words.goals(one.split, one.has_goals)}"
            )
            if len(one.segments) > 1:
                lines.append(f"{'':17}within a lifetime {words.interval(one.growth())}")
        for comparison in self.comparisons:
            pair = ", paired by goal" if comparison.paired else ""
            lines.append(f"{'':17}{against(comparison)}{pair}")
        lines += [*([""] if lines else []), self.sentence]
        lines += [f"\nnote {hint}" for hint in hints]
        lines += [f"\n{step.text}:\n  {step.command}" for step in self.next]
        return "\n".join(lines) + "\n"


def against(comparison: Comparison) -> str:
    """ "better than PPO shaped (difference 0.06 [0.01, 0.11])" """
    verdict = words.verdict_on(comparison.difference, comparison.baseline.name)
    return f"{verdict} (difference {words.interval(comparison.difference)})"


def outcome_of(run: Run, results: Sequence[Result], comparisons: Sequence[Comparison]) -> Outcome:
    # Final weights if there are any, on the tasks that come first.
    learned = next(
        (
            one
            for one in results
            if one.learned and not one.environment and one.split == results[0].split
        ),
        None,
    )
    own = [
        one
        for one in comparisons
        if learned is not None
        and one.result is learned
        and one.segment == len(learned.segments) - 1
    ]
    curve = training.outer_curve(run)
    answer = _answer(run, own, curve)
    if learned is None:
        headline, details = _without_evaluation(run, curve, answer), ""
    else:
        headline, details = _headline(run, answer, learned, own), _details(own, curve, answer)
    found = Outcome(
        answer=answer,
        sentence=headline + (f", {details}" if own else f"; {details}" if details else "") + ".",
        headline=headline + _beside(learned, _ppo(results)) + ".",
        details=words.capitalised(details) + ("." if details else ""),
        curve=curve,
        learned=learned,
        comparisons=own,
        next=[],
    )
    stuck = answer in ("nothing", "unknown") or (answer == "learning" and bool(own))
    record = run.record
    if stuck and record["outer_updates_total"] and not record["failure"] and not record["goes_on"]:
        found.next = _next(run, learned, _ppo(results))
    return found


def _answer(run: Run, comparisons: Sequence[Comparison], curve: Optional[OuterCurve]) -> str:
    better = [words.verdict(one.difference) == "better" for one in comparisons]
    # A network that meta-training did not change can be better than one baseline by chance. The
    # weights of a run that continues another may have learned there.
    moved = curve is None or curve.movement == "rises" or run.training.before
    if any(better) and (all(better) or moved):
        return "worked" if all(better) else "partly"
    if curve is not None and curve.movement == "rises":
        return "learning"
    return "nothing" if curve is not None or comparisons else "unknown"


def _without_evaluation(run: Run, curve: Optional[OuterCurve], answer: str) -> str:
    if curve is not None:
        begin = "It learns: " if answer == "learning" else "Nothing was learned: "
        return f"{begin}{curve}; nothing has been evaluated yet"
    updates = len(run.training)
    if not run.record["outer_updates_total"] and not updates:
        return "Nothing was to be learned: the spec asks for no outer updates"
    if not updates:
        return "Nothing has been learned yet: there is no outer update and no evaluation"
    return (
        f"It is too early to say: {words.several(updates, 'outer update')}, and nothing has been "
        "evaluated yet"
    )


def _headline(run: Run, answer: str, learned: Result, comparisons: Sequence[Comparison]) -> str:
    begin = {
        "worked": "It worked: ",
        "partly": "It worked in part: ",
        "learning": "Not yet: " if comparisons else "It learns: ",
        "nothing": "It did not work: ",
        "unknown": "It is too early to say: ",
    }[answer]
    role = run.record["signal_role"]
    if not run.meta_learns:
        taught = f"agents of rule {run.identity['rule']}"
    elif role:
        taught = f"agents taught by the {learned.name} {role}"
    else:
        taught = f"agents with the {learned.name} meta-parameters"
    value = words.interval(learned.segments[-1])
    does = (
        f"succeed in {value} of their episodes"
        if learned.success
        else f"have a shaped return of {value} in an episode"
    )
    segments = len(learned.segments)
    where = f" on {words.goals(learned.split)}" if learned.has_goals else ""
    return f"{begin}{taught} {does} {words.in_part(segments - 1, segments)}{where}"


def _beside(learned: Optional[Result], ppo: Optional[Result]) -> str:
    """What PPO reaches on the same tasks by itself."""
    if learned is None or ppo is None:
        return ""
    return f", where {ppo.name} alone has {words.interval(ppo.segments[-1])}"


def _details(comparisons: Sequence[Comparison], curve: Optional[OuterCurve], answer: str) -> str:
    parts = [
        against(one)
        for word in ("better", "cannot be told apart", "worse")
        for one in comparisons
        if words.verdict(one.difference) == word
    ]
    text = ", ".join(parts)
    if not parts and answer in ("nothing", "unknown"):
        text = "no baseline was evaluated"
    if curve is not None and answer not in ("worked", "partly"):
        moved = f"{curve.quantity} {curve.movement} in meta-training"
        text = f"{text}; {moved}" if text else moved
    return text


def _ppo(results: Sequence[Result]) -> Optional[Result]:
    """The agents of PPO whose reward is the most help, on the tasks that come first."""
    found = None
    for one in results:
        if one.learned or one.teacher == "random" or one.environment:
            continue
        if one.split == results[0].split and (found is None or one.teacher == "shaped"):
            found = one
    return found


def _next(run: Run, learned: Optional[Result], ppo: Optional[Result]) -> List[Step]:
    longer, more = _longer_life(run, ppo), _more_updates(run)
    # Where PPO gets nowhere in such a life, a signal hardly can.
    life_first = (
        ppo is not None
        and len(ppo.segments) > 1
        and words.movement(ppo.growth(), words.LEAST_OF_SUCCESS) != "rises"
    )
    doctor = Step("What keeps agents from learning", f"mentor doctor {run.record['spec_file']}")
    steps = [longer, more, doctor] if life_first else [more, longer, doctor]
    if not run.meta_learns:
        steps.remove(more)
    if learned is None and len(run.training):
        steps.insert(0, Step("An evaluation", f"mentor evaluate {run.record['folder']}"))
    return steps


def _longer_life(run: Run, ppo: Optional[Result]) -> Step:
    because, command = "", f"mentor run --from {run.record['folder']} --set lifetime."
    if ppo is not None and len(ppo.segments) > 1:
        growth = ppo.growth()
        because = (
            f": in this one {'success' if ppo.success else 'the return'} of {ppo.name} "
            f"{words.movement(growth, words.LEAST_OF_SUCCESS)} "
            f"({words.rounded(ppo.segments[0].mean)} to {words.rounded(ppo.segments[-1].mean)}, "
            f"change {words.interval(growth)})"
        )
    if run.iterations < 2:
        steps = run.iteration_steps("sparse")
        return Step(
            f"A longer life, {_LONGER_LIFE * steps:,} steps in place of {steps:,}{because}",
            f"{command}steps_per_iteration={_LONGER_LIFE * steps}",
        )
    longer = min(_LONGER_LIFE * run.iterations, _ITERATIONS_MAX)
    return Step(
        f"A longer life, {longer} iterations in place of {run.iterations}{because}",
        f"{command}iterations={longer}",
    )


def _more_updates(run: Run) -> Step:
    updates = run.training.updates
    made = int(updates[-1]) if len(updates) else int(run.record["outer_updates_made"])
    more = max(_UPDATES_WORTH_IT, _MORE_UPDATES * made)
    command = f"mentor run --from {run.record['folder']} --set rule.outer_updates={more}"
    if run.record["patience"]:
        command += f" --set rule.patience={_MORE_UPDATES * run.record['patience']}"
    return Step(f"More updates, {more:,} in place of {made:,}", command)


# --- The sentences of chapters ---


def opening(run: Run, comparisons: Sequence[Comparison]) -> List[str]:
    """Warnings that belong above everything else."""
    record, found = run.record, []
    if record["failure"]:
        found.append(f"The run failed: {record['failure']}")
    if record["goes_on"]:
        found.append("The run is still active: these are its results so far.")
    found += [str(hint) for hint in training.hints(run)]
    if record["measures_nothing"]:
        found.append(
            "The spec asks for no outer updates and no baselines, so there is nothing to measure: "
            "set evaluation.baseline to [PPO_SPARSE, PPO_SHAPED, RANDOM_SIGNAL], or "
            "rule.outer_updates to more than 0."
        )
    if record["seg0_is_control"]:
        found += _leak(comparisons)
    return found


def _leak(comparisons: Sequence[Comparison]) -> List[str]:
    """A learned signal that is ahead before any learning."""
    for one in comparisons:
        margin = _LEAK if one.result.success else 0
        ahead = words.verdict(one.difference) == "better" and one.difference.mean > margin
        if one.segment == 0 and ahead:
            where = words.goals(one.result.split, one.result.has_goals)
            return [
                f"Warning: before any learning '{one.result.name}' exceeds {one.baseline.name} on "
                f"{where} by {words.interval(one.difference)}. The signal cannot act there, so "
                "something leaks: weights used again, a visible goal, or a policy that sees the "
                "signal."
            ]
    return []


def length(run: Run) -> str:
    """How long meta-training was."""
    record, updates = run.record, run.training.updates
    origin, made = record["origin"], record["outer_updates_made"]
    if not len(updates):
        if not made:
            return "No outer update has been made: the signal network is untrained."
        return (
            f"This run made no outer update: its weights are those after outer update {made}"
            f"{' of ' + origin if origin else ''}."
        )
    done = int(updates[-1])
    text = f"The run made {words.several(done, 'outer update')}"
    if record["outer_updates_total"]:
        text += f" of the {record['outer_updates_total']:,} that its spec asks for"
    text += f" ({run.training.env_steps[-1]:,.0f} environment steps)"
    if record["patience"]:
        text += f", since the last {record['patience']:,} brought no better score"
    if before := run.training.before:
        text += ", the first one" if before == 1 else f", the first {before:,}"
        text += f" in {origin}" if origin else " before its numbers begin"
    if record["outer_updates_paper"]:
        paper = record["outer_updates_paper"]
        text += (
            f"; the published experiment makes {paper}, so this is {100 * done / paper:.2g} % of "
            "its length"
        )
    return text + "."


def of_evaluation(outcome: Outcome) -> List[str]:
    """What the intervals of the evaluation cover, and whether agents learn."""
    learned = outcome.learned
    if learned is None:
        return []
    found, segments = [], len(learned.segments)
    if segments > 1:
        growth = learned.growth()
        moved = words.movement(growth, words.LEAST_OF_SUCCESS if learned.success else 0)
        first, last = (
            f"{words.rounded(learned.segments[s].mean)} ({words.part(s % segments, segments)})"
            for s in (0, -1)
        )
        found.append(
            f"Within a lifetime {'success' if learned.success else 'the return'} {moved}: {first} "
            f"to {last}, change {words.interval(growth)}."
        )
    number = f"{words.several(learned.goals, 'goal')}, " if learned.has_goals else ""
    found.append(
        f"One meta-seed: the intervals cover other "
        f"{'goals and lifetimes' if learned.goals > 1 else 'lifetimes'} (here {number}"
        f"{words.several(len(learned.lives), 'lifetime')}), not other meta-seeds."
    )
    return found
