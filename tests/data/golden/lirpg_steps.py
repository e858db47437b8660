#!/usr/bin/env python3
"""Writes lirpg_steps.json: minibatches of LIRPG in a row, each with its step of the reward network.

    python3 tests/data/golden/lirpg_steps.py

Shares no code and no method with the implementation. Advantages are the sums that define them.
The agents' gradient is written out by hand. The gradient by the reward network is a difference
quotient of fourth order of the whole step, in 80-bit floats; Adam's second moment is held still.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("lirpg_steps.json")
DOC = (
    "A tensor is {shape, data}, row-major. Weights are [out, in]. One agent. The reward network and"
    " both critics are two tanh layers and one output; the reward has a tanh at the end. The reward"
    " network reads (seen, act): the bounded observation and the action; the agent reads obs. Step"
    " k takes the rows minibatches[k] for both losses. expected[k] has the outer loss after the"
    " agent's step, its gradient by phi, the gradient of value_coef times the task critic's loss,"
    " and all weights after the step. forms tensorflow: deviations over B, epsilon before the"
    " correction of bias, scale = bound / max(norm, bound); torch: over B - 1, after it, min(1,"
    " bound / (norm + 1e-6)). phi and critic share one norm and one Adam, whose moments begin at 0."
)
F = np.longdouble
LAYERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


class Net:
    """Two tanh layers; `back` gives the gradients of sum(by * output)."""

    def __init__(self, weights):
        self.w = weights

    def forward(self, x):
        w = self.w
        self.x = x
        self.h1 = np.tanh(x @ w["W1"].T + w["b1"])
        self.h2 = np.tanh(self.h1 @ w["W2"].T + w["b2"])
        return self.h2 @ w["W3"].T + w["b3"]

    def back(self, by):
        w = self.w
        by2 = (by @ w["W3"]) * (1 - self.h2**2)
        by1 = (by2 @ w["W2"]) * (1 - self.h1**2)
        return {
            "W1": by1.T @ self.x,
            "b1": by1.sum(0),
            "W2": by2.T @ self.h1,
            "b2": by2.sum(0),
            "W3": by.T @ self.h2,
            "b3": by.sum(0),
        }


def gae(case, rewards, values, last_value):
    c, s = case["config"], case["segment"]
    steps = len(rewards)
    ends = list(s["prev_done"][1:]) + [s["last_done"]]
    follows = list(values[1:]) + [last_value]
    deltas = [
        rewards[t] + (0 if ends[t] else c["gamma"] * follows[t]) - values[t] for t in range(steps)
    ]
    result = []
    for t in range(steps):
        total, weight = F(0), F(1)
        for k in range(t, steps):
            total += weight * deltas[k]
            if ends[k]:
                break
            weight *= F(c["gamma"]) * F(c["lambda"])
        result.append(total)
    return np.array(result, dtype=F)


def standard(x, ddof):
    return (x - x.mean()) / (np.sqrt(((x - x.mean()) ** 2).sum() / (len(x) - ddof)) + F(1e-8))


def log_prob(policy, logstd, obs, act):
    mean = policy.forward(obs)
    z = (act - mean) / np.exp(logstd)
    return (-0.5 * z**2 - logstd - 0.5 * np.log(2 * np.pi * F(1))).sum(1), z


def scale_of(norm, bound, tensorflow):
    return bound / max(norm, bound) if tensorflow else min(F(1), bound / (norm + F(1e-6)))


class Adam:
    def __init__(self, rate, c, tensorflow):
        self.rate, self.tensorflow = F(rate), tensorflow
        self.b1, self.b2, self.eps = F(c["beta1"]), F(c["beta2"]), F(c["opt_eps"])

    def step(self, w, m, v, grad, count, square=None):
        """square: of the second moment, where it is held still."""
        square = grad**2 if square is None else square
        m, v = self.b1 * m + (1 - self.b1) * grad, self.b2 * v + (1 - self.b2) * square
        c1, c2 = 1 - self.b1**count, 1 - self.b2**count
        if self.tensorflow:
            return w - self.rate * np.sqrt(c2) / c1 * m / (np.sqrt(v) + self.eps), m, v
        return w - self.rate / c1 * m / (np.sqrt(v / c2) + self.eps), m, v


def reward(phi, seen, act):
    return np.tanh(Net(phi).forward(np.concatenate([seen, act], 1))[:, 0])


def agent_gradient(case, theta, phi, rows):
    """Clipped gradient of the agent's loss in a minibatch, by name."""
    c, s = case["config"], case["segment"]
    tensorflow = c["forms"] == "tensorflow"
    learned = reward(phi, s["seen"], s["act"])
    mixed = gae(case, c["c_ex"] * s["r_ex"] + c["c_in"] * learned, s["value"], s["last_value"])
    obs, act, count = s["obs"][rows], s["act"][rows], len(rows)
    used = standard(mixed[rows], 0 if tensorflow else 1)
    policy = Net({k: theta["actor." + k] for k in LAYERS})
    critic = Net({k: theta["critic." + k] for k in LAYERS})
    now, z = log_prob(policy, theta["logstd"], obs, act)
    ratio = np.exp(now - s["logp"][rows])
    inside = -used * ratio >= -used * np.clip(ratio, 1 - c["clip"], 1 + c["clip"])
    by_log = np.where(inside, -used * ratio, 0) / count
    std = np.exp(theta["logstd"])
    grad = {"actor." + k: g for k, g in policy.back(by_log[:, None] * z / std).items()}
    grad["logstd"] = (by_log[:, None] * (z**2 - 1)).sum(0) - c["entropy_coef"]
    target = mixed[rows] + s["value"][rows]
    value = critic.forward(obs)[:, 0]
    error = value - target
    if c["clip_value_loss"]:
        moved = value - s["value"][rows]
        clipped = s["value"][rows] + np.clip(moved, -c["clip"], c["clip"])
        worse = (clipped - target) ** 2 > error**2
        error = np.where(worse, np.where(np.abs(moved) < c["clip"], clipped - target, 0), error)
    by_value = c["value_coef"] * error / count
    grad.update({"critic." + k: g for k, g in critic.back(by_value[:, None]).items()})
    norm = np.sqrt(sum((g**2).sum() for g in grad.values()))
    scale = scale_of(norm, F(c["max_grad_norm"]), tensorflow)
    return {k: g * scale for k, g in grad.items()}


def outer_loss(case, theta, task, rows):
    c, s = case["config"], case["segment"]
    used = standard(task[rows], 0 if c["forms"] == "tensorflow" else 1)
    policy = Net({k: theta["actor." + k] for k in LAYERS})
    now, _ = log_prob(policy, theta["logstd"], s["obs"][rows], s["act"][rows])
    ratio = np.exp(now - s["logp"][rows])
    clipped = np.clip(ratio, 1 - c["clip"], 1 + c["clip"])
    return np.maximum(-used * ratio, -used * clipped).mean()


def critic_gradient(case, critic, task, rows):
    c, s = case["config"], case["segment"]
    net = Net(critic)
    before, target = s["value_ex"][rows], task[rows] + s["value_ex"][rows]
    value = net.forward(s["obs"][rows])[:, 0]
    error = value - target
    if c["clip_value_loss"]:
        moved = value - before
        clipped = before + np.clip(moved, -c["clip"], c["clip"])
        worse = (clipped - target) ** 2 > error**2
        error = np.where(worse, np.where(np.abs(moved) < c["clip"], clipped - target, 0), error)
    return net.back((c["value_coef"] * error / len(rows))[:, None])


def run(case):
    c, s = case["config"], case["segment"]
    tensorflow = c["forms"] == "tensorflow"
    inner, outer = Adam(c["lr"], c, tensorflow), Adam(c["outer_lr"], c, tensorflow)
    theta, phi, critic = case["params"], case["phi"], case["critic"]
    m, v, count = case["m"], case["v"], case["opt_steps_before"]
    zeros = lambda x: {k: np.zeros_like(w) for k, w in x.items()}
    phi_m, phi_v, critic_m, critic_v = zeros(phi), zeros(phi), zeros(critic), zeros(critic)
    task = gae(case, s["r_ex"], s["value_ex"], s["last_value_ex"])
    expected = []
    for k, rows in enumerate(case["minibatches"]):
        still = agent_gradient(case, theta, phi, rows)

        def after(weights):
            grad = agent_gradient(case, theta, weights, rows)
            return {
                n: inner.step(theta[n], m[n], v[n], grad[n], count + k + 1, still[n] ** 2)[0]
                for n in theta
            }

        def loss(weights):
            return outer_loss(case, after(weights), task, rows)

        by_phi = {}
        for name, w in phi.items():
            g, h = np.zeros_like(w), F(2e-4)
            for i in np.ndindex(w.shape):

                def at(x):
                    moved = {n: u.copy() for n, u in phi.items()}
                    moved[name][i] += x
                    return loss(moved)

                g[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
            by_phi[name] = g
        by_critic = critic_gradient(case, critic, task, rows)
        new = after(phi)
        value = loss(phi)
        for n in theta:
            _, m[n], v[n] = inner.step(theta[n], m[n], v[n], still[n], count + k + 1)
        theta = new
        square = sum((g**2).sum() for g in [*by_phi.values(), *by_critic.values()])
        scale = scale_of(np.sqrt(square), F(c["outer_max_grad_norm"]), tensorflow)
        for w, by, mm, vv in ((phi, by_phi, phi_m, phi_v), (critic, by_critic, critic_m, critic_v)):
            for n in w:
                w[n], mm[n], vv[n] = outer.step(w[n], mm[n], vv[n], scale * by[n], k + 1)
        expected.append(
            {
                "outer_loss": float(value),
                "dJ_dphi": {n: pack(g) for n, g in by_phi.items()},
                "dL_dcritic": {n: pack(g) for n, g in by_critic.items()},
                "params_after": {n: pack(w) for n, w in theta.items()},
                "phi_after": {n: pack(w) for n, w in phi.items()},
                "critic_after": {n: pack(w) for n, w in critic.items()},
            }
        )
    return expected


def net(draw, inputs, hidden, outputs, size=0.6):
    shapes = [
        (hidden, inputs),
        (hidden,),
        (hidden, hidden),
        (hidden,),
        (outputs, hidden),
        (outputs,),
    ]
    return {k: F(1) * np.round(draw.normal(0, size, s), 6) for k, s in zip(LAYERS, shapes)}


def make(name, seed, **changes):
    draw = np.random.default_rng(seed)
    d, a, t, b, k = 3, 2, 12, 4, 3
    config = {
        "c_ex": 0.01, "c_in": 1.0, "gamma": 0.99, "lambda": 0.95, "clip": 0.2, "value_coef": 0.5,
        "entropy_coef": 0.0, "max_grad_norm": 0.5, "outer_max_grad_norm": 0.5, "lr": 3e-3,
        "outer_lr": 1e-3, "opt_eps": 1e-5, "beta1": 0.9, "beta2": 0.999, "clip_value_loss": True,
        "forms": "tensorflow",
    }  # fmt: skip
    config.update(changes)
    number = lambda *shape: F(1) * np.round(draw.normal(0, 1, shape), 6)
    actor, critic = net(draw, d, 3, a), net(draw, d, 3, 1)
    params = {"actor." + n: w for n, w in actor.items()}
    params["logstd"] = number(a) * F("0.3")
    params.update({"critic." + n: w for n, w in critic.items()})
    obs, act = number(t, d) * 4, number(t, a)
    logp, _ = log_prob(Net(actor), params["logstd"], obs, act)
    case = {
        "name": name,
        "config": config,
        "D": d,
        "A": a,
        "params": params,
        "m": {n: 0.01 * number(*w.shape) for n, w in params.items()},
        "v": {n: 0.01 * number(*w.shape) ** 2 + F("1e-4") for n, w in params.items()},
        "opt_steps_before": 7,
        "phi": net(draw, d + a, 3, 1),
        "critic": net(draw, d, 3, 1),
        "segment": {
            "obs": obs,
            # As released, within a bound; here one that some observations leave.
            "seen": np.clip(obs, -5, 5),
            "act": act,
            "r_ex": np.where(draw.random(t) < 0.4, number(t), 0) * F(1),
            "prev_done": [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0],
            "last_done": 0,
            "logp": np.round((logp + 0.1 * number(t)).astype(np.float64), 6) * F(1),
            "value": number(t),
            "last_value": number(1)[0],
            "value_ex": number(t),
            "last_value_ex": number(1)[0],
        },
        "minibatches": [[int(i) for i in draw.permutation(t)[:b]] for _ in range(k)],
    }
    case["params"] = {n: w.astype(np.float64).astype(F) for n, w in case["params"].items()}
    for part in ("m", "v"):
        case[part] = {n: w.astype(np.float64).astype(F) for n, w in case[part].items()}
    for n, x in case["segment"].items():
        if isinstance(x, np.ndarray):
            case["segment"][n] = x.astype(np.float64).astype(F)
    written = {
        n: x for n, x in case.items() if n in ("name", "config", "D", "A", "opt_steps_before")
    }
    for part in ("params", "m", "v", "phi", "critic"):
        written[part] = {n: pack(w) for n, w in case[part].items()}
    written["segment"] = {n: pack(x) for n, x in case["segment"].items()}
    written["minibatches"] = pack(case["minibatches"])
    written["expected"] = run(case)
    return written


def main():
    cases = [
        make("released", 1),
        make("released_c_ex_0", 2, c_ex=0.0),
        make("torch_forms", 3, forms="torch", entropy_coef=0.01, c_ex=1.0, c_in=0.5),
        make("no_value_clip_small_bound", 4, clip_value_loss=False, max_grad_norm=0.05,
             outer_max_grad_norm=0.01),
    ]  # fmt: skip
    text = json.dumps(
        {"doc": DOC, "dtype": "float64", "tolerance": {"abs": 1e-9, "rel": 1e-9}, "cases": cases}
    )
    FILE.write_text(text + "\n")


if __name__ == "__main__":
    main()
