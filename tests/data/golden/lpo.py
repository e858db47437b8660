#!/usr/bin/env python3
"""Writes lpo_drift.json and lpo_outer.json: the drift of LPO with its slope, and how evolution
strategies weigh and shrink their perturbations.

    python3 tests/data/golden/lpo.py

Shares no code and no method with the implementation. One step of one agent at a time, with the
slope written out by hand and compared with a difference quotient in 80-bit floats. The `wrong`
drifts are what slips of the formula would give: the code must not agree with them.
"""

import json
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent
DOC = (
    "A tensor is {shape, data}, row-major. W1 [S, H, 8], W2 [S, 1, H], log_ratio and advantages"
    " [S, B]. With r = exp(log_ratio), the inputs are 1-r, (1-r)^2, (1-r)A, (1-r)^2 A, l, l^2, l A,"
    " l^2 A; l = log_ratio. drift = max(0, W2 tanh(W1 x) - xi + ppo), where ppo is"
    " max(0, (r - clamp(r, 1 - clip, 1 + clip)) A) if from_ppo, else 0. slope is its derivative by"
    " log_ratio. wrong: drifts [S, B] of formulas with one slip each."
)
OUTER_DOC = (
    "scores: fitness [F] of lifetimes in groups, less the mean of the group, over its deviation"
    " (divided by the group's size) plus 1e-10. falling: a number at these outer updates, times"
    " factor after each from 0 on, never below the smaller of least and the first."
)
SLIPS = ("no_xi", "ratio_less_1", "no_advantage", "no_log", "no_tanh", "no_relu", "bias", "no_ppo")


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def inputs(log_ratio, advantage, slip=None):
    moved = 1 - np.exp(log_ratio)
    if slip == "ratio_less_1":
        moved = -moved
    if slip == "no_advantage":
        advantage = type(log_ratio)(1)
    log = 0 * log_ratio if slip == "no_log" else log_ratio
    rows = []
    for x in (moved, log):
        rows += [x, x * x, x * advantage, x * x * advantage]
    return np.array(rows)


def ppo(log_ratio, advantage, clip):
    """PPO's drift, and its derivative by the log-ratio."""
    ratio = np.exp(log_ratio)
    beyond = ratio - 1 - clip if ratio > 1 + clip else ratio - 1 + clip
    if 1 - clip <= ratio <= 1 + clip or beyond * advantage <= 0:
        return 0 * ratio, 0 * ratio
    return beyond * advantage, ratio * advantage


def drift(case, w1, w2, log_ratio, advantage, slip=None):
    """One step's drift and its slope."""
    ratio = np.exp(log_ratio)
    x = inputs(log_ratio, advantage, slip)
    before = w1 @ x + (0.5 if slip == "bias" else 0)
    hidden = before if slip == "no_tanh" else np.tanh(before)
    value = (w2 @ hidden)[0] - (0 if slip == "no_xi" else case["xi"])
    # Derivatives of the inputs by the log-ratio.
    rows = []
    for one, by in ((1 - ratio, -ratio), (log_ratio, 1)):
        rows += [by, 2 * one * by, by * advantage, 2 * one * by * advantage]
    slope = (w2 @ ((1 - hidden**2) * (w1 @ np.array(rows))))[0]
    if case["from_ppo"] and slip != "no_ppo":
        more, steeper = ppo(log_ratio, advantage, case["clip"])
        value, slope = value + more, slope + steeper
    if value <= 0 and slip != "no_relu":
        return 0 * value, 0 * value
    return value, slope


def checked(case, w1, w2, log_ratio, advantage):
    value, slope = drift(case, w1, w2, log_ratio, advantage)
    long = np.longdouble
    step = long(1e-6)

    def at(x):
        return drift(case, w1.astype(long), w2.astype(long), x, long(advantage))[0]

    x = long(log_ratio)
    quotient = (8 * (at(x + step) - at(x - step)) - at(x + 2 * step) + at(x - 2 * step)) / (
        12 * step
    )
    assert abs(quotient - slope) < 1e-9 * max(1, abs(slope)), (log_ratio, advantage)
    return value, slope


def case_of(name, agents, rows, hidden, from_ppo, xi, clip, seed):
    rng = np.random.default_rng(seed)
    case = {"name": name, "from_ppo": from_ppo, "xi": xi, "clip": clip, "hidden": hidden}
    w1 = rng.normal(size=(agents, hidden, 8)).round(3)
    w2 = (rng.normal(size=(agents, 1, hidden)) / np.sqrt(hidden)).round(3)
    log_ratio = (0.4 * rng.normal(size=(agents, rows))).round(4)
    log_ratio[:, 0] = 0  # The policy has not moved.
    log_ratio[:, 1] = 1e-7  # It has hardly moved: within xi.
    advantages = rng.normal(size=(agents, rows)).round(4)
    steps = [(s, b) for s in range(agents) for b in range(rows)]
    both = [checked(case, w1[s], w2[s], log_ratio[s, b], advantages[s, b]) for s, b in steps]
    shape = (agents, rows)
    values, slopes = (np.array(x).reshape(shape) for x in zip(*both))
    assert (values[:, :2] == 0).all() and (slopes[:, :2] == 0).all() and (values > 0).mean() > 0.3
    wrong = {}
    for slip in SLIPS:
        if slip == "no_ppo" and not from_ppo:
            continue
        of = [
            drift(case, w1[s], w2[s], log_ratio[s, b], advantages[s, b], slip)[0] for s, b in steps
        ]
        of = np.array(of).reshape(shape)
        assert np.abs(of - values).max() > 0.5 * xi, slip
        wrong[slip] = pack(of)
    case.update(W1=pack(w1), W2=pack(w2), log_ratio=pack(log_ratio), advantages=pack(advantages))
    case["expected"] = {"drift": pack(values), "slope": pack(slopes), "wrong": wrong}
    return case


def scores_of(name, fitness, groups):
    fitness = np.array(fitness, dtype=np.float64)
    scores = np.zeros_like(fitness)
    for group in set(groups):
        of = np.array([one == group for one in groups])
        scores[of] = (fitness[of] - fitness[of].mean()) / (fitness[of].std() + 1e-10)
    return {"name": name, "fitness": pack(fitness), "groups": groups, "scores": pack(scores)}


def falling_of(name, first, factor, least, updates):
    numbers, now = [], first
    for _ in range(max(updates) + 1):
        numbers.append(now)
        now = max(now * factor, min(least, first))
    falling = pack([numbers[update] for update in updates])
    return dict(
        name=name, first=first, factor=factor, least=least, updates=updates, falling=falling
    )


def write(name, doc, tolerance, cases):
    content = {"doc": doc, "dtype": "float64", "tolerance": tolerance, "cases": cases}
    (FOLDER / f"{name}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


def main():
    write(
        "lpo_drift",
        DOC,
        {"abs": 1e-13, "rel": 1e-11},
        [
            case_of("from_ppo", 2, 12, 5, True, 1e-4, 0.2, 5),
            case_of("alone", 2, 12, 5, False, 1e-4, 0.2, 6),
            case_of("as_published", 1, 8, 128, True, 1e-4, 0.2, 3),
            case_of("narrow_clip", 2, 12, 3, True, 1e-2, 0.05, 4),
        ],
    )
    write(
        "lpo_outer",
        OUTER_DOC,
        {"abs": 1e-14, "rel": 1e-12},
        [
            scores_of("scores", [3.5, -1, 2, 2.25, 7, 0.5], ["a"] * 6),
            scores_of("two_groups", [1, 200, 2, 100, 7, 300], ["a", "b", "a", "b", "c", "b"]),
            falling_of("published_sigma", 0.04, 0.999, 0.01, [0, 1, 2, 40, 1385, 1386, 1387, 3000]),
            falling_of("published_rate", 0.01, 0.999, 0.001, [0, 1, 1024, 2301, 2302, 9999]),
            falling_of("begins_below", 0.001, 0.9, 0.01, [0, 1, 4]),
        ],
    )


if __name__ == "__main__":
    main()
