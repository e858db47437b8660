"""What a signal network sees of learning agents: S lifetimes side by side, T steps, D numbers of an
observation, A of an action. A lifetime is all that one agent lives through, one episode after
another."""

from __future__ import annotations

import dataclasses
from typing import Any, List, Optional

import numpy as np
import numpy.typing as npt

from .errors import SignalError
from .normaliser import ObservationNormaliser

Array = npt.NDArray[Any]


def as_array(value: Any, field: str) -> Array:
    """Returns numbers of any library as an array: of NumPy, lists, tensors on any device."""
    if hasattr(value, "detach"):  # A tensor of PyTorch, whose graph and device stay behind.
        value = value.detach().cpu()
    try:
        array: Array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SignalError(field, f"is no array of numbers ({error}); give one") from None
    if array.dtype.kind not in "fiub":
        raise SignalError(field, f"has the type {array.dtype}; give an array of numbers")
    return array


def as_float32(values: Any) -> Array:
    """Too large numbers become infinite, which callers look at: NumPy need not warn."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32)


OF_A_SHARE = "; of a share, success=(lambda reward, terminated, info: info['KEY'] >= 0.5)"


def as_flags(values: Any, field: str, remedy: str = "", *, one: bool = False) -> Array:
    """Returns bools, or numbers that are 0 or 1, as bools. Everything else would be taken for true,
    "False" and NaN as well. one: an array of one is none."""
    found = values
    try:
        array = as_array(values, field)
        wrong = (array != 0) & (array != 1)
        if not wrong.any() and not (one and array.ndim):
            return array.astype(bool)
        found = values if one else array[wrong].flat[0].item()
    except SignalError:
        pass  # It is no array of numbers.
    raise SignalError(
        field,
        f"is {found!r:.200}, of type {type(found).__name__}; give True or False, or 0 or 1"
        + remedy,
    )


def as_flag(value: Any, field: str, remedy: str = "") -> bool:
    """The same for one."""
    return bool(as_flags(value, field, remedy, one=True))


@dataclasses.dataclass
class Segment:
    """Consecutive steps, for example a whole inner iteration. Arrays, lists or tensors.

    observations     [S, T, D]: before each step, as the environment gives them
    actions          [S, T, A]: as the policy drew them, before any clipping; of discrete actions
                     one-hot
    log_probs        [S, T]: log-density of these actions under the policy that drew them
    shaped_rewards   [S, T]: the environment's own reward
    success_signals  [S, T]: SuccessSignal
    prev_done        [S, T]: 1 where a new episode begins; 0 at a lifetime's first step
    last_done        [S]: the same for the step after the last
    values           [S, T]: what the agent's value network said of each observation
    last_values      [S]: the same of the observation after the last step
    truncated        [S, T]: 1 where a limit of steps cut the episode short, where the agents go on
                     with final_values
    final_values     [S, T]: the value of the observation that such an episode ended with

    Network.reads says which of these a network reads; the others may be left out.
    """

    observations: Any
    actions: Any = None
    log_probs: Any = None
    shaped_rewards: Any = None
    success_signals: Any = None
    prev_done: Any = None
    last_done: Any = None
    values: Any = None
    last_values: Any = None
    truncated: Any = None
    final_values: Any = None

    def array(self, name: str, dtype: Any = None) -> Array:
        """Returns a part, as numbers of type `dtype` if one is given."""
        value = getattr(self, name)
        if value is None:
            raise SignalError(
                f"segment.{name}", "is missing, but the network reads it; give it for every step"
            )
        array = as_array(value, f"segment.{name}")
        return array if dtype is None else array.astype(dtype, copy=False)

    @property
    def lifetimes(self) -> int:
        return int(self.array("observations").shape[0])

    @property
    def steps(self) -> int:
        return int(self.array("observations").shape[1])


@dataclasses.dataclass
class State:
    """What a network carries from segment to segment of S lifetimes; zeros at birth. `lived` is the
    scale of their observations so far, where the network sees normalised ones."""

    recurrent: List[Array]
    previous: Array
    lived: Optional[ObservationNormaliser] = None

    def clone(self) -> "State":
        return State(
            [x.copy() for x in self.recurrent],
            self.previous.copy(),
            None if self.lived is None else self.lived.clone(),
        )

    def of(self, which: Array) -> "State":
        """Returns the state of some lifetimes: a mask, or their numbers."""
        lived = None if self.lived is None else self.lived.of(which)
        return State([x[which] for x in self.recurrent], self.previous[which], lived)

    def with_those(self, which: Array, those: "State") -> "State":
        """Returns the state in which some lifetimes have the state `those`."""
        mine = self.clone()
        mine.previous[which] = those.previous
        for all_of_them, some in zip(mine.recurrent, those.recurrent):
            all_of_them[which] = some
        if mine.lived is not None and those.lived is not None:
            mine.lived = mine.lived.with_those(which, those.lived)
        return mine


class SuccessSignal:
    """The sparse success signal of S lifetimes. An episode of at most M steps that first succeeds
    in step k, counted from 0, gets 1 - 0.7 k / M there. An episode without success gets -0.2 at its
    M-th step. All other steps get 0."""

    def __init__(self, lifetimes: int, max_episode_steps: int):
        if max_episode_steps < 1:
            raise SignalError("max_episode_steps", f"is {max_episode_steps}; give at least 1")
        self.max_episode_steps = max_episode_steps
        self.episode_steps = np.zeros(lifetimes, np.int64)
        self.succeeded = np.zeros(lifetimes, bool)

    def step(self, starts_episode: Any, success: Any, which: Any = True) -> npt.NDArray[np.float64]:
        """Returns the signal of the next step, [S]. The environments reported `success` after that
        step. which: the lifetimes that make a step; the others get 0."""
        live = np.broadcast_to(np.asarray(which, bool), self.succeeded.shape)
        starts = np.asarray(starts_episode, bool) & live
        success = as_flags(success, "success", OF_A_SHARE) & live
        self.episode_steps[starts] = 0
        self.succeeded[starts] = False
        k, length = self.episode_steps.copy(), self.max_episode_steps
        if np.any(live & (k >= length)):
            raise SignalError(
                "max_episode_steps",
                f"is {length}, but an episode is longer, where there is no success signal; cut "
                "episodes by gymnasium.wrappers.TimeLimit",
            )
        self.episode_steps += live
        first = success & ~self.succeeded
        failed = live & ~self.succeeded & ~success & (k == length - 1)
        self.succeeded |= success
        return np.where(first, 1 - 0.7 * k / length, np.where(failed, -0.2, 0.0))

    def steps(self, prev_done: Any, successes: Any) -> npt.NDArray[np.float64]:
        """The same for T steps: [S, T]."""
        starts, flags = np.asarray(prev_done, bool), as_flags(successes, "successes", OF_A_SHARE)
        return np.stack(
            [self.step(starts[:, t], flags[:, t]) for t in range(flags.shape[1])], axis=1
        )


def episode_steps(prev_done: Array, carried: Array) -> "tuple[Array, Array]":
    """Returns the steps of the episode before each step, [S, T] float64, and the state to carry
    on."""
    starts = prev_done != 0
    count = carried.astype(np.float64)
    steps = np.empty(starts.shape, np.float64)
    for t in range(starts.shape[1]):
        count[starts[:, t]] = 0
        steps[:, t] = count
        count += 1
    return steps, count.astype(carried.dtype)
