#!/usr/bin/env python3
"""Peer of the measurement `env`: CPU time of a step in EnvPool 1.2.5.

One round of all environments that both have. The figure is the CPU time
of the one thread that steps the environments, resets included, without Python's own. 16
environments make a batch, so this thread hardly ever waits. A step that only resets does not count.
EnvPool brings its own MuJoCo 3.6.0, so the ratio compares whole products, not wrappers alone.
"""

import argparse
import json
import math
import os
import re
import sys

BATCH = 16
STEPS = 4000  # Steps of all environments of a batch together.
GYMNASIUM = (
    "Ant-v5 HalfCheetah-v5 Hopper-v5 Humanoid-v5 HumanoidStandup-v5 InvertedDoublePendulum-v5 "
    "InvertedPendulum-v5 Pusher-v5 Reacher-v5 Swimmer-v5 Walker2d-v5"
).split()


def cpu_us(thread):
    with open(f"/proc/self/task/{thread}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e3


def threads():
    return set(os.listdir("/proc/self/task"))


def our_name(name):
    """MetaWorld/ButtonPress-v3 is button-press-v3 here."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", name.removeprefix("MetaWorld/"))
    return words.lower() if name.startswith("MetaWorld/") else name


def actions(space, batches, rng):
    """Draws actions as `env` does: a drift for 25 steps, and noise of half the
    range."""
    low, high = np.asarray(space.low), np.asarray(space.high)
    shape = (batches, BATCH, low.shape[-1])
    drift = rng.uniform(-1, 1, size=((batches + 24) // 25,) + shape[1:]).repeat(25, axis=0)[
        :batches
    ]
    unit = drift + rng.uniform(-0.5, 0.5, size=shape)
    return ((low + high) / 2 + (high - low) / 2 * unit).astype(space.dtype)


def step_us(name):
    before = threads()
    environment = envpool.make_gymnasium(
        name, num_envs=BATCH, batch_size=BATCH, num_threads=1, seed=1
    )
    environment.reset()
    own = threads() - before
    start = {thread: cpu_us(thread) for thread in own}
    done = np.zeros(BATCH, bool)
    count = 0
    for action in actions(environment.action_space, STEPS // BATCH, np.random.default_rng(1)):
        _, _, terminated, truncated, _ = environment.step(action)
        count += int(BATCH - done.sum())
        done = terminated | truncated
    return max(cpu_us(thread) - start[thread] for thread in own) / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--environments", default="")
    chosen = parser.parse_args().environments.split(",")
    figures, means = {}, {}
    for name in sorted(envpool.list_all_envs()):
        suite = "Meta-World v3" if name.startswith("MetaWorld/") else "Gymnasium v5"
        ours = our_name(name)
        if (suite == "Gymnasium v5" and name not in GYMNASIUM) or not name.endswith(("-v3", "-v5")):
            continue
        if chosen != [""] and ours not in chosen:
            continue
        us = step_us(name)
        figures[f"total_us/{ours}"] = {"value": us, "unit": "us"}
        means.setdefault(suite, []).append(math.log(us))
    for suite, logs in means.items():
        mean = math.exp(sum(logs) / len(logs))
        figures[f"{suite} ({len(logs)}): total"] = {"value": mean, "unit": "us"}
    print(json.dumps({"figures": figures, "versions": {"envpool": envpool.__version__}}))


if __name__ == "__main__":
    try:
        import envpool
        import numpy as np
    except ImportError as missing:
        print(json.dumps({"none": f"{missing}: run deploy/install.sh --peers"}))
        sys.exit(0)
    main()
