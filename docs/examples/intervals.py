"""Shared by the examples: intervals of means."""

import numpy as np


def interval(values):
    """Returns the mean, and the two ends of its 95 % bootstrap interval."""
    values, random = np.asarray(values), np.random.default_rng(0)
    means = values[random.integers(0, len(values), (10_000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
