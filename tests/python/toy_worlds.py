"""Environments of Gymnasium for host_test.py: what adapters meet, in few lines each."""

import random
import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Toy(gymnasium.Env):
    """Sums its actions. Observations are a Dict; info says when the sum is above 1."""

    observation_space = spaces.Dict(
        {
            "sum": spaces.Box(-np.inf, np.inf, (2,)),
            "side": spaces.Discrete(2),
            "step": spaces.Box(-np.inf, np.inf, (1, 1)),
        }
    )
    action_space = spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 10.0]))

    def __init__(self, start=0.0, bonus=None):
        self.start, self.bonus = start, bonus

    def observe(self):
        return {
            "sum": self.sum.astype("f4"),
            "side": int(self.sum[0] > 0),
            "step": np.full((1, 1), self.count, "f4"),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sum, self.count = np.full(2, self.start) + self.np_random.uniform(-1e-3, 1e-3, 2), 0
        return self.observe(), {}

    def step(self, action):
        self.sum, self.count = self.sum + action, self.count + 1
        return self.observe(), float(self.sum[0]), self.sum[1] > 55, False, {"far": self.sum[0] > 1}


class Chances(gymnasium.Env):
    """One number, drawn at each step from where `source` says."""

    observation_space = spaces.Box(-1e9, 1e9, (1,))
    action_space = spaces.Discrete(3, start=5)

    def __init__(self, source="own"):
        self.source = source

    def draw(self):
        if self.source == "own":
            return self.np_random.random()
        if self.source == "numpy":
            return np.random.random()
        if self.source == "python":
            return random.random()
        if self.source == "clock":
            return time.time() % 1000
        return float(id(object()) % 99991) + time.perf_counter()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.array([self.draw()]), {}

    def step(self, action):
        return np.array([self.draw() + action]), float(action), False, False, {}


OF_THE_MODULE = np.random.default_rng(0)


class Counted(Chances):
    """Starts farther away with each episode of any instance."""

    episodes = 0

    def draw(self):
        Counted.episodes += 1
        return 0.01 * Counted.episodes


class Drawn(Chances):
    """Draws from a generator that nobody seeds."""

    def draw(self):
        return OF_THE_MODULE.random()


for name, entry in (
    ("Toy-v0", Toy),
    ("Chances-v0", Chances),
    ("Counted-v0", Counted),
    ("Drawn-v0", Drawn),
    ("Normalized-v0", lambda: gymnasium.wrappers.NormalizeObservation(Chances())),
):
    gymnasium.register(name, entry, max_episode_steps=30)
