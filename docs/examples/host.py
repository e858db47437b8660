"""A simulator in Python: a block slides on a line to a place, pushed by a motor.

    mentor env check --simulator block='python3 docs/examples/host.py'
"""

import math
import random
import struct
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from mentor_env import Environment, Facts, Refused, Step, serve


class Block(Environment):
    def __init__(self, options: Mapping[str, str]) -> None:
        left = dict(options)
        self.force = float(left.pop("force", "0.1"))
        if left or not 0 < self.force <= 1:
            raise Refused("options of block: force, above 0 and at most 1")
        self.place = self.position = self.velocity = 0.0
        self.facts = Facts(
            name="block, the example of a simulator in Python",
            observation_size=3,
            action_size=1,
            episode_steps=40,
            independent_episodes=True,
            saves_state=True,
            parameters=[(-1.0, 1.0)],
            digest="1",  # To be raised when the arithmetic below changes.
        )

    def observe(self) -> list[float]:
        return [self.position, self.velocity, self.place - self.position]

    def set_task(self, parameters: Sequence[float], goal_visible: bool) -> None:
        (self.place,) = parameters

    def reset(self, seed: int) -> list[float]:
        self.position, self.velocity = random.Random(seed).uniform(-0.1, 0.1), 0.0
        return self.observe()

    def step(self, action: npt.NDArray[np.float32]) -> Step:
        self.velocity = 0.8 * self.velocity + self.force * float(action[0])
        self.position += self.velocity
        distance = math.fabs(self.place - self.position)
        near = distance < 0.05 and math.fabs(self.velocity) < 0.05
        return Step(self.observe(), 1 / (1 + 10 * distance), success=near)

    def save(self) -> bytes:
        return struct.pack("<2d", self.position, self.velocity)

    def restore(self, state: bytes) -> list[float]:
        self.position, self.velocity = struct.unpack("<2d", state)
        return self.observe()


if __name__ == "__main__":
    serve(Block)
