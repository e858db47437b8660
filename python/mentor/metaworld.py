"""Meta-World's benchmarks, used as its own package is used:

    ml1 = mentor.metaworld.ML1("door-close-v3", seed=1)
    env = ml1.train_classes["door-close-v3"]()
    env.set_task(random.choice(ml1.train_tasks))
    observation, info = env.reset()

The goals are those of metaworld 3.1.1, bit for bit, for every seed. MT25, ML25 and CustomML are not
here.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from mentor import _native
from mentor.environments.environment import Info, MentorEnv, Observation
from mentor.environments.pool import check_integer
from mentor.environments.registration import META_WORLD
from mentor.environments.task import Task

__all__ = ["ML1", "ML10", "ML45", "MT1", "MT10", "MT50", "Benchmark", "Task"]

_SEEDS = 2**31


class BenchmarkEnv(MentorEnv):
    """An environment of a benchmark: it begins its episodes with one of the benchmark's tasks."""

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        if not self.has_task and not options:
            raise RuntimeError("reset(): has no task yet; call set_task() with one of train_tasks")
        return super().reset(seed=seed, options=options)


Classes = dict[str, Callable[..., BenchmarkEnv]]


class Benchmark:
    """Training and test tasks.

    train_classes, test_classes   makes an environment, by its name
    train_tasks, test_tasks       50 tasks for each environment, in the package's order
    seed                          of the goals, from 0 to 2^31 - 1; without one, by chance
    """

    _name = ""  # The benchmark's.
    _environment = ""  # Its only one; empty: it has several.

    def __init__(self, seed: int | None = None) -> None:
        self.seed = secrets.randbelow(_SEEDS) if seed is None else seed
        check_integer("seed", self.seed, 0, _SEEDS - 1)
        train, test = _native.benchmark(self._name, self._environment, self.seed)
        self.train_tasks = _tasks(train)
        self.test_tasks = _tasks(test)
        self.train_classes = _classes(self.train_tasks)
        self.test_classes = _classes(self.test_tasks)


class _OneEnvironment(Benchmark):
    ENV_NAMES = list(META_WORLD)

    def __init__(self, env_name: str, seed: int | None = None) -> None:
        if env_name not in META_WORLD:
            raise ValueError(f"env_name: {env_name!r} is none of Meta-World's; see ENV_NAMES")
        self._environment = env_name
        super().__init__(seed)


class ML1(_OneEnvironment):
    """One environment, other goals for tests; observations hide the goal."""

    _name = "ml1"


class MT1(_OneEnvironment):
    """One environment; observations show the goal."""

    _name = "mt1"

    def __init__(self, env_name: str, seed: int | None = None) -> None:
        super().__init__(env_name, seed)
        self.test_classes = self.train_classes  # As metaworld has it; there are no test tasks.


class ML10(Benchmark):
    """10 environments for training, 5 others for tests; observations hide the goal."""

    _name = "ml10"


class ML45(Benchmark):
    """45 environments for training, 5 others for tests; observations hide the goal."""

    _name = "ml45"


class MT10(Benchmark):
    """10 environments; observations show the goal."""

    _name = "mt10"


class MT50(Benchmark):
    """50 environments; observations show the goal."""

    _name = "mt50"


def _tasks(tasks: list[tuple[str, list[float], bool]]) -> list[Task]:
    return [Task(name, tuple(parameters), visible) for name, parameters, visible in tasks]


def _classes(tasks: list[Task]) -> Classes:
    return {
        task.env_name: functools.partial(
            BenchmarkEnv, task.env_name, goal_visible=task.goal_visible
        )
        for task in tasks
    }
