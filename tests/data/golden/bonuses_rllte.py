#!/usr/bin/env python3
"""Writes bonuses_rllte.json: what RND and ICM of rllte-core 1.0.1 (RLeXplore) give for recorded
steps.

    pip download --no-deps rllte-core==1.0.1 && unzip -d FOLDER rllte_core-1.0.1-py3-none-any.whl
    PYTHONPATH=... python3 tests/data/golden/bonuses_rllte.py FOLDER

Needs PyTorch and Gymnasium. The modules of the two rewards, their networks and their base class are
theirs, unchanged, in float64. The rest of their package is not imported: it needs old versions of
other packages. Weights are set by a formula. A segment is one minibatch, so their order has no say.
Normalisation begins with what they begin with; their steps of a random agent before it are left
out.
"""

import importlib.util
import json
import pathlib
import sys
import types

import gymnasium
import numpy as np
import torch

FILE = pathlib.Path(__file__).with_name("bonuses_rllte.json")
SEGMENTS, STEPS, LATENT = 6, 24, 8
DOC = (
    "A tensor is {shape, data}, row-major. One agent, steps of Gymnasium's environment by random"
    " actions, cut into segments; discrete actions are one-hot. next_observations are true ones, so"
    " every step is known. Weight i of a network is scale * (((7919 i + offset) mod 2003) / 2003 -"
    " 0.5); networks are W1 [256, in], b1, W2 [out, 256], b2; rnd: target with offset 1, predictor"
    " with offset 500; icm: encoder, inverse, forward as one array with offset 500. A segment is"
    " one minibatch and one step of Adam, whose epsilon is 1e-8. rewards are what compute()"
    " returned for each segment. inverse_weight: their loss of continuous actions [B, 1] meets a"
    " mask [B] and so becomes B times its mean."
)


def reward_modules(folder):
    """Returns their RND and ICM, from files alone."""
    root = pathlib.Path(folder) / "rllte"

    def package(name):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []

    def load(name, file):
        spec = importlib.util.spec_from_file_location(name, root / file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    for name in ("rllte", "rllte.common", "rllte.xplore", "rllte.xplore.reward"):
        package(name)
    load("rllte.common.preprocessing", "common/preprocessing.py")
    load("rllte.common.utils", "common/utils.py")
    base = load("rllte.common.prototype.base_reward", "common/prototype/base_reward.py")
    package("rllte.common.prototype")
    sys.modules["rllte.common.prototype"].BaseReward = base.BaseReward
    load("rllte.xplore.reward.model", "xplore/reward/model.py")
    rnd = load("rllte.xplore.reward.rnd", "xplore/reward/rnd.py")
    icm = load("rllte.xplore.reward.icm", "xplore/reward/icm.py")
    return rnd.RND, icm.ICM, sys.modules["rllte.common.utils"].TorchRunningMeanStd


def set_weights(networks, offset, scale):
    i = 0
    for network in networks:
        for parameter in network.parameters():
            numbers = np.arange(i, i + parameter.numel(), dtype=np.int64)
            values = scale * (((7919 * numbers + offset) % 2003) / 2003 - 0.5)
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(values.reshape(parameter.shape)))
            i += parameter.numel()


class Spaces:
    """What their base class asks an environment."""

    num_envs = 1

    def __init__(self, env):
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self.unwrapped = self


def record(name):
    env = gymnasium.make(name)
    env.action_space.seed(3)
    observation, _ = env.reset(seed=3)
    rows = {"observations": [], "actions": [], "next_observations": []}
    for _ in range(SEGMENTS * STEPS):
        action = env.action_space.sample()
        following, _, terminated, truncated, _ = env.step(action)
        rows["observations"].append(np.float64(observation))
        rows["actions"].append(np.atleast_1d(np.float64(action)))
        rows["next_observations"].append(np.float64(following))
        observation = env.reset()[0] if terminated or truncated else following
    return env, {key: np.array(value) for key, value in rows.items()}


def pack(x):
    x = np.asarray(x, dtype=np.float64)
    return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}


def case(name, kind, environment, normalise, scale):
    rnd, icm, moments = MODULES
    env, rows = record(environment)
    reward = (rnd if kind == "rnd" else icm)(
        Spaces(env), obs_norm_type="none", rwd_norm_type=scale, latent_dim=LATENT, lr=1e-3
    )
    if normalise:
        reward.obs_norm_type, reward.obs_norm = "rms", moments(shape=reward.obs_shape)
    if kind == "rnd":
        set_weights([reward.target], 1, 0.3)
        set_weights([reward.predictor], 500, 0.3)
    else:
        set_weights([reward.encoder, reward.im, reward.fm], 500, 0.3)
    discrete = reward.action_type == "Discrete"
    given = []
    for k in range(SEGMENTS):
        part = slice(k * STEPS, (k + 1) * STEPS)
        samples = {key: torch.from_numpy(value[part, None]) for key, value in rows.items()}
        for key in ("rewards", "terminateds", "truncateds"):
            samples[key] = torch.zeros(STEPS, 1)
        given.append(reward.compute(samples).numpy().ravel())
    if discrete:
        rows["actions"] = np.eye(reward.policy_action_dim)[rows["actions"][:, 0].astype(int)]
    return {
        "name": name,
        "kind": kind,
        "discrete": discrete,
        "normalise": normalise,
        "scale": "rewards" if scale == "rms" else "none",
        "latent": LATENT,
        "learning_rate": 1e-3,
        "inverse_weight": 1 if discrete else STEPS,
        "segments": SEGMENTS,
        **{key: pack(value) for key, value in rows.items()},
        "rewards": pack(np.concatenate(given)),
    }


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    MODULES = reward_modules(sys.argv[1])
    cases = [
        case("rnd_pendulum", "rnd", "Pendulum-v1", True, "rms"),
        case("rnd_cartpole_plain", "rnd", "CartPole-v1", False, "none"),
        case("icm_cartpole", "icm", "CartPole-v1", True, "rms"),
        case("icm_pendulum_plain", "icm", "Pendulum-v1", False, "none"),
    ]
    tolerance = {"abs": 1e-9, "rel": 1e-7}
    golden = {"doc": DOC, "dtype": "float64", "tolerance": tolerance, "cases": cases}
    FILE.write_text(json.dumps(golden) + "\n")
