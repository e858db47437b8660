#!/usr/bin/env python3
"""Writes lpg.json: the learned policy gradient's network, updates by it, and their meta-gradient.

    python3 tests/data/golden/lpg.py

Shares no code and no method with the implementation. The agents' gradient is written out by hand,
step by step. The gradient by the network's weights is the imaginary part of the whole computation
at weights that are moved by 1e-30 i, one after the other.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("lpg.json")
DOC = (
    "A tensor is {shape, data}, row-major. Weights are [out, in]. S agents; policy and y are two"
    " tanh layers and a softmax. phi: the network's weights. Gates stand in the order input,"
    " forget, cell, output. path[k] is what update k saw: obs [S, T, D], act [S, T] (a choice),"
    " reward, done [S, T] (the episode ended with the step), next_obs [S, D]. Pieces of `unroll`"
    " steps are read backward. Each update is one step of SGD or Adam on the whole segment, whose"
    " gradient is scaled by min(1, bound / (norm + 1e-6)). outer: obs, act, advantage (raw;"
    " standardised with S rows each, T - 1, + 1e-8). expected: pi_hat and log_y_hat of the first"
    " update, its loss by agent, theta and the outer loss by agent after all of them, and the"
    " gradient by phi of the sum of the outer losses with the squares of pi_hat and y_hat."
    " Probabilities and y that the network sees, and Adam's second moment, are constants."
)
LAYERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def log_softmax(x):
    x = x - np.max(x.real)
    return x - np.log(np.sum(np.exp(x)))


def positive(x):
    return np.where(x.real > 0, x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def net(theta, who, x):
    w = {k: theta[f"{who}.{k}"] for k in LAYERS}
    h1 = np.tanh(w["W1"] @ x + w["b1"])
    h2 = np.tanh(w["W2"] @ h1 + w["b2"])
    return w["W3"] @ h2 + w["b3"], h1, h2


def add_back(theta, who, x, h1, h2, by, grad):
    """Adds the gradient of sum(by * output) at input x."""
    w = {k: theta[f"{who}.{k}"] for k in LAYERS}
    by2 = (w["W3"].T @ by) * (1 - h2**2)
    by1 = (w["W2"].T @ by2) * (1 - h1**2)
    for k, g in zip(
        LAYERS, (np.outer(by1, x), by1, np.outer(by2, h1), by2, np.outer(by, h2), by), strict=True
    ):
        grad[f"{who}.{k}"] = grad[f"{who}.{k}"] + g


def embed(phi, y):
    return (phi["phi.W2"] @ positive(phi["phi.W1"] @ y + phi["phi.b1"]) + phi["phi.b2"])[0]


def ask(phi, config, reward, done, prob, y):
    """pi_hat [T] and log_y_hat [T, m] of one agent. y [T + 1, m]."""
    steps, units = len(reward), phi["lstm.Wh"].shape[1]
    pi_hat, log_y_hat = [None] * steps, [None] * steps
    for t in reversed(range(steps)):
        if (t + 1) % config["unroll"] == 0 or done[t]:
            h = c = np.zeros(units)
        after = 0 if done[t] else embed(phi, y[t + 1])
        x = np.array([reward[t], done[t], config["gamma"], prob[t], embed(phi, y[t]), after])
        gate = phi["lstm.Wx"] @ x + phi["lstm.Wh"] @ h + phi["lstm.b"]
        i, f, g, o = (gate[n * units : (n + 1) * units] for n in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        pi_hat[t] = (phi["pi.W"] @ positive(h) + phi["pi.b"])[0]
        log_y_hat[t] = log_softmax(phi["y.W"] @ positive(h) + phi["y.b"])
    return pi_hat, log_y_hat


def agent_step(theta, m, v, count, phi, config, segment):
    """One update of one agent. Returns its new state, what the network said, and its loss."""
    steps = len(segment["reward"])
    still = {n: w.real for n, w in theta.items()}
    seen = [*segment["obs"], segment["next_obs"]]
    y = [np.exp(log_softmax(net(still, "y", o)[0])) for o in seen]
    prob = [
        np.exp(log_softmax(net(still, "actor", seen[t])[0])[segment["act"][t]])
        for t in range(steps)
    ]
    pi_hat, log_y_hat = ask(phi, config, segment["reward"], segment["done"], prob, y)
    grad = {n: np.zeros(w.shape) for n, w in theta.items()}
    loss = 0
    for t in range(steps):
        obs = segment["obs"][t]
        out, h1, h2 = net(theta, "actor", obs)
        log_p = log_softmax(out)
        one = np.zeros(len(out))
        one[segment["act"][t]] = 1
        loss = loss - pi_hat[t] * log_p[segment["act"][t]] / steps
        add_back(theta, "actor", obs, h1, h2, -pi_hat[t] * (one - np.exp(log_p)) / steps, grad)
        out, h1, h2 = net(theta, "y", obs)
        log_y = log_softmax(out)
        apart = log_y - log_y_hat[t]
        kl = np.sum(np.exp(log_y) * apart)
        loss = loss + config["alpha_y"] * kl / steps
        by = config["alpha_y"] * np.exp(log_y) * (apart - kl) / steps
        add_back(theta, "y", obs, h1, h2, by, grad)
    norm = np.sqrt(sum(np.sum(g**2) for g in grad.values()))
    scale = config["max_grad_norm"] / (norm + 1e-6)
    scale = 1 if scale.real > 1 else scale
    new, new_m, new_v = {}, {}, {}
    for n, w in theta.items():
        g = scale * grad[n]
        if config["optimizer"] == "SGD":
            new[n], new_m[n], new_v[n] = w - config["lr"] * g, m[n], v[n]
            continue
        new_m[n] = config["beta1"] * m[n] + (1 - config["beta1"]) * g
        new_v[n] = config["beta2"] * v[n] + (1 - config["beta2"]) * g.real**2
        rate = config["lr"] / (1 - config["beta1"] ** count)
        root = np.sqrt(new_v[n] / (1 - config["beta2"] ** count))
        new[n] = w - rate * new_m[n] / (root + config["opt_eps"])
    return new, new_m, new_v, pi_hat, log_y_hat, loss


def entropy(log_p):
    return -np.sum(np.exp(log_p) * log_p)


def live(case, phi):
    """All agents through all updates."""
    c = case["config"]
    result = {"pi_hat": [], "log_y_hat": [], "loss": [], "theta": [], "outer_loss": []}
    total = 0
    for s in range(case["S"]):
        theta = {n: w[s] for n, w in case["theta"].items()}
        m = {n: np.zeros(w.shape) for n, w in theta.items()}
        v = {n: np.zeros(w.shape) for n, w in theta.items()}
        squares = 0
        for k, segment in enumerate(case["path"]):
            own = {n: x[s] for n, x in segment.items()}
            theta, m, v, pi_hat, log_y_hat, loss = agent_step(theta, m, v, k + 1, phi, c, own)
            count = len(pi_hat) * len(case["path"])
            squares = squares + c["pi_hat_square"] * sum(x**2 for x in pi_hat) / count
            of_y = sum(np.sum(np.exp(2 * x)) for x in log_y_hat)
            squares = squares + c["y_hat_square"] * of_y / count
            if k == 0:
                for name, x in zip(("pi_hat", "log_y_hat", "loss"), (pi_hat, log_y_hat, loss)):
                    result[name].append(np.real(x))
        outer = {n: x[s] for n, x in case["outer"].items()}
        rows = len(outer["act"])
        used = outer["advantage"] - np.mean(outer["advantage"])
        used = used / (np.sqrt(np.sum(used**2) / (rows - 1)) + 1e-8)
        loss = 0
        for t in range(rows):
            log_p = log_softmax(net(theta, "actor", outer["obs"][t])[0])
            log_y = log_softmax(net(theta, "y", outer["obs"][t])[0])
            loss = loss - used[t] * log_p[outer["act"][t]] / rows
            loss = loss - c["policy_entropy"] * entropy(log_p) / rows
            loss = loss - c["prediction_entropy"] * entropy(log_y) / rows
        result["theta"].append(theta)
        result["outer_loss"].append(np.real(loss))
        total = total + loss + squares
    return total, result


def run(case):
    _, result = live(case, case["phi"])
    gradient = {}
    for name, w in case["phi"].items():
        gradient[name] = np.zeros(w.shape)
        for at in np.ndindex(w.shape):
            moved = {n: x.astype(complex) for n, x in case["phi"].items()}
            moved[name][at] += 1e-30j
            gradient[name][at] = live(case, moved)[0].imag / 1e-30
    return {
        "pi_hat": pack(result["pi_hat"]),
        "log_y_hat": pack(result["log_y_hat"]),
        "loss": pack(result["loss"]),
        "theta": {n: pack([theta[n].real for theta in result["theta"]]) for n in case["theta"]},
        "outer_loss": pack(result["outer_loss"]),
        "dphi": {n: pack(g) for n, g in gradient.items()},
    }


def make(name, seed, updates, **changes):
    draw = np.random.default_rng(seed)
    agents, d, a, hidden, m, emb, lstm, steps = 2, 3, 3, 3, 3, 3, 4, 6
    config = {
        "unroll": 3, "gamma": 0.97, "alpha_y": 0.5, "policy_entropy": 0.05,
        "prediction_entropy": 0.02, "pi_hat_square": 0.03, "y_hat_square": 0.04,
        "max_grad_norm": 0.5, "optimizer": "ADAM", "lr": 0.05, "beta1": 0.9, "beta2": 0.999,
        "opt_eps": 1e-5,
    }  # fmt: skip
    config.update(changes)

    def number(*shape):
        return np.round(draw.normal(0, 1, shape), 6)

    theta = {}
    for who, outputs in (("actor", a), ("y", m)):
        shapes = ((hidden, d), (hidden,), (hidden, hidden), (hidden,), (outputs, hidden))
        for k, shape in zip(LAYERS, (*shapes, (outputs,))):
            theta[f"{who}.{k}"] = 0.7 * number(agents, *shape)
    phi = {
        "phi.W1": number(emb, m), "phi.b1": number(emb), "phi.W2": number(1, emb),
        "phi.b2": number(1), "lstm.Wx": 0.6 * number(4 * lstm, 6),
        "lstm.Wh": 0.6 * number(4 * lstm, lstm), "lstm.b": 0.3 * number(4 * lstm),
        "pi.W": 2 * number(1, lstm), "pi.b": number(1), "y.W": 2 * number(m, lstm),
        "y.b": number(m),
    }  # fmt: skip
    path = [
        {
            "obs": number(agents, steps, d),
            "act": draw.integers(0, a, (agents, steps)),
            "reward": number(agents, steps),
            "done": (draw.random((agents, steps)) < 0.3).astype(int),
            "next_obs": number(agents, d),
        }
        for _ in range(updates)
    ]
    outer = {
        "obs": number(agents, steps, d),
        "act": draw.integers(0, a, (agents, steps)),
        "advantage": number(agents, steps),
    }
    case = {"config": config, "S": agents, "theta": theta, "phi": phi, "path": path, "outer": outer}
    return {
        "name": name,
        "S": agents,
        "D": d,
        "A": a,
        "hidden": hidden,
        "predictions": m,
        "embedding": emb,
        "lstm": lstm,
        "config": config,
        "theta": {n: pack(w) for n, w in theta.items()},
        "phi": {n: pack(w) for n, w in phi.items()},
        "path": [{n: pack(x) for n, x in segment.items()} for segment in path],
        "outer": {n: pack(x) for n, x in outer.items()},
        "expected": run(case),
    }


def main():
    cases = [
        make("one update by SGD", 1, 1, optimizer="SGD", lr=0.5),
        make("three updates by SGD, nothing clipped", 2, 3, optimizer="SGD", max_grad_norm=50.0),
        make("three updates by Adam", 3, 3),
        make("six updates by Adam, the segment in one piece", 4, 6, unroll=6),
    ]
    file = {
        "doc": DOC,
        "dtype": "float64",
        "tolerance": {"abs": 1e-10, "rel": 1e-9},
        "cases": cases,
    }
    FILE.write_text(json.dumps(file) + "\n")


if __name__ == "__main__":
    main()
