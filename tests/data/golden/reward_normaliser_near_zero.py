#!/usr/bin/env python3
"""Writes those cases of reward_normaliser.json whose means are near 0 or negative; the other cases
stay.

    python3 tests/data/golden/reward_normaliser_near_zero.py

These are not the running sums of the code. Each number is the mean that defines it, over a list of
all lifetimes, by math.fsum. Plain float64 Python, so the same bits everywhere.
"""

import json
import math
import pathlib
import random

FILE = pathlib.Path(__file__).with_name("reward_normaliser.json")
PREFIX = "near_zero_"
NEAR = 0.05  # Of the root mean square.
DOC = (
    " From the first batch on in which an environment's running mean is not positive, or both that"
    " mean and the mean of the batch's lifetimes of this environment are at most 0.05 times the"
    " root mean square of their rewards, the divisor is (root mean square of the rewards of its"
    " lifetimes since that batch, and with it, + 1e-7). running_rms_after has these environments"
    " alone."
)


def mean(numbers):
    return math.fsum(numbers) / len(numbers)


def rms(lifetimes):
    return math.sqrt(mean([mean([x * x for x in lifetime]) for lifetime in lifetimes]))


def make(name, target_mean, batches):
    """batches: lists of (environment, rewards)."""
    all_lifetimes, since, result = {}, {}, []
    for batch in batches:
        by_name = {}
        for environment, rewards in batch:
            by_name.setdefault(environment, []).append(rewards)
        for environment, lifetimes in by_name.items():
            lived = all_lifetimes.setdefault(environment, [])
            lived.extend(lifetimes)
            running, now = mean([mean(x) for x in lived]), mean([mean(x) for x in lifetimes])
            near = max(running, now) <= NEAR * rms(lifetimes)
            if environment in since or running <= 0 or near:
                since.setdefault(environment, []).extend(lifetimes)
        means = {e: mean([mean(x) for x in lived]) for e, lived in sorted(all_lifetimes.items())}
        roots = {e: rms(lifetimes) for e, lifetimes in sorted(since.items())}
        divisors = {**means, **roots}
        result.append(
            {
                "env": [environment for environment, _ in batch],
                "rewards": tensor([rewards for _, rewards in batch]),
                "running_mean_after": means,
                "running_rms_after": roots,
                "lifetimes_seen_after": {e: len(all_lifetimes[e]) for e in means},
                "normalised": tensor(
                    [
                        [x / (divisors[e] + 1e-7) * target_mean for x in rewards]
                        for e, rewards in batch
                    ]
                ),
            }
        )
    return {"name": PREFIX + name, "target_mean": target_mean, "batches": result}


def tensor(rows):
    return {"shape": [len(rows), len(rows[0])], "data": [x for row in rows for x in row]}


def main():
    draw = random.Random("reward_normaliser")
    rewards = lambda middle, spread, steps=5: [draw.gauss(middle, spread) for _ in range(steps)]
    zeros, spike = [0.0] * 5, [-0.8] * 49 + [40.0]
    cases = [
        make(
            "negative_beside_positive",
            1e-4,
            [
                [("a", rewards(-2, 1)), ("b", rewards(3, 1)), ("a", rewards(-3, 1))]
                for _ in range(3)
            ],
        ),
        make(
            "falls_and_rises",
            0.1,
            [[("a", rewards(middle, 1))] for middle in (1, -4, 2, 6, 9)],
        ),
        make("constant", 1e-4, [[("a", zeros), ("b", [-1.0] * 5)], [("a", rewards(1, 1))]]),
        # A rare reward in one batch is near 0 there, but not in all.
        make("one_rare_reward", 1e-4, [[("a", rewards(1, 0.1, 50))], [("a", spike)]]),
        make("rare_rewards", 1e-4, [[("a", spike)], [("a", rewards(1, 0.1, 50))]]),
    ]
    text = FILE.read_text().splitlines()
    kept = [line.rstrip(",") for line in text if line.startswith('{"name"')]
    kept = [line for line in kept if not json.loads(line)["name"].startswith(PREFIX)]
    lines = kept + [json.dumps(case) for case in cases]
    doc = json.loads(FILE.read_text())["doc"].split(" From the first batch")[0] + DOC
    head = text[1 : text.index(' "cases": [') + 1]
    FILE.write_text(
        "\n".join(['{"doc": ' + json.dumps(doc) + ","] + head + [",\n".join(lines)] + ["]}"]) + "\n"
    )


if __name__ == "__main__":
    main()
