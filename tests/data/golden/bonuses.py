#!/usr/bin/env python3
"""Writes bonuses.json: the parts of bonuses that bonuses_rllte.json does not have.

    python3 tests/data/golden/bonuses.py

Shares no code with the implementation. Gradients are difference quotients of fourth order of the
losses, in 80-bit floats. Codes of observations are texts of signs.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("bonuses.json")
DOC = (
    "A tensor is {shape, data}, row-major. One agent, steps in segments; known[t]=0: the"
    " observation after step t is not known. Weight i of a network is scale * (((7919 i + offset)"
    " mod 2003) / 2003 - 0.5), as in bonuses_rllte.json, with `hidden` units. A segment is one"
    " minibatch; `epochs` steps of Adam on it. rewards: `weight` times the bonus over its scale."
    " counts: projection i is 3 (((7919 i + 1) mod 2003) / 2003 - 0.5), row-major [bits, D]."
)
F = np.longdouble


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def formula(count, offset, scale):
    i = np.arange(count, dtype=np.int64)
    return F(scale) * (F(1) * ((7919 * i + offset) % 2003) / F(2003) - F(0.5))


def network(theta, x, hidden, out):
    """W2 max(0, W1 x + b1) + b2; returns the output and what is left of theta."""
    size = x.shape[1]
    cuts = np.cumsum([hidden * size, hidden, out * hidden, out])
    w1, b1, w2, b2, rest = np.split(theta, cuts)
    h = np.maximum(0, x @ w1.reshape(hidden, size).T + b1)
    return h @ w2.reshape(out, hidden).T + b2, rest


class Moments:
    """Of all rows so far and a prior, from their definition."""

    def __init__(self, size):
        self.count, self.mean, self.variance = F(1e-4), np.zeros(size, F), np.ones(size, F)

    def add(self, rows):
        n = F(len(rows))
        variance = rows.var(0, ddof=1) if n > 1 else np.zeros_like(self.mean)
        both = self.count + n
        mean = (self.mean * self.count + rows.mean(0) * n) / both
        # The variance of a mixture of two: mean of the variances, and of the means.
        self.variance = (
            self.count * (self.variance + (self.mean - mean) ** 2)
            + n * (variance + (rows.mean(0) - mean) ** 2)
        ) / both
        self.mean, self.count = mean, both


class Rnd:
    def __init__(self, case):
        self.case = case
        size = case["hidden"] * (case["D"] + 1) + case["latent"] * (case["hidden"] + 1)
        self.target, self.theta = formula(size, 1, 0.3), formula(size, 500, 0.3)

    def errors(self, theta, x):
        c = self.case
        got = network(theta, x, c["hidden"], c["latent"])[0]
        want = network(self.target, x, c["hidden"], c["latent"])[0]
        return ((got - want) ** 2).mean(1)

    def bonus(self, before, action, after):
        return self.errors(self.theta, after)

    def loss(self, theta, before, action, after, known):
        return self.errors(theta, before).mean()


class Icm:
    def __init__(self, case):
        self.case = case
        d, a, h, k = case["D"], case["A"], case["hidden"], case["latent"]
        size = h * (d + 1) + k * (h + 1) + h * (2 * k + 1) + a * (h + 1)
        size += h * (k + a + 1) + k * (h + 1)
        self.theta = formula(size, 500, 0.3)

    def outputs(self, theta, before, action, after):
        c = self.case
        code, rest = network(theta, before, c["hidden"], c["latent"])
        following, _ = network(theta, after, c["hidden"], c["latent"])
        both = np.concatenate([code, following], 1)
        told, rest = network(rest, both, c["hidden"], c["A"])
        predicted, _ = network(rest, np.concatenate([code, action], 1), c["hidden"], c["latent"])
        return following, told, predicted

    def bonus(self, before, action, after):
        following, _, predicted = self.outputs(self.theta, before, action, after)
        return ((predicted - following) ** 2).mean(1)

    def loss(self, theta, before, action, after, known):
        before, action, after = before[known], action[known], after[known]
        following, told, predicted = self.outputs(theta, before, action, after)
        if self.case["discrete"]:
            logs = told - np.log(np.exp(told).sum(1, keepdims=True))
            inverse = -(logs * action).sum(1).mean()
        else:
            inverse = ((told - action) ** 2).mean()
        forward = ((predicted - following) ** 2).mean()
        return F(self.case["inverse_weight"]) * inverse + F(self.case["forward_weight"]) * forward


def gradient(loss, theta):
    result, h = np.zeros_like(theta), F(1e-6)
    for i in range(len(theta)):

        def at(steps):
            moved = theta.copy()
            moved[i] += steps * h
            return loss(moved)

        result[i] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)
    return result


def run(case, rows):
    model = (Rnd if case["kind"] == "rnd" else Icm)(case)
    seen, rewards = Moments(case["D"]), Moments(1)
    m = v = np.zeros_like(model.theta)
    steps, discounted, given = 0, F(0), []
    per_segment = len(rows["known"]) // case["segments"]
    for k in range(case["segments"]):
        part = slice(k * per_segment, (k + 1) * per_segment)
        before, action, after = (
            rows[key][part].astype(F) for key in ("observations", "actions", "next_observations")
        )
        known = rows["known"][part] > 0
        if case["normalise"]:
            seen.add(before)
            before, after = (
                np.clip((x - seen.mean) / np.sqrt(seen.variance), -5, 5) for x in (before, after)
            )
        raw = model.bonus(before, action, after)
        counted = []
        for t in np.flatnonzero(known):
            discounted = F(case["gamma"]) * discounted + raw[t]
            counted.append(discounted if case["scale"] == "returns" else raw[t])
        if case["scale"] != "none":
            rewards.add(np.array(counted)[:, None])
            raw = raw / np.sqrt(rewards.variance[0])
        given.append(F(case["weight"]) * np.where(known, raw, 0))
        for _ in range(case["epochs"]):
            g = gradient(lambda at: model.loss(at, before, action, after, known), model.theta)
            steps += 1
            m, v = F(0.9) * m + F(0.1) * g, F(0.999) * v + F(0.001) * g**2
            rate = F(case["learning_rate"]) / (1 - F(0.9) ** steps)
            model.theta = model.theta - rate * m / (np.sqrt(v / (1 - F(0.999) ** steps)) + F(1e-8))
    return np.concatenate(given)


def steps(case, count, seed):
    draw = np.random.default_rng(seed)
    walk = np.cumsum(draw.normal(size=(count + 1, case["D"])), 0) * 0.3 + [2, -1, 0.5][: case["D"]]
    actions = draw.normal(size=(count, case["A"]))
    if case["discrete"]:
        actions = np.eye(case["A"])[actions.argmax(1)]
    known = np.ones(count)
    known[[3, count - 1]] = 0
    return {
        "observations": walk[:-1],
        "actions": actions,
        "next_observations": walk[1:],
        "known": known,
    }


def network_case(name, **settings):
    case = {
        "name": name, "D": 3, "A": 2, "hidden": 12, "latent": 6, "discrete": False, "segments": 3,
        "normalise": True, "scale": "none", "gamma": 0.9, "weight": 0.7, "epochs": 2,
        "learning_rate": 1e-2, "inverse_weight": 0.8, "forward_weight": 0.2, **settings,
    }  # fmt: skip
    rows = steps(case, 24, len(name))
    rewards = run(case, rows)
    return {**case, **{key: pack(x) for key, x in rows.items()}, "rewards": pack(rewards)}


def counts_case(name, bits):
    case = {"name": name, "kind": "counts", "D": 3, "A": 1, "discrete": False, "segments": 3}
    case.update(normalise=False, scale="none", gamma=0.9, weight=0.5, bits=bits)
    rows = steps(case, 60, 7)
    projections = formula(bits * 3, 1, 3).reshape(bits, 3)
    table, given = {}, []
    for k in range(3):
        part = range(20 * k, 20 * (k + 1))
        texts = {}
        for t in part:
            signs = projections @ rows["next_observations"][t].astype(F)
            texts[t] = "".join("+" if s >= 0 else "-" for s in signs)
            if rows["known"][t]:
                table[texts[t]] = table.get(texts[t], 0) + 1
        for t in part:
            given.append(0.5 / np.sqrt(table[texts[t]]) if rows["known"][t] else 0.0)
    return {**case, **{key: pack(x) for key, x in rows.items()}, "rewards": pack(given)}


if __name__ == "__main__":
    cases = [
        network_case("rnd_returns", kind="rnd", scale="returns"),
        network_case("rnd_rewards", kind="rnd", scale="rewards", normalise=False, epochs=1),
        network_case("icm_continuous", kind="icm"),
        network_case("icm_discrete", kind="icm", discrete=True, A=3, scale="returns"),
        counts_case("counts_few_bits", 4),
        counts_case("counts", 16),
    ]
    tolerance = {"abs": 1e-9, "rel": 1e-8}
    golden = {"doc": DOC, "dtype": "float64", "tolerance": tolerance, "cases": cases}
    FILE.write_text(json.dumps(golden) + "\n")
