"""mentor_signal against what `mentor export` writes: the same numbers for every signal network, and
rewards that students get as Mentor's learner would give them. Skipped where deploy/install.sh
--signal was not run."""

import importlib
import json
import subprocess
import sys
import unittest

import signal_modules
from package import ROOT, SOURCE
from signal_modules import WHEELS
from signal_specs import SPECS

from harness import ClusterTest

ZOO = ROOT / "docs" / "zoo"


def setUpModule():
    global gymnasium, np, sb3, signals, taught, torch, vec_env
    signal_modules.make_importable()
    import gymnasium
    import numpy as np
    import stable_baselines3 as sb3
    import torch
    from stable_baselines3.common import vec_env
    import mentor_signal as signals
    import mentor_signal.sb3 as taught


class ExportTest(ClusterTest):
    """Every network, from a run of a few seconds."""

    def export(self, name):
        spec, out = self.folder / f"{name}.txtpb", self.folder / name
        spec.write_text(SPECS[name])
        self.run_to_end("mentor", "run", spec, "--out", self.folder / "run" / name, "--quiet")
        said = self.run_to_end("mentor", "export", self.folder / "run" / name, "--out", out)
        self.assertIn("Next", said)
        return out

    def test_the_numbers_of_every_network_are_mentors(self):
        listed = json.loads(self.run_to_end("mentor", "signal", "list", "--json"))
        covered = set()
        for name in SPECS:
            with self.subTest(name):
                folder = self.export(name)
                signal = signals.load(folder, check=True)
                covered.add(signal.network.name)
                difference = signals.compare(folder)
                print(f"{name}: {difference:.3g}")
                self.assertLessEqual(difference, 1e-5)
                # A comparison that cannot fail shows nothing: other weights, other numbers.
                weights = {key: value * 1.5 + 0.1 for key, value in signal.network.weights.items()}
                other = signals.Signal(signal.facts, weights)
                self.assertGreater(signals.compare(folder, other), 1e-4)
        self.assertEqual(covered, {network["name"] for network in listed})
        self.assertEqual(covered, set(signals.networks()))

    def test_a_damaged_export_is_refused(self):
        folder = self.export("mlp")
        self.run_to_end(
            "mentor", "evaluate", "--signal", folder, "--goals", "5", "--results", self.folder / "r"
        )
        weights = folder / "signal.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        with self.assertRaisesRegex(signals.SignalError, "weights.sha256"):
            signals.load(folder)
        said = self.run_to_end("mentor", "evaluate", "--signal", folder, code=1)
        self.assertIn("weights.sha256", said)
        facts = json.loads((folder / "signal.json").read_text())
        (folder / "signal.json").write_text(json.dumps({**facts, "format": 99}))
        with self.assertRaisesRegex(signals.SignalError, "format: is 99"):
            signals.load(folder)


def point_environment(episode_steps=10, radius=0.4):
    """A point that moves by its action, as point_reach has it; 4 numbers, 2 actions."""

    class Point(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

        def _observe(self):
            return np.concatenate([self.place, [0.7, 0]]).astype(np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.place, self.steps = np.zeros(2), 0
            return self._observe(), {}

        def step(self, action):
            assert np.all(np.abs(action) <= 1), "the environment gets clipped actions"
            self.place = self.place + 0.12 * action
            self.steps += 1
            distance = float(np.hypot(*(self.place - [0.7, 0])))
            success = distance < radius
            over = self.steps >= episode_steps
            return self._observe(), -distance, False, over, {"success": success}

    return Point()


class ZooTest(unittest.TestCase):
    def test_the_zoo_is_whole_and_small(self):
        folders = [path.parent for path in ZOO.glob("*/signal.json")]
        self.assertEqual(len(folders), 3)
        for folder in folders:
            with self.subTest(folder.name):
                signals.load(folder, check=True)
                self.assertIn("How agents did", (folder / "README.md").read_text())
        size = sum(path.stat().st_size for path in ZOO.rglob("*") if path.is_file())
        self.assertLess(size, 3_000_000)


class StudentTest(unittest.TestCase):
    """Rewards in other programs, by signals of the zoo."""

    def signal(self, name):
        return signals.load(ZOO / name)

    def test_rewards_step_by_step_are_those_of_the_whole_lifetime(self):
        signal = self.signal("point_reach_reward")
        random = np.random.default_rng(0)
        env = signals.LearnedReward(
            point_environment(), signal, log_prob=lambda _observation, action: -np.abs(action).sum()
        )
        observation, _ = env.reset()
        kept = {key: [] for key in ("observations", "actions", "log_probs", "shaped_rewards")}
        successes, given, starts, begins = [], [], [], False
        for _ in range(35):
            action = random.normal(0.5, 1, 2).astype(np.float32)
            following, reward, _, truncated, info = env.step(action)
            self.assertEqual(reward, info["signal"])
            row = (observation, action, -np.abs(action).sum(), info["task_reward"])
            for key, value in zip(kept, row):
                kept[key].append(value)
            successes.append(info["success"])
            given.append(reward)
            starts.append(begins)
            observation, begins = following, truncated
            if truncated:
                observation, _ = env.reset()
        self.assertTrue(any(successes))
        sparse = signals.SuccessSignal(1, signal.sizes.episode_steps).steps([starts], [successes])
        segment = signals.Segment(
            **{key: np.array([values]) for key, values in kept.items()},
            success_signals=sparse,
            prev_done=np.array([starts], float),
        )
        whole, _ = signal.run(segment, signal.initial_state())
        np.testing.assert_allclose(whole[0].numpy(), given, atol=1e-6)
        # The network remembers: a new agent's first rewards are those of the first, not these.
        env.new_lifetime()
        env.reset()
        again = [env.step(action)[1] for action in kept["actions"][:5]]
        np.testing.assert_allclose(again, given[:5], atol=1e-6)

    def test_rollouts_and_steps_give_one_reward(self):
        """TaughtPPO shows whole rollouts, LearnedVecReward single steps; both know the density."""
        signal = self.signal("point_reach_reward")
        arguments = {**signal.student(), "seed": 1, "device": "cpu"}
        rewards = []
        for rollouts in (True, False):
            env = vec_env.DummyVecEnv([point_environment, point_environment])
            if rollouts:
                model = taught.TaughtPPO("MlpPolicy", env, signal, **arguments)
            else:
                env = taught.LearnedVecReward(env, signal)
                # A limit counts as an end, as in TaughtPPO: no value of what would have followed.
                model = sb3.PPO("MlpPolicy", env, **arguments)
                env.attach(model)
                model.policy.predict_values = without_truncations(model, env)
            model.learn(signal.sizes.steps_per_iteration * 2)
            rewards.append(model.rollout_buffer.rewards.copy())
        np.testing.assert_allclose(rewards[0], rewards[1], atol=1e-6)

    def test_an_advantage_takes_the_place_of_the_critic(self):
        signal = self.signal("point_reach")
        model = taught.TaughtPPO(
            "MlpPolicy", point_environment(), signal, **{**signal.student(), "device": "cpu"}
        )
        before = [value.clone() for value in model.policy.value_net.parameters()]
        seen = []
        run = signal.run

        def watched(segment, state):
            signals_st, following = run(segment, state)
            seen.append((segment, signals_st))
            return signals_st, following

        signal.run = watched
        model.learn(signal.sizes.steps_per_iteration * 3)
        self.assertEqual(len(seen), 3)
        np.testing.assert_array_equal(model.rollout_buffer.advantages.T, seen[-1][1].numpy())
        for old, new in zip(before, model.policy.value_net.parameters()):
            self.assertTrue(torch.equal(old, new))
        # A lifetime's first episode follows none; the next iteration's does.
        self.assertEqual(seen[0][0].prev_done[0, 0], 0)
        self.assertEqual(seen[1][0].prev_done[0, 0], 1)

    def test_task_and_signal_are_mixed_as_asked(self):
        signal = self.signal("point_reach_reward")
        arguments = {"log_prob": lambda _observation, _action: -1.0}
        for reward, task, learned in (
            ("as_trained", 0, 1),
            ("replace", 0, 1),
            ("add", 1, 1),
            (signals.RewardMix(task=0.5, signal=2.0), 0.5, 2),
        ):
            env = signals.LearnedReward(point_environment(), signal, reward=reward, **arguments)
            env.reset()
            _, got, _, _, info = env.step(np.ones(2, np.float32))
            self.assertAlmostEqual(got, task * info["task_reward"] + learned * info["signal"])
        with self.assertRaisesRegex(signals.SignalError, "reward: is 'both'"):
            signals.LearnedReward(point_environment(), signal, reward="both", **arguments)

    def test_what_does_not_fit_is_refused_with_the_remedy(self):
        reward, advantage = self.signal("point_reach_reward"), self.signal("point_reach")
        for make, says in (
            (lambda: signals.LearnedReward(point_environment(), reward), "log_prob: is missing"),
            (lambda: signals.LearnedReward(point_environment(), advantage), "TaughtPPO"),
            (
                lambda: signals.LearnedReward(gymnasium.make("CartPole-v1"), reward),
                "env.action_space: is Discrete",
            ),
            (lambda: signals.load(ROOT / "docs"), "has no signal.json"),
            (
                lambda: reward.run(
                    signals.Segment(observations=np.zeros((1, 3, 4))), reward.initial_state()
                ),
                "segment.actions: is missing",
            ),
        ):
            with self.subTest(says), self.assertRaisesRegex(signals.SignalError, says):
                make()


def without_truncations(model, env):
    """predict_values that gives nothing to the ends of episodes: SB3 asks for these one by one."""
    values = type(model.policy).predict_values

    def predict(observations):
        result = values(model.policy, observations)
        return result * 0 if len(observations) != env.num_envs else result

    return predict


class TypesTest(unittest.TestCase):
    def test_the_package_is_typed(self):
        try:
            importlib.import_module("mypy")
        except ImportError:
            self.skipTest("mypy is not installed")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "/dev/null", "mentor_signal"],
            cwd=SOURCE,
            env={"PYTHONPATH": ":".join(str(folder) for folder in WHEELS if folder.is_dir())},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
