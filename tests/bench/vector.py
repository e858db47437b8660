"""Steps a second of vector environments through Python, for `mentor bench vector`.

    python3 -m mentor.environments.speed --environments push-v3,Hopper-v5 --sizes 1,8,64 --threads 2

One line of JSON: the figures of one round. Each size is measured in a process of its own, so that
its memory and its start are its own, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Figures = dict[str, dict[str, object]]
Making = Callable[[str, int, int], tuple[Any, Any]]

ENVIRONMENTS = "push-v3,door-close-v3,Hopper-v5,HalfCheetah-v5,Ant-v5"
PROGRAM = ("-m", "mentor.environments.speed")
WARM_UP_S, MEASURED_S = 0.3, 1.0
ROUND_OF_ACTIONS = 100
KIBIBYTES_OF_MB = 1000 / 1.024


def tour(low: float, high: float, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Returns uniform actions, [ROUND_OF_ACTIONS, *shape]."""
    drawn = np.random.default_rng(1).uniform(low, high, (ROUND_OF_ACTIONS, *shape))
    return drawn.astype(np.float32)


def steps_per_s(step: Callable[[Any], Any], actions: npt.NDArray[np.float32], size: int) -> float:
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


def make(name: str, size: int, threads: int) -> tuple[Any, Any]:
    """Returns `size` environments that have been reset, and the space of one action."""
    import gymnasium

    environments = gymnasium.make_vec(f"mentor:mentor/{name}", num_envs=size, num_threads=threads)
    environments.reset(seed=1)
    return environments, environments.single_action_space


def figures_of(making: Making, name: str, size: int, threads: int) -> Figures:
    """Measures one size in this process."""
    begin = time.perf_counter()
    environments, space = making(name, size, threads)
    start_s = time.perf_counter() - begin
    actions = tour(float(space.low.min()), float(space.high.max()), (size, space.shape[-1]))
    rate = steps_per_s(environments.step, actions.astype(space.dtype), size)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES_OF_MB
    environments.close()
    return {
        f"steps_per_s/{name}/{size}": {"value": rate, "unit": "steps/s"},
        f"start_s/{name}/{size}": {"value": start_s, "unit": "s"},
        f"memory_mb/{name}/{size}": {"value": memory_mb, "unit": "MB"},
    }


def main(making: Making = make, program: Sequence[str] = PROGRAM) -> int:
    """Measures every size in a process of its own: `program`, which calls this function, too."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--environments", default=ENVIRONMENTS, help="names, with commas")
    parser.add_argument("--sizes", default="1,8,64", help="environments at once, with commas")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--here", action="store_true", help="one size, in this process")
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",")]
    names = asked.environments.split(",")
    figures: Figures = {}
    if asked.here:
        figures = figures_of(making, names[0], sizes[0], min(asked.threads, sizes[0]))
    for name, size in [] if asked.here else itertools.product(names, sizes):
        command = [sys.executable, *program, "--here", "--environments", name]
        command += ["--sizes", str(size), "--threads", str(asked.threads)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300)
        if answer.returncode != 0:
            return 1
        figures.update(json.loads(answer.stdout)["figures"])
    print(json.dumps({"figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
