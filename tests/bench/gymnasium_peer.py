#!/usr/bin/env python3
"""Peer of the measurement `host`: a step of the same environments in a loop of Python, in one
process. One round: the wall clock of a thousand steps with uniform actions, resets included, after
a thousand for warm-up.
"""

import argparse
import json
import os
import sys
import time

STEPS = 1000


def step_us(name):
    environment = gymnasium.make(name, disable_env_checker=True)
    space = environment.action_space
    space.seed(1)
    actions = [space.sample() for _ in range(2 * STEPS)]
    environment.reset(seed=1)
    for number, action in enumerate(actions):
        if number == STEPS:
            begin = time.perf_counter()
        _, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            environment.reset()
    return 1e6 * (time.perf_counter() - begin) / STEPS


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # As in a host.
    try:
        import gymnasium
        import gymnasium_robotics

        gymnasium.register_envs(gymnasium_robotics)
    except ImportError as error:
        print(json.dumps({"none": f"{error}: pip install gymnasium-robotics"}))
        sys.exit()
    parser = argparse.ArgumentParser()
    parser.add_argument("--environments", default="FetchReach-v4,Hopper-v5")
    figures = {
        f"step_us/{name}": {"value": step_us(name), "unit": "us"}
        for name in parser.parse_args().environments.split(",")
    }
    print(json.dumps({"figures": figures, "versions": {"gymnasium": gymnasium.__version__}}))
