"""One environment, as Gymnasium's Env."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from mentor.environments.pool import METADATA, Pool, Wrapper, check_options, seed_of
from mentor.environments.registration import VECTORS
from mentor.environments.task import Choice, Task, finite

Observation = npt.NDArray[np.float64]
Info = dict[str, Any]

__all__ = ["MentorEnv", "Task"]


class MentorEnv(gymnasium.Env[Observation, Any]):
    """An environment of Mentor's: gymnasium.make("mentor/push-v3").

    name          of `mentor env list`, or "bundle" with `path`, the folder with its task.txtpb
    render_mode   None or "rgb_array", with width and height in pixels and a camera of the scene
    goal_visible  whether observations show the goal (Meta-World: they do)
    goal_seed     seed of the list of goals from which reset(options={"goal": i}) takes one; with
                  Meta-World goal i is training goal i of its ML1 with this seed
    wrappers      as in a spec, innermost first: [{"name": "sparse_reward"}]
    options       of this environment, as `mentor env show NAME` lists them

    Observations are float64, [D]. Actions are float32, [A], or an integer; numbers beyond the
    bounds are clipped by those environments whose originals do it. An episode is truncated after
    its last step. info has "success" (0.0 or 1.0) and the environment's own numbers; a reset's is
    empty. Wrong arguments
    raise ValueError or TypeError; what the simulator cannot do, a closed environment, a forked
    process or a second thread raise RuntimeError.
    """

    # gymnasium.make asks the class.
    metadata: dict[str, Any] = dict(METADATA)

    def __init__(
        self,
        name: str,
        *,
        path: str | os.PathLike[str] | None = None,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        camera: str = "",
        goal_visible: bool | None = None,
        goal_seed: int = 1,
        wrappers: Sequence[Wrapper] = (),
        **options: Any,
    ) -> None:
        if isinstance(name, str) and name in VECTORS:
            raise ValueError(f"name: {name} has many tasks; gymnasium.make_vec('mentor/{name}')")
        check_options(name, options, MentorEnv)
        self._arguments: dict[str, Any] = dict(
            name=name,
            path=path,
            render_mode=render_mode,
            width=width,
            height=height,
            camera=camera,
            goal_visible=goal_visible,
            goal_seed=goal_seed,
            wrappers=copy.deepcopy(wrappers),  # A pickle makes the environment again.
            options=options,
        )
        self._make()
        self._choice = Choice()
        self._seeded = False

    def _make(self) -> None:
        self._pool = Pool(
            **self._arguments, size=1, threads=1, asynchronous=False, autoreset="Disabled"
        )
        self.render_mode: str | None = self._arguments["render_mode"]
        self.metadata = self._pool.metadata
        self.observation_space = self._pool.observation_space
        self.action_space = self._pool.action_space
        arrays = self._pool.arrays
        self._observation = arrays["observations"][0]
        self._rewards, self._infos = arrays["rewards"], arrays["infos"][0]
        self._terminated, self._truncated = arrays["terminated"], arrays["truncated"]
        self._successes = arrays["successes"]

    @property
    def episode_steps(self) -> int:
        """After so many steps an episode is truncated."""
        return self._pool.episode_steps

    @property
    def env_name(self) -> str:
        """Its name in `mentor env list`."""
        return self._pool.name

    @property
    def goal_visible(self) -> bool | None:
        """Whether observations show the goal. None: nobody chose, and they have none to hide."""
        return self._pool.goal_visible

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begins an episode.

        seed     of the episodes from here on; without one they go on, at first from chance
        options  {"goal": i}, one of the fixed list of goals, or {"parameters": [...]}, the task's
                 numbers themselves. They stay until others come; {"goal": None} ends them. Without
                 them each episode has a fresh task
        """
        choice = self._choice.changed(options)
        super().reset(seed=None if seed is None else seed_of("seed", seed))
        seeds = []
        if seed is not None or not self._seeded:
            seeds = [self.np_random_seed % 2**64]
        self._pool.native.reset(seeds, [], choice.goal, choice.parameters, True)
        self._choice, self._seeded = choice, True
        return self._observation.copy(), {}

    def _present(self) -> Observation:
        observation: Observation = self._observation.copy()
        return observation

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        self._pool.native.step(self._pool.actions(action, 1, "action"))
        info: Info = dict(zip(self._pool.info_keys, self._infos.tolist()))
        info["success"] = float(self._successes[0])
        return (
            self._observation.copy(),
            float(self._rewards[0]),
            bool(self._terminated[0]),
            bool(self._truncated[0]),
            info,
        )

    def render(self) -> npt.NDArray[np.uint8] | None:
        """Returns a picture, [height, width, 3], with render_mode="rgb_array"."""
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render() without a render_mode shows nothing: "
                'gymnasium.make(..., render_mode="rgb_array")'
            )
            return None
        return self._pool.render(0)

    def close(self) -> None:
        self._pool.native.close()

    def set_task(self, task: Task) -> None:
        """Chooses the task of later episodes, as Meta-World's environments do. Observations then
        show the goal, or hide it, as the task says."""
        if not isinstance(task, Task):
            raise TypeError(
                f"task: is {type(task).__name__}; give one of train_tasks or test_tasks"
            )
        if task.env_name != self._pool.name:
            raise ValueError(
                f"task.env_name: is {task.env_name!r}, but this environment is {self._pool.name!r}"
            )
        parameters = finite("task.parameters", task.parameters)
        if (self._arguments["goal_visible"] is not False) != task.goal_visible:
            self._arguments["goal_visible"] = bool(task.goal_visible)
            self._make()
            self._seeded = False
        self._choice = Choice(parameters=parameters)

    @property
    def has_task(self) -> bool:
        """Whether a task or goal was chosen; without one each episode has a fresh task."""
        return self._choice != Choice()

    def save_state(self) -> bytes:
        """Returns the episode as it is now; restore_state goes on from it bit for bit, in any
        process."""
        return bytes(self._pool.native.save_state(0))

    def restore_state(self, state: bytes) -> Observation:
        """Goes on from what save_state returned; returns the observation there, [D]. Damaged
        bytes are refused. A state of something else may end the episode."""
        if not isinstance(state, (bytes, bytearray, memoryview)):
            raise TypeError(f"state: is {type(state).__name__}; give what save_state() returned")
        self._pool.native.restore_state(0, bytes(state))
        return self._present()

    def set_state(self, qpos: Sequence[float], qvel: Sequence[float]) -> Observation:
        """Begins an episode at positions [nq] and velocities [nv]; returns its observation, [D].
        RuntimeError where a reset is a function of the task."""
        if not self._seeded:
            self.reset()
        self._pool.native.reset_to(0, finite("qpos", qpos), finite("qvel", qvel))
        return self._present()

    def simulator_state(self) -> npt.NDArray[np.float64]:
        """Returns MuJoCo's mjSTATE_INTEGRATION."""
        return np.asarray(self._pool.native.simulator_state(0))

    def set_simulator_state(self, state: Sequence[float]) -> None:
        """Sets mjSTATE_INTEGRATION; all else stays as it is."""
        self._pool.native.set_simulator_state(0, finite("state", state))

    def positions_and_velocities(self) -> npt.NDArray[np.float64]:
        """Returns qpos, then qvel."""
        return np.asarray(self._pool.native.positions_and_velocities(0))

    def scripted_action(self) -> npt.NDArray[np.float32]:
        """Returns the action, [A], of a policy by hand that solves the task, in this state."""
        return np.asarray(self._pool.native.scripted_action(0), np.float32)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: self.__dict__.get(name) for name in ("_arguments", "_choice", "_seeded")}
        state = self.save_state() if self._seeded else None
        # The action space has its own random numbers.
        kept["action_space"] = self.action_space
        return {**kept, "state": state, "spec": self.spec, "_np_random": self._np_random}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        state, action_space = kept.pop("state"), kept.pop("action_space")
        self.__dict__.update(kept)
        self._make()
        self.action_space = action_space
        if state is not None:
            self._pool.native.restore_state(0, state)
