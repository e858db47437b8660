"""The networks of mentor_signal against the golden numbers of Mentor's own networks, in float64,
from tensors of PyTorch.
Skipped where deploy/install.sh --signal was not run."""

import json
import math
import re
import unittest

import signal_modules
from package import ROOT

GOLDEN = ROOT / "tests" / "data" / "golden"


def setUpModule():
    global np, signals, torch
    signal_modules.make_importable()
    import numpy as np
    import torch
    import mentor_signal as signals


def cases(name):
    file = json.loads((GOLDEN / f"{name}.json").read_text())
    return file["cases"], file["tolerance"]


def tensor(value):
    return torch.tensor(value["data"], dtype=torch.float64).reshape(value["shape"])


def named(values):
    return {name: tensor(value) for name, value in values.items()}


def signal(network, weights, observation, action, role="REWARD", input="SUCCESS", **options):
    """A signal as `mentor export` would describe it."""
    discrete = options.pop("discrete", False)
    facts = {
        "sizes": {
            "observation": observation,
            "action": action,
            "episode_steps": 10,
            "steps_per_iteration": 0,
            "discrete_actions": discrete,
            "independent_episodes": True,
        },
        "role": role,
        "input": input,
        "reward": {},
        "network": {"name": network, "options": options},
    }
    return signals.Signal(facts, weights)


class GoldenTest(unittest.TestCase):
    def near(self, got, want, tolerance):
        torch.testing.assert_close(
            torch.as_tensor(got), want, rtol=tolerance["rel"], atol=tolerance["abs"]
        )

    def test_lstm(self):
        tests, tolerance = cases("signal_forward")
        tests = [test for test in tests if not test["stochastic"]]
        self.assertTrue(tests)
        for test in tests:
            network = signal("lstm", named(test["weights"]), test["D"], test["A"], lstm=test["H"])
            inputs = named(test["inputs"])
            segment = signals.Segment(
                observations=inputs["obs"],
                actions=inputs["act"],
                log_probs=inputs["logp"],
                success_signals=inputs["success"],
                prev_done=inputs["prev_done"],
            )
            want = tensor(test["expected"]["signal"])
            got, _ = network.run(segment, network.initial_state(test["S"]))
            self.near(got, want, tolerance)
            # The state carries over between two halves.
            state, parts = network.initial_state(test["S"]), []
            for half in (slice(0, test["L"] // 2), slice(test["L"] // 2, None)):
                piece = signals.Segment(
                    **{
                        name: getattr(segment, name)[:, half]
                        for name in network.reads | {"observations"}
                    }
                )
                part, state = network.run(piece, state)
                parts.append(part)
            self.near(np.concatenate(parts, 1), want, tolerance)

    def test_lstm_both(self):
        tests, tolerance = cases("lstm_both")
        self.assertEqual(len(tests), 2)
        for test in tests:
            with self.subTest(test["name"]):
                weights, inputs = named(test["weights"]), named(test["inputs"])
                network = signal("lstm_both", weights, test["D"], test["A"], lstm=test["H"])
                state, parts = network.initial_state(test["S"]), []
                for first in range(0, test["L"], test["T"]):
                    steps = slice(first, first + test["T"])
                    segment = signals.Segment(
                        observations=inputs["obs"][:, steps],
                        actions=inputs["act"][:, steps],
                        log_probs=inputs["logp"][:, steps],
                        success_signals=inputs["success"][:, steps],
                        prev_done=inputs["prev_done"][:, steps],
                    )
                    part, state = network.run(segment, state)
                    parts.append(part)
                self.near(np.concatenate(parts, 1), tensor(test["expected"]["mean"]), tolerance)

    def test_attention(self):
        tests, tolerance = cases("mg_attention")
        # Exported networks have a head, and MLP blocks after every attention block or none.
        tests = [
            test
            for test in tests
            if test["head_hidden"] is not None
            and all(layer["type"] == "attention" for layer in test["layers"])
        ]
        self.assertEqual(len(tests), 2)
        for test in tests:
            with self.subTest(test["name"]):
                network = signal(
                    "attention",
                    named(test["params"]),
                    test["D"],
                    test["A"],
                    input="SHAPED",
                    discrete=test["discrete"],
                    encoder_hidden=(test["encoder_hidden"] or [0])[0],
                    heads=test["heads"],
                    blocks=len(test["layers"]),
                    mlp_hidden=0,
                    head_hidden=(test["head_hidden"] or [0])[0],
                    bounded=False,
                    signal_sees_reward=True,
                    scale_reward=False,
                    time=False,
                )
                actions = tensor(test["act"])
                if test["discrete"]:
                    actions = torch.nn.functional.one_hot(actions.to(torch.int64), test["A"])
                episode = tensor(test["episode"])
                starts = torch.zeros(1, test["T"])
                starts[0, 1:] = (episode.diff() != 0).to(torch.float32)
                segment = signals.Segment(
                    observations=tensor(test["obs"]).unsqueeze(0),
                    actions=actions.unsqueeze(0),
                    shaped_rewards=tensor(test["extrinsic"]).unsqueeze(0),
                    prev_done=starts,
                )
                got, _ = network.run(segment, network.initial_state(1))
                self.near(got[0], tensor(test["expected"]["r_in"]), tolerance)
                wanted = tensor(test["expected"]["attention"])
                maps = torch.zeros_like(wanted)
                for each in network.explain(segment, network.initial_state(1)):
                    block, head = (int(word) for word in re.findall(r"\d+", each.name))
                    steps = slice(each.first_step, each.first_step + len(each.weights))
                    maps[block, head, steps, steps] = torch.as_tensor(each.weights)
                self.near(maps, wanted, tolerance)

    def test_with_past_only_rewards_are_scaled_by_those_so_far(self):
        test = cases("mg_attention")[0][0]
        network = signal(
            "attention",
            named(test["params"]),
            test["D"],
            test["A"],
            past_only=True,
            signal_sees_reward=True,
        ).network
        rewards = np.random.default_rng(1).normal(2, 3, (2, 14, 1))
        statistics, parts = np.zeros((2, 3, 1)), []
        for half in (rewards[:, :7], rewards[:, 7:]):
            scaled, statistics = network._scaled(half, statistics)
            parts.append(scaled)
        variance = np.stack([rewards[:, : step + 1].var(1) for step in range(14)], 1)
        wanted = np.clip(rewards / np.sqrt(variance + 1e-8), -10, 10)
        np.testing.assert_allclose(np.concatenate(parts, 1), wanted, rtol=1e-9)

    def test_discount(self):
        tests, tolerance = cases("mg_gamma_lambda")
        for test in tests:
            with self.subTest(test["name"]):

                def logit(p):
                    return torch.tensor([math.log(p / (1 - p))], dtype=torch.float64)

                weights = {
                    "logit_gamma": logit(test["config"]["gamma"]),
                    "logit_lambda": logit(test["config"]["lambda"]),
                }
                network = signal("discount", weights, test["D"], test["A"], "ADVANTAGE", "SHAPED")
                part, expected = test["segment"], test["expected"]
                segment = signals.Segment(
                    observations=torch.zeros(1, test["T"], test["D"]),
                    shaped_rewards=tensor(part["extrinsic"]).unsqueeze(0),
                    values=tensor(expected["value"]).unsqueeze(0),
                    last_values=torch.tensor([expected["last_value"]], dtype=torch.float64),
                    prev_done=tensor(part["prev_done"]).unsqueeze(0),
                    last_done=torch.tensor([float(part["last_done"])]),
                )
                got, _ = network.run(segment, network.initial_state(1))
                self.near(got[0], tensor(expected["advantage"]), tolerance)

    def test_learned_loss(self):
        tests, tolerance = cases("epg_loss")
        for test in tests:
            with self.subTest(test["name"]):
                theta, phi = named(test["theta"]), named(test["phi"])
                for value in theta.values():
                    value.requires_grad_(True)
                actions = tensor(test["act"])
                if actions.dim() == 2:
                    actions = torch.nn.functional.one_hot(actions.to(torch.int64), test["A"])
                losses = []
                for agent in range(test["S"]):  # Each agent has its own weights.
                    own = {name: value[agent] for name, value in theta.items()}
                    observations = tensor(test["obs"])[agent]
                    policy = self.policy(own, observations, test["discrete"])
                    network = signal(
                        "loss_conv",
                        {name: value[agent] for name, value in phi.items()},
                        test["D"],
                        test["A"],
                        "LOSS",
                        buffer=test["N"],
                    )
                    rows = tensor(test["rows"])[agent] + test["N"] - test["T"]
                    inputs = signals.LossInputs(
                        observations=observations.unsqueeze(0),
                        actions=actions[agent].unsqueeze(0),
                        rewards=tensor(test["reward"])[agent].unsqueeze(0),
                        dones=tensor(test["done"])[agent].unsqueeze(0),
                        policy=policy.unsqueeze(0),
                        rows=rows.unsqueeze(0),
                        context=own["context"].unsqueeze(0) if "context" in own else None,
                    )
                    losses.append(network.loss(inputs)[0])
                self.near(torch.stack(losses), tensor(test["expected"]["loss"]), tolerance)
                gradients = torch.autograd.grad(
                    torch.stack(losses).sum(), list(theta.values()), allow_unused=True
                )
                for name, got in zip(theta, gradients):
                    if name in test["expected"]["grad"]:
                        self.near(got, tensor(test["expected"]["grad"][name]), tolerance)

    @staticmethod
    def policy(theta, observations, discrete):
        x = observations
        for layer in (1, 2):
            x = torch.tanh(x @ theta[f"actor.W{layer}"].T + theta[f"actor.b{layer}"])
        x = x @ theta["actor.W3"].T + theta["actor.b3"]
        if discrete:
            return torch.softmax(x, -1)
        return torch.cat([x, theta["logstd"].expand_as(x)], -1)

    def test_skills(self):
        tests, tolerance = cases("diayn")
        for test in tests:
            weights = {f"skills.{name}": value for name, value in named(test["weights"]).items()}
            reached = tensor(test["next_observations"])
            network = signal("discriminator", weights, reached.shape[1], 1, skills=test["skills"])
            expected = test["expected"]
            self.near(network.log_skills(reached), tensor(expected["log_q"]), tolerance)
            skills = tensor(test["skill"]).to(torch.int64)
            rewards = [network.skill_reward(one, int(skill)) for one, skill in zip(reached, skills)]
            self.near(np.stack(rewards), tensor(expected["reward"]), tolerance)

    def test_drift(self):
        tests, tolerance = cases("lpo_drift")
        for test in tests:
            with self.subTest(test["name"]):
                options = {name: test[name] for name in ("hidden", "xi", "from_ppo")}
                drifts = []
                for agent in range(test["log_ratio"]["shape"][0]):
                    weights = {f"drift.{name}": tensor(test[name])[agent] for name in ("W1", "W2")}
                    network = signal("drift", weights, 3, 2, **options)
                    numbers = (tensor(test[name])[agent] for name in ("log_ratio", "advantages"))
                    drifts.append(network.drift(*numbers, test["clip"]))
                self.near(np.stack(drifts), tensor(test["expected"]["drift"]), tolerance)

    def test_success_signal(self):
        tests, tolerance = cases("success_signal")
        self.assertTrue(tests)
        for test in tests:
            with self.subTest(test["name"]):
                length, success = test["episode_steps"], tensor(test["success_flags"])
                starts = torch.arange(len(success)) % length == 0
                starts[0] = False  # A lifetime's first step follows no episode.
                got = signals.SuccessSignal(1, length).steps(
                    starts.unsqueeze(0), success.unsqueeze(0)
                )
                self.near(torch.tensor(got[0]), tensor(test["signal"]), tolerance)


if __name__ == "__main__":
    unittest.main()
