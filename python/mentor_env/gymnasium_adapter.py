"""Serves any environment of Gymnasium to Mentor. These are the options, as a spec gives them:

id             what gymnasium.make takes, for instance FetchReach-v4; required. A module that
               registers it is the operator's to name: python3 -m mentor_env --import MODULE
episode_steps  the last step of an episode; default: the environment's own limit
success        when a step reports success. auto: info says is_success or success; info:KEY: info
               says KEY; info:KEY>=X: info's number KEY has reached X; terminated: the task ended;
               return:X: the episode's return has reached X; never. What info says is true or
               false, 1 or 0; None says nothing
observation    of a Dict: which of its keys, with commas between them; default: all of them
independent_episodes  true: all episodes have episode_steps steps and depend on their seed alone, so
               that those of one agent are simulated side by side; nothing but mentor env check
               checks it beforehand
double_actions true: actions come as float64, whatever their space says: an environment that squares
               and sums float32 actions loses digits
saves          auto: states are saved where the simulator is MuJoCo; attributes: also elsewhere, by
               the plain attributes of the environment and its wrappers; never
seed_bits      128 or 32: how long a seed reset takes
kwargs         more arguments of gymnasium.make as JSON: {"reward_type": "dense"}
all others     arguments of gymnasium.make; what reads as JSON (numbers, true, "text") is that, all
               else a text
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
import json
import math
import pathlib
import platform
import random
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from mentor_env.environment import Environment, Facts, Refused, Step, flag, number
from mentor_env.saving import Saver, is_mujoco
from mentor_env.source import importable

# In the name of an environment: what resets leave as it is (envs/host/host_facts.h).
NOT_RESET = "not reset: "
# What this page calls an option; all others are arguments of gymnasium.make.
OPTIONS = (
    "id", "episode_steps", "success", "observation", "independent_episodes", "double_actions",
    "saves", "seed_bits", "kwargs",
)  # fmt: skip
# Actions without bounds of their own.
UNBOUNDED = 1e6


def _flag(options: dict[str, str], name: str) -> bool:
    value = options.pop(name, "false")
    if value not in ("true", "false"):
        raise Refused(f"{name} is '{value}'; give true or false")
    return value == "true"


def _count(options: dict[str, str], name: str) -> int | None:
    value = options.pop(name, "")
    if not value:
        return None
    if not value.isdigit() or int(value) < 1:
        raise Refused(f"{name} is '{value}'; give a whole number of at least 1")
    return int(value)


def _choice(options: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = options.pop(name, choices[0])
    if value not in choices:
        raise Refused(f"{name} is '{value}'; give one of {', '.join(choices)}")
    return value


def _arguments(options: dict[str, str]) -> dict[str, Any]:
    try:
        arguments = json.loads(options.pop("kwargs", "{}"))
    except json.JSONDecodeError as error:
        raise Refused(f"kwargs is no JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise Refused('kwargs is no JSON object; give for instance {"reward_type": "dense"}')
    for name, value in options.items():
        try:
            arguments[name] = json.loads(value)
        except json.JSONDecodeError:
            arguments[name] = value
    return arguments


def _register_plugins() -> None:
    """Attributes that packages of environments require (gymnasium-robotics and others) and never
    call."""
    for point in importlib.metadata.entry_points(group="gymnasium.envs"):
        try:
            loaded = point.load()
        except ImportError:
            continue
        if callable(loaded):
            loaded()
    for name in ("gymnasium_robotics", "metaworld"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        gymnasium.register_envs(module)


def _make(name: str, arguments: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    if ":" in name:
        raise Refused(
            f"id is '{name}'; leave out the module, and start the simulator with --import MODULE"
        )
    if name not in gymnasium.registry:
        _register_plugins()
    try:
        return gymnasium.make(name, disable_env_checker=True, **arguments)
    except gymnasium.error.UnregisteredEnv as error:
        raise Refused(f"id: {error}") from None
    except (TypeError, gymnasium.error.Error) as error:
        raise Refused(f"gymnasium.make({name!r}, {arguments}) says: {error}") from None


def _as_kind(numbers: npt.NDArray[Any], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Whole numbers are rounded to the nearest one."""
    return (np.rint(numbers) if kind.kind in "iu" else numbers).astype(kind)


class _Actions:
    """Converts an actor's numbers to an action of the environment."""

    def __init__(self, space: spaces.Space[Any], doubles: bool) -> None:
        self.low, self.high, self.discrete = -1.0, 1.0, False
        if isinstance(space, spaces.Discrete):
            self.size, self.discrete = int(space.n), True
            first = int(space.start)
            self.take: Callable[[npt.NDArray[np.float32]], Any] = lambda action: first + int(
                action.argmax()
            )
            return
        if not isinstance(space, spaces.Box):
            raise Refused(
                f"its actions are {space}; wrap the environment so that they are Box or Discrete"
            )
        self.size = math.prod(space.shape)
        if self.size == 0:
            raise Refused(f"its actions are {space}, without a number; there is nothing to learn")
        kind, shape = np.dtype(float) if doubles else space.dtype, space.shape
        low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
        known = np.isfinite([low, high])
        if not known.all():
            if (known != known[:, :1]).any():
                raise Refused(
                    f"its actions are {space}, with bounds for some numbers and none for others; "
                    "wrap the environment so that all have bounds"
                )
            low, high = np.maximum(low, -UNBOUNDED), np.minimum(high, UNBOUNDED)
        if np.ptp(low) == 0 and np.ptp(high) == 0:
            self.low, self.high = float(low[0]), float(high[0])
            if kind == np.float32 and len(shape) == 1:
                self.take = lambda action: action
            else:
                self.take = lambda action: _as_kind(action, kind).reshape(shape)
            return
        span = high - low
        self.take = lambda action: _as_kind(
            low + (action.astype(float) + 1) / 2 * span, kind
        ).reshape(shape)


def _observer(
    space: spaces.Space[Any], keys: str
) -> tuple[int, Callable[[Any], npt.NDArray[Any]], str]:
    """Returns the size of an observation, the function that flattens one, and its description."""
    if isinstance(space, spaces.Dict):
        names = [name.strip() for name in keys.split(",")] if keys else list(space.spaces)
        unknown = [name for name in names if name not in space.spaces]
        if unknown:
            raise Refused(
                f"observation names {', '.join(unknown)}; there are {', '.join(space.spaces)}"
            )
        parts = [(name, *_observer(space.spaces[name], "")[:2]) for name in names]
        return (
            sum(size for _, size, _ in parts),
            lambda value: np.concatenate([view(value[name]) for name, _, view in parts]),
            ",".join(names),
        )
    if keys:
        raise Refused("observation names keys, but observations are no Dict; leave it out")
    if isinstance(space, spaces.Box):
        return math.prod(space.shape), lambda value: np.ravel(value), "box"
    try:
        size = spaces.flatdim(space)
    except (ValueError, NotImplementedError) as error:
        raise Refused(
            f"its observations are {space}: {error}; wrap the environment, or choose others of a "
            "Dict's keys by observation"
        ) from None
    return size, lambda value: np.ravel(np.asarray(spaces.flatten(space, value))), "flattened"


# What a step's success is told by: info, terminated and the episode's return.
_Success = Callable[[Mapping[str, Any], bool, float], bool]


def _limit(rule: str, text: str) -> float:
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise Refused(f"success is '{rule}', but '{text}' is no finite number")
    return limit


def _said(keys: tuple[str, ...]) -> _Success:
    """The first key that info has has the say; None says nothing."""

    def succeeds(info: Mapping[str, Any], terminated: bool, total: float) -> bool:
        for key in keys:
            if info.get(key) is not None:
                remedy = f"; of a share, set the option success=info:{key}>=0.5"
                return flag(info[key], f"info['{key}']", remedy)
        return False

    return succeeds


def _reaches(key: str, limit: float) -> _Success:
    def succeeds(info: Mapping[str, Any], terminated: bool, total: float) -> bool:
        if info.get(key) is None:
            return False
        name = f"info['{key}']"
        share = number(info[key], name)
        if math.isnan(share):
            raise ValueError(f"{name} is nan, which is neither above nor below {limit:g}")
        return share >= limit

    return succeeds


def _success(rule: str) -> _Success:
    """Decides success from info, terminated and the episode's return."""
    if rule == "auto":
        return _said(("is_success", "success"))
    if rule.startswith("info:") and len(rule) > 5:
        key, reaches, limit = rule[5:].rpartition(">=")
        return _reaches(key, _limit(rule, limit)) if reaches and key else _said((rule[5:],))
    if rule == "terminated":
        return lambda info, terminated, total: terminated
    if rule == "never":
        return lambda info, terminated, total: False
    if rule.startswith("return:"):
        least = _limit(rule, rule[7:])
        return lambda info, terminated, total: total >= least
    raise Refused(
        f"success is '{rule}'; give auto, info:KEY, info:KEY>=NUMBER, terminated, return:NUMBER "
        "or never"
    )


def _versions(env: gymnasium.Env[Any, Any], source: str) -> dict[str, str]:
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if source:
        versions["source"] = source[:12]
    kind = type(env.unwrapped)
    packages = {"gymnasium"}
    if not source or importable(kind):  # The digest has seen a class that no module has.
        packages.add(kind.__module__.split(".")[0])
    if is_mujoco(env):
        packages.add("mujoco")
    distributions = importlib.metadata.packages_distributions()
    for package in packages:
        for name in distributions.get(package, []):
            versions[name] = importlib.metadata.version(name)
        if package not in distributions:  # A single module: its version is what it says.
            text = pathlib.Path(inspect.getfile(kind)).read_bytes()
            versions[package] = hashlib.sha256(text).hexdigest()[:12]
    return versions


def _not_reset(env: gymnasium.Env[Any, Any]) -> list[str]:
    """Wrappers whose running statistics outlive reset. `mentor run` warns of them by this name."""
    names = []
    while isinstance(env, gymnasium.Wrapper):
        kinds = [type(value).__name__ for value in vars(env).values()]
        if "RunningMeanStd" in kinds or type(env).__name__.startswith("Normalize"):
            names.append(type(env).__name__)
        env = env.env
    return names


def _numeric_probe() -> bytes:
    """Names the code that numpy chose for its functions: the choice depends on the processor."""
    x = np.linspace(-20, 20, 4001)
    return b"".join(f(x).tobytes() for f in (np.sin, np.cos, np.exp, np.tanh, np.arctan))


class GymnasiumEnvironment(Environment):
    def __init__(self, options: Mapping[str, str], source: str = "") -> None:
        """`source` is the digest of an environment that comes from no module (own.py)."""
        left = dict(options)
        name = left.pop("id", "")
        if not name:
            raise Refused("id is missing; give what gymnasium.make takes, as FetchReach-v4")
        rule = left.pop("success", "auto")
        self._succeeds = _success(rule)
        keys = left.pop("observation", "")
        independent = _flag(left, "independent_episodes")
        doubles = _flag(left, "double_actions")
        saves = _choice(left, "saves", ("auto", "attributes", "never"))
        self._seed_mask = (1 << int(_choice(left, "seed_bits", ("128", "32")))) - 1
        steps = _count(left, "episode_steps")
        arguments = _arguments(left)
        if steps is not None:
            arguments["max_episode_steps"] = steps
        self._env = _make(name, arguments)
        if steps is None and self._env.spec is not None:
            steps = self._env.spec.max_episode_steps
        if steps is None:
            raise Refused(f"{name} has no limit of steps; set episode_steps")
        self._actions = _Actions(self._env.action_space, doubles)
        size, self._view, what = _observer(self._env.observation_space, keys)
        self._saver = (
            Saver(self._env)
            if saves == "attributes" or (saves == "auto" and is_mujoco(self._env))
            else None
        )
        self._return = 0.0
        self._last: npt.NDArray[Any] = np.zeros(size)
        versions = _versions(self._env, source)
        digest = hashlib.sha256(source.encode())
        for part in (versions, arguments, [name, rule, what, saves, doubles, self._seed_mask]):
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
        digest.update(_numeric_probe())
        if self._saver is not None:
            digest.update(self._saver.model_bytes())
        listed = ", ".join(f"{key} {value}" for key, value in sorted(versions.items()))
        kept = _not_reset(self._env)
        kept_words = f" [{NOT_RESET}{', '.join(kept)}]" if kept else ""
        self.facts = Facts(
            name=f"{name}{kept_words} ({listed})"[:200],
            observation_size=size,
            action_size=self._actions.size,
            episode_steps=steps,
            action_low=self._actions.low,
            action_high=self._actions.high,
            discrete_actions=self._actions.discrete,
            independent_episodes=independent,
            saves_state=self._saver is not None,
            has_success=rule != "never",
            digest=digest.hexdigest(),
        )

    def reset(self, seed: int) -> npt.NDArray[Any]:
        # Only environments that draw from the generators of the whole process need this.
        random.seed(seed)
        np.random.seed([seed >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96)])
        answer: Any = self._env.reset(seed=seed & self._seed_mask)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise TypeError(
                f"reset gives a {type(answer).__name__}, as gym's did; an environment of Gymnasium "
                "gives (observation, info)"
            )
        observation = answer[0]
        self._return = 0.0
        self._last = self._seen(observation)
        return self._last

    def _seen(self, observation: Any) -> npt.NDArray[Any]:
        numbers = self._view(observation)
        if numbers.shape != (self.facts.observation_size,):
            space = self._env.observation_space
            raise ValueError(
                f"an observation has the shape {np.shape(observation)}, and the environment's "
                f"observation_space says {space.shape or space}; correct the space, or what reset "
                "and step return"
            )
        return numbers

    def step(self, action: npt.NDArray[np.float32]) -> Step:
        observation, reward, terminated, truncated, info = self._env.step(
            self._actions.take(action)
        )
        value, ended = number(reward, "reward"), flag(terminated, "terminated")
        self._return += value
        self._last = self._seen(observation)
        success = self._succeeds(info, ended, self._return)
        return Step(self._last, value, success, ended, flag(truncated, "truncated"))

    def save(self) -> bytes:
        if self._saver is None:
            return super().save()
        return self._saver.save({"return": self._return, "observation": np.array(self._last)})

    def restore(self, state: bytes) -> npt.NDArray[Any]:
        if self._saver is None:
            raise Refused("states are not saved here")
        own = self._saver.restore(state)
        self._return, self._last = own["return"], own["observation"]
        return self._last

    def close(self) -> None:
        self._env.close()
