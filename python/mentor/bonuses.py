"""Exploration bonuses: RND, ICM and counts, as the evaluation's baselines have them, in C++.

env = mentor.BonusReward(env, "rnd")
PPO("MlpPolicy", env).learn(100_000)     # Stable-Baselines3

bonuses/README.md has their formulas and settings.
"""

from __future__ import annotations

import math
import re
from typing import Any

import gymnasium
import gymnasium.utils
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from mentor import _native

Array = npt.NDArray[Any]

__all__ = ["Bonus", "BonusReward"]


class Bonus:
    """The bonus of one agent, with the bits of Mentor's learner.

    name                            "rnd", "icm" or "counts"
    observation_space, action_space of the agent: a Box, and a Box or Discrete
    seed, agent                     keys of its weights; each agent has others
    settings                        of the bonus: weight=0.5, learning_rate=1e-3

    All methods take T steps in their order: observations [T, ...], actions [T, ...] and
    next_observations [T, ...]. known [T] is False where an episode ended and the observation after
    the step is not known. Not for several threads.
    """

    def __init__(
        self,
        name: str,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        seed: int = 0,
        agent: int = 0,
        **settings: Any,
    ) -> None:
        if not isinstance(observation_space, spaces.Box):
            raise ValueError(
                f"observation_space: is {observation_space}; bonuses see a Box, so put "
                "gymnasium.wrappers.FlattenObservation inside"
            )
        if not isinstance(action_space, (spaces.Box, spaces.Discrete)):
            raise ValueError(f"action_space: is {action_space}; give a Box or Discrete")
        for field, value, most in (("seed", seed, 2**64), ("agent", agent, 2**32)):
            if not isinstance(value, (int, np.integer)) or not 0 <= value < most:
                raise ValueError(f"{field}: is {value!r}; give an integer from 0 below {most}")
        self._action_space = action_space
        self._observation_size = math.prod(observation_space.shape)
        size = math.prod(action_space.shape or ())
        discrete = isinstance(action_space, spaces.Discrete)
        if isinstance(action_space, spaces.Discrete):
            size = int(action_space.n)
        try:
            self._native = _native.Bonus(
                name,
                {key: _text(value) for key, value in settings.items()},
                self._observation_size,
                size,
                discrete,
                int(seed),
                int(agent),
            )
        except ValueError as error:  # It names the fields of a spec.
            said = re.sub(r"^evaluation\.bonus\.(option\.)?", "", str(error), flags=re.MULTILINE)
            raise ValueError(said) from None

    @property
    def task_weight(self) -> float:
        """Factor of the task's reward beside the bonus."""
        return self._native.task_weight()

    def rewards(
        self, observations: Any, actions: Any, next_observations: Any, known: Any = None
    ) -> Array:
        """Takes the steps into statistics and counts; returns their weighted bonuses, [T]."""
        steps = self._steps(observations, actions, next_observations, known)
        return np.frombuffer(self._native.reward(*steps))

    def peek(
        self, observations: Any, actions: Any, next_observations: Any, known: Any = None
    ) -> Array:
        """Returns the bonuses that these steps would have, and changes nothing."""
        steps = self._steps(observations, actions, next_observations, known)
        return np.frombuffer(self._native.peek(*steps))

    def learn(
        self, observations: Any, actions: Any, next_observations: Any, known: Any = None
    ) -> None:
        """Trains the networks, if there are any, on the steps."""
        self._native.learn(*self._steps(observations, actions, next_observations, known))

    def save(self) -> bytes:
        """Returns everything that later bonuses depend on."""
        return self._native.save()

    def load(self, state: bytes) -> None:
        """Takes back what save() of a bonus with the same name, sizes and settings returned."""
        if len(state) % 8:
            raise ValueError("state: is damaged; give what save() returned")
        self._native.load(np.frombuffer(state))

    def _steps(
        self, observations: Any, actions: Any, following: Any, known: Any
    ) -> tuple[Array, Array, Array, Array]:
        before = self._rows("observations", observations)
        after = self._rows("next_observations", following)
        acted = np.asarray(actions)
        if isinstance(self._action_space, spaces.Discrete):
            numbers = acted.astype(np.int64).reshape(-1) - int(self._action_space.start)
            if ((numbers < 0) | (numbers >= self._action_space.n)).any():
                raise ValueError(f"actions: give numbers of {self._action_space}")
            acted = np.eye(int(self._action_space.n))[numbers]
        acted = np.ascontiguousarray(acted, np.float64).reshape(len(before), -1)
        _check("actions", acted)
        flags = np.ones(len(before), np.uint8) if known is None else np.asarray(known, bool)
        return before, acted, after, np.ascontiguousarray(flags, np.uint8)

    def _rows(self, what: str, given: Any) -> Array:
        rows = np.ascontiguousarray(given, np.float64).reshape(-1, self._observation_size)
        _check(what, rows)
        return rows


class BonusReward(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """The task's reward and a bonus, step by step.

    bonus     a Bonus, or its name; then `seed`, `agent` and `settings` are those of Bonus
    segment   steps after which the bonus learns; None: 1 for "counts", else 2048

    A step's reward is task_weight times the task's reward plus the bonus. The bonus is that of the
    last segment's networks and statistics, so it is 0 in the first segment where networks learn.
    Episodes do not matter to it: the bonus lives as long as the wrapper. The parts of the reward
    are in info["task_reward"] and info["bonus"].
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        bonus: Bonus | str,
        *,
        segment: int | None = None,
        seed: int = 0,
        agent: int = 0,
        **settings: Any,
    ) -> None:
        if not isinstance(env, gymnasium.Env):
            raise TypeError(
                "env: is no environment of Gymnasium; a vector's environments are wrapped one by "
                "one: make_vec_env(..., wrapper_class=mentor.BonusReward, wrapper_kwargs={...})"
            )
        # By these Gymnasium makes the environment again from its spec.
        gymnasium.utils.RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            bonus=bonus,
            segment=segment,
            seed=seed,
            agent=agent,
            **settings,
        )
        gymnasium.Wrapper.__init__(self, env)
        if segment is None:
            segment = 1 if bonus == "counts" else 2048
        if not isinstance(segment, (int, np.integer)) or segment < 1:
            raise ValueError(f"segment: is {segment!r}; give a number of steps, at least 1")
        if isinstance(bonus, str):
            bonus = Bonus(
                bonus, env.observation_space, env.action_space, seed=seed, agent=agent, **settings
            )
        elif settings:
            raise ValueError(f"{min(settings)}: is a setting of a new bonus; give its name")
        self.bonus = bonus
        self._segment = int(segment)
        self._steps: list[tuple[Array, Array, Array]] = []
        self._learned = False
        self._episode_step = 0
        # Is None while no episode goes on: a refused one ends it.
        self._observation: Array | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self._observation = None
        observation, info = super().reset(seed=seed, options=options)
        self._episode_step = 0
        self._observation = self._seen(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._observation is None:
            raise RuntimeError("the environment has no episode yet: call reset() before step()")
        observation, reward, terminated, truncated, info = super().step(action)
        self._episode_step += 1
        before, self._observation = self._observation, None
        following = self._seen(observation)
        self._steps.append((before, np.array(action), following))
        self._observation = following
        given = self._bonus_of_last()
        info = {**info, "task_reward": float(reward), "bonus": given}
        total = self.bonus.task_weight * float(reward) + given
        return observation, total, terminated, truncated, info

    def _seen(self, observation: Any) -> Array:
        seen = np.array(observation, np.float64)
        _check("observation", seen.reshape(1, -1), f"step {self._episode_step} of the episode")
        return seen

    def _bonus_of_last(self) -> float:
        if self._segment > 1:
            last = [np.stack([part]) for part in self._steps[-1]]
            given = float(self.bonus.peek(*last)[0]) if self._learned else 0.0
            if len(self._steps) < self._segment:
                return given
        steps = [np.stack(part) for part in zip(*self._steps)]
        self._steps = []
        counted = self.bonus.rewards(*steps)
        self.bonus.learn(*steps)
        self._learned = True
        return float(counted[0]) if self._segment == 1 else given


def _check(what: str, rows: Array, where: str = "") -> None:
    """Refuses numbers that are not finite in 32 bits, as actors do. What is only finite in 64 bits
    becomes NaN in networks that square it.
    """
    with np.errstate(over="ignore"):
        wrong = np.argwhere(~np.isfinite(rows.astype(np.float32)))
    if len(wrong):
        row, column = wrong[0]
        remedy = "give finite ones"
        if what != "actions":
            remedy = "mend the environment, or end the episode there"
        raise ValueError(
            f"{what}: number {column} of {where or f'step {row}'} is {rows[row, column]:g}, which "
            f"is not finite in 32 bits, and the bonus would never forget it; {remedy}"
        )


def _text(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return str(value)
