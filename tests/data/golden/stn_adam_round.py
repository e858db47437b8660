#!/usr/bin/env python3
"""Writes stn_adam_round.json: terms 12 and 13 through a policy round of Adam on minibatches.

    python3 tests/data/golden/stn_adam_round.py

Shares no code and no method with the implementation. The policy's gradient is written out by hand.
Those by eta and by the inner advantages are difference quotients of fourth order of u . theta_K, in
80-bit floats; the second moments of the undisturbed round are held still.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("stn_adam_round.json")
DOC = (
    "A tensor is {shape, data}, row-major. One agent; a policy with conditional layer"
    " normalisation, whose tensors have the names and shapes of the code. advantages [T] are raw,"
    " and standardised over all rows (B - 1). Step k takes minibatches[k]. The loss is"
    " -mean(min(rho A, clip(rho) A)) - entropy_coef entropy. Its norm is clipped by min(1, bound /"
    " (norm + 1e-6)), and Adam begins at (m, v, opt_steps_before). Expected: theta after the round;"
    " the gradients of u . theta by eta (term 12) and by the advantages (term 13), with the second"
    " moments constant."
)
F = np.longdouble
NAMES = ("actor.W1", "actor.b1", "actor.W2", "actor.b2", "actor.W3", "actor.b3", "cln.Wg", "cln.bg",
         "cln.Wb", "cln.bb", "logstd")  # fmt: skip


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def forward(w, eta, obs):
    h1 = np.tanh(obs @ w["actor.W1"].T + w["actor.b1"])
    a = h1 @ w["actor.W2"].T + w["actor.b2"]
    centred = a - a.mean(1, keepdims=True)
    root = np.sqrt((centred**2).mean(1, keepdims=True) + F(1e-5))
    z = centred / root
    gain, offset = w["cln.Wg"] @ eta + w["cln.bg"], w["cln.Wb"] @ eta + w["cln.bb"]
    h2 = np.tanh(gain * z + offset)
    return h2 @ w["actor.W3"].T + w["actor.b3"], (h1, root, z, gain, h2)


def log_prob(w, eta, obs, act):
    mean, kept = forward(w, eta, obs)
    scaled = (act - mean) / np.exp(w["logstd"])
    return (-0.5 * scaled**2 - w["logstd"] - 0.5 * np.log(2 * np.pi * F(1))).sum(1), scaled, kept


def gradient(case, w, eta, advantages, rows):
    """Clipped gradient of a step's loss, by name."""
    c, s = case["config"], case["segment"]
    obs, act, count = s["obs"][rows], s["act"][rows], len(rows)
    used = (advantages - advantages.mean()) / (advantages.std(ddof=1) + F(1e-8))
    used = used[rows]
    now, scaled, (h1, root, z, gain, h2) = log_prob(w, eta, obs, act)
    ratio = np.exp(now - s["logp"][rows])
    inside = ratio * used <= np.clip(ratio, 1 - c["clip"], 1 + c["clip"]) * used
    by_log = np.where(inside, -used * ratio, 0) / count
    by_mean = by_log[:, None] * scaled / np.exp(w["logstd"])
    by_sum = (by_mean @ w["actor.W3"]) * (1 - h2**2)
    by_gain, by_offset, by_z = (by_sum * z).sum(0), by_sum.sum(0), by_sum * gain
    by_a = (by_z - by_z.mean(1, keepdims=True) - z * (by_z * z).mean(1, keepdims=True)) / root
    by_h = (by_a @ w["actor.W2"]) * (1 - h1**2)
    grad = {
        "actor.W1": by_h.T @ obs,
        "actor.b1": by_h.sum(0),
        "actor.W2": by_a.T @ h1,
        "actor.b2": by_a.sum(0),
        "actor.W3": by_mean.T @ h2,
        "actor.b3": by_mean.sum(0),
        "cln.Wg": np.outer(by_gain, eta),
        "cln.bg": by_gain,
        "cln.Wb": np.outer(by_offset, eta),
        "cln.bb": by_offset,
        "logstd": (by_log[:, None] * (scaled**2 - 1)).sum(0) - c["entropy_coef"],
    }
    norm = np.sqrt(sum((g**2).sum() for g in grad.values()))
    scale = min(F(1), F(c["max_grad_norm"]) / (norm + F(1e-6)))
    return {n: g * scale for n, g in grad.items()}


def round_of(case, eta, advantages, still=None):
    """theta after the round, and the squared gradients of its steps."""
    c = case["config"]
    w, m, v = case["params"], case["m"], case["v"]
    b1, b2, squares = F(c["beta1"]), F(c["beta2"]), []
    for k, rows in enumerate(case["minibatches"]):
        grad = gradient(case, w, eta, advantages, rows)
        squares.append({n: g**2 for n, g in grad.items()} if still is None else still[k])
        count = case["opt_steps_before"] + k + 1
        m = {n: b1 * m[n] + (1 - b1) * grad[n] for n in w}
        v = {n: b2 * v[n] + (1 - b2) * squares[k][n] for n in w}
        c1, c2 = 1 - b1**count, 1 - b2**count
        w = {n: w[n] - F(c["lr"]) / c1 * m[n] / (np.sqrt(v[n] / c2) + F(c["opt_eps"])) for n in w}
    return w, squares


def slopes(value, at):
    h, found = F(2e-4), np.zeros_like(at)
    for i in range(len(at)):

        def moved(x):
            y = at.copy()
            y[i] += x
            return value(y)

        found[i] = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)
    return found


def make(name, seed, **changes):
    draw = np.random.default_rng(seed)
    d, a, hidden, size, t, b, steps = 3, 2, 4, 6, 12, 5, 4
    config = {"clip": 0.2, "entropy_coef": 0.0, "max_grad_norm": 0.5, "lr": 3e-3, "opt_eps": 1e-5,
              "beta1": 0.9, "beta2": 0.999}  # fmt: skip
    config.update(changes)

    def number(*shape, size=1.0):
        return (F(1) * np.round(draw.normal(0, size, shape), 6)).astype(np.float64).astype(F)

    shapes = {"actor.W1": (hidden, d), "actor.b1": (hidden,), "actor.W2": (hidden, hidden),
              "actor.b2": (hidden,), "actor.W3": (a, hidden), "actor.b3": (a,),
              "cln.Wg": (hidden, size), "cln.bg": (hidden,), "cln.Wb": (hidden, size),
              "cln.bb": (hidden,), "logstd": (a,)}  # fmt: skip
    params = {n: number(*shapes[n], size=0.5) for n in NAMES}
    params["cln.bg"] += 1
    eta = number(size, size=0.7)
    obs, act = number(t, d), number(t, a)
    logp = log_prob(params, eta, obs, act)[0] + number(t, size=0.15)
    case = {
        "name": name,
        "config": config,
        "params": params,
        "m": {n: number(*shapes[n], size=0.02) for n in NAMES},
        "v": {n: (number(*shapes[n], size=0.03) ** 2 + F("1e-4")).astype(np.float64).astype(F)
              for n in NAMES},
        "opt_steps_before": 5,
        "eta": eta,
        "segment": {
            "obs": obs,
            "act": act,
            "logp": logp.astype(np.float64).astype(F),
            "advantages": number(t),
        },
        "u": {n: number(*shapes[n]) for n in NAMES},
        "minibatches": [[int(i) for i in draw.permutation(t)[:b]] for _ in range(steps)],
    }  # fmt: skip
    advantages = case["segment"]["advantages"]
    after, still = round_of(case, eta, advantages)

    def product(at_eta, at_advantages):
        w, _ = round_of(case, at_eta, at_advantages, still)
        return sum((case["u"][n] * w[n]).sum() for n in NAMES)

    expected = {
        "params_after": {n: pack(w) for n, w in after.items()},
        "term12": pack(slopes(lambda x: product(x, advantages), eta)),
        "by_advantages": pack(slopes(lambda x: product(eta, x), advantages)),
    }
    written = {"name": name, "config": config, "opt_steps_before": case["opt_steps_before"]}
    for part in ("params", "m", "v", "u"):
        written[part] = {n: pack(case[part][n]) for n in NAMES}
    written["eta"] = pack(eta)
    written["segment"] = {n: pack(x) for n, x in case["segment"].items()}
    written["minibatches"] = pack(case["minibatches"])
    written["expected"] = expected
    return written


def main():
    cases = [make("adam", 1), make("entropy_and_small_bound", 2, entropy_coef=0.01,
                                   max_grad_norm=0.05)]  # fmt: skip
    text = json.dumps(
        {"doc": DOC, "dtype": "float64", "tolerance": {"abs": 1e-9, "rel": 1e-9}, "cases": cases}
    )
    FILE.write_text(text + "\n")


if __name__ == "__main__":
    main()
