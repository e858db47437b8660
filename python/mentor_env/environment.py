"""What a host implements. Nothing here knows how it is asked (serving.py)."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


class Refused(Exception):
    """Options or a task that the environment does not take; the message says what to give."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What an environment is like. Specs carry it; actors compare it with what their host says."""

    name: str  # For people, with the versions of what it runs on.
    observation_size: int
    action_size: int  # Numbers of an action, or choices of a discrete one.
    episode_steps: int  # The last step that an episode may have.
    action_low: float = -1.0
    action_high: float = 1.0
    discrete_actions: bool = False  # One of action_size choices: the place of the greatest number.
    # Every episode has exactly episode_steps steps and depends on task and seed alone.
    independent_episodes: bool = False
    saves_state: bool = False  # save and restore work, in another process too, bit for bit.
    has_success: bool = True
    parameters: Sequence[tuple[float, float]] = ()  # Ranges of the numbers of a task.
    digest: str = ""  # Hash of what results depend on besides.


class Step(NamedTuple):
    """What came of an action."""

    observation: npt.ArrayLike
    reward: float
    success: bool = False
    terminated: bool = False  # The task ended.
    truncated: bool = False  # The episode was cut off. The last step's end is seen to elsewhere.


class Environment(abc.ABC):
    """One simulator. All chance comes from the seed of reset: no clock, no generator of the whole
    process, nothing that was left behind by the episode before."""

    facts: Facts

    def set_task(self, parameters: Sequence[float], goal_visible: bool) -> None:
        """The task of all later resets: as many numbers as facts.parameters has ranges."""

    @abc.abstractmethod
    def reset(self, seed: int) -> npt.ArrayLike:
        """Begins an episode. seed: 128 bits. Returns the observation."""

    @abc.abstractmethod
    def step(self, action: npt.NDArray[np.float32]) -> Step:
        """One step. action: [A], within the bounds; it is the environment's to keep."""

    def save(self) -> bytes:
        """All that later steps depend on, but for the task; the same bytes for the same state."""
        raise NotImplementedError("facts.saves_state is true, but save is not implemented")

    def restore(self, state: bytes) -> npt.ArrayLike:
        """Goes on from what save gave, here or in another process. Returns the observation."""
        raise NotImplementedError("facts.saves_state is true, but restore is not implemented")

    def close(self) -> None:
        """There are no more questions."""
