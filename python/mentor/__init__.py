"""Mentor in Python.

    gymnasium.make("mentor/push-v3")        environments (mentor.environments)
    gymnasium.make_vec("mentor/push-v3", num_envs=8)
    mentor.vector("push-v3", 8)             the same, with send() and recv()
    mentor.metaworld.ML1("door-close-v3")   benchmarks with their tasks
    mentor.LearnedReward(env, "signals/door")

Importing it loads nothing large; docs/python.md has the rest.
"""

from __future__ import annotations

import importlib
from typing import Any

# What is found here, and the module that has it; a module stands for itself.
_WHERE = {
    "LearnedReward": "mentor.rewards",
    "MentorEnv": "mentor.environments.environment",
    "MentorVectorEnv": "mentor.environments.vector",
    "Task": "mentor.environments.task",
    "vector": "mentor.environments.vector",
    "metaworld": "mentor.metaworld",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'mentor' has no attribute {name!r}")
    module = importlib.import_module(_WHERE[name])
    found = module if _WHERE[name] == f"mentor.{name}" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])


def _register() -> None:
    try:
        from mentor.environments.registration import register
    except ImportError:  # Without Gymnasium there is nothing to register with.
        return
    register()


_register()
