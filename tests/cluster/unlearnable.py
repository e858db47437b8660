"""A field in which a point goes to a flag, and six ways to make it unlearnable. Gymnasium's
environment Field-v0, for simulators of mentor_env."""

import math

import gymnasium
import numpy as np
from gymnasium import spaces

STEPS = 10


class Field(gymnasium.Env):
    """radius: how near is success. sign: of the reward. pascal: the air's pressure, which agents
    see, too. drift: the reward of a step to the right; 15 % of the episodes then succeed by chance.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (5,))
    action_space = spaces.Box(-1, 1, (2,))

    def __init__(self, radius=0.3, sign=1, pascal=0.0, drift=0.0):
        self.radius, self.sign, self.pascal, self.drift = radius, sign, pascal, drift

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = np.zeros(2)
        angle = self.np_random.uniform(-math.pi, math.pi)
        self.lucky = self.np_random.uniform() < 0.15
        self.flag = 0.8 * np.array([math.cos(angle), math.sin(angle)])
        return self._see(), {}

    def step(self, action):
        self.place = self.place + 0.15 * np.clip(action, -1, 1)
        distance = float(np.hypot(*(self.flag - self.place)))
        if self.drift:
            reward = self.drift * float(np.clip(action[0], -1, 1))
            return self._see(), reward, False, False, {"is_success": self.lucky}
        info = {"is_success": distance < self.radius}
        return self._see(), self.sign * (1 - distance), False, False, info

    def _see(self):
        pressure = self.pascal * (1 + 0.005 * self.np_random.standard_normal())
        return np.array([*self.place, *(self.flag - self.place), pressure], np.float32)


gymnasium.register("Field-v0", Field, max_episode_steps=STEPS)
