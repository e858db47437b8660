"""What is decided about differences between methods, one value for each meta-seed. Student's t
decides.

A bootstrap interval over three meta-seeds is hardly more than their range, and one sign in all of
them comes by chance in a quarter of the cases. So neither decides alone. "No difference" is asked
by two one-sided tests, since an interval with 0 in it shows nothing.
"""

import statistics

import published

from mentor.report import significance  # data_files says where.

CHANCE = 0.05


def between(values):
    low, high = significance.student(values)
    return f"[{published.signed(low)}, {published.signed(high)}]"


def ahead(values):
    """Whether the first of two is ahead of the second: their differences."""
    if len(values) < 2:
        return "not asked: one meta-seed"
    low, high = significance.student(values)
    if low > 0:
        return f"**yes**, {between(values)}"
    above = sum(value > 0 for value in values)
    return f"{'**no**' if high < 0 else 'not shown'}, {between(values)}; {above} of {len(values)}"


def near(values, margin):
    """Whether the two are equal, within a margin."""
    if len(values) < 2:
        return "not asked: one meta-seed"
    chance = significance.p_of_equal(values, margin)
    return f"{'**yes**' if chance <= CHANCE else 'not shown'}, p {chance:.2g}"


def passes(values, how, limit, difference):
    """Whether what was registered came out. A test by the signs or the mean of differences was
    registered; what Student's t does not confirm says so."""
    mean = statistics.fmean(values)
    came = {">=": mean >= limit, "<=": mean <= limit, "within": abs(mean) <= limit}[how]
    strict = difference and how == ">=" and limit >= 0
    if not came or (strict and min(values) <= 0):
        return "**no**"
    if not difference or len(values) < 2:
        return "**yes**"
    if strict:
        chance = significance.p_of_mean(values)
    elif how == "within":
        chance = significance.p_of_equal(values, limit)
    else:
        sign = 1 if how == ">=" else -1
        chance = significance.p_above([sign * value for value in values], sign * limit)
    if chance <= CHANCE:
        return "**yes**"
    return f"as registered; not shown by {'two tests' if how == 'within' else 't'}, p {chance:.2g}"
