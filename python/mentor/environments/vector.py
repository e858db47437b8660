"""Many environments at once, as Gymnasium's VectorEnv: threads in C++ step them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from mentor import _native
from mentor.environments.pool import (
    METADATA,
    Array,
    Pool,
    Wrapper,
    check_integer,
    check_options,
    seed_of,
)
from mentor.environments.registration import VECTORS
from mentor.environments.task import Choice

Observations = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Infos = dict[str, Any]
Step = tuple[Observations, npt.NDArray[np.float64], Flags, Flags, Infos]

_ENVIRONMENTS_MAX = 65536
_THREADS_MAX = 1024


class MentorVectorEnv(gymnasium.vector.VectorEnv[Observations, Any, Array]):
    """N environments of one kind: gymnasium.make_vec("mentor/push-v3", num_envs=8). Or those of a
    benchmark's classes in turn: gymnasium.make_vec("mentor/MT10"), "mentor/ML10-train".

    num_envs        N; environment i has the bits of the single one with seed + i, whatever N is.
                    Of C classes, environment i has class i % C. Default: 1, or one for each class
    num_threads     threads that step them; default: one for each core that this process may use
    copy            True: each call returns arrays of its own. False: views of one buffer, which the
                    next call writes again; nothing is copied
    autoreset_mode  of Gymnasium: NEXT_STEP, SAME_STEP or DISABLED
    dtype           of observations: "float64" or "float32"
    batch_size      how many environments recv() waits for; with less than N, send() and recv() take
                    the place of step()
    terminate_on_success  whether step() ends an episode at success; the attribute may change
    others          as those of MentorEnv. goal_seed is the seed of a benchmark's goals; each reset
                    of its environments draws one, and {"goal": i} of reset's options fixes it

    Observations are [N, D], rewards [N] float64, actions [N, A] float32 or [N] integers.
    infos has an array [N] for each key, and "_key" [N] says which environments have it.
    """

    metadata: dict[str, Any] = dict(METADATA)

    def __init__(
        self,
        name: str,
        num_envs: int | None = None,
        *,
        num_threads: int | None = None,
        copy: bool = True,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        dtype: npt.DTypeLike = np.float64,
        batch_size: int | None = None,
        terminate_on_success: bool = False,
        path: str | os.PathLike[str] | None = None,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        camera: str = "",
        goal_visible: bool | None = None,
        goal_seed: int = 1,
        wrappers: Sequence[Wrapper] = (),
        max_episode_steps: int | None = None,
        **options: Any,
    ) -> None:
        check_options(name, options, MentorVectorEnv)
        self._dtype = _dtype_of(dtype)
        self.num_envs = _count_of(name, num_envs)
        if num_threads is None:
            num_threads = min(len(os.sched_getaffinity(0)), _THREADS_MAX)
        check_integer("num_threads", num_threads, 1, _THREADS_MAX)
        waited_for = self.num_envs if batch_size is None else batch_size
        self.batch_size = check_integer("batch_size", waited_for, 1, self.num_envs)
        for field, flag in (("copy", copy), ("terminate_on_success", terminate_on_success)):
            if not isinstance(flag, (bool, np.bool_)):
                raise ValueError(f"{field}: is {flag!r}; give True or False")
        self._mode = mode = _mode_of(autoreset_mode)
        self._pool = Pool(
            name,
            path=path,
            size=self.num_envs,
            threads=min(num_threads, self.num_envs),
            asynchronous=self.batch_size < self.num_envs,
            autoreset=mode.value,
            render_mode=render_mode,
            width=width,
            height=height,
            camera=camera,
            goal_visible=goal_visible,
            goal_seed=goal_seed,
            wrappers=wrappers,
            options=options,
        )
        if max_episode_steps not in (None, -1, self._pool.episode_steps):
            raise ValueError(
                f"max_episode_steps: is {max_episode_steps!r}, but episodes have "
                f"{self._pool.episode_steps} steps; gymnasium.make() takes others, one at a time"
            )
        self.render_mode = render_mode
        self.metadata = {**self._pool.metadata, "autoreset_mode": mode}
        self.single_observation_space = spaces.Box(
            -np.inf, np.inf, self._pool.observation_space.shape, self._dtype
        )
        self.single_action_space = self._pool.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._copy = copy
        self._arrays = self._pool.arrays
        self._choice = Choice()
        self._seeded = False
        self._all: Flags = np.ones(self.num_envs, np.bool_)
        self._was_done = self._solved = ~self._all
        self.terminate_on_success = terminate_on_success

    @property
    def env_name(self) -> str:
        """Its name in `mentor env list`."""
        return self._pool.name

    @property
    def goal_visible(self) -> bool | None:
        """As that of MentorEnv."""
        return self._pool.goal_visible

    @property
    def native(self) -> _native.Pool:
        """The environments in C++, by their numbers."""
        return self._pool.native

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observations, Infos]:
        """Begins episodes.

        seed     environment i gets seed + i; or one seed for each. Without any they go on, at first
                 from chance
        options  as those of MentorEnv, for all; with "reset_mask" [N] only where it is True
        """
        self._begin(seed, options, wait=True)
        return self._seen(self._arrays["observations"]), {}

    def _begin(self, seed: Any, options: Mapping[str, Any] | None, wait: bool) -> None:
        mask = self._mask(options)
        choice = self._choice.changed(options)
        seeds = self._seeds(seed)
        self._pool.native.reset(seeds, mask.tolist(), choice.goal, choice.parameters, wait)
        self._choice, self._seeded = choice, True
        begun = mask if mask.size else self._all
        self._was_done, self._solved = self._was_done & ~begun, self._solved & ~begun

    def _mask(self, options: Mapping[str, Any] | None) -> Flags:
        if not options or "reset_mask" not in options:
            return np.zeros(0, np.bool_)
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(
                f"options['reset_mask']: is {mask.dtype} of shape {list(mask.shape)}; give "
                f"[{self.num_envs}] booleans"
            )
        if not mask.any():
            raise ValueError("options['reset_mask']: is nowhere True; there is nothing to reset")
        return mask

    def _seeds(self, seed: Any) -> list[int]:
        if seed is None:
            if self._seeded:
                return []
            first = secrets.randbits(63)
            return [first + i for i in range(self.num_envs)]
        if isinstance(seed, (Sequence, np.ndarray)) and not isinstance(seed, (str, bytes)):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed: has {len(seed)} of them; give {self.num_envs}, or one")
            return [
                secrets.randbits(63) if one is None else seed_of(f"seed[{i}]", one)
                for i, one in enumerate(seed)
            ]
        first = seed_of("seed", seed)
        return [(first + i) % 2**64 for i in range(self.num_envs)]

    def step(self, actions: Any) -> Step:
        """Steps all environments. actions: [N, A] or [N]."""
        if self.batch_size < self.num_envs:
            raise RuntimeError("step(): with a batch_size below num_envs use send() and recv()")
        self._pool.native.step(self._pool.actions(actions, self.num_envs, "actions"))
        if self.terminate_on_success or self._solved.any():
            self._end_solved()
        arrays, own = self._arrays, self._own
        terminated, truncated = own(arrays["terminated"]), own(arrays["truncated"])
        present = self._all
        if self._mode is AutoresetMode.NEXT_STEP:
            present = ~self._was_done
            self._was_done = terminated | truncated
        if self._mode is AutoresetMode.SAME_STEP:
            infos = self._same_step(terminated | truncated)
        else:
            infos = self._infos(arrays["infos"], arrays["successes"], present)
        observations = self._seen(arrays["observations"])
        return observations, own(arrays["rewards"]), terminated, truncated, infos

    def _end_solved(self) -> None:
        """Ends the episodes of this step's successes. C++ goes on with them, so their next ones
        begin here: now, or after a step that counts for nothing, or when the caller says so."""
        arrays = self._arrays
        terminated, truncated = arrays["terminated"], arrays["truncated"]
        self._begin_next(self._solved)
        solved = arrays["successes"].astype(np.bool_) & self.terminate_on_success
        self._solved = solved & ~(terminated | truncated) & (self._mode is AutoresetMode.NEXT_STEP)
        terminated |= solved
        if self._mode is AutoresetMode.SAME_STEP:
            terminated |= truncated & arrays["final_successes"].astype(np.bool_)
            for name in ("observations", "infos", "successes"):
                arrays[f"final_{name}"][solved] = arrays[name][solved]
            rewards = arrays["rewards"][solved]
            self._begin_next(solved)
            arrays["rewards"][solved], terminated[solved] = rewards, True

    def _begin_next(self, mask: Flags) -> None:
        if mask.any():
            self._pool.native.reset([], mask.tolist(), *self._choice, True)

    def _seen(self, observations: Array) -> Array:
        return observations.astype(self._dtype, copy=self._copy)

    def _own(self, array: Array) -> Array:
        return array.copy() if self._copy else array

    def _infos(self, numbers: Array, successes: Array, present: Flags) -> Infos:
        """Returns no key where no environment has it, as Gymnasium's own ones do."""
        if not present.any():
            return {}
        numbers = self._own(numbers)
        infos: Infos = {}
        for column, key in enumerate(self._pool.info_keys):
            infos[key], infos[f"_{key}"] = numbers[:, column], present
        infos["success"], infos["_success"] = successes.astype(np.float64), present
        return infos

    def _same_step(self, done: Flags) -> Infos:
        """Gives the last observation and infos of episodes that have ended, as final_obs and
        final_info. Episodes that have just begun have no infos yet."""
        arrays = self._arrays
        infos = self._infos(arrays["infos"], arrays["successes"], ~done)
        if not done.any():
            return infos
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(done):
            final[i] = arrays["final_observations"][i].astype(self._dtype)
        infos["final_obs"], infos["_final_obs"] = final, done
        numbers = np.where(done[:, np.newaxis], arrays["final_infos"], 0)
        infos["final_info"] = self._infos(numbers, done & arrays["final_successes"], done)
        infos["_final_info"] = done
        return infos

    # --- Without waiting for all ---

    def async_reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Begins episodes without waiting; recv() gives their first observations."""
        self._begin(seed, options, wait=False)

    def send(self, actions: Any, env_id: Any = None) -> None:
        """Lets environments step. actions: [n, A] or [n] for the n environments of env_id, int; for
        all without it."""
        if not self._seeded:
            raise RuntimeError("send(): no episode has begun; call async_reset() or reset() first")
        ids = np.arange(self.num_envs) if env_id is None else np.asarray(env_id)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError("env_id: give numbers of environments, as recv() gave them")
        if not 0 < len(ids) <= self.num_envs:
            raise ValueError(f"env_id: has {len(ids)} numbers; give 1 to {self.num_envs}")
        if ids.min(initial=0) < 0 or ids.max(initial=0) >= self.num_envs:
            raise ValueError(f"env_id: has {ids}; give numbers from 0 to {self.num_envs - 1}")
        numbers: npt.NDArray[np.int32] = np.ascontiguousarray(ids, dtype="int32")
        self._pool.native.send(self._pool.actions(actions, len(ids), "actions"), numbers)

    def recv(self) -> Step:
        """Waits for batch_size environments, or for all at work where these are fewer. Returns what
        step() returns, of those alone; infos["env_id"] says which they are."""
        if self.terminate_on_success:
            raise RuntimeError("recv(): with terminate_on_success use step()")
        ids = np.asarray(self._pool.native.recv(self.batch_size))
        arrays = self._arrays
        terminated, truncated = arrays["terminated"][ids], arrays["truncated"][ids]
        infos: Infos = {"env_id": ids}
        numbers = arrays["infos"][ids]
        for column, key in enumerate(self._pool.info_keys):
            infos[key] = numbers[:, column]
        infos["success"] = arrays["successes"][ids].astype(np.float64)
        observations = self._seen(arrays["observations"][ids])
        return observations, arrays["rewards"][ids], terminated, truncated, infos

    def render(self) -> tuple[npt.NDArray[np.uint8], ...] | None:
        """Returns a picture of each environment, with render_mode="rgb_array"."""
        if self.render_mode is None:
            return None
        return tuple(self._pool.render(i) for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        self._pool.native.close()


def _mode_of(mode: object) -> AutoresetMode:
    """Returns Gymnasium's mode of its value or its name."""
    for one in AutoresetMode:
        if mode in (one, one.value, one.name):
            return one
    raise ValueError(
        f"autoreset_mode: is {mode!r}; give one of {[one.name for one in AutoresetMode]}"
    )


def _count_of(name: object, num_envs: int | None) -> int:
    if num_envs is None:
        num_envs = VECTORS[name].classes if isinstance(name, str) and name in VECTORS else 1
    return check_integer("num_envs", num_envs, 1, _ENVIRONMENTS_MAX)


def _dtype_of(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if dtype is None or found not in (np.float32, np.float64):
        raise ValueError(f"dtype: is {dtype!r}; give 'float64' or 'float32'")
    return found


def vector(name: str, num_envs: int | None = None, **arguments: Any) -> MentorVectorEnv:
    """Makes MentorVectorEnv of an environment's name, with the same arguments."""
    return MentorVectorEnv(name, num_envs, **arguments)
