#!/usr/bin/env python3
"""Writes disco.json: what the published program of DiscoRL computes, in float64.

    python3 -m venv venv && venv/bin/pip install jax dm-haiku rlax distrax optax ml_collections
    git clone https://github.com/google-deepmind/disco_rl
    PYTHONPATH=disco_rl venv/bin/python tests/data/golden/disco.py

Made with disco_rl 9059a29, jax 0.10.2, dm-haiku 0.0.17 and rlax 0.1.9. Inputs and the weights of
the cases `small` and `full` are formulas, which the test writes again. The case `disco_103` has the
published weights, disco_rl/update_rules/weights/disco_103.npz of that repository.
"""

import json
import pathlib

import jax

jax.config.update("jax_enable_x64", True)

import haiku as hk  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from disco_rl import agent, types  # noqa: E402
from disco_rl.networks import action_models  # noqa: E402
from disco_rl.update_rules import disco  # noqa: E402
from dm_env import specs  # noqa: E402

FILE = pathlib.Path(__file__).with_name("disco.json")
PUBLISHED = pathlib.Path(disco.__file__).parent / "weights" / "disco_103.npz"
DOC = (
    "A tensor is {shape, data}, row-major; axes are [T, B, ...]. wave(k, shape)[i] = sin(0.7 k +"
    " 1.3 i), i row-major. Weight number j, by name in the order of bytes, is wave(100 + j) times"
    " scale."
    " Round n has the agent's logits, y, z, aux, q = 1.5, 1, 2, 1, 1 times wave(1000 n + 1 .. 5),"
    " the target network's the same of 11 .. 15, and the behaviour's logits of 21; in q the bin"
    " 300 + 7 sin(n + a) has 8 more, rounded down, a the action's number. Rewards are wave(1000 n +"
    " 31). The rounds follow each other: the memory of the meta-network and the moving averages go"
    " on. Shortened outputs (y, z) keep the first numbers and the mean of all times wave(7). The"
    " gradients are those of the loss's mean over T and B where mask is 1; each is given by its sum"
    " and its products with wave(8) and wave(9). The case `heads` is the agent's model alone, on a"
    " torso tanh(tanh(wave(51, [2, torso]))); its weights are [in, out], and those of q's output"
    " are 0.5 wave(100 + q_number), bias and matrix."
)
BINS, TIMES = 601, (8, 9)


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def wave(k, shape):
    return np.sin(0.7 * k + 1.3 * np.arange(np.prod(shape))).reshape(shape)


def shortened(x, kept):
    x = np.asarray(x)
    return {
        "first": pack(x[..., :kept]),
        "mean": pack((x * wave(7, x.shape[-1:])).mean(-1)),
    }


def products(x):
    x = np.asarray(x)
    return pack([x.sum(), *((x * wave(k, x.shape)).sum() for k in TIMES)])


def outputs(first, shapes):
    scales = {"logits": 1.5, "y": 1, "z": 2, "aux_pi": 1, "q": 1}
    return {
        name: jnp.asarray(scales[name] * wave(first + i, shape))
        for i, (name, shape) in enumerate(shapes.items())
    }


def rollout(n, sizes, terminal, actions):
    t, b, a, y = sizes
    head = (t + 1, b, a)
    shapes = {"logits": head, "y": (t + 1, b, y), "z": (*head, y), "aux_pi": (*head, a)}
    shapes["q"] = (*head, BINS)
    own, target = outputs(1000 * n + 1, shapes), outputs(1000 * n + 11, shapes)
    for one in (own, target):
        for action in range(a):
            peak = 300 + int(np.floor(7 * np.sin(n + action)))
            one["q"] = one["q"].at[:, :, action, peak].add(8.0)
    inputs = types.UpdateRuleInputs(
        observations=jnp.zeros((t + 1, b)),
        actions=jnp.asarray(actions),
        rewards=jnp.asarray(wave(1000 * n + 31, (t, b))),
        is_terminal=jnp.asarray(terminal),
        agent_out=own,
        behaviour_agent_out={"logits": jnp.asarray(1.5 * wave(1000 * n + 21, head))},
    )
    return inputs, target


def rule_of(sizes):
    settings = agent.get_settings_disco()
    net = settings.update_rule.net
    net.prediction_size, net.hidden_size, net.meta_rnn_kwargs.hidden_size = sizes
    return disco.DiscoUpdateRule(**settings.update_rule), settings.hyper_params.to_dict()


def unflatten(flat):
    params = {}
    for name, value in flat.items():
        module, kind = name.rsplit("/", 1)
        params.setdefault(module, {})[kind] = jnp.asarray(value, jnp.float64)
    return params


def losses(rule, hyper, inputs, meta_out, own, mask):
    inputs = inputs.replace(agent_out=own)
    loss, _ = rule.agent_loss(inputs, meta_out, hyper, backprop=False)
    value, _ = rule.agent_loss_no_meta(inputs, meta_out, hyper)
    total = loss + value
    return (total * mask).sum() / (mask.sum() + 1e-8), (loss, value)


def case(name, network, sizes, rounds, kept, scale=None):
    rule, hyper = rule_of(network)
    params, _ = rule.init_params(jax.random.PRNGKey(0))
    names = sorted(f"{module}/{kind}" for module, of in params.items() for kind in of)
    shapes = {full: params[full.rsplit("/", 1)[0]][full.rsplit("/", 1)[1]].shape for full in names}
    if scale is None:
        flat = np.load(PUBLISHED)
        assert {n: flat[n].shape for n in flat} == shapes
    else:
        flat = {full: scale * wave(100 + j, shapes[full]) for j, full in enumerate(names)}
    zeros = jnp.zeros(network[2])
    average = types.EmaState(
        moment1=jnp.zeros(()), moment2=jnp.zeros(()), decay_product=jnp.ones(())
    )
    _, memory = rule.init_params(jax.random.PRNGKey(0))
    memory = jax.tree.map(lambda _: zeros, memory)
    state = {"rnn_state": memory, "adv_ema_state": average, "td_ema_state": average}
    state["target_params"] = {}
    rng = np.random.default_rng(1)
    t, b, a, _ = sizes
    made = {"name": name, "network": list(network), "sizes": list(sizes), "rounds": []}
    if scale is not None:
        made["scale"] = scale
    for n in range(rounds):
        terminal = rng.random((t, b)) < 0.3
        actions = rng.integers(0, a, (t + 1, b))
        mask = np.ones((t, b)) if n == 0 else (rng.random((t, b)) < 0.7) * 1.0
        inputs, target = rollout(n, sizes, terminal, actions)
        out, state = rule.unroll_meta_net(
            meta_params=unflatten(flat),
            params={},
            state={},
            meta_state=state,
            rollout=inputs,
            hyper_params=hyper,
            unroll_policy_fn=lambda *_: (target, None),
            rng=None,
        )
        own = inputs.agent_out
        gradients, parts = jax.grad(
            lambda x: losses(rule, hyper, inputs, out, x, jnp.asarray(mask)), has_aux=True
        )(own)
        hidden = jax.tree.leaves(state["rnn_state"])
        made["rounds"].append(
            {
                "terminal": pack(terminal),
                "actions": pack(actions),
                "mask": pack(mask),
                "expected": {
                    "pi": pack(out["pi"]),
                    "y": shortened(out["y"], kept),
                    "z": shortened(out["z"], kept),
                    "q_target": pack(out["q_target"]),
                    "adv": pack(out["normalized_adv"]),
                    "memory": {
                        "hidden": pack(hidden[0]),
                        "cell": pack(hidden[1]),
                    },
                    "average": pack(
                        [
                            state["adv_ema_state"].moment1,
                            state["adv_ema_state"].moment2,
                            state["adv_ema_state"].decay_product,
                        ]
                    ),
                    "loss": pack(parts[0]),
                    "value_loss": pack(parts[1]),
                    "gradients": {key: products(gradients[key]) for key in sorted(gradients)},
                },
            }
        )
    return made


def heads():
    """The action-conditional part of the published agent: a torso's units to z, aux and q."""
    torso, cells, units, actions, y = 5, 4, 3, 3, 6
    choice = specs.BoundedArray((), np.int32, 0, actions - 1)
    out_spec = disco.DiscoUpdateRule(**agent.get_settings_disco().update_rule)
    out_spec = dict(out_spec.model_output_spec(choice), z=types.ArraySpec((y,), jnp.float64))

    def run(x):
        model = action_models.LSTMModel(choice, out_spec, (units,), cells)
        return model.model_step(model.root_embedding(x))

    function = hk.without_apply_rng(hk.transform(run))
    x = jnp.asarray(np.tanh(np.tanh(wave(51, (2, torso)))))  # Two layers of tanh before it.
    params = function.init(jax.random.PRNGKey(0), x)
    shapes = {f"{m}/{k}": v.shape for m, of in params.items() for k, v in of.items()}
    flat = {name: 0.5 * wave(100 + j, shapes[name]) for j, name in enumerate(sorted(shapes))}
    out = function.apply(unflatten(flat), x)
    return {
        "name": "heads",
        "sizes": [torso, cells, units, actions, y],
        "weights": {name: pack(value) for name, value in flat.items() if value.shape[-1] < BINS},
        "q_number": [sorted(shapes).index(name) for name in flat if shapes[name][-1] == BINS],
        "expected": {name: shortened(out[name], 3) for name in sorted(out)},
    }


def main():
    cases = [
        case("small", (6, 4, 3), (5, 3, 3, 6), rounds=3, kept=6, scale=0.5),
        case("full", (600, 256, 128), (4, 2, 3, 600), rounds=2, kept=4, scale=0.05),
        case("disco_103", (600, 256, 128), (4, 2, 3, 600), rounds=3, kept=4),
        heads(),
    ]
    tolerance = {"abs": 1e-9, "rel": 1e-9}
    out = {"doc": DOC, "dtype": "float64", "tolerance": tolerance, "cases": cases}
    FILE.write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
