#!/usr/bin/env python3
"""The other side of `mentor bench env --peer`: CPU time of a step in EnvPool.

Needs a Python with envpool 1.2.5, which Mentor itself never uses:
  python3 -m venv /tmp/envpool && /tmp/envpool/bin/pip install envpool==1.2.5
  mentor bench env --peer '/tmp/envpool/bin/python tests/bench/envpool_peer.py'

Reads lines `NAME STEPS SEED`, answers each with `peer us NUMBER` (microseconds of CPU time of one
step, resets included) or `peer none REASON`. Counted is the one thread that steps the environments,
not Python's: 16 of them a batch, so that it hardly ever waits. A step that only resets is no step.
EnvPool brings a MuJoCo of its own, 3.6.0, so a ratio to it is one of whole products, not of
wrappers alone.
"""

import os
import sys

try:
    import envpool
    import numpy as np
except ImportError as missing:
    print(f"peer broken {missing}")
    sys.exit(1)

ENVIRONMENTS = 16


def cpu_us(thread):
    with open(f"/proc/self/task/{thread}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e3


def threads():
    return set(os.listdir("/proc/self/task"))


def public_name(name):
    """button-press-v3 is MetaWorld/ButtonPress-v3 there."""
    if not name.endswith("-v3"):
        return name
    words, version = name.rsplit("-", 1)
    return "MetaWorld/" + "".join(word.capitalize() for word in words.split("-")) + "-" + version


def actions(space, batches, rng):
    """The distribution of `mentor bench env`: a drift for 25 steps and noise of half the range."""
    low, high = np.asarray(space.low), np.asarray(space.high)
    shape = (batches, ENVIRONMENTS, low.shape[-1])
    drift = rng.uniform(-1, 1, size=((batches + 24) // 25,) + shape[1:]).repeat(25, axis=0)[
        :batches
    ]
    unit = drift + rng.uniform(-0.5, 0.5, size=shape)
    return ((low + high) / 2 + (high - low) / 2 * unit).astype(space.dtype)


class Peer:
    def __init__(self):
        self.known = set(envpool.list_all_envs())
        self.name = None

    def open(self, name, seed):
        if name == self.name:
            return
        self.environment = None
        before = threads()
        self.environment = envpool.make_gymnasium(
            public_name(name),
            num_envs=ENVIRONMENTS,
            batch_size=ENVIRONMENTS,
            num_threads=1,
            seed=seed,
        )
        self.environment.reset()
        self.threads = threads() - before
        self.done = np.zeros(ENVIRONMENTS, bool)
        self.name = name

    def step_us(self, name, steps, seed):
        self.open(name, seed)
        rng = np.random.default_rng(seed)
        batches = -(-steps // ENVIRONMENTS)
        batch = actions(self.environment.action_space, batches, rng)
        start = {thread: cpu_us(thread) for thread in self.threads}
        count = 0
        for action in batch:
            _, _, terminated, truncated, _ = self.environment.step(action)
            count += int(ENVIRONMENTS - self.done.sum())
            self.done = terminated | truncated
        return max(cpu_us(thread) - start[thread] for thread in self.threads) / count


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What libraries print is no answer.
    peer = Peer()
    for line in sys.stdin:
        name, steps, seed = line.split()
        if public_name(name) not in peer.known:
            answers.write(f"peer none {public_name(name)} is not among its environments\n")
        else:
            answers.write(f"peer us {peer.step_us(name, int(steps), int(seed)):.6f}\n")
        answers.flush()


if __name__ == "__main__":
    main()
