"""mentor_signal.LearnedReward on vector environments of Gymnasium: each environment gets what it
would get alone, in every autoreset mode. Skipped where deploy/install.sh --signal was not run."""

import importlib
import subprocess
import sys
import unittest
import warnings

import signal_modules
from package import EXAMPLES, ROOT, SOURCE

ZOO = ROOT / "zoo" / "point-reach-reward"
STEPS = 40


def setUpModule():
    global gymnasium, np, signals, AsyncVectorEnv, AutoresetMode, SyncVectorEnv, PointReach
    signal_modules.make_importable(signal_modules.WITHOUT_TORCH)
    sys.path[:0] = [str(EXAMPLES)]
    import gymnasium
    import numpy as np
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
    from point_reach import PointReach
    import mentor_signal as signals


def point(length):
    """A goal that is reached often. Ends at different times show whose episode is whose."""
    return PointReach([0.5, 0], rho=0.4, episode_steps=length)


def vector(mode, **options):
    makers = [lambda length=length: point(length) for length in (3, 5, 10)]
    return SyncVectorEnv(makers, autoreset_mode=mode, **options)


def density(_observations, actions):
    return -np.abs(actions).sum(-1)


def actions_of(environment, count=STEPS):
    random = np.random.default_rng(environment)
    return random.normal(0.5, 1, (count, 2)).astype(np.float32)


def alone(signal, environment, length, new_lifetime_at=None, **options):
    """Rewards of one environment."""
    env = signals.LearnedReward(point(length), signal, log_prob=density, **options)
    env.reset(seed=environment)
    rewards = []
    for t, action in enumerate(actions_of(environment)):
        if t == new_lifetime_at:
            env.new_lifetime()
        _, reward, terminated, truncated, _ = env.step(action)
        rewards.append(reward)
        if terminated or truncated:
            env.reset()
    return rewards


def together(env, told, new_lifetime=None):
    """Rewards by environment of a vector that was wrapped, without those of steps that only begin
    an episode. told: the script tells the density."""
    made, over = [[] for _ in range(env.num_envs)], np.zeros(env.num_envs, bool)
    env.reset(seed=0)
    mode = env.metadata["autoreset_mode"]
    every = [actions_of(environment) for environment in range(env.num_envs)]
    while min(map(len, made)) < STEPS:
        if new_lifetime is not None and len(made[1]) == new_lifetime:
            env.new_lifetime([False, True, False])
            new_lifetime = None
        pairs = zip(every, made)
        actions = np.stack([own[len(done) % STEPS] for own, done in pairs])
        if told:
            env.drawn(density(None, actions))
        _, rewards, terminated, truncated, infos = env.step(actions)
        for index in np.flatnonzero(~over):
            made[index].append(rewards[index])
        assert not rewards[over].any(), "a step that begins an episode has no reward"
        assert (infos["_signal"] == ~over).all()
        done = terminated | truncated
        over = done if mode is AutoresetMode.NEXT_STEP else np.zeros_like(over)
        if mode is AutoresetMode.DISABLED and done.any():
            env.reset(options={"reset_mask": done})
    return [rewards[:STEPS] for rewards in made]


def of_door(benchmark, environment="door-close-v3", spec=""):
    """A signal that says that it was trained there."""
    signal = signals.load(ZOO)
    facts = {**signal.facts, "evaluation": [], "spec": spec}
    facts["trained"] = {**facts["trained"], "benchmark": benchmark, "environment": environment}
    signal.facts = facts
    return signal


class Named:
    """Maker of an environment as Mentor's say what they are; callable in other processes."""

    def __init__(self, visible=None, name=None, partially=None):
        self.visible, self.name, self.partially = visible, name, partially

    def __call__(self):
        env = point(3)
        if self.visible is not None:
            env.goal_visible = self.visible
        if self.name is not None:
            env.env_name = self.name
        if self.partially is not None:
            env._partially_observable = self.partially
        return env


def unnamed(env):
    env.metadata = {}
    return env


class TaskTest(unittest.TestCase):
    """A hidden goal is zeros, so sizes do not tell it from a shown one."""

    def learned(self, signal, env):
        made = signals.LearnedReward(env, signal, log_prob=density)
        self.addCleanup(made.close)
        return made

    def vectors(self, make):
        yield make()
        for vector_of in (SyncVectorEnv, AsyncVectorEnv):
            made = vector_of([make, make])
            self.addCleanup(made.close)
            yield made

    def test_a_goal_that_training_hid_is_refused(self):
        for env in self.vectors(Named(visible=True)):
            with self.assertRaisesRegex(signals.SignalError, "env: shows.*goal_visible=False"):
                self.learned(of_door("ml1"), env)
        for env in self.vectors(Named(visible=False)):
            with self.assertRaisesRegex(signals.SignalError, "env: hides.*goal_visible=True"):
                self.learned(of_door("mt1"), env)
        for env in self.vectors(Named(partially=False)):
            with self.assertRaisesRegex(signals.SignalError, "take ML1"):
                self.learned(of_door("ml10", ""), env)

    def test_what_training_saw_is_taken(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for benchmark, named in (
                ("ml1", Named(visible=False, name="door-close-v3")),
                ("mt1", Named(visible=True, name="door-close-v3")),
                ("ml1", Named()),
                ("ml1", Named(partially=True)),
                ("single", Named(visible=False)),
            ):
                for env in self.vectors(named):
                    self.learned(of_door(benchmark), env)

    def test_sets_of_tasks_say_what_they_showed(self):
        shown, hidden = "task_set { goal_visible: true }", "task_set { }"
        for spec, visible, refused in (
            (shown, False, True),
            (shown, True, False),
            (hidden, True, True),
            (shown + hidden, True, False),
        ):
            with self.subTest(spec):
                env = Named(visible=visible)()
                if refused:
                    with self.assertRaisesRegex(signals.SignalError, "its goal"):
                        self.learned(of_door("custom", "", spec), env)
                else:
                    self.learned(of_door("custom", "", spec), env)

    def test_a_goal_that_a_task_shows_later_is_refused(self):
        env = Named(visible=False)()
        made = self.learned(of_door("ml1"), env)
        made.reset(seed=1)
        env.goal_visible = True
        with self.assertRaisesRegex(signals.SignalError, "shows its goal"):
            made.reset(seed=1)

    def test_another_environment_is_told_once(self):
        for env in self.vectors(Named(visible=False, name="push-v3")):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.learned(of_door("ml1"), env).reset(seed=1)
            said = [str(one.message) for one in caught if "trained on" in str(one.message)]
            self.assertEqual(len(said), 1)
            self.assertIn("is push-v3, but the signal was trained on door-close-v3", said[0])


class FlagsTest(unittest.TestCase):
    """Success, terminated and truncated are bools, or 0 and 1."""

    def told(self, info, terminated=False, truncated=False):
        env = point(10)
        inner = env.step
        env.step = lambda action: (*inner(action)[:2], terminated, truncated, info)
        made = signals.LearnedReward(env, signals.load(ZOO), log_prob=density)
        made.reset(seed=1)
        return made.step(np.zeros(2, "f4"))

    def test_success_of_a_wrong_type_is_refused(self):
        for value in ("False", float("nan"), -1, 0.01, [], [True], b"1", object()):
            for key in ("success", "is_success"):
                with self.subTest(repr(value)), self.assertRaisesRegex(
                    signals.SignalError, rf"info\['{key}'\]: is .*of type .*of a share, success="
                ):
                    self.told({key: value})
        for value in (True, 1.0, np.True_, np.float32(0), None):
            self.told({"success": value})

    def test_none_leaves_the_word_to_the_next_key(self):
        success = signals.success_in_info
        self.assertTrue(success(0, False, {"success": None, "is_success": True}))
        self.assertFalse(success(0, False, {"success": 0, "is_success": True}))
        self.assertFalse(success(0, False, {"success": None}))
        from mentor_signal.vector import successes_in_infos

        infos = {
            "success": np.array([None, True, None, False], object),
            "is_success": np.array([1.0, 0.0, 0.5, 1.0]),
            "_is_success": np.array([True, True, False, True]),
        }
        self.assertEqual(successes_in_infos(infos, 4).tolist(), [True, True, False, False])
        with self.assertRaisesRegex(signals.SignalError, "is 0.5, of type float"):
            successes_in_infos({"success": np.array([0.5, 1.0])}, 2)

    def test_what_a_function_of_success_returns(self):
        env = signals.LearnedReward(
            point(10), signals.load(ZOO), log_prob=density, success=lambda *_: "no"
        )
        env.reset(seed=1)
        with self.assertRaisesRegex(signals.SignalError, "success: is .*'no'"):
            env.step(np.zeros(2, "f4"))

    def test_ends_of_a_wrong_type_are_refused(self):
        for name in ("terminated", "truncated"):
            for value in ("False", None, float("nan"), 0.3):
                with self.subTest(name, value=value), self.assertRaisesRegex(
                    signals.SignalError, f"{name}: is "
                ):
                    self.told({"success": False}, **{name: value})


class VectorTest(unittest.TestCase):
    def setUp(self):
        self.signal = signals.load(ZOO)

    def near(self, got, want):
        np.testing.assert_allclose(got, want, atol=1e-6)

    def test_each_environment_gets_what_it_gets_alone(self):
        mix = signals.RewardMix(task=0.5, signal=2, task_reward="success")
        for reward in ("as_trained", mix):
            want = [
                alone(self.signal, number, length, reward=reward)
                for number, length in enumerate((3, 5, 10))
            ]
            self.assertGreater(np.std(want), 0.01)
            for mode in AutoresetMode:
                for copy in (True, False):
                    with self.subTest(mode, copy=copy, reward=reward):
                        told = not copy
                        env = signals.LearnedReward(
                            vector(mode, copy=copy),
                            self.signal,
                            reward=reward,
                            log_prob=None if told else density,
                        )
                        self.near(together(env, told), want)

    def test_some_lifetimes_end_and_the_others_go_on(self):
        lengths = (3, 5, 10)
        want = [alone(self.signal, number, length) for number, length in enumerate(lengths)]
        old = want[1]
        # At the end of an episode, so that the success signal counts the same steps.
        want[1] = alone(self.signal, 1, 5, new_lifetime_at=20)
        self.assertNotAlmostEqual(old[22], want[1][22], places=4)
        for mode in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
            with self.subTest(mode):
                env = signals.LearnedReward(vector(mode), self.signal, log_prob=density)
                self.near(together(env, False, new_lifetime=20), want)
        with self.assertRaisesRegex(signals.SignalError, "which: .*numbers of 3 lifetimes"):
            env.new_lifetime(7)

    def test_ones_own_rule_of_success_sees_the_final_info(self):
        def success(_reward, _terminated, info):
            return signals.success_in_info(0.0, False, info)

        for mode in AutoresetMode:
            with self.subTest(mode):
                rewards = [
                    together(
                        signals.LearnedReward(
                            vector(mode), self.signal, log_prob=density, **options
                        ),
                        False,
                    )
                    for options in ({}, {"success": success})
                ]
                self.near(*rewards)

    def test_a_folder_is_a_signal(self):
        env = signals.LearnedReward(vector(AutoresetMode.SAME_STEP), ZOO, log_prob=density)
        self.assertIsInstance(env, signals.LearnedVectorReward)
        env = signals.LearnedReward(point(3), str(ZOO), log_prob=density)
        self.assertIsInstance(env, signals.LearnedEnvReward)
        sys.path[:0] = [str(SOURCE)]
        self.assertIs(
            importlib.import_module("mentor.rewards").LearnedReward, signals.LearnedReward
        )

    def test_what_does_not_fit_is_refused_with_the_remedy(self):
        def made(mode=AutoresetMode.SAME_STEP, wrapper=lambda env: env, **options):
            options.setdefault("log_prob", density)
            return signals.LearnedReward(wrapper(vector(mode)), self.signal, **options)

        def stepped(actions=None, env=None, tell=None, **options):
            env = env or made(**options)
            env.reset(seed=0)
            if tell is not None:
                env.drawn(tell)
            return env.step(np.zeros((3, 2)) if actions is None else actions)

        def again():
            env = made(AutoresetMode.DISABLED)
            env.reset(seed=0)
            for _ in range(4):
                env.step(np.zeros((3, 2)))

        def half():
            env = SyncVectorEnv([lambda: point(3)] * 2, autoreset_mode=AutoresetMode.DISABLED)
            env = signals.LearnedReward(env, self.signal, log_prob=density)
            env.reset(seed=0)
            for _ in range(3):
                env.step(np.zeros((2, 2)))
            env.reset(options={"reset_mask": np.array([True, False])})
            env.step(np.zeros((2, 2)))

        class Wild(gymnasium.vector.VectorWrapper):
            def reset(self, **options):
                observations, infos = self.env.reset(**options)
                observations[1, 2] = np.nan
                return observations, infos

        normalised = gymnasium.wrappers.vector.NormalizeObservation
        inside = SyncVectorEnv([lambda: gymnasium.wrappers.NormalizeObservation(point(3))])
        for call, says in (
            (lambda: made().step(np.zeros((3, 2))), "env: has no episode"),
            (again, r"env: has no episode to go on with in \[0\].*reset_mask"),
            (half, r"env: has no episode to go on with in \[1\]"),
            (lambda: stepped(np.zeros(2)), r"action: has shape \[2\]; give \[3, 2\]"),
            (lambda: stepped(np.full((3, 2), np.nan)), "action: has nan.*finite"),
            (lambda: stepped("left"), "action: has the type"),
            (lambda: stepped(log_prob=None), r"log_prob: is missing.*drawn\(log_prob\)"),
            (lambda: stepped(log_prob=-1.0), "log_prob: is -1.0; give a function"),
            (
                lambda: stepped(tell=[-1.0]),
                "log_prob: has shape .1.; give one number for each of 3",
            ),
            (lambda: stepped(tell=[-1, np.nan, 0]), "log_prob: is nan for action .*environment 1"),
            (lambda: stepped(tell=[1e6, 0, 0]), "segment: has numbers that are too large"),
            (lambda: made(success=True), "success: is True; give a function"),
            (lambda: signals.load(None), "signal: is None"),
            (lambda: stepped(wrapper=Wild), "observation: of environment 1 is not finite"),
            (lambda: made(wrapper=unnamed), "autoreset_mode'.: is None"),
            (lambda: made(AutoresetMode.NEXT_STEP, normalised), "env: has a NormalizeObservation"),
            (lambda: signals.LearnedReward(inside, self.signal), "has a NormalizeObservation"),
            (lambda: signals.LearnedReward(point(3), 7), "signal: is a int; give a name"),
            (lambda: signals.LearnedReward(point(3), ROOT), "folder: .* has no config.json"),
            (lambda: signals.LearnedReward([point(3)], ZOO), "env: is a list"),
            (
                lambda: signals.LearnedReward(
                    gymnasium.make_vec("CartPole-v1", num_envs=2), self.signal
                ),
                "env.action_space: is Discrete",
            ),
        ):
            with self.subTest(says), self.assertRaisesRegex(signals.SignalError, says):
                call()

    def test_a_student_without_its_surrogate_is_warned_of(self):
        clipped = self.signal.student()
        self.signal.facts["agent"]["surrogate"] = "DPO"
        with self.assertWarnsRegex(UserWarning, "surrogate DPO"):
            self.assertEqual(self.signal.student(), clipped)

    def test_an_error_leaves_the_lifetime_as_it_was(self):
        env = signals.LearnedReward(vector(AutoresetMode.SAME_STEP), self.signal, log_prob=density)
        env.reset(seed=0)
        actions = np.full((3, 2), 0.5)
        for wrong in (np.zeros((3, 1)), np.full((3, 2), np.inf)):
            with self.assertRaises(signals.SignalError):
                env.step(wrong)
        _, got, *_ = env.step(actions)
        fresh = signals.LearnedReward(
            vector(AutoresetMode.SAME_STEP), self.signal, log_prob=density
        )
        fresh.reset(seed=0)
        self.near(got, fresh.step(actions)[1])


class ExampleTest(unittest.TestCase):  # Nightly
    def run_example(self, *words):
        path = ":".join(str(folder) for folder in (SOURCE, *signal_modules.WHEELS))
        done = subprocess.run(
            [sys.executable, "-B", EXAMPLES / "ppo_learned_reward.py", *words],
            env={"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=500,
        )
        return done.returncode, done.stdout, done.stderr

    def test_a_script_in_the_manner_of_cleanrl_learns(self):
        signal_modules.make_importable((*signal_modules.WITHOUT_TORCH, "torch"))
        code, said, complaint = self.run_example("--signal", ZOO, "--agents", "6")
        self.assertEqual(code, 0, complaint)
        rates = [float(line.split()[3]) for line in said.splitlines()]
        self.assertEqual(len(rates), 3)
        self.assertGreater(rates[-1], rates[0] + 0.1)
        for folder, says in (
            (ROOT, "has no config.json"),
            (ZOO.parent / "point-reach-advantage", "no reward"),
        ):
            code, _, said = self.run_example("--signal", folder)
            self.assertEqual(code, 2)
            self.assertIn(says, said)
        code, _, said = self.run_example("--signal", ZOO, "--environments", "0")
        self.assertEqual(code, 2)
        self.assertIn("--environments: give at least 1", said)


if __name__ == "__main__":
    unittest.main()
