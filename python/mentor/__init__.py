"""Mentor in Python.

    gymnasium.make("mentor/push-v3")        environments, also of bundles (mentor.environments)
    gymnasium.make_vec("mentor/push-v3", num_envs=8)
    mentor.vector("push-v3", 8)             the same, with send() and recv()
    mentor.vector("MT10")                   one for each task class of a benchmark
    mentor.sb3_vector("push-v3", 8)         the same as a VecEnv of Stable-Baselines3
    mentor.metaworld.ML1("door-close-v3")   benchmarks with their tasks
    mentor.run("point_reach")               trains what the command line trains
    mentor.spec("point_reach", seed=2)      specs from arguments, dicts, YAML and text
    mentor.LearnedReward(env, "point-reach-reward")
    mentor.BonusReward(env, "rnd")          what a learned reward must beat (mentor.bonuses)

Importing it registers the environments and loads nothing large; docs/python.md has the rest.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mentor_signal import LearnedReward as LearnedReward

    from . import metaworld as metaworld
    from .bonuses import Bonus as Bonus, BonusReward as BonusReward
    from .environments.environment import MentorEnv as MentorEnv
    from .environments.sb3 import MentorVecEnv as MentorVecEnv, sb3_vector as sb3_vector
    from .environments.task import Task as Task
    from .environments.vector import MentorVectorEnv as MentorVectorEnv, vector as vector
    from .programs import ProgramError as ProgramError
    from .runs import STOP as STOP, Run as Run, RunError as RunError, Update as Update, run as run
    from .specs import Spec as Spec, SpecError as SpecError, Violation as Violation, spec as spec

# The submodule that has a name; a submodule stands for itself.
_NAMES = {
    "bonuses": "Bonus BonusReward",
    "environments.environment": "MentorEnv",
    "environments.sb3": "MentorVecEnv sb3_vector",
    "environments.task": "Task",
    "environments.vector": "MentorVectorEnv vector",
    "metaworld": "metaworld",
    "programs": "ProgramError",
    "rewards": "LearnedReward",
    "runs": "Run RunError STOP Update run",
    "specs": "Spec SpecError Violation spec",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
__all__ = [
    "Bonus", "BonusReward", "LearnedReward", "MentorEnv", "MentorVecEnv", "MentorVectorEnv",
    "ProgramError", "Run", "RunError", "STOP", "Spec", "SpecError", "Task", "Update", "Violation",
    "metaworld", "run", "sb3_vector", "spec", "vector",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mentor' has no attribute '{name}'")
    module = importlib.import_module(f".{_HOMES[name]}", __name__)
    return module if name == _HOMES[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


def _register() -> None:
    try:
        import gymnasium
    except ModuleNotFoundError:  # Without Gymnasium there is nothing to register with.
        return
    version = re.match(r"(\d+)\.(\d+)", getattr(gymnasium, "__version__", "0.0"))
    if version is None or tuple(map(int, version.groups())) < (1, 1):
        raise ImportError(
            f"mentor needs Gymnasium 1.1 or later, and {sys.executable} has "
            f"{getattr(gymnasium, '__version__', 'none')}: pip install 'gymnasium>=1.1'"
        )
    from mentor.environments.registration import register

    register()


_register()
