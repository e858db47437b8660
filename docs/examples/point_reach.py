"""Shared by the examples of mentor_signal: point_reach in Python. Needs NumPy and Gymnasium."""

import gymnasium
import numpy as np


class PointReach(gymnasium.Env):
    """Mentor's point_reach with a visible goal in two dimensions and defaults otherwise. An action
    moves a point by dt at most. The goal is at distance 0.7, and success is within rho of it. An
    environment keeps its goal; `goal` is the seed of one, or two numbers."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, goal=0, *, dt=0.12, rho=0.2, episode_steps=10):
        if np.ndim(goal) == 0:
            direction = np.random.default_rng(goal).normal(size=2)
            goal = 0.7 * direction / np.hypot(*direction)
        self.goal = np.asarray(goal, np.float64)
        self.dt, self.rho, self.episode_steps = dt, rho, episode_steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = 0.05 * self.np_random.normal(size=2), 0
        return self._observe(), {}

    def step(self, action):
        self.place = self.place + self.dt * np.clip(action, -1, 1)
        self.steps += 1
        distance = float(np.hypot(*(self.place - self.goal)))
        info = {"success": distance < self.rho}
        reward = max(0.0, 1.4 - distance) / 0.7
        return self._observe(), reward, False, self.steps == self.episode_steps, info

    def _observe(self):
        return np.concatenate([self.place, self.goal - self.place])
