"""Registers the environments with Gymnasium, by name: nothing is loaded before one is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gymnasium.envs.registration import register as register_one
from gymnasium.envs.registration import registry

NAMESPACE = "mentor"
GYMNASIUM = (
    "Ant-v5 HalfCheetah-v5 Hopper-v5 Humanoid-v5 HumanoidStandup-v5 InvertedDoublePendulum-v5 "
    "InvertedPendulum-v5 Pusher-v5 Reacher-v5 Swimmer-v5 Walker2d-v5"
).split()
META_WORLD = (
    "assembly-v3 basketball-v3 bin-picking-v3 box-close-v3 button-press-topdown-v3 "
    "button-press-topdown-wall-v3 button-press-v3 button-press-wall-v3 coffee-button-v3 "
    "coffee-pull-v3 coffee-push-v3 dial-turn-v3 disassemble-v3 door-close-v3 door-lock-v3 "
    "door-open-v3 door-unlock-v3 drawer-close-v3 drawer-open-v3 faucet-close-v3 faucet-open-v3 "
    "hammer-v3 hand-insert-v3 handle-press-side-v3 handle-press-v3 handle-pull-side-v3 "
    "handle-pull-v3 lever-pull-v3 peg-insert-side-v3 peg-unplug-side-v3 pick-out-of-hole-v3 "
    "pick-place-v3 pick-place-wall-v3 plate-slide-back-side-v3 plate-slide-back-v3 "
    "plate-slide-side-v3 plate-slide-v3 push-back-v3 push-v3 push-wall-v3 reach-v3 reach-wall-v3 "
    "shelf-place-v3 soccer-v3 stick-pull-v3 stick-push-v3 sweep-into-v3 sweep-v3 window-close-v3 "
    "window-open-v3"
).split()
SMALL = (
    "bernoulli_bandit box_2d catch contextual_bandit grid_world maze point_mass point_navigation "
    "point_reach quadratic_function umbrella_length"
).split()
NAMES = [*GYMNASIUM, *META_WORLD, *SMALL, "bundle"]


class Vector(NamedTuple):
    """The tasks of a vector: a benchmark's, of one split, of so many classes."""

    benchmark: str
    split: str
    classes: int
    options: tuple[str, ...] = ()


VECTORS = {
    "MT10": Vector("mt10", "train", 10, ("one_hot",)),
    "MT50": Vector("mt50", "train", 50, ("one_hot",)),
    "ML10-train": Vector("ml10", "train", 10),
    "ML10-test": Vector("ml10", "test", 5),
    "ML45-train": Vector("ml45", "train", 45),
    "ML45-test": Vector("ml45", "test", 5),
}


class Arguments(dict[str, Any]):
    """The arguments of a registered environment. Gymnasium's make_vec pops `wrappers`, functions
    that it refuses beside threads in C++. Wrappers of a spec are dicts. They belong to the
    environment, so they stay. It pops `num_envs`, too, with 1 where the caller gave none: a vector
    of classes then has one environment for each.
    """

    def pop(self, name: str, *default: Any) -> Any:
        found = self.get(name, *default)
        if name == "wrappers" and found and all(isinstance(one, Mapping) for one in found):
            self[name] = found
            return []
        if name == "num_envs" and found == 1 and self.get("name") in VECTORS:
            return VECTORS[self["name"]].classes
        return super().pop(name, *default)

    def copy(self) -> Arguments:
        return Arguments(self)


def _episode_steps(name: str) -> int | None:
    """Returns the greatest length of an episode where no option changes it."""
    if name in META_WORLD or name in VECTORS:
        return 500
    return {"Pusher-v5": 100, "Reacher-v5": 50}.get(name, 1000) if name in GYMNASIUM else None


def register() -> None:
    """Registers "mentor/NAME" for each name, as `import mentor` does. A second call changes
    nothing. Gymnasium 1.0 and later read no entry points; "mentor:mentor/NAME" imports mentor.
    """
    for name in [*NAMES, *VECTORS]:
        if f"{NAMESPACE}/{name}" in registry:
            continue
        register_one(
            f"{NAMESPACE}/{name}",
            entry_point="mentor.environments.environment:MentorEnv",
            vector_entry_point="mentor.environments.vector:MentorVectorEnv",
            max_episode_steps=_episode_steps(name),
            kwargs=Arguments(name=name),
        )
