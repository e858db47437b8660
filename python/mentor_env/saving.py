"""Saves the state of an environment of Gymnasium. The state is the plain attributes of the
environment and its wrappers, with their random generators and those of the whole process. With
MuJoCo it also has everything that the simulator holds. Whatever lies deeper in objects of other
kinds is taken to be constant; `mentor env check` shows where that is false."""

from __future__ import annotations

import random
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from mentor_env import states

# Attributes of a wrapper or an environment that are not its state.
_NOT_STATE = {"env", "model", "data", "spec", "metadata", "action_space", "observation_space"}
# Members of MjData beside the public fields: arrays whose size changes with contacts. mj_forward
# makes them again.
_OF_CONTACTS = (
    "contact",
    "efc_",
    "iefc_",
    "island",
    "map_",
    "tree_",
    "dof_island",
    "tendon_efcadr",
    "iM_",
    "iLD",
    "ifrc_",
    "iacc",
)
# Members of MjModel that are large and that no simulation changes.
_SCENERY = ("mesh_", "tex_", "hfield_", "skin_", "text_", "names", "paths", "bvh_", "oct_")


def is_mujoco(env: gymnasium.Env[Any, Any]) -> bool:
    try:
        import mujoco
    except ImportError:
        return False
    inner = env.unwrapped
    return isinstance(getattr(inner, "model", None), mujoco.MjModel) and isinstance(
        getattr(inner, "data", None), mujoco.MjData
    )


def _arrays(holder: Any, without: tuple[str, ...]) -> list[str]:
    names = []
    for name in dir(holder):
        if name.startswith("_") or name.startswith(without):
            continue
        value = getattr(holder, name)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size > 0:
            names.append(name)
    return names


class _Simulator:
    """The state that MuJoCo holds. An environment may read what the last step left behind, for
    example positions that are one substep old. So mjSTATE_INTEGRATION is not enough: this is all
    data except what mj_forward computes again, and the model's fields that the environment
    changed."""

    def __init__(self, model: Any, data: Any) -> None:
        import mujoco

        self._mujoco, self._model, self._data = mujoco, model, data
        self._kind = mujoco.mjtState.mjSTATE_INTEGRATION
        self._size = mujoco.mj_stateSize(model, self._kind)
        self._derived = _arrays(data, _OF_CONTACTS)
        self._original = {name: getattr(model, name).copy() for name in _arrays(model, _SCENERY)}

    def model_bytes(self) -> bytes:
        buffer = np.empty(self._mujoco.mj_sizeModel(self._model), np.uint8)
        self._mujoco.mj_saveModel(self._model, None, buffer)
        return buffer.tobytes()

    def save(self) -> dict[str, Any]:
        integration = np.empty(self._size)
        self._mujoco.mj_getState(self._model, self._data, integration, self._kind)
        changed = {}
        for name, original in self._original.items():
            now = getattr(self._model, name)
            if not np.array_equal(now, original, equal_nan=now.dtype.kind == "f"):
                changed[name] = now.copy()
        derived = {name: np.array(getattr(self._data, name)) for name in self._derived}
        return {"integration": integration, "derived": derived, "model": changed}

    def restore(self, state: dict[str, Any]) -> None:
        for name, original in self._original.items():
            now = getattr(self._model, name)
            wanted = state["model"].get(name, original)
            if not np.array_equal(now, wanted, equal_nan=now.dtype.kind == "f"):
                _fill(now, wanted, f"the model's {name}")
        integration: npt.NDArray[np.float64] = state["integration"]
        if integration.shape != (self._size,):
            raise ValueError("the state is of another model")
        self._mujoco.mj_setState(self._model, self._data, integration, self._kind)
        self._mujoco.mj_forward(self._model, self._data)
        for name in self._derived:
            _fill(getattr(self._data, name), state["derived"][name], f"the data's {name}")


def _fill(target: npt.NDArray[Any], numbers: npt.NDArray[Any], what: str) -> None:
    if target.shape != numbers.shape:
        raise ValueError(f"{what} has the shape {numbers.shape}, not {target.shape}")
    target[...] = numbers


class Saver:
    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._layers: list[Any] = [env]
        while isinstance(self._layers[-1], gymnasium.Wrapper):
            self._layers.append(self._layers[-1].env)
        self._simulator: _Simulator | None = None
        if is_mujoco(env):
            inner: Any = env.unwrapped
            self._simulator = _Simulator(inner.model, inner.data)

    def model_bytes(self) -> bytes:
        return b"" if self._simulator is None else self._simulator.model_bytes()

    def save(self, own: dict[str, Any]) -> bytes:
        layers = [
            {
                name: value
                for name, value in sorted(vars(layer).items())
                if name not in _NOT_STATE and states.is_plain(value)
            }
            for layer in self._layers
        ]
        simulator = None if self._simulator is None else self._simulator.save()
        generators = {"python": random.getstate(), "numpy": np.random.get_state(legacy=False)}
        return states.dump(
            {"own": own, "layers": layers, "simulator": simulator, "generators": generators}
        )

    def restore(self, data: bytes) -> dict[str, Any]:
        state = states.load(data)
        if len(state["layers"]) != len(self._layers):
            raise ValueError("the state is of an environment with other wrappers")
        if self._simulator is not None:
            self._simulator.restore(state["simulator"])
        for layer, saved in zip(self._layers, state["layers"]):
            self._restore_layer(layer, saved)
        random.setstate(state["generators"]["python"])
        np.random.set_state(state["generators"]["numpy"])
        own: dict[str, Any] = state["own"]
        return own

    @staticmethod
    def _restore_layer(layer: Any, saved: dict[str, Any]) -> None:
        attributes = vars(layer)
        for name in list(attributes):
            if name not in _NOT_STATE and name not in saved and states.is_plain(attributes[name]):
                delattr(layer, name)
        for name, value in saved.items():
            now = attributes.get(name)
            if (
                isinstance(now, np.ndarray)
                and isinstance(value, np.ndarray)
                and now.shape == value.shape
                and now.dtype == value.dtype
                and now.flags.writeable
            ):
                now[...] = value  # Other objects may hold the same array.
            elif isinstance(now, np.random.Generator) and isinstance(value, np.random.Generator):
                if type(now.bit_generator) is not type(value.bit_generator):
                    raise ValueError(f"{name} is a generator of another kind")
                now.bit_generator.state = value.bit_generator.state
            else:
                setattr(layer, name, value)
