#!/usr/bin/env python3
"""Steps a second of vector environments through Python: of gymnasium.make_vec, or of EnvPool, which
brings its own MuJoCo 3.6.0, so that their ratio compares whole products. MT10 is compared with the
vectors of Meta-World's own package, in one process (sync) or in one for each environment (async).

One line of JSON: the figures of one round. Each size is measured in a process of its own, so that
its memory and its start are its own, too.
"""

import argparse
import functools
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time

import run

ENVIRONMENTS = "push-v3,door-close-v3,Hopper-v5,HalfCheetah-v5,Ant-v5"
SIZES = (1, 8, 64)
SIZES_OF = {"MT10": (10,)}
WARM_UP_S, MEASURED_S = 0.3, 1.0
ROUND_OF_ACTIONS = 100
ROUND_OF = {"MT10": 500}  # An episode: Meta-World's resets take as long as many of its steps.
KIBIBYTES_OF_MB = 1000 / 1.024


def make_ours(name, size, threads):
    """Returns `size` environments that have been reset, and the space of one action."""
    import gymnasium

    environments = gymnasium.make_vec(f"mentor:mentor/{name}", num_envs=size, num_threads=threads)
    environments.reset(seed=1)
    return environments, environments.single_action_space


def make_envpool(name, size, threads):
    """push-v3 is MetaWorld/Push-v3 there."""
    import envpool

    theirs = name
    if name.endswith("-v3"):
        words = name.removesuffix("-v3").split("-")
        theirs = "MetaWorld/" + "".join(word.capitalize() for word in words) + "-v3"
    environments = envpool.make_gymnasium(theirs, num_envs=size, num_threads=threads, seed=1)
    environments.reset()
    return environments, environments.action_space


def make_metaworld(strategy, name, size, threads):
    """Makes one environment for each class, with deploy/install.sh --peers --hosts."""
    sys.path += [str(run.ROOT / ".deps" / part) for part in ("hosts", "wheels")]
    import gymnasium

    how = {"use_one_hot": True, "vector_strategy": strategy, "seed": 1}
    environments = gymnasium.make_vec(f"metaworld:Meta-World/{name}", **how)
    environments.reset(seed=1)
    return environments, environments.single_action_space


MAKERS = {
    "mentor": make_ours,
    "envpool": make_envpool,
    "metaworld_sync": functools.partial(make_metaworld, "sync"),
    "metaworld_async": functools.partial(make_metaworld, "async"),
}


def steps_per_s(step, actions, size):
    """Returns the environment steps a second of `step`, by the wall clock, after a warm-up."""
    begin, batches, warm = time.perf_counter(), 0, False
    while True:
        for action in actions:
            step(action)
        batches += len(actions)
        now = time.perf_counter()
        if not warm and now - begin >= WARM_UP_S:
            begin, batches, warm = now, 0, True
        elif warm and now - begin >= MEASURED_S:
            return batches * size / (now - begin)


def figures_of(make, name, size):
    """Measures one size in this process."""
    import numpy as np

    begin = time.perf_counter()
    environments, space = make(name, size, min(os.cpu_count(), size))
    start_s = time.perf_counter() - begin
    low, high = float(space.low.min()), float(space.high.max())
    shape = (ROUND_OF.get(name, ROUND_OF_ACTIONS), size, space.shape[-1])
    actions = np.random.default_rng(1).uniform(low, high, shape).astype(space.dtype)
    rate = steps_per_s(environments.step, actions, size)
    figures = {
        f"steps_per_s/{name}/{size}": {"value": rate, "unit": "steps/s"},
        f"start_s/{name}/{size}": {"value": start_s, "unit": "s"},
    }
    if not multiprocessing.active_children():  # Theirs is not known here.
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES_OF_MB
        figures[f"memory_mb/{name}/{size}"] = {"value": memory_mb, "unit": "MB"}
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=MAKERS, default="mentor")
    parser.add_argument("--environments", default=ENVIRONMENTS, help="names, with commas")
    parser.add_argument("--size", type=int, help="measure one environment's in this process")
    asked = parser.parse_args()
    names = asked.environments.split(",")
    figures = {}
    try:
        if asked.size:
            figures = figures_of(MAKERS[asked.of], names[0], asked.size)
    except ImportError as missing:
        print(json.dumps({"none": f"{missing}: see docs/performance.md#peers"}))
        return 0
    sizes = [(name, size) for name in names for size in SIZES_OF.get(name, SIZES)]
    for name, size in [] if asked.size else sizes:
        answer = subprocess.run(
            [sys.executable, __file__, "--of", asked.of, "--environments", name]
            + ["--size", str(size)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            preexec_fn=run.die_with_parent,
        )
        report = json.loads(answer.stdout)
        if "none" in report:
            print(answer.stdout, end="")
            return 0
        figures.update(report["figures"])
    print(json.dumps({"figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
