"""An environment of Gymnasium that comes as a class or a function, and not by an id. Here is where
it comes from, what it is called, and a trial. mentor.run(..., env=...) uses it on both sides."""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import os
import pathlib
import pickle
import random
import re
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt

from mentor_env.environment import Refused, Step
from mentor_env.gymnasium_adapter import NOT_RESET, OPTIONS, GymnasiumEnvironment
from mentor_env.source import digest

Make = Callable[..., Any]
TRIAL_STEPS, TRIAL_SECONDS = 1000, 1.0
COMPARED_STEPS = 10  # From the first reset of a trial; its last one begins with the same.
# Frames of these folders are not the user's.
_OURS = tuple(str(pathlib.Path(file).parent) + os.sep for file in (__file__, gymnasium.__file__))


def imported(place: str) -> Make:
    """Returns what MODULE:NAME is; raises Refused where nothing can be called there."""
    module, _, name = place.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not name or not callable(found):
        raise Refused(f"'{place}' is no class or function; give MODULE:NAME")
    return found  # type: ignore[no-any-return]


def unpickled(file: str) -> Make:
    with open(file, "rb") as source:
        made: Make = pickle.load(source)
    return made


def _named(make: Make) -> str:
    name = re.sub(r"\W", "", getattr(make, "__name__", type(make).__name__))
    return "environment" if name == "lambda" else name


def id_of(make: Make) -> str:
    """What gymnasium.make shall take; a namespace keeps it apart from the ids of others."""
    return f"own/{_named(make)}"


def _check_arguments(make: Make, given: Mapping[str, Any]) -> None:
    """Refuses what is neither an option nor an argument; it may be an option with a slip."""
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):  # Code in C says nothing of itself.
        return
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    for name in given:
        if name in parameters:
            continue
        known = [*OPTIONS[1:], *parameters]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise Refused(f"'{name}' is no option, and no argument of {_named(make)}; {hint}")


def _made(make: Make, arguments: Mapping[str, Any]) -> Any:
    _check_arguments(make, arguments)
    env = make(**arguments)
    if not isinstance(env, gymnasium.Env):
        raise TypeError(
            f"{_named(make)} makes {type(env).__name__} {env!r:.100}, which is no gymnasium.Env; "
            "give a subclass of gymnasium.Env, or a function that returns one"
        )
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space):
            raise TypeError(
                f"{type(env).__name__}.{name} is {space!r:.100}; set it to a space of "
                "gymnasium.spaces"
            )
    return env


class OwnEnvironment(GymnasiumEnvironment):
    """`errors` is a file that gets the first exception of the environment, with its lines."""

    def __init__(self, make: Make, options: Mapping[str, str], errors: str = "") -> None:
        self._errors = errors
        name = options.get("id", "")

        failed = []

        def entry_point(**arguments: Any) -> Any:
            try:
                return _made(make, arguments)
            except Exception as error:  # Gymnasium would put another in its place.
                failed.append(error)
                raise

        gymnasium.registry.pop(name, None)
        gymnasium.register(name, entry_point)
        try:
            super().__init__(options, source=digest(make))
        except Exception:
            if failed:
                raise failed[0] from None
            raise
        self.said_success = False
        succeeds = self._succeeds

        def listen(info: Mapping[str, Any], terminated: bool, total: float) -> bool:
            self.said_success |= "success" in info or "is_success" in info
            return succeeds(info, terminated, total)

        if options.get("success", "auto") == "auto":
            self._succeeds = listen
        else:
            self.said_success = True

    def reset(self, seed: int) -> npt.NDArray[Any]:
        try:
            return super().reset(seed)
        except Exception as error:
            self._tell(error)
            raise

    def step(self, action: npt.NDArray[np.float32]) -> Step:
        try:
            return super().step(action)
        except Exception as error:
            self._tell(error)
            raise

    def _tell(self, error: Exception) -> None:
        if not self._errors or os.path.exists(self._errors):
            return
        frames = [
            [frame.filename, frame.lineno, frame.name]
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith(_OURS)
        ]
        told = {"what": f"{type(error).__name__}: {error}", "frames": frames}
        partial = f"{self._errors}.{os.getpid()}"
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(told, file)
        os.replace(partial, self._errors)


class Trial(NamedTuple):
    says_success: bool  # Info had a word on it.
    differs: str  # How the first episode was another one when it came again; empty: it was not.


def try_out(make: Make, options: Mapping[str, str], finite: bool = True) -> Trial:
    """Takes up to 1000 random steps in this process, for about a second, and then the first ones
    again. Raises what the environment raises, and ValueError for numbers that are not finite.
    """
    kept = random.getstate(), np.random.get_state(legacy=False)
    try:
        environment = OwnEnvironment(make, options)
        try:
            differs = _walk(environment, finite)
        finally:
            environment.close()
        return Trial(environment.said_success, differs)
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


_Row = tuple[npt.NDArray[np.float64], tuple[Any, ...]]  # An observation, and the step's outcome.


def _walk(environment: OwnEnvironment, finite: bool) -> str:
    facts, draw = environment.facts, np.random.default_rng(0)
    deadline = time.monotonic() + TRIAL_SECONDS
    at, episodes = facts.episode_steps, 0
    actions: list[npt.NDArray[np.float32]] = []
    first: list[_Row] = []
    for step in range(TRIAL_STEPS):
        if at == facts.episode_steps:
            observation, at = environment.reset(step), 0
            episodes += 1
            _check(finite, "reset", observation=observation)
            if episodes == 1:
                first = [_row(observation)]
        size = facts.action_size
        action = draw.uniform(facts.action_low, facts.action_high, size).astype(np.float32)
        made = environment.step(action)
        at += 1
        _check(finite, f"step {at}", observation=made.observation, reward=made.reward)
        if episodes == 1 and at <= COMPARED_STEPS:
            actions.append(action)
            first.append(_row(*made))
        if made.terminated or made.truncated:
            at = facts.episode_steps
        if time.monotonic() > deadline and step >= COMPARED_STEPS:
            break
    if NOT_RESET in facts.name:  # The run warns of it.
        return ""
    again = [_row(environment.reset(0))]
    for action in actions:
        made = environment.step(action)
        again.append(_row(*made))
        if made.terminated or made.truncated:
            break
    return _parting(first, again)


def _row(observation: npt.ArrayLike, *outcome: Any) -> _Row:
    return np.array(observation, np.float64), outcome


def _parting(first: list[_Row], again: list[_Row]) -> str:
    """Says as `mentor env check` does (envs/promises.cc) where an episode that came again is
    another one.
    """
    for step, (want, got) in enumerate(zip(first, again)):
        differ = ~((want[0] == got[0]) | (np.isnan(want[0]) & np.isnan(got[0])))
        where = f"step {step}" if step else "the reset"
        if differ.any():
            at = np.flatnonzero(differ)[0]
            values = f"{want[0][at]:.17g}, then {got[0][at]:.17g}"
            what = f"number {at} of the observation differs at {where}: {values}"
        elif repr(want[1]) != repr(got[1]):
            what = f"the outcome differs at {where}"
        else:
            continue
        return (
            "the same episode is another one the second time, so something outlives a reset "
            "(running statistics, a counter of episodes or steps, a curriculum, a generator that "
            f"nobody seeds, a clock): {what}"
        )
    return ""


def _check(finite: bool, where: str, **numbers: Any) -> None:
    for name, value in numbers.items():
        with np.errstate(over="ignore"):
            known = np.isfinite(np.asarray(value, np.float64).astype(np.float32))
        if finite and not known.all():
            raise ValueError(
                f"{where} of an episode gives the {name} {np.array(value)}, which is not finite in "
                "32 bits; correct it, or give the override {'benchmark.wrapper': ['failed_step']}, "
                "which ends such an episode"
            )
