"""How far a run of meta-training falls below what it had, for docs/curves.py. Standard library
only."""

import dataclasses

LIMIT = 0.81  # A run that ends at no more of its best mean falls back.


@dataclasses.dataclass
class Falls:
    end: float  # The last mean, as a part of the best one.
    worst: float  # The least part of the best mean before it that a mean has.
    steps: int  # Environment steps when it has that.


def falls_of(means):
    """Means over a window, by environment steps, in their order."""
    best, falls = 0.0, Falls(1.0, 1.0, 0)
    for steps, mean in means.items():
        if best and mean / best < falls.worst:
            falls.worst, falls.steps = mean / best, steps
        best = max(best, mean)
        falls.end = mean / best if best else 1.0
    return falls
