#!/usr/bin/env python3
"""Records episodes of gymnasium-robotics' Fetch tasks, which the bundles of deploy/bundles/ must
match.

Needs gymnasium-robotics==1.4.2, mujoco==3.3.0 and numpy, which Mentor itself does not install:

    python3 -m venv /tmp/reference
    /tmp/reference/bin/pip install gymnasium-robotics==1.4.2 mujoco==3.3.0
    /tmp/reference/bin/python tests/parity/record_fetch.py --seed 7 --out tests/data/parity_bundles

The format is that of tests/data/parity/manifest.json; a task's vector is its goal.
"""
import argparse
import json
import pathlib

import record

try:
    import gymnasium
    import gymnasium_robotics
    import mujoco
    import numpy as np
except ImportError as error:  # --help needs none of them.
    MISSING = str(error)
else:
    MISSING = ""

TASKS = ["FetchReach-v4", "FetchPush-v4"]
EPISODES = 20


class Flat:
    """The environment with its observations as one vector, in the order of Gymnasium's Flatten."""

    def __init__(self, name):
        self.env = gymnasium.make(name)
        self.unwrapped = self.env.unwrapped

    def flat(self, observation):
        return gymnasium.spaces.utils.flatten(self.env.observation_space, observation)

    def reset(self, seed):
        observation, info = self.env.reset(seed=seed)
        return self.flat(observation), info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        # `info` has shape (1, 1) arrays: success, and the reward.
        return self.flat(observation), reward, terminated, truncated, info | {"sparse": reward}


def toward(rng, pushes):
    """Moves to the goal, or through the block to the goal, with noise; sometimes anywhere."""
    wander = record.smooth(rng, 4, 1.0)

    def choose(step, seen, number):
        free = wander(step, seen)
        if number % 4 == 3:
            return free
        achieved, goal, grip = seen[0:3], seen[3:6], seen[6:9]
        if pushes:
            way = (goal - achieved)[:2]
            way = way / max(np.linalg.norm(way), 1e-6)
            behind = np.append(achieved[:2] - 0.05 * way, achieved[2])
            near = np.linalg.norm((grip - behind)[:2]) < 0.03
            target = goal if near or step > 25 else behind
        else:
            target = goal
        move = np.append(8 * (target - grip), 0.0)
        return np.clip(move, -1.2, 1.2) + (0.3 * free if number % 4 else 0)

    return choose


def record_task(name, seed, file):
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    env = Flat(name)
    choose = toward(rng, "Push" in name)
    entries = []
    for number in range(EPISODES):
        observation, _ = env.reset(int(rng.integers(1 << 30)))
        goal = env.unwrapped.goal.copy()
        fields, steps = record.roll(
            env,
            observation,
            lambda step, seen, number=number: choose(step, seen, number),
            50,
            lambda info: [float(info["is_success"]), float(info["sparse"])],
        )
        entries.append(
            {
                "kind": "toward" if number % 4 != 3 else "smooth",
                "noise": True,
                "partially_observable": True,
                "steps": steps,
                "successes": int(np.sum(np.array(fields["info"])[:, 0] > 0)),
                "fields": file.add({"rand_vec": goal} | fields),
            }
        )
    return entries


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    if MISSING:
        raise SystemExit(f"record_fetch.py: {MISSING}; its --help says what to install")
    gymnasium.register_envs(gymnasium_robotics)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tasks = []
    for name in TASKS:
        file = record.File()
        entries = record_task(name, arguments.seed, file)
        tasks.append(
            {"task": name, "info_keys": ["success", "sparse"]}
            | file.write(arguments.out / f"{name}.bin")
            | {"episodes": entries}
        )
        print(name, len(entries), "episodes,", sum(e["successes"] for e in entries), "successes")
    manifest = {
        "format": 1,
        "dtype": "float64 little-endian",
        "state_flags": "mjSTATE_INTEGRATION",
        "check_every": record.CHECK_EVERY,
        "versions": {
            "mujoco": mujoco.__version__,
            "gymnasium_robotics": gymnasium_robotics.__version__,
            "numpy": np.__version__,
        },
        "tasks": tasks,
    }
    (arguments.out / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")))


if __name__ == "__main__":
    main()
