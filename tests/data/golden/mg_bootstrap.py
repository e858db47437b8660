#!/usr/bin/env python3
"""Writes mg_bootstrap.json: bootstrapped meta-gradients of a reward network.

    python3 tests/data/golden/mg_bootstrap.py

Shares no code and no method with the implementation. The parts that LIRPG has too are those of
lirpg_steps.py. The gradient by the reward network is a difference quotient of fourth order of the
whole update and the divergence, in 80-bit floats; the target and Adam's second moments are held
still.
"""

import json
import pathlib

import numpy as np
from lirpg_steps import F, LAYERS, Adam, Net, agent_gradient, gae, log_prob, net, outer_loss, pack
from lirpg_steps import scale_of

FILE = pathlib.Path(__file__).with_name("mg_bootstrap.json")
DOC = (
    "As lirpg_steps.json, forms torch, where the reward network reads (obs, act). The agent makes"
    " an optimizer step on each of `minibatches`: params_after. It goes on with a step on each of"
    " `further`, then with one down the outer loss of all rows (the clipped ratio with the task's"
    " advantages, standardised over all rows), by the same optimizer with the same state: target."
    " matching_loss is KL(target, params_after) of the Gaussian policies, mean over the rows."
    " dJ_dphi is its gradient by phi through the first steps."
)


class Optimizer:
    """Adam or plain descent of an agent: weights, moments, and the number of steps made."""

    def __init__(self, case):
        c = case["config"]
        self.c, self.adam = c, Adam(c["lr"], c, tensorflow=False)
        self.theta, self.count = case["params"], case["opt_steps_before"]
        self.m, self.v = case["m"], case["v"]

    def step(self, grad, still=None):
        """still: the gradient whose square enters the second moment, where it is held still."""
        self.count += 1
        if self.c["optimizer"] == "sgd":
            self.theta = {n: w - F(self.c["lr"]) * grad[n] for n, w in self.theta.items()}
            return
        made = {
            n: self.adam.step(
                w,
                self.m[n],
                self.v[n],
                grad[n],
                self.count,
                None if still is None else still[n] ** 2,
            )
            for n, w in self.theta.items()
        }
        self.theta, self.m, self.v = ({n: x[i] for n, x in made.items()} for i in range(3))


def learned(case, phi, still=None):
    """The agent after the minibatches, and the gradients of the steps."""
    agent, grads = Optimizer(case), []
    for k, rows in enumerate(case["minibatches"]):
        grads.append(agent_gradient(case, agent.theta, phi, rows))
        agent.step(grads[-1], None if still is None else still[k])
    return agent, grads


def differences(function, x, h=F(2e-4)):
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):

        def at(d):
            moved = x.copy()
            moved[i] += d
            return function(moved)

        g[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    return g


def task_gradient(case, theta):
    s = case["segment"]
    task = gae(case, s["r_ex"], s["value_ex"], s["last_value_ex"])
    rows = list(range(len(s["r_ex"])))
    grad = {}
    for n in theta:
        grad[n] = differences(lambda w: outer_loss(case, {**theta, n: w}, task, rows), theta[n])
    norm = np.sqrt(sum((g**2).sum() for g in grad.values()))
    scale = scale_of(norm, F(case["config"]["max_grad_norm"]), False)
    return {n: g * scale for n, g in grad.items()}


def divergence(case, p, q):
    obs = case["segment"]["obs"]
    of = lambda theta: Net({k: theta["actor." + k] for k in LAYERS}).forward(obs)
    mean_p, mean_q, log_p, log_q = of(p), of(q), p["logstd"], q["logstd"]
    square = np.exp(2 * log_p) + (mean_p - mean_q) ** 2
    return (log_q - log_p + square / (2 * np.exp(2 * log_q)) - F(0.5)).sum(1).mean()


def run(case):
    phi = case["phi"]
    agent, still = learned(case, phi)
    after = dict(agent.theta)
    for rows in case["further"]:
        agent.step(agent_gradient(case, agent.theta, phi, rows))
    agent.step(task_gradient(case, agent.theta))
    target = agent.theta

    def loss(weights):
        return divergence(case, target, learned(case, weights, still)[0].theta)

    by_phi = {n: differences(lambda w: loss({**phi, n: w}), w) for n, w in phi.items()}
    return {
        "params_after": {n: pack(w) for n, w in after.items()},
        "target": {n: pack(w) for n, w in target.items()},
        "matching_loss": float(loss(phi)),
        "dJ_dphi": {n: pack(g) for n, g in by_phi.items()},
    }


def make(name, seed, steps, further, **changes):
    draw = np.random.default_rng(seed)
    d, a, t, b = 3, 2, 12, 6
    config = {
        "c_ex": 1.0, "c_in": 0.7, "gamma": 0.95, "lambda": 0.9, "clip": 0.2, "value_coef": 0.5,
        "entropy_coef": 0.01, "max_grad_norm": 0.5, "lr": 0.05, "opt_eps": 1e-5, "beta1": 0.9,
        "beta2": 0.999, "clip_value_loss": False, "forms": "torch", "optimizer": "adam",
    }  # fmt: skip
    config.update(changes)
    exact = lambda x: np.asarray(x, dtype=np.float64).astype(F)
    number = lambda *shape: exact(np.round(draw.normal(0, 1, shape), 6))
    actor, critic = net(draw, d, 3, a), net(draw, d, 3, 1)
    params = {"actor." + n: exact(w) for n, w in actor.items()}
    params["logstd"] = exact(0.3 * number(a))
    params.update({"critic." + n: exact(w) for n, w in critic.items()})
    obs, act = number(t, d), number(t, a)
    logp, _ = log_prob(Net(actor), params["logstd"], obs, act)
    case = {
        "name": name,
        "config": config,
        "D": d,
        "A": a,
        "params": params,
        "m": {n: exact(0.01 * number(*w.shape)) for n, w in params.items()},
        "v": {n: exact(0.01 * number(*w.shape) ** 2 + F("1e-3")) for n, w in params.items()},
        "opt_steps_before": 7,
        "phi": {n: exact(w) for n, w in net(draw, d + a, 3, 1).items()},
        "segment": {
            "obs": obs,
            "seen": obs,
            "act": act,
            "r_ex": number(t),
            "prev_done": [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0],
            "last_done": 0,
            "logp": exact(np.round((logp + F(0.05) * number(t)).astype(np.float64), 6)),
            "value": number(t),
            "last_value": number(1)[0],
            "value_ex": number(t),
            "last_value_ex": number(1)[0],
        },
    }
    rows = lambda: [int(i) for i in draw.permutation(t)[:b]]
    case["minibatches"] = [rows() for _ in range(steps)]
    case["further"] = [rows() for _ in range(further)]
    written = {n: case[n] for n in ("name", "config", "D", "A", "opt_steps_before")}
    for part in ("params", "m", "v", "phi"):
        written[part] = {n: pack(w) for n, w in case[part].items()}
    written["segment"] = {n: pack(x) for n, x in case["segment"].items() if n != "seen"}
    written["minibatches"] = pack(case["minibatches"])
    written["further"] = pack(np.reshape(case["further"], (further, b)))
    written["expected"] = run(case)
    return written


def main():
    cases = [
        make("one_step", 1, steps=2, further=0),
        make("longer", 2, steps=3, further=3),
        make("reward_alone", 3, steps=6, further=1, c_ex=0.0, max_grad_norm=0.1),
        make("descent", 4, steps=2, further=2, optimizer="sgd", lr=0.1),
    ]
    text = json.dumps(
        {"doc": DOC, "dtype": "float64", "tolerance": {"abs": 1e-12, "rel": 1e-8}, "cases": cases}
    )
    FILE.write_text(text + "\n")


if __name__ == "__main__":
    main()
