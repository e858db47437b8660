#!/usr/bin/env python3
"""Stable-Baselines3's PPO on push-v3, in four environments at once. Needs the wheel of Mentor's
programs and stable-baselines3.

Example: python3 sb3_push.py --steps 100000
"""

import argparse

import gymnasium
import mentor  # Registers the environments.
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env


def main() -> None:
    parser = argparse.ArgumentParser(description="PPO of Stable-Baselines3 on Meta-World's push-v3")
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps")
    asked = parser.parse_args()

    # The same environment in threads of C++, as Gymnasium makes many.
    envs = gymnasium.make_vec("mentor/push-v3", num_envs=8)
    envs.reset(seed=1)
    print("rewards of one step:", envs.step(envs.action_space.sample())[1].round(3))
    print("goals of ML1:", len(mentor.metaworld.ML1("push-v3", seed=1).train_tasks))

    model = PPO("MlpPolicy", make_vec_env("mentor/push-v3", n_envs=4), n_steps=500, seed=1)
    model.learn(asked.steps)
    print("mean reward of a step:", float(model.rollout_buffer.rewards.mean().round(4)))


if __name__ == "__main__":
    main()
