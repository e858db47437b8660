"""The words of every report: parts of a lifetime, splits, numbers, and what an interval says."""

from __future__ import annotations

import math
from typing import Iterable, Sequence

from .statistics import Interval

LAST_EPISODE = "last episode"
WITHOUT_NOISE = "without noise"

# A verdict on a quantity that changes: it moves where the whole interval is this far away from 0.
# A smaller change does not count, however certain.
LEAST_OF_SUCCESS = 0.01
# A return's least is this share of its deviation, a small effect (Cohen, 1988). A bound of 0 would
# be passed by any drift, given enough samples.
LEAST_OF_DEVIATION = 0.2


def verdict(difference: Interval) -> str:
    """The 95 % interval of a difference decides, never a number of samples."""
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "cannot be told apart"


def verdict_on(difference: Interval, other: str) -> str:
    """ "better than PPO", "worse than PPO", "cannot be told apart from PPO" """
    word = verdict(difference)
    return f"{word} {'from' if word == 'cannot be told apart' else 'than'} {other}"


def movement(change: Interval, least: float) -> str:
    if change.low > 0 and change.low >= least:
        return "rises"
    if change.high < 0 and change.high <= -least:
        return "falls"
    return "does not move"


def part(segment: int, segments: int) -> str:
    """Names segment 0, 1, 2, ... of a lifetime."""
    if segments == 1:
        return "whole lifetime"
    return f"after {several(segment, 'update')}" if segment else "before learning"


def in_part(segment: int, segments: int) -> str:
    """The same within a sentence."""
    return ("in the " if segments == 1 else "") + part(segment, segments)


def goals(split: str, has_goals: bool = True) -> str:
    """Without goals, only the agents are new."""
    if not has_goals and split in ("test", "train"):
        return "new agents in the same environment"
    return {"test": "unseen goals", "train": "training goals"}.get(split, split)


def quantity(success: bool) -> str:
    return "success rate" if success else "shaped return of an episode"


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def several(count: float, noun: str) -> str:
    return f"{count:,.0f} {noun}{'' if count == 1 else 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """ "1 to 3, 7" """
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in found)


def joined(parts: Sequence[str]) -> str:
    """ "a, b and c" """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def rounded(value: float, digits: int = 2) -> str:
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def interval(value: Interval, seeds: Sequence[float] = ()) -> str:
    """ "0.45 [0.41, 0.49]"; with meta-seeds' own numbers "0.45 [0.41, 0.49] (0.42, 0.48)". An end
    that is not 0 does not read as 0, since 0 decides: "0.020 [0.004, 0.036]"."""
    digits = 2
    while any(abs(end) > 1e-6 and not float(rounded(end, digits)) for end in value[1:]):
        digits += 1
    text = rounded(value.mean, digits)
    if math.isfinite(value.low):  # A single agent has no interval.
        text += f" [{rounded(value.low, digits)}, {rounded(value.high, digits)}]"
    return f"{text} ({listed(seeds)})" if len(seeds) else text


def listed(seeds: Sequence[float]) -> str:
    """The numbers of single meta-seeds; charts and CSV have all of many."""
    own = [rounded(one) if math.isfinite(one) else "-" for one in seeds]
    return ", ".join(own if len(own) <= 12 else [*own[:6], f"and {len(own) - 6} others"])
