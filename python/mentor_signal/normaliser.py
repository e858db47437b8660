"""Observations as signals with the option `normalize_observations` see them: divided by their root
mean square in the agent's life so far (methods/black_box/README.md#normalised-observations). Needs
numpy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SQUARE_FLOOR = 1e-8
SHOWN_MAX = 10.0


class ObservationNormaliser:
    """The scale of each lifetime's observations. A new agent begins with a new object."""

    def __init__(self, lifetimes: int, size: int) -> None:
        self.count = np.zeros((lifetimes, 1))
        self.mean = np.zeros((lifetimes, size))
        self.squares = np.zeros((lifetimes, size))  # Sums of squared differences from the mean.

    def clone(self) -> "ObservationNormaliser":
        return self.of(np.arange(len(self.count)))

    def of(self, which: npt.NDArray[Any]) -> "ObservationNormaliser":
        """Returns that of some lifetimes: a mask, or their numbers."""
        some = ObservationNormaliser(0, self.mean.shape[1])
        some.count, some.mean = self.count[which].copy(), self.mean[which].copy()
        some.squares = self.squares[which].copy()
        return some

    def with_those(
        self, which: npt.NDArray[Any], those: "ObservationNormaliser"
    ) -> "ObservationNormaliser":
        """Returns it with `those` of some lifetimes."""
        mine = self.clone()
        mine.count[which], mine.mean[which] = those.count, those.mean
        mine.squares[which] = those.squares
        return mine

    def show(self, observations: Any) -> npt.NDArray[np.float32]:
        """Counts a segment's raw observations [S, T, D]. Returns what the network sees, float32."""
        x = np.asarray(observations)
        lifetimes, size = self.mean.shape
        if x.ndim != 3 or x.shape[::2] != (lifetimes, size):
            raise ValueError(
                f"observations: have the shape {x.shape}, expected [{lifetimes}, steps, {size}]; "
                "give whole segments of the same lifetimes"
            )
        if x.shape[1] == 0:
            raise ValueError("observations: have no steps; give at least one")
        self._add(x.astype(np.float64))
        square = self.squares / self.count + self.mean**2
        scale = np.sqrt(square + SQUARE_FLOOR).astype(np.float32)
        # In single precision, as the learner computes it.
        shown: npt.NDArray[np.float32] = np.clip(
            x.astype(np.float32) / scale[:, None], -SHOWN_MAX, SHOWN_MAX
        )
        return shown

    def _add(self, x: npt.NDArray[np.float64]) -> None:
        added = x.shape[1]
        mean = x.mean(axis=1)
        squares = np.square(x - mean[:, None]).sum(axis=1)
        # The parallel update of mean and squares of Chan, Golub and LeVeque.
        after = self.count + added
        difference = mean - self.mean
        self.squares = self.squares + squares + difference**2 * (self.count * added / after)
        self.mean = self.mean + difference * (added / after)
        self.count = after
