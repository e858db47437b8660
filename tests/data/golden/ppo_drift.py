#!/usr/bin/env python3
"""Writes ppo_drift.json: one optimizer step of agents whose loss has the drift of DPO.

    python3 tests/data/golden/ppo_drift.py

Shares no code and no method with the implementation. The drift is written as published, with its
relu. Gradients are difference quotients of fourth order of the whole loss, in 80-bit floats.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("ppo_drift.json")
DOC = (
    "As ppo_minibatch.json, with the drift of Lu et al. 2022 in place of the clip: config.drift"
    " {alpha, beta}. pg_loss is the mean of drift - ratio * adv_used, with drift = relu(a - alpha *"
    " tanh(a / alpha)), a = (ratio - 1) * adv_used, where adv_used >= 0, and relu(b - beta * tanh(b"
    " / beta)), b = ln(ratio) * adv_used, elsewhere. clip bounds clip_fraction and, with"
    " clip_value_loss, the value. Case `far` has ratios between e^-3 and e^3, and advantages up to"
    " 4."
)
F = np.longdouble
LAYERS = ("W1", "b1", "W2", "b2", "W3", "b3")
STEP = F(3e-5)


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def exact(x):
    """A number of float64, in 80 bits."""
    return np.asarray(x, dtype=np.float64).astype(F)


def network(theta, name, x):
    w = {k: theta[f"{name}.{k}"] for k in LAYERS}
    h = np.tanh(x @ w["W1"].T + w["b1"])
    h = np.tanh(h @ w["W2"].T + w["b2"])
    return h @ w["W3"].T + w["b3"]


def relu(x):
    return np.where(x > 0, x, 0)


def drift(constants, ratio, advantage):
    alpha, beta = F(constants["alpha"]), F(constants["beta"])
    a, b = (ratio - 1) * advantage, np.log(ratio) * advantage
    return np.where(
        advantage >= 0,
        relu(a - alpha * np.tanh(a / alpha)),
        relu(b - beta * np.tanh(b / beta)),
    )


def terms(config, theta, batch):
    mean = network(theta, "actor", batch["obs"])
    z = (batch["act"] - mean) / np.exp(theta["logstd"])
    half_log = np.log(2 * np.pi * F(1)) / 2
    logp = (-(z**2) / 2 - theta["logstd"] - half_log).sum(1)
    log_ratio = logp - batch["logp_old"]
    ratio = np.exp(log_ratio)
    used = batch["adv"]
    if config["normalize_advantage"]:
        deviation = np.sqrt(((used - used.mean()) ** 2).sum() / (len(used) - 1))
        used = (used - used.mean()) / (deviation + F(config["adv_eps"]))
    t = {
        "mean": mean,
        "logp": logp,
        "ratio": ratio,
        "adv_used": used,
        "entropy": (F(0.5) + half_log + theta["logstd"]).sum(),
        "pg_loss": (drift(config["drift"], ratio, used) - ratio * used).mean(),
        "approx_kl": (ratio - 1 - log_ratio).mean(),
        "clip_fraction": F(1) * (np.abs(ratio - 1) > config["clip"]).mean(),
    }
    t["loss"] = t["pg_loss"] - F(config["entropy_coef"]) * t["entropy"]
    if config["critic"]:
        value = network(theta, "critic", batch["obs"])[:, 0]
        square = (value - batch["ret"]) ** 2
        if config["clip_value_loss"]:
            moved = np.clip(value - batch["value_old"], -F(config["clip"]), F(config["clip"]))
            square = np.maximum(square, (batch["value_old"] + moved - batch["ret"]) ** 2)
        t["value"], t["v_loss"] = value, square.mean() / 2
        t["loss"] = t["loss"] + F(config["value_coef"]) * t["v_loss"]
    return t


def gradient(config, theta, batch):
    grad = {}
    for name, w in theta.items():
        g = np.zeros_like(w)
        for i in np.ndindex(w.shape):

            def at(x):
                moved = dict(theta)
                moved[name] = w.copy()
                moved[name][i] += x
                return terms(config, moved, batch)["loss"]

            near, far = at(STEP) - at(-STEP), at(2 * STEP) - at(-2 * STEP)
            g[i] = (8 * near - far) / (12 * STEP)
        grad[name] = g
    return grad


def step(config, theta, m, v, grad, scale, count):
    """Adam, with its epsilon behind the correction of bias."""
    b1, b2 = F(config["beta1"]), F(config["beta2"])
    after, new_m, new_v = {}, {}, {}
    for n, w in theta.items():
        g = grad[n] * scale
        new_m[n], new_v[n] = b1 * m[n] + (1 - b1) * g, b2 * v[n] + (1 - b2) * g**2
        deviation = np.sqrt(new_v[n] / (1 - b2**count)) + F(config["adam_eps"])
        after[n] = w - F(config["lr"]) * new_m[n] / (1 - b1**count) / deviation
    return after, new_m, new_v


def weights(draw, d, h, a, critic):
    shapes = {}
    for name, outputs in (("actor", a), ("critic", 1)):
        if name == "critic" and not critic:
            continue
        sizes = ((h, d), (h,), (h, h), (h,), (outputs, h), (outputs,))
        shapes.update({f"{name}.{k}": s for k, s in zip(LAYERS, sizes)})
    shapes["logstd"] = (a,)
    return {n: exact(np.round(draw.normal(0, 0.6, s), 6)) for n, s in shapes.items()}


def make(name, seed, agents=2, distance=0.4, size=1.0, steps_before=0, **changes):
    draw = np.random.default_rng(seed)
    d, h, a, rows = 3, 4, 2, 10
    config = {
        "clip": 0.2, "normalize_advantage": True, "adv_eps": 1e-8, "entropy_coef": 0.0,
        "value_coef": 0.5, "clip_value_loss": False, "clip_grad": True, "max_grad_norm": 0.5,
        "lr": 3e-4, "beta1": 0.9, "beta2": 0.999, "adam_eps": 1e-5, "critic": True,
        "drift": {"alpha": 2.0, "beta": 0.6},
    }  # fmt: skip
    config.update(changes)
    number = lambda *shape: exact(np.round(draw.normal(0, 1, shape), 6))
    all_agents = []
    for _ in range(agents):
        theta = weights(draw, d, h, a, config["critic"])
        batch = {"obs": number(rows, d), "act": number(rows, a), "logp_old": number(rows)}
        batch["adv"] = exact(size) * number(rows)
        if config["critic"]:
            value = network(theta, "critic", batch["obs"])[:, 0]
            batch["ret"] = number(rows)
            batch["value_old"] = exact(np.round(value + F(0.3) * number(rows), 6))
        logp = terms(config, theta, batch)["logp"]
        batch["logp_old"] = exact(np.round(logp - F(distance) * number(rows), 6))
        scale = F(0.01) if steps_before else F(0)
        m = {n: exact(scale * number(*w.shape)) for n, w in theta.items()}
        v = {n: exact(scale * number(*w.shape) ** 2) for n, w in theta.items()}
        t = terms(config, theta, batch)
        grad = gradient(config, theta, batch)
        norm = np.sqrt(sum((g**2).sum() for g in grad.values()))
        bound = min(F(1), F(config["max_grad_norm"]) / (norm + F(1e-6)))
        after = step(config, theta, m, v, grad, bound, steps_before + 1)
        t.update(grad_norm=norm, clip_scale=bound)
        all_agents.append((theta, m, v, batch, t, grad, after))
    stack = lambda i: {n: pack(np.stack([x[i][n] for x in all_agents])) for n in all_agents[0][i]}
    expected = stack(4)
    expected["grad"] = stack(5)
    for i, part in enumerate(("params_after", "adam_m_after", "adam_v_after")):
        expected[part] = {
            n: pack(np.stack([x[6][i][n] for x in all_agents])) for n in all_agents[0][0]
        }
    return {
        "name": name, "S": agents, "D": d, "H": h, "A": a, "B": rows, "config": config,
        "adam_steps_before": steps_before, "params": stack(0), "adam_m": stack(1),
        "adam_v": stack(2), "batch": stack(3), "expected": expected,
    }  # fmt: skip


def main():
    cases = [
        make("published_constants", 1),
        make("far", 2, distance=1.2, size=2.0, normalize_advantage=False, steps_before=6),
        make("other_constants", 3, drift={"alpha": 0.5, "beta": 1.5}, entropy_coef=0.02,
             clip_value_loss=True, steps_before=3),
        make("no_critic", 4, agents=1, distance=0.8, critic=False),
    ]  # fmt: skip
    text = json.dumps(
        {"doc": DOC, "dtype": "float64", "tolerance": {"abs": 1e-11, "rel": 1e-10}, "cases": cases}
    )
    FILE.write_text(text + "\n")


if __name__ == "__main__":
    main()
