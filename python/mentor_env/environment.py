"""The interface of an environment that this package serves (serving.py has the protocol)."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Refused(Exception):
    """The environment does not accept these options or this task; the message says what to give."""


def number(value: Any, name: str) -> float:
    """Returns a number of Python or numpy, or that of an array of one; a text is none."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        return float(value)
    raise TypeError(f"{name} is {value!r:.200}, of type {type(value).__name__}; give a number")


def flag(value: Any, name: str, remedy: str = "") -> bool:
    """Returns whether a bool, or a number that is 0 or 1, is true. Everything else would be taken
    for true, "False" and NaN as well."""
    try:
        known = number(value, name) if np.ndim(value) == 0 else math.nan
    except TypeError:
        known = math.nan
    if known in (0.0, 1.0):
        return known == 1.0
    raise TypeError(
        f"{name} is {value!r:.200}, of type {type(value).__name__}; give True or False, or 0 or 1"
        + remedy
    )


@dataclasses.dataclass(frozen=True)
class Facts:
    """Describes an environment. Specs contain these facts, and actors compare them with those that
    the running program reports."""

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
    """The result of one action."""

    observation: npt.ArrayLike
    reward: float
    success: bool = False
    terminated: bool = False  # The task ended.
    truncated: bool = False  # The episode was cut off. The last step's end is seen to elsewhere.


class Environment(abc.ABC):
    """One environment. All chance comes from the seed of reset. An environment must not use a
    clock, a generator of the whole process, or anything that the episode before left behind."""

    facts: Facts

    def set_task(self, parameters: Sequence[float], goal_visible: bool) -> None:
        """Sets the task of all later resets: as many numbers as facts.parameters has ranges."""

    @abc.abstractmethod
    def reset(self, seed: int) -> npt.ArrayLike:
        """Begins an episode and returns its first observation. `seed` has 128 bits."""

    @abc.abstractmethod
    def step(self, action: npt.NDArray[np.float32]) -> Step:
        """Takes one step. action: [A], within the bounds; the environment may keep the array."""

    def save(self) -> bytes:
        """Returns all that later steps depend on, except the task. Equal states have equal
        bytes."""
        raise NotImplementedError("facts.saves_state is true, but save is not implemented")

    def restore(self, state: bytes) -> npt.ArrayLike:
        """Continues from the bytes that save returned, here or in another process. Returns the
        observation."""
        raise NotImplementedError("facts.saves_state is true, but restore is not implemented")

    def close(self) -> None:
        """Called once, after the last question."""
