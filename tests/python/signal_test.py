"""mentor_signal against what `mentor export` writes: the same numbers for every signal network, and
rewards that students get as Mentor's learner would give them. Skipped where deploy/install.sh
--signal was not run."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import warnings

import signal_modules
from package import EXAMPLES, ROOT, SOURCE
from signal_modules import WHEELS
from signal_specs import SPECS

from harness import ClusterTest

ZOO = ROOT / "zoo"


def setUpModule():
    global gymnasium, np, point_reach, safetensors, sb3, signals, taught, torch, vec_env
    signal_modules.make_importable()
    sys.path.insert(0, str(EXAMPLES))
    import gymnasium
    import numpy as np
    import safetensors.torch
    import stable_baselines3 as sb3
    import point_reach
    import torch
    from stable_baselines3.common import vec_env
    import mentor_signal as signals
    import mentor_signal.sb3 as taught


class ExportTest(ClusterTest):  # Nightly
    """Every network, from a run of a few seconds."""

    def export(self, name):
        spec, out = self.folder / f"{name}.txtpb", self.folder / name
        spec.write_text(SPECS[name])
        self.run_spec(self.folder / "run" / name, spec=spec)
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
                # The comparison must be able to fail: other weights give other numbers.
                weights = {key: value * 1.5 + 0.1 for key, value in signal.network.weights.items()}
                other = signals.Signal(signal.facts, weights)
                self.assertGreater(signals.compare(folder, other), 1e-4)
        self.assertEqual(covered, {network["name"] for network in listed})
        self.assertEqual(covered, set(signals.networks()))

    def test_a_signal_that_normalises_takes_raw_observations(self):
        signal = signals.load(self.export("lstm_normalised"), check=True)
        self.assertTrue(signal.normalises)
        random = np.random.default_rng(1)
        scale = np.linspace(0.01, 1000, signal.sizes.observation)
        normaliser = signals.normaliser.ObservationNormaliser(3, signal.sizes.observation)
        raw, seen = signal.initial_state(3), signal.initial_state(3)
        for number in range(3):
            parts = {
                "observations": scale * (3 + random.normal(size=(3, 40, len(scale)))),
                "actions": random.normal(size=(3, 40, signal.sizes.action)),
                "log_probs": random.normal(size=(3, 40)),
                "shaped_rewards": random.normal(size=(3, 40)),
                "success_signals": random.normal(size=(3, 40)),
                "prev_done": np.zeros((3, 40)),
            }
            mine, raw = signal.run(signals.Segment(**parts), raw)
            parts["observations"] = normaliser.show(parts["observations"])
            shown, seen = signal.run(signals.Segment(**parts), seen, shown=True)
            np.testing.assert_array_equal(mine, shown)
            # Some lifetimes may go on alone.
            raw = raw.with_those(np.array([0, 2]), raw.of(np.array([0, 2])))
        with self.assertRaisesRegex(signals.SignalError, "no scale of observations"):
            signal.run(signals.Segment(**parts), signal.network.initial_state(3))

    def test_a_damaged_export_is_refused(self):
        folder = self.export("mlp")
        self.run_to_end(
            "mentor", "evaluate", "--signal", folder, "--goals", "5", "--results", self.folder / "r"
        )
        weights = folder / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        with self.assertRaisesRegex(signals.SignalError, "weights.sha256"):
            signals.load(folder)
        said = self.run_to_end("mentor", "evaluate", "--signal", folder, code=2)
        self.assertIn("weights.sha256", said)
        facts = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**facts, "format": 99}))
        with self.assertRaisesRegex(signals.SignalError, "format: is 99"):
            signals.load(folder)


def point_environment():
    """A goal that is easy to reach, in a strict environment."""

    class Strict(point_reach.PointReach):
        def step(self, action):
            assert np.all(np.abs(action) <= 1), "the environment gets clipped actions"
            return super().step(action)

    return Strict([0.7, 0], rho=0.4)


class ZooTest(unittest.TestCase):
    def test_point_reach_in_python_is_mentors(self):
        """The Python environment of the examples replays the lifetime that Mentor recorded."""
        recorded = safetensors.torch.load_file(
            ZOO / "point-reach-advantage" / "signal_check.safetensors"
        )
        env, before = None, None
        for segment in range(3):
            part = {
                name: recorded[f"{segment}/{name}"][0].double().numpy()
                for name in ("observations", "actions", "shaped_rewards", "success_signals")
            }
            for t, observation in enumerate(part["observations"]):
                if t % 10 == 0:
                    env = point_reach.PointReach(observation[:2] + observation[2:])
                    env.reset()
                    env.place, before = observation[:2], observation
                np.testing.assert_allclose(before, observation, atol=1e-5)
                before, reward, _, over, info = env.step(part["actions"][t])
                self.assertAlmostEqual(reward, part["shaped_rewards"][t], places=5)
                self.assertEqual(over, t % 10 == 9)

    def test_the_zoo_is_whole_and_small(self):
        folders = [path.parent for path in ZOO.glob("*/config.json")]
        self.assertGreaterEqual(len(folders), 3)
        for folder in folders:
            with self.subTest(folder.name):
                signals.load(folder, check=True)
                self.assertIn("How agents did", (folder / "README.md").read_text())
                # A clone brings all signals: each is its weights, and a life to check them by.
                self.assertLess(sum(path.stat().st_size for path in folder.iterdir()), 2_000_000)


class DamageTest(unittest.TestCase):
    """Exports of strangers."""

    def copy(self):
        folder = tempfile.TemporaryDirectory(prefix="mentor-signal-")
        self.addCleanup(folder.cleanup)
        copy = pathlib.Path(folder.name) / "signal"
        shutil.copytree(ZOO / "point-reach-reward", copy)
        return copy

    def with_weights(self, data):
        """Everything is valid except the weights."""
        copy = self.copy()
        facts = json.loads((copy / "config.json").read_text())
        facts["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
        (copy / "config.json").write_text(json.dumps(facts))
        (copy / "model.safetensors").write_bytes(data)
        return copy

    def refused(self, says, folder, **arguments):
        with self.assertRaisesRegex(signals.SignalError, says):
            signals.load(folder, **arguments)

    def test_what_is_no_export_is_refused(self):
        for text, says in (
            ("", "cannot be read"),
            ("[" * 100_000, "cannot be read"),
            ("[]", "is no object"),
            ("{}", "format: is missing"),
            ('{"model_type": "bert"}', "format: is missing: .* describes no signal"),
            ('{"format": 1}', "network: is missing in .*config.json; get it anew"),
        ):
            copy = self.copy()
            (copy / "config.json").write_text(text)
            with self.subTest(text[:20]):
                self.refused(says, copy)

    def test_every_part_of_the_json_is_needed_or_never_read(self):
        whole = json.loads((ZOO / "point-reach-reward" / "config.json").read_text())
        places = [(key,) for key in whole]
        places += [
            (key, part) for key in whole if isinstance(whole[key], dict) for part in whole[key]
        ]
        for *outer, last in places:
            for damage in ("missing", None, "text", [], {}, -1, 10**12):
                facts = json.loads(json.dumps(whole))
                part = facts[outer[0]] if outer else facts
                part[last] = damage
                if damage == "missing":
                    del part[last]
                copy = self.copy()
                (copy / "config.json").write_text(json.dumps(facts))
                with self.subTest([*outer, last], damage=damage):
                    try:
                        signal = signals.load(copy, check=facts.get("check") is not None)
                        signal.student()
                    except signals.SignalError as error:
                        self.assertIn(":", str(error))

    def test_weights_of_another_network_are_refused(self):
        weights = safetensors.torch.load_file(ZOO / "point-reach-reward" / "model.safetensors")
        save = safetensors.torch.save
        name = "mean.W1"
        for changed in (
            {key: value for key, value in weights.items() if key != name},
            {**weights, name: weights[name][:-1].clone()},
            {**weights, name: weights[name].reshape(-1)},
            {},
        ):
            self.refused(
                "weights: are not those of network 'lstm'", self.with_weights(save(changed))
            )
        nan = {**weights, name: torch.full_like(weights[name], float("nan"))}
        self.refused("not all finite", self.with_weights(save(nan)))
        other = {**weights, name: weights[name] + 0.1}
        self.refused("check: the numbers differ", self.with_weights(save(other)), check=True)

    def test_a_file_that_is_no_safetensors_is_refused(self):
        for data in (
            b"",
            b"\xff" * 8,
            (10**15).to_bytes(8, "little") + b"{}",
            b"\x02" + bytes(7) + b"[]",
        ):
            with self.subTest(data):
                self.refused("no safetensors file|are not those", self.with_weights(data))

    def test_files_outside_of_the_folder_are_not_opened(self):
        for file in ("../signal.safetensors", "/dev/zero", "..", "", 7):
            copy = self.copy()
            facts = json.loads((copy / "config.json").read_text())
            facts["weights"]["file"] = file
            (copy / "config.json").write_text(json.dumps(facts))
            with self.subTest(file):
                self.refused("weights.file|not whole", copy)


class StudentTest(unittest.TestCase):
    """Rewards in other programs, from signals of the zoo."""

    def signal(self, name):
        return signals.load(ZOO / name)

    def test_rewards_step_by_step_are_those_of_the_whole_lifetime(self):
        signal = self.signal("point-reach-reward")
        random = np.random.default_rng(0)
        env = signals.LearnedReward(
            point_environment(), signal, log_prob=lambda _observation, action: -np.abs(action).sum()
        )
        observation, _ = env.reset(seed=1)
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
        np.testing.assert_allclose(whole[0], given, atol=1e-6)
        # The network remembers: a new agent's first rewards equal those of the first agent, not
        # these.
        env.new_lifetime()
        env.reset(seed=1)
        again = [env.step(action)[1] for action in kept["actions"][:5]]
        np.testing.assert_allclose(again, given[:5], atol=1e-6)

    def test_rollouts_and_steps_give_one_reward(self):
        """TaughtPPO shows whole rollouts, LearnedVecReward single steps; both know the density."""
        signal = self.signal("point-reach-reward")
        arguments = {**signal.student(), "seed": 1, "device": "cpu"}
        rewards = []
        for rollouts in (True, False):
            env = vec_env.DummyVecEnv([point_environment, point_environment])
            if rollouts:
                model = taught.TaughtPPO("MlpPolicy", env, signal, **arguments)
            else:
                env = signals.LearnedReward(env, signal)
                self.assertIsInstance(env, taught.LearnedVecReward)
                # A limit counts as an end, as in TaughtPPO: no value of later steps is added.
                model = sb3.PPO("MlpPolicy", env, **arguments)
                env.attach(model)
                model.policy.predict_values = without_truncations(model, env)
            model.learn(signal.sizes.steps_per_iteration * 2)
            rewards.append(model.rollout_buffer.rewards.copy())
        np.testing.assert_allclose(rewards[0], rewards[1], atol=1e-6)

    def test_environments_may_reuse_an_array_for_observations(self):
        signal = self.signal("point-reach-reward")

        class OneArray(gymnasium.Wrapper):
            array = np.zeros(4)

            def reset(self, **arguments):
                self.array[:], info = self.env.reset(**arguments)
                return self.array, info

            def step(self, action):
                self.array[:], *rest = self.env.step(action)
                return self.array, *rest

        rewards = []
        for env in (point_environment(), OneArray(point_environment())):
            env = signals.LearnedReward(env, signal, log_prob=lambda _observation, _action: -1.0)
            env.reset(seed=1)
            rewards.append([env.step(np.array([0.5, 0.1]))[1] for _ in range(5)])
        self.assertEqual(*rewards)

    def test_numbers_of_any_width_give_one_reward(self):
        signal = self.signal("point-reach-reward")
        rewards = []
        for width in (np.float32, np.float64):
            env = signals.LearnedReward(
                point_environment(), signal, log_prob=lambda _observation, _action: width(-1)
            )
            env.reset(seed=1)
            rewards.append([env.step(np.array([0.5, 0.25], width))[1] for _ in range(5)])
        np.testing.assert_allclose(*rewards, atol=1e-6)

    def test_autoreset_goes_around(self):
        signal = self.signal("point-reach-reward")

        def learned(env):
            return signals.LearnedReward(env, signal, log_prob=lambda _observation, _action: -1.0)

        wrong = learned(gymnasium.wrappers.Autoreset(point_environment()))
        right = gymnasium.wrappers.Autoreset(learned(point_environment()))
        action = np.zeros(2, np.float32)
        with self.assertRaisesRegex(signals.SignalError, "reset\\(\\) before step"):
            learned(point_environment()).step(action)
        for env in (wrong, right):
            env.reset(seed=1)
            for _ in range(10):
                *_, truncated, _ = env.step(action)
            self.assertTrue(truncated)
        with self.assertRaisesRegex(signals.SignalError, "goes around LearnedReward"):
            wrong.step(action)
        for _ in range(12):
            right.step(action)

    def test_a_density_that_is_no_number_is_refused(self):
        for density in (float("nan"), float("-inf")):
            env = signals.LearnedReward(
                point_environment(),
                self.signal("point-reach-reward"),
                log_prob=lambda _observation, _action: density,  # noqa: B023
            )
            env.reset(seed=1)
            with self.assertRaisesRegex(signals.SignalError, f"log_prob: is {density}"):
                env.step(np.zeros(2, np.float32))

    def test_who_never_reports_success_is_told_once(self):
        signal = self.signal("point-reach-reward")

        class Silent(gymnasium.Wrapper):
            def step(self, action):
                *outcome, info = self.env.step(action)
                return (*outcome, {})

        def said(env, **options):
            learned = signals.LearnedReward(
                env, signal, log_prob=lambda _observation, _action: -1.0, **options
            )
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for _ in range(2):
                    learned.reset(seed=1)
                    done = False
                    while not done:
                        *_, terminated, truncated, _ = learned.step(np.zeros(2, np.float32))
                        done = terminated or truncated
            return [str(one.message) for one in caught if "success" in str(one.message)]

        self.assertEqual(said(point_environment()), [])
        self.assertEqual(len(said(Silent(point_environment()))), 1)
        own = {"success": lambda _reward, _terminated, _info: False}
        self.assertEqual(said(Silent(point_environment()), **own), [])

    def test_density_is_that_of_the_environments_actions(self):
        """SAC draws from -1 to 1, whatever the action space is."""
        signal = self.signal("point-reach-reward")
        seen = []
        for factor in (1, 4):
            env = vec_env.DummyVecEnv(
                [lambda: gymnasium.wrappers.RescaleAction(point_environment(), -factor, factor)]
            )
            env = taught.LearnedVecReward(env, signal)
            model = sb3.SAC("MlpPolicy", env, learning_starts=0, seed=1, device="cpu")
            env.attach(model)
            run = []
            step = env._lifetimes.step
            env._lifetimes.step = lambda *parts: run.append(parts[2]) or step(*parts)
            model.learn(3)
            seen.append(float(run[0][0]))
        self.assertAlmostEqual(seen[0] - seen[1], 2 * np.log(4), places=4)

    def test_a_taught_model_is_saved_and_goes_on(self):
        signal = self.signal("point-reach-advantage")
        model = taught.TaughtPPO(
            "MlpPolicy", point_environment(), signal, **{**signal.student(), "device": "cpu"}
        )
        model.learn(signal.sizes.steps_per_iteration)
        with tempfile.TemporaryDirectory(prefix="mentor-signal-") as folder:
            model.save(pathlib.Path(folder) / "model")
            again = taught.TaughtPPO.load(
                pathlib.Path(folder) / "model", env=point_environment(), device="cpu"
            )
        observation = np.zeros(4)
        self.assertEqual(
            *(m.predict(observation, deterministic=True)[0].tolist() for m in (model, again))
        )
        again.learn(signal.sizes.steps_per_iteration)

    def test_an_advantage_takes_the_place_of_the_critic(self):
        signal = self.signal("point-reach-advantage")
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
        np.testing.assert_array_equal(model.rollout_buffer.advantages.T, seen[-1][1])
        for old, new in zip(before, model.policy.value_net.parameters()):
            self.assertTrue(torch.equal(old, new))
        # A lifetime's first episode follows none; the next iteration's does.
        self.assertEqual(seen[0][0].prev_done[0, 0], 0)
        self.assertEqual(seen[1][0].prev_done[0, 0], 1)

    def test_task_and_signal_are_mixed_as_asked(self):
        signal = self.signal("point-reach-reward")
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

    def test_a_goal_that_training_hid_is_refused(self):
        signal, venv = self.signal("point-reach-reward"), vec_env.DummyVecEnv([with_a_goal])
        with self.assertRaisesRegex(signals.SignalError, "env: shows its goal"):
            taught.LearnedVecReward(venv, signal)
        with self.assertRaisesRegex(signals.SignalError, "env: shows its goal"):
            taught.TaughtPPO("MlpPolicy", venv, signal, **signal.student())

    def test_what_does_not_fit_is_refused_with_the_remedy(self):
        reward, advantage = self.signal("point-reach-reward"), self.signal("point-reach-advantage")

        class Dictionary(gymnasium.Env):
            observation_space = gymnasium.spaces.Dict(place=gymnasium.spaces.Box(-1, 1, (4,)))
            action_space = gymnasium.spaces.Box(-1, 1, (2,))

        for make, says in (
            (lambda: step_once(signals.LearnedReward(point_environment(), reward)), "is missing"),
            (lambda: signals.LearnedReward(point_environment(), advantage), "TaughtPPO"),
            (
                lambda: signals.LearnedReward(gymnasium.make("CartPole-v1"), reward),
                "env.action_space: is Discrete",
            ),
            (lambda: signals.load(ROOT / "docs"), "has no config.json"),
            (lambda: signals.LearnedReward(point_environment, reward), "env: is a function"),
            (
                lambda: taught.LearnedVecReward(
                    vec_env.VecNormalize(vec_env.DummyVecEnv([point_environment])), reward
                ),
                "venv: has a VecNormalize",
            ),
            (
                lambda: taught.LearnedVecReward(
                    vec_env.DummyVecEnv(
                        [lambda: gymnasium.wrappers.NormalizeObservation(point_environment())]
                    ),
                    reward,
                ),
                "venv: has a NormalizeObservation",
            ),
            (
                lambda: signals.LearnedReward(
                    gymnasium.wrappers.ClipAction(
                        gymnasium.wrappers.NormalizeObservation(point_environment())
                    ),
                    reward,
                    log_prob=lambda _observation, _action: -1.0,
                ),
                "env: has a NormalizeObservation.*put LearnedReward inside of it",
            ),
            (
                lambda: signals.LearnedReward(Dictionary(), reward),
                "env.observation_space: is Dict",
            ),
            (
                lambda: reward.run(
                    signals.Segment(observations=np.zeros(4)), reward.initial_state()
                ),
                "observations: has shape",
            ),
            (
                lambda: reward.run(
                    signals.Segment(observations=np.zeros((2, 3, 4))), reward.initial_state()
                ),
                "state: is that of 1 lifetimes",
            ),
            (
                lambda: signals.SuccessSignal(1, 2).steps([[False] * 3], [[False] * 3]),
                "max_episode_steps: is 2",
            ),
            (
                lambda: reward.run(
                    signals.Segment(observations=np.zeros((1, 3, 4))), reward.initial_state()
                ),
                "segment.actions: is missing",
            ),
        ):
            with self.subTest(says), self.assertRaisesRegex(signals.SignalError, says):
                make()


def with_a_goal():
    env = point_environment()
    env.unwrapped.goal_visible = True
    return env


def step_once(env):
    env.reset()
    env.step(np.zeros(2, np.float32))


def without_truncations(model, env):
    """predict_values that gives nothing to the ends of episodes: SB3 asks for these one by one."""
    values = type(model.policy).predict_values

    def predict(observations):
        result = values(model.policy, observations)
        return result * 0 if len(observations) != env.num_envs else result

    return predict


class StudyTest(unittest.TestCase):  # Nightly
    def test_a_study_of_one_lifetime(self):
        with tempfile.TemporaryDirectory(prefix="mentor-study-") as folder:
            out = pathlib.Path(folder) / "study"
            program = [sys.executable, EXAMPLES / "transfer_study.py", "--out", out]
            path = ":".join(str(part) for part in (SOURCE, *WHEELS) if part.is_dir())

            def run(*arguments):
                done = subprocess.run(
                    [*program, *arguments],
                    env={"PYTHONPATH": path, "MPLCONFIGDIR": folder},
                    capture_output=True,
                    text=True,
                )
                return done.returncode, done.stdout, done.stderr

            signal = ["--signal", ZOO / "point-reach-reward"]
            chosen = ["--students", "as taught,as taught; whole rollouts,A2C", "--lifetimes", "1"]
            code, table, said = run(*signal, *chosen)
            self.assertEqual(code, 0, said)
            lines = (out / "transfer.csv").read_text().splitlines()
            self.assertEqual(lines[0], "student,teacher,lifetime,seg0,seg1,seg2")
            self.assertEqual(len(lines), 1 + 3 + 1 + 3)
            picture = (out / "transfer.svg").read_bytes()
            self.assertIn(b"A2C", picture)
            self.assertEqual(run("--draw"), (0, table, said.splitlines()[-1] + "\n"))
            self.assertEqual((out / "transfer.svg").read_bytes(), picture)
            code, _, said = run(*signal, "--students", "DQN")
            self.assertEqual(code, 2)
            self.assertIn("unknown DQN", said)


if __name__ == "__main__":
    unittest.main()
