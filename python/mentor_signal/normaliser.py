"""Observations as agents with `agent.normalize_observations` see them, for signals with the option
`normalize_observations` (methods/black_box/README.md#normalised-observations). Needs numpy alone.
"""

from __future__ import annotations

import numpy as np

VARIANCE_FLOOR = 1e-8
SHOWN_MAX = 10.0


class ObservationNormaliser:
    """Mean and variance of each lifetime's observations, over its segments so far.

    Show each segment by `see`, then count it by `add`; a new agent begins with a new object.
    """

    def __init__(self, lifetimes: int, size: int) -> None:
        self.count = 0
        self.mean = np.zeros((lifetimes, size))
        self.squares = np.zeros((lifetimes, size))  # Sums of squared differences from the mean.

    def _of(self, observations: np.ndarray) -> np.ndarray:
        observations = np.asarray(observations)
        lifetimes, size = self.mean.shape
        if observations.ndim != 3 or observations.shape[::2] != (lifetimes, size):
            raise ValueError(
                f"observations: have the shape {observations.shape}, expected "
                f"[{lifetimes}, steps, {size}]; give whole segments of the same lifetimes"
            )
        if observations.shape[1] == 0:
            raise ValueError("observations: have no steps; give at least one")
        return observations

    def see(self, observations: np.ndarray) -> np.ndarray:
        """What the network sees of observations [S, T, D], as float32."""
        observations = self._of(observations)
        mean = self.mean
        std = np.ones_like(mean)
        if self.count > 0:
            std = np.sqrt(self.squares / self.count + VARIANCE_FLOOR)
        # In single precision, as the learner computes it.
        single = observations.astype(np.float32) - mean.astype(np.float32)[:, None]
        return np.clip(single / std.astype(np.float32)[:, None], -SHOWN_MAX, SHOWN_MAX)

    def add(self, observations: np.ndarray) -> None:
        """Counts the raw observations [S, T, D] of a segment that has ended."""
        x = self._of(observations).astype(np.float64)
        added = x.shape[1]
        mean = x.mean(axis=1)
        squares = np.square(x - mean[:, None]).sum(axis=1)
        # The parallel update of mean and squares of Chan, Golub and LeVeque.
        after = self.count + added
        difference = mean - self.mean
        self.squares = self.squares + squares + difference**2 * (self.count * added / after)
        self.mean = self.mean + difference * (added / after)
        self.count = after
