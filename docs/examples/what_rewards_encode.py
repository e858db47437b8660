#!/usr/bin/env python3
"""What does a learned signal encode? This is row 14 of results/experiments.md. Does an agent that
is further than others at the same step of its life get a greater signal?

Usage: what_rewards_encode.py [--best] RUN...
  --best   the best weights, where the run has tested them; else the last ones
  RUN      folder of `mentor run`, `mentor reproduce` or `mentor fetch` whose evaluation has ended

Example: what_rewards_encode.py reproduced/door-close-reward-1 reproduced/door-close-reward-2

An evaluation keeps the signal and the shaped reward of each step for a few lives. Progress is the
shaped reward. The mean over the lives at the same step is taken away from both. What is left is
correlated, over all steps of a life and by inner iteration. Intervals are 95 % bootstrap intervals
that draw lives.

Needs pip install './python' numpy.
"""

import argparse
import pathlib
import sys

import numpy as np

from mentor_client import MentorError
from mentor_client.evaluation import method_name
from mentor_client.sync.run_folder import RunFolder

DRAWS = 2_000
NAMES = ("signal", "shaped")


class Missing(Exception):
    """A run without what is to be read."""


def read(folder, method):
    """Returns the signals and shaped rewards of the kept lives on test goals, [lives, steps] each,
    and the number of inner iterations."""
    lives = [
        life
        for shard in RunFolder(folder).shards()
        if method_name(shard) == method and (shard.tasks or shard.split) == "test"
        for life in shard.lifetimes
        if life.signal and len(life.signal) == len(life.shaped)
    ]
    if len({len(life.signal) for life in lives}) != 1 or len(lives) < 2:
        raise Missing(f"{folder} has no two equally long lives with a signal on test goals")
    signal, shaped = (np.array([getattr(life, name) for life in lives]) for name in NAMES)
    return signal, shaped, len(lives[0].segment_episodes)


def given_time(signal, shaped):
    """The correlation of both over all lives and steps, without their means at each step."""
    left = [(values - values.mean(0)).ravel() for values in (signal, shaped)]
    sizes = [np.linalg.norm(values) for values in left]
    return float(left[0] @ left[1] / (sizes[0] * sizes[1])) if all(sizes) else float("nan")


def interval(signal, shaped):
    random = np.random.default_rng(0)
    lives = random.integers(0, len(signal), (DRAWS, len(signal)))
    drawn = [given_time(signal[one], shaped[one]) for one in lives]
    return np.nanquantile(drawn, [0.025, 0.975])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--best", action="store_true")
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN")
    print("| run | lives | correlation with progress, given time | by inner iteration |")
    print("|---|---|---|---|")
    flags = parser.parse_args()
    for run in flags.runs:
        try:
            signal, shaped, iterations = read(run, "learned_best" if flags.best else "learned")
        except (MentorError, Missing) as error:
            sys.exit(f"error: {error}")
        low, high = interval(signal, shaped)
        parts = zip(*(np.array_split(values, iterations, axis=1) for values in (signal, shaped)))
        by_iteration = ", ".join(f"{given_time(*part):.2f}" for part in parts)
        whole = f"{given_time(signal, shaped):.2f} [{low:.2f}, {high:.2f}]"
        print(f"| {run.name} | {len(signal)} | {whole} | {by_iteration} |", flush=True)


if __name__ == "__main__":
    main()
