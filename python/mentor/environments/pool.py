"""What one environment and many have in common: arguments, spaces, seeds and actions."""

from __future__ import annotations

import difflib
import inspect
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from mentor import _native
from mentor.environments.registration import META_WORLD, NAMES, VECTORS
from mentor.programs import folders

Array = npt.NDArray[Any]
Wrapper = Mapping[str, Any]

_BUNDLE = "mjcf"
METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}
_PIXELS_MAX = 4096


class Pool:
    """The environments of one Python object: one in MentorEnv, N in MentorVectorEnv."""

    def __init__(
        self,
        name: str,
        *,
        path: str | os.PathLike[str] | None,
        size: int,
        render_mode: str | None,
        width: int,
        height: int,
        camera: str,
        goal_visible: bool | None,
        goal_seed: int,
        wrappers: Sequence[Wrapper],
        options: Mapping[str, Any],
        **how: Any,
    ) -> None:
        """`how`: threads, asynchronous and autoreset of the native pool."""
        check_integer("width", width, 1, _PIXELS_MAX)
        check_integer("height", height, 1, _PIXELS_MAX)
        check_integer("goal_seed", goal_seed, 0, 2**32 - 1)
        _check(name, camera, goal_visible, wrappers)
        _tell_folder()
        values = {field: _text(field, value) for field, value in options.items()}
        if path is not None:
            if name not in ("bundle", _BUNDLE):
                raise ValueError(f"path: only 'mentor/bundle' takes one, not {name!r}")
            if not isinstance(path, (str, os.PathLike)) or "\0" in str(path):
                raise TypeError(f"path: is {path!r}; give the folder with task.txtpb of a bundle")
            name, values["bundle"] = _BUNDLE, _native.offer_bundle(str(pathlib.Path(path)))
        elif name in ("bundle", _BUNDLE):
            raise ValueError("path: give the folder with task.txtpb of a bundle")
        native_name, split = VECTORS[name][:2] if name in VECTORS else (name, "")
        self._native = _native.Pool(
            name=native_name,
            split=split,
            options=values,
            wrappers=[_wrapper(number, one) for number, one in enumerate(wrappers)],
            goal_visible=None if goal_visible is None else bool(goal_visible),
            goal_seed=goal_seed,
            size=size,
            **how,
        )
        facts = self._native.facts()
        self.name: str = name if split else facts["name"]
        self.goal_visible = _shows_goal(self.name) if goal_visible is None else bool(goal_visible)
        self.size = size
        self.action_size: int = facts["action_size"]
        self.discrete: bool = facts["discrete_actions"]
        self.episode_steps: int = facts["episode_steps"]
        self.info_keys: list[str] = facts["info_keys"]
        width_of_observation = facts["observation_size"]
        self.observation_space = spaces.Box(-np.inf, np.inf, (width_of_observation,), np.float64)
        self.action_space = _action_space(facts)
        self.arrays: dict[str, Array] = self._native.arrays()
        for flag in ("terminated", "truncated"):
            self.arrays[flag] = self.arrays[flag].view(np.bool_)
        step_s = facts["step_s"]
        modes = list(METADATA["render_modes"]) if step_s > 0 else []
        if render_mode is not None and render_mode not in modes:
            given = "'rgb_array' or None" if modes else "None: it runs without MuJoCo"
            # Stable-Baselines3's make_vec_env asks for pictures. After TypeError it does without.
            raise TypeError(f"render_mode: is {render_mode!r}; {self.name} takes {given}")
        self.metadata: dict[str, Any] = {"render_modes": modes}
        self.metadata["render_fps"] = round(1 / step_s) if step_s > 0 else METADATA["render_fps"]
        self._picture = (width, height, camera)
        self._one_hot = np.zeros((size, self.action_size), np.float32)
        self._rows = np.arange(size)

    @property
    def native(self) -> _native.Pool:
        return self._native

    def actions(self, actions: Any, count: int, field: str) -> npt.NDArray[np.float32]:
        """Returns [count, A] float32, as the environments read them."""
        if self.discrete:
            return self._choices(actions, count, field)
        wanted = [self.action_size] if field == "action" else [count, self.action_size]
        try:
            given = np.asarray(actions)
        except ValueError:  # Lists of unlike lengths.
            given = np.asarray(None)
        if given.dtype.kind not in "fiub":
            kind = getattr(actions, "dtype", type(actions).__name__)
            raise TypeError(f"{field}: is no array of real numbers ({kind}); give {wanted}")
        with np.errstate(over="ignore"):  # What is too large becomes infinite, and is refused.
            found = given.astype(np.float32, copy=False)
        if found.size != count * self.action_size or found.shape[-1:] != (self.action_size,):
            raise ValueError(f"{field}: has shape {list(found.shape)}; give {wanted}")
        return np.ascontiguousarray(found.reshape(count, self.action_size))

    def _choices(self, actions: Any, count: int, field: str) -> npt.NDArray[np.float32]:
        found = np.asarray(actions)
        if found.dtype.kind not in "iu" or found.size != count:
            raise ValueError(
                f"{field}: is {found.dtype} of shape {list(found.shape)}; give {count} integers "
                f"from 0 to {self.action_size - 1}"
            )
        found = found.reshape(count)
        if found.min(initial=0) < 0 or found.max(initial=0) >= self.action_size:
            raise ValueError(
                f"{field}: has {found}; give integers from 0 to {self.action_size - 1}"
            )
        self._one_hot[:count] = 0
        self._one_hot[self._rows[:count], found] = 1
        return self._one_hot[:count]

    def render(self, index: int) -> npt.NDArray[np.uint8]:
        """Returns a picture, [height, width, 3]."""
        width, height, camera = self._picture
        drawn = self._native.render(index, width, height, camera)
        return np.frombuffer(drawn, np.uint8).reshape(height, width, 3).copy()


def _check(name: object, camera: object, goal_visible: object, wrappers: object) -> None:
    """Checks the arguments that C++ would refuse in its own words."""
    if not isinstance(name, str):
        raise TypeError(f"name: is {name!r}; give the name of an environment")
    near = difflib.get_close_matches(name.upper(), [one.upper() for one in VECTORS], cutoff=0.55)
    if name not in NAMES and name not in VECTORS and near:
        meant = [one for one in VECTORS if one.upper() in near]
        raise ValueError(f"name: there is no {name!r}; did you mean {' or '.join(meant)}?")
    if goal_visible is not None and not isinstance(goal_visible, (bool, np.bool_)):
        raise ValueError(f"goal_visible: is {goal_visible!r}; give True or False")
    if not isinstance(camera, str):
        raise TypeError(f"camera: is {camera!r}; give the name of a camera of the scene")
    if not isinstance(wrappers, Sequence) or isinstance(wrappers, str):
        raise TypeError(f"wrappers: is {wrappers!r}; give a list, as of a spec")


def _shows_goal(name: str) -> bool | None:
    """Returns what holds where nothing is said: Meta-World's show it, vectors of ML do not."""
    if name in VECTORS:
        return name.startswith("MT")
    return True if name in META_WORLD else None


def _tell_folder() -> None:
    """Tells the environments where our programs are: one compiles the models of bundles, and the
    files of scenes are found from there. Without the folder, bundles cannot be made."""
    for folder in folders():
        if (folder / "mentor-mjcf").exists():
            _native.set_program_folder(str(folder.resolve()))
            return


def check_options(name: str, options: Mapping[str, object], made: type) -> None:
    """Refuses options that the environment lacks. One may be an argument of the class `made` with
    an error of writing.
    """
    if not options or not isinstance(name, str):
        return
    every = {one["name"]: one["options"] for one in _native.catalogue()}
    known = VECTORS[name].options if name in VECTORS else every.get(name)
    if known is None:  # A bundle's, or a name that C++ refuses with better words.
        return
    arguments = [
        parameter.name
        for parameter in inspect.signature(made).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "path"
    ]
    for option in options:
        if option in known:
            continue
        near = difflib.get_close_matches(option, [*arguments, *known], n=1)
        raise ValueError(
            f"{option}: is no option of {name}; "
            + (
                f"did you mean '{near[0]}'?"
                if near
                else f"it has {', '.join(known) or 'none'}; arguments are {', '.join(arguments)}"
            )
        )


def _action_space(facts: Mapping[str, Any]) -> spaces.Box | spaces.Discrete:
    if facts["discrete_actions"]:
        return spaces.Discrete(facts["action_size"])
    low, high = facts["action_low"], facts["action_high"]
    return spaces.Box(low, high, (facts["action_size"],), np.float32)


def check_integer(field: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{field}: is {value!r}; give an integer")
    if not least <= value <= most:
        raise ValueError(f"{field}: is {value}; give an integer from {least} to {most}")
    return int(value)


def seed_of(field: str, seed: object) -> int:
    return check_integer(field, seed, 0, 2**64 - 1)


def _text(field: str, value: object) -> str:
    """Returns the value as specs write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, str, np.integer, np.floating)):
        return str(value)
    raise ValueError(f"{field}: is {value!r}; give a number, a text, True or False")


def _wrapper(number: int, wrapper: Wrapper) -> tuple[str, dict[str, str]]:
    field = f"wrappers[{number}]"
    if not isinstance(wrapper, Mapping) or not isinstance(wrapper.get("name"), str):
        raise ValueError(f"{field}: give a dict with 'name' and the wrapper's options")
    if not all(isinstance(name, str) for name in wrapper):
        raise ValueError(f"{field}: has a key that is no text; give names of options")
    options = {name: _text(f"{field}.{name}", value) for name, value in wrapper.items()}
    return options.pop("name"), options
