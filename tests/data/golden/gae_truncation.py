#!/usr/bin/env python3
"""Writes those cases of gae.json in which limits cut episodes short; the other cases stay.

    python3 tests/data/golden/gae_truncation.py

This is not the recursion of the code. Each advantage is the sum that defines it, over the remaining
steps of its episode. Plain float64 Python, so the same bits everywhere.
"""

import json
import pathlib
import random

FILE = pathlib.Path(__file__).with_name("gae.json")
PREFIX = "truncated_"
DOC = (
    " Where a case has truncated and final_values, both [S, T]: truncated[s,t]=1 says that a limit"
    " ended the episode with step t although the task had not ended (the flags of its end are set"
    " as well); the step's temporal difference is then rewards + gamma * final_values - values,"
    " final_values[s,t] being the value of the observation after step t, before the reset, and no"
    " later step counts. Elsewhere final_values have no influence."
)


def advantages(case, ends, s):
    """For agent s: A_t = sum over k >= t of (gamma lambda)^(k-t) delta_k within the episode."""
    rewards, values = case["rewards"][s], case["values"][s]
    steps = len(rewards)
    deltas = []
    for t in range(steps):
        follows = values[t + 1] if t + 1 < steps else case["last_value"][s]
        if case["truncated"][s][t]:
            follows = case["final_values"][s][t]
        elif ends[s][t]:
            follows = 0.0
        deltas.append(rewards[t] + case["gamma"] * follows - values[t])
    result = []
    for t in range(steps):
        total, weight = 0.0, 1.0
        for k in range(t, steps):
            total += weight * deltas[k]
            if ends[s][k]:
                break
            weight *= case["gamma"] * case["lambda"]
        result.append(total)
    return result


def make(name, steps, terminated, truncated, gamma=0.99, lam=0.95, seed=0):
    """terminated, truncated: for each agent the steps with which episodes end."""
    draw = random.Random(f"{name} {seed}")
    agents = len(truncated)
    normals = lambda: [[draw.gauss(0, 1) for _ in range(steps)] for _ in range(agents)]
    flags = lambda where: [[int(t in steps_) for t in range(steps)] for steps_ in where]
    case = {
        "name": PREFIX + name,
        "gamma": gamma,
        "lambda": lam,
        "rewards": normals(),
        "values": normals(),
        "last_value": [draw.gauss(0, 1) for _ in range(agents)],
        "truncated": flags(truncated),
        "final_values": normals(),  # Also where they must not matter.
    }
    both = zip(flags(terminated), case["truncated"])
    ends = [[max(a, b) for a, b in zip(*rows)] for rows in both]
    case["prev_done"] = [[0] + row[:-1] for row in ends]
    case["last_done"] = [row[-1] for row in ends]
    case["advantages"] = [advantages(case, ends, s) for s in range(agents)]
    case["returns"] = [
        [a + v for a, v in zip(*rows)] for rows in zip(case["advantages"], case["values"])
    ]
    return case


def tensor(x):
    if not isinstance(x, list):
        return x
    if not isinstance(x[0], list):
        return {"shape": [len(x)], "data": x}
    return {"shape": [len(x), len(x[0])], "data": [number for row in x for number in row]}


def main():
    cases = [
        make("and_terminated_inside", 9, [[5], [1]], [[2], [6]]),
        make("after_last_step", 7, [[], [3]], [[6], [6]]),
        make("before_a_bootstrap", 8, [[], []], [[3], [0, 4]]),
        make("every_step", 5, [[], []], [[0, 1, 2, 3, 4], [1, 3]]),
        make("lambda_1", 9, [[4], []], [[1, 8], [5]], lam=1.0),
        make("lambda_0", 9, [[4], []], [[1, 8], [5]], lam=0.0),
        make("gamma_1_whole_episodes", 16, [[7], [11]], [[3, 11, 15], [3, 7, 15]], gamma=1.0),
        make("one_step", 1, [[], [0]], [[0], []]),
    ]
    file = json.loads(FILE.read_text())
    text = FILE.read_text().splitlines()
    kept = [line.rstrip(",") for line in text if line.startswith('{"name"')]
    kept = [line for line in kept if not json.loads(line)["name"].startswith(PREFIX)]
    lines = kept + [json.dumps({k: tensor(v) for k, v in case.items()}) for case in cases]
    doc = file["doc"].split(" Where a case has truncated")[0] + DOC
    head = text[1 : text.index(' "cases": [') + 1]
    FILE.write_text(
        "\n".join(['{"doc": ' + json.dumps(doc) + ","] + head + [",\n".join(lines)] + ["]}"]) + "\n"
    )


if __name__ == "__main__":
    main()
