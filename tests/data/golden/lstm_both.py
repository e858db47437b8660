#!/usr/bin/env python3
"""Writes lstm_both.json: the signal network lstm_both along two segments, and pieces of training.

    python3 tests/data/golden/lstm_both.py

Shares no code and no method with the implementation. There is no LSTM that goes backward with a
reset: the state of each step is computed anew, from the last step of its episode, or of its
segment, down to the step. Gradients are complex steps, one for each weight, exact to the last
digits. Plain float64 NumPy.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).with_name("lstm_both.json")
DOC = (
    "A tensor is {shape, data}, row-major. Weights are [out, in]; W1 of each head reads [state of"
    " the LSTM that runs backward, h]. Segments have T steps; steps that are seen as a whole: unit."
    " inputs, noise and expected are [S, L, ...]. mean is a run without noise. A piece has the"
    " recorded signals of `expected`, enters with h and c, and reads features up to the next"
    " multiple of unit, without a gradient behind its end. Its loss is sum(of_log_probs log_probs +"
    " of_log_stds log_stds + of_values values); gradient has the names of the weights."
)
TRUNK = ("enc1.W", "enc1.b", "enc2.W", "enc2.b", "lstm.W_ih", "lstm.W_hh", "lstm.b_ih", "lstm.b_hh")


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def relu(x):
    return np.where(np.real(x) > 0, x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell(w, prefix, x, q, h, c):
    """h and c after one step with the input x, whose last numbers are the side inputs q."""
    enc1, enc1_b, enc2, enc2_b, w_ih, w_hh, b_ih, b_hh = (w[prefix + name] for name in TRUNK)
    z = np.concatenate([relu(enc1 @ x + enc1_b), q])
    z = np.concatenate([relu(enc2 @ z + enc2_b), q])
    i, f, g, o = np.split(w_ih @ z + b_ih + w_hh @ h + b_hh, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def heads(w, seen, initial_std):
    x = np.tanh(w["mean.W1"] @ seen + w["mean.b1"])
    x = np.tanh(w["mean.W2"] @ x + w["mean.b2"])
    mean = np.arctan(w["mean.W3"] @ x + w["mean.b3"])[0]
    x = np.tanh(w["logstd.W1"] @ seen + w["logstd.b1"])
    log_std = (w["logstd.W2"] @ x + w["logstd.b2"])[0] + np.log(initial_std)
    x = np.tanh(w["critic.W1"] @ seen + w["critic.b1"])
    return mean, log_std, (w["critic.W2"] @ x + w["critic.b2"])[0]


def log_density(y, mean, log_std):
    return -0.5 * ((y - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)


def last_step(case, s, t):
    """The last step that step t sees: of its episode, or of its segment."""
    e = t
    while (e + 1) % case["T"] != 0 and not case["inputs"]["prev_done"][s, e + 1]:
        e += 1
    return e


def known(case, s, t):
    """What both LSTMs see of a step, and the side inputs of it."""
    x = case["inputs"]
    side = [np.exp(x["logp"][s, t]), 3 * x["success"][s, t], 2 * x["prev_done"][s, t]]
    return np.concatenate([x["obs"][s, t], x["act"][s, t]]), np.array(side)


def later_state(case, w, s, t, constant_from):
    """The state at step t of the LSTM that runs backward; no gradient from constant_from on."""
    h = c = np.zeros(case["H"])
    end = last_step(case, s, t)
    for u in range(end, t - 1, -1):
        numbers, side = known(case, s, u)
        q = np.append(side, 2.0 if u == end else 0.0)
        h, c = cell(w, "later.", np.concatenate([numbers, q]), q, h, c)
        if u >= constant_from:
            h, c = np.real(h), np.real(c)
    return h


def run(case, w, s, steps, h, c, previous, choose, constant_from):
    """Yields (h, c, y, mean, log_std, value) of each step; choose(t, mean, log_std) gives y."""
    for t in steps:
        numbers, side = known(case, s, t)
        q = np.append(side, previous)
        h, c = cell(w, "", np.concatenate([numbers, q]), q, h, c)
        seen = np.concatenate([later_state(case, w, s, t, constant_from), h])
        mean, log_std, value = heads(w, seen, case["initial_std"])
        previous = choose(t, mean, log_std)
        yield h, c, previous, mean, log_std, value


def acting(case, w, noise):
    """Signals, log-densities, values, h and c of all steps."""
    lives = []
    for s in range(case["S"]):
        zero = np.zeros(case["H"])

        def choose(t, mean, log_std, s=s):
            return mean if noise is None else mean + np.exp(log_std) * noise[s, t]

        rows = list(run(case, w, s, range(case["L"]), zero, zero, 0.0, choose, case["L"]))
        lives.append(
            [(y, log_density(y, mean, std), value, h, c) for h, c, y, mean, std, value in rows]
        )
    return [np.array([[step[i] for step in life] for life in lives]) for i in range(5)]


def piece_outputs(case, w, piece, signals):
    outputs = []
    for s in range(case["S"]):
        begin, end = piece["begin"], piece["end"]
        entering = piece["h"][s], piece["c"][s], signals[s, begin - 1] if begin else 0.0
        steps = run(case, w, s, range(begin, end), *entering, lambda t, *_, s=s: signals[s, t], end)
        outputs.append(
            [(log_density(y, mean, std), std, value) for _, _, y, mean, std, value in steps]
        )
    return np.array(outputs).transpose(2, 0, 1)


def train(case, w, piece, signals):
    names = ("log_probs", "log_stds", "values")
    weights = [piece["of_" + name] for name in names]
    loss = lambda at: sum(
        (a * b).sum() for a, b in zip(weights, piece_outputs(case, at, piece, signals))
    )
    gradient, step = {}, 1e-30
    for name, x in w.items():
        gradient[name] = np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            moved = dict(w)
            moved[name] = x.astype(complex)
            moved[name][index] += 1j * step
            gradient[name][index] = np.imag(loss(moved)) / step
    return dict(zip(names, piece_outputs(case, w, piece, signals))), gradient


def weights(draw, case):
    d, e1, e2, h, m, c = (case[k] for k in ("F", "E1", "E2", "H", "M", "C"))
    trunk = {"enc1.W": (e1, d), "enc1.b": (e1,), "enc2.W": (e2, e1 + 4), "enc2.b": (e2,),
             "lstm.W_ih": (4 * h, e2 + 4), "lstm.W_hh": (4 * h, h), "lstm.b_ih": (4 * h,),
             "lstm.b_hh": (4 * h,)}  # fmt: skip
    shapes = {**trunk, "mean.W1": (m, 2 * h), "mean.b1": (m,), "mean.W2": (m, m), "mean.b2": (m,),
              "mean.W3": (1, m), "mean.b3": (1,), "logstd.W1": (m, 2 * h), "logstd.b1": (m,),
              "logstd.W2": (1, m), "logstd.b2": (1,), "critic.W1": (c, 2 * h), "critic.b1": (c,),
              "critic.W2": (1, c), "critic.b2": (1,)}  # fmt: skip
    shapes.update({"later." + name: shape for name, shape in trunk.items()})
    return {name: draw.normal(0, 0.5, shape) for name, shape in shapes.items()}


def make(name, seed, unit, starts, pieces):
    """starts: for each lifetime the steps at which a new episode begins."""
    case = {"name": name, "S": 2, "L": 16, "T": 8, "unit": unit, "D": 3, "A": 2, "E1": 5, "E2": 3,
            "H": 4, "M": 3, "C": 4, "initial_std": 0.3}  # fmt: skip
    case["F"] = case["D"] + case["A"] + 4
    draw, shape = np.random.default_rng(seed), (case["S"], case["L"])
    w = weights(draw, case)
    case["inputs"] = {
        "obs": draw.normal(size=(*shape, case["D"])),
        "act": draw.normal(size=(*shape, case["A"])),
        "logp": draw.normal(size=shape) - 1,
        "success": np.where(draw.random(shape) < 0.3, 1.0, 0.0),
        "prev_done": np.array([[float(t in life) for t in range(case["L"])] for life in starts]),
    }
    noise = draw.normal(size=shape)
    signals, log_probs, values, h, c = acting(case, w, noise)
    means = acting(case, w, None)[0]
    out = {k: v for k, v in case.items() if k != "inputs"}
    out["weights"] = {k: pack(v) for k, v in w.items()}
    out["inputs"] = {k: pack(v) for k, v in case["inputs"].items()}
    out["noise"] = pack(noise)
    out["expected"] = {
        "signal": pack(signals), "signal_logp": pack(log_probs), "value": pack(values),
        "h": pack(h[:, -1]), "c": pack(c[:, -1]), "mean": pack(means),
    }  # fmt: skip
    out["pieces"] = []
    for begin, end in pieces:
        piece = {"begin": begin, "end": end}
        for part in "hc":
            piece[part] = draw.normal(0, 0.5, (case["S"], case["H"]))
        for part in ("of_log_probs", "of_log_stds", "of_values"):
            piece[part] = draw.normal(size=(case["S"], end - begin))
        outputs, gradient = train(case, w, piece, signals)
        piece.update(outputs)
        packed = {k: v if isinstance(v, int) else pack(v) for k, v in piece.items()}
        packed["gradient"] = {k: pack(v) for k, v in gradient.items()}
        out["pieces"].append(packed)
    return out


def main():
    episodes = [[4, 8, 12]] * 2
    anywhere = [[3, 11, 12], [8, 15]]
    cases = [
        # Whole episodes; from within an episode into the next one; a single step.
        make("episodes_of_four_steps", 1, 4, episodes, [(4, 8), (6, 11), (1, 2)]),
        # A piece over the border of two segments that an episode crosses; up to the last step.
        make("episodes_that_end_anywhere", 2, 8, anywhere, [(2, 10), (9, 16)]),
    ]
    head = {"doc": DOC, "dtype": "float64", "tolerance": {"abs": 1e-11, "rel": 1e-10}}
    text = json.dumps(head)[:-1] + ',\n "cases": [\n'
    FILE.write_text(text + ",\n".join(json.dumps(case) for case in cases) + "\n]}\n")


if __name__ == "__main__":
    main()
