"""A glider that is to reach a landing pad. A wind pushes it away, which no observation shows."""

import math

import gymnasium
import numpy as np
from gymnasium import spaces


class Glider(gymnasium.Env):
    """x is east, y is north. An episode has a fixed number of steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (4,))  # Its place, and the way to the pad.
    action_space = spaces.Box(-1.0, 1.0, (2,))  # Its speed, east and north.

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        angle = self.np_random.uniform(0, 2 * math.pi)
        self.pad = 0.7 * math.cos(angle), 0.7 * math.sin(angle)
        self.place = 0.0, 0.0
        return self._observation(), {}

    def step(self, action):
        x, y = self.place
        wind = 0.04 * math.exp(-4 * y * y)  # Westerly, and strongest in the middle.
        self.place = x + 0.15 * float(action[0]) + wind, y + 0.15 * float(action[1])
        distance = math.dist(self.place, self.pad)
        # Success alone teaches agents; the reward is for the rule that trains the reward network.
        return self._observation(), 1 - distance, False, False, {"is_success": distance < 0.2}

    def _observation(self):
        (x, y), (pad_x, pad_y) = self.place, self.pad
        return np.array([x, y, pad_x - x, pad_y - y], np.float32)


gymnasium.register("{{id}}", Glider, max_episode_steps=int("{{episode_steps}}"))

if __name__ == "__main__":  # Prints an episode of random actions.
    env = gymnasium.make("{{id}}")
    env.action_space.seed(1)
    observation, _ = env.reset(seed=1)
    done = False
    while not done:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        done = terminated or truncated
        print(np.round(observation, 2), f"reward {reward:.2f}", "success" * info["is_success"])
