"""Many environments at once, as the VecEnv of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from mentor.environments.pool import Array
from mentor.environments.vector import MentorVectorEnv
from mentor_signal.errors import explained

try:
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as error:
    said = explained(error, "signal,sb3", "torch stable-baselines3")
    raise ModuleNotFoundError(said, name=error.name) from None

# The pool has these for one environment.
_METHODS = (
    "positions_and_velocities restore_state save_state scripted_action set_simulator_state "
    "simulator_state"
).split()


class MentorVecEnv(VecEnv):  # type: ignore[misc,unused-ignore]  # Any where SB3 is missing.
    """A MentorVectorEnv for Stable-Baselines3: the numbers are those of its DummyVecEnv over single
    environments with the same seeds. get_attr reads attributes of the vector; env_method knows
    save_state, scripted_action and the like, which give lists in place of arrays."""

    def __init__(self, vector: MentorVectorEnv) -> None:
        if vector.metadata["autoreset_mode"] is not AutoresetMode.SAME_STEP:
            raise ValueError("vector: give one with autoreset_mode='SAME_STEP'")
        self.vector = vector
        super().__init__(
            vector.num_envs, vector.single_observation_space, vector.single_action_space
        )

    @property
    def env_name(self) -> str:
        return self.vector.env_name

    @property
    def goal_visible(self) -> bool | None:
        return self.vector.goal_visible

    def reset(self) -> Array:
        """Begins episodes with what seed() and set_options() said; the options are one for all."""
        options = self._options[0]
        if any(one != options for one in self._options):
            raise ValueError("options: give set_options() one dict, which all environments take")
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, _ = self.vector.reset(seed=seeds, options=options)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: Array) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        observations, rewards, terminated, truncated, found = self.vector.step(self._actions)
        done = terminated | truncated
        infos = _infos(found, done)
        for i, info in enumerate(infos):
            info["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            if done[i]:
                info["terminal_observation"] = found["final_obs"][i]
        return observations, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        self.vector.close()

    def get_images(self) -> Sequence[Array | None]:
        return self.vector.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.vector, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(f"{attr_name}: give it to mentor.sb3_vector(); it is fixed afterwards")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        if method_name not in _METHODS:
            raise AttributeError(f"{method_name}: is none of {', '.join(_METHODS)}")
        call = getattr(self.vector.native, method_name)
        return [call(i, *method_args, **method_kwargs) for i in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        return [False for _ in self._get_indices(indices)]


def _infos(found: dict[str, Any], done: Array) -> list[dict[str, Any]]:
    """Returns the numbers of each environment; final_info has those of episodes that ended."""
    final = found.get("final_info", {})
    keys = [key for key in {**found, **final} if not key.startswith(("_", "final_"))]
    columns = [np.where(done, final.get(key, 0.0), found.get(key, 0.0)).tolist() for key in keys]
    return [dict(zip(keys, row)) for row in zip(*columns)]


def sb3_vector(name: str, num_envs: int | None = None, **arguments: Any) -> MentorVecEnv:
    """Makes a VecEnv of Stable-Baselines3, with the arguments of mentor.vector()."""
    return MentorVecEnv(MentorVectorEnv(name, num_envs, autoreset_mode="SAME_STEP", **arguments))
