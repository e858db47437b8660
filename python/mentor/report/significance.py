"""Tests of few values: Student's t, also for equality, Welch's t, ratios of variances, Holm's
method. Standard library only."""

from __future__ import annotations

import math
import statistics
from typing import Sequence, Tuple

Side = Tuple[float, float, int]  # Mean, deviation of the sample, size.


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    if x <= 0:
        return 0.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(front + a * math.log(x) + b * math.log1p(-x)) / a
    # From the inside out: 200 terms are more than samples of this size need.
    fraction = 1.0
    for m in range(200, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    return front / (1 - (a + b) * x / (a + 1) / fraction)


def p_of_t(t: float, freedom: float) -> float:
    """How probable a t of this size is by chance, on both sides."""
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def p_of_f(ratio: float, above: float, below: float) -> float:
    """The same for a ratio of two variances, by the degrees of freedom of each."""
    upper = _beta(below / (below + above * ratio), below / 2, above / 2)
    return 2 * min(upper, 1 - upper)


def _error(first: Side, second: Side) -> Tuple[float, float]:
    """The standard error of a difference of means, and Welch's degrees of freedom."""
    parts = [deviation**2 / size for _, deviation, size in (first, second)]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (first[2] - 1) + parts[1] ** 2 / (second[2] - 1))
    return math.sqrt(sum(parts)), freedom


def welch(first: Side, second: Side) -> Tuple[float, float]:
    """Welch's t and its p."""
    error, freedom = _error(first, second)
    t = (first[0] - second[0]) / error
    return t, p_of_t(t, freedom)


def _t_of(freedom: float) -> float:
    """The t that chance exceeds in 5 of 100 cases."""
    low, high = 0.0, 13.0  # One degree of freedom has 12.7.
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if p_of_t(middle, freedom) > 0.05 else (low, middle)
    return high


def apart(first: Sequence[float], second: Sequence[float]) -> Tuple[float, float]:
    """The 95 % interval of the difference of two means, by Welch's t."""
    sides = [(statistics.fmean(one), statistics.stdev(one), len(one)) for one in (first, second)]
    error, freedom = _error(*sides)
    mean, half = sides[0][0] - sides[1][0], _t_of(freedom) * error
    return mean - half, mean + half


def p_of_mean(values: Sequence[float]) -> float:
    """How probable it is by chance that a mean is so far from 0, by Student's t."""
    deviation = statistics.stdev(values)
    if not deviation:
        return 0.0 if any(values) else 1.0
    return p_of_t(statistics.fmean(values) * math.sqrt(len(values)) / deviation, len(values) - 1)


def p_above(values: Sequence[float], limit: float) -> float:
    """How probable it is by chance that a mean is so far above a limit, by Student's t."""
    above = [value - limit for value in values]
    both = p_of_mean(above)
    return both / 2 if statistics.fmean(above) > 0 else 1 - both / 2


def p_of_equal(values: Sequence[float], margin: float) -> float:
    """How probable it is by chance that a mean lies so far within a margin around 0: two one-sided
    tests (Schuirmann 1987). A great p does not say that the mean is outside."""
    return max(p_above(values, -margin), p_above([-value for value in values], -margin))


def student_of_rates(values: Sequence[float]) -> Tuple[float, float]:
    """The 95 % interval of the mean of rates, by Student's t on the logit of that mean. It lies
    within 0 and 1, and is not symmetrical."""
    mean = statistics.fmean(values)
    if not 0 < mean < 1 or len(set(values)) == 1:
        return mean, mean
    half = (student(values)[1] - mean) / (mean * (1 - mean))
    logit = math.log(mean / (1 - mean))
    low, high = (1 / (1 + math.exp(-max(-700.0, end))) for end in (logit - half, logit + half))
    return low, high


def student(values: Sequence[float]) -> Tuple[float, float]:
    """The 95 % interval of the mean of normal values."""
    half = _t_of(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values) - half, statistics.fmean(values) + half


def holm(chances: Sequence[float], level: float) -> int:
    """How many of these p are below the level when Holm's method counts all of them."""
    for place, chance in enumerate(sorted(chances)):
        if chance > level / (len(chances) - place):
            return place
    return len(chances)
