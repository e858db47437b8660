"""One environment as Gymnasium's Env: its contract, its tasks, its states, and what is refused."""

import copy
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import threading
import unittest

import module

module.make_importable()
import gymnasium  # noqa: E402
import mentor  # noqa: E402
import numpy as np  # noqa: E402
from gymnasium.utils.env_checker import check_env  # noqa: E402
from mentor import _native  # noqa: E402
from mentor.environments import registration  # noqa: E402

BUNDLE = module.ROOT / "deploy/bundles/inverted_pendulum"
# Gymnasium's check wants two steps; these episodes have one.
OF_ONE_STEP = ("bernoulli_bandit", "contextual_bandit")


def run(env, steps, seed=1, **reset):
    env.action_space.seed(seed)
    numbers = [env.reset(seed=seed, **reset)[0]]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        numbers.append(np.append(observation, [reward, terminated, truncated, info["success"]]))
        if terminated or truncated:
            numbers.append(env.reset()[0])
    return np.concatenate(numbers)


class ContractTest(unittest.TestCase):
    def test_all_environments_pass_the_check_of_gymnasium(self):
        names = [name for name in registration.NAMES if name not in (*OF_ONE_STEP, "bundle")]
        self.assertEqual(len(names), 61 + 9)
        for name in names:
            with self.subTest(name):
                env = gymnasium.make(f"mentor/{name}").unwrapped
                check_env(env, skip_render_check=True)
                env.close()

    @module.needs_signal
    def test_the_check_of_stable_baselines3_passes(self):
        module.run_with_torch(
            """
import gymnasium, mentor
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
for name in ("push-v3", "Hopper-v5", "point_reach"):
    check_env(gymnasium.make(f"mentor/{name}"), skip_render_check=True)
    make_vec_env(f"mentor/{name}", n_envs=2).reset()
PPO("MlpPolicy", gymnasium.make("mentor/reach-v3"), n_steps=64, batch_size=32).learn(128)
"""
        )

    def test_environments_say_whether_observations_show_the_goal(self):
        for name, options, visible in (
            ("push-v3", {}, True),
            ("push-v3", {"goal_visible": False}, False),
            ("Hopper-v5", {}, None),
        ):
            env = gymnasium.make(f"mentor/{name}", **options).unwrapped
            envs = gymnasium.make_vec(f"mentor/{name}", 2, **options)
            self.assertEqual((env.env_name, env.goal_visible), (name, visible))
            self.assertEqual(
                (envs.unwrapped.env_name, envs.unwrapped.goal_visible), (name, visible)
            )
            envs.close()

    def test_the_names_are_those_of_the_catalogue(self):
        here = [entry["name"] for entry in _native.catalogue()]
        self.assertEqual(sorted(here), sorted(set(registration.NAMES) - {"bundle"}))

    def test_specs_say_how_long_an_episode_is(self):
        for name in (*registration.GYMNASIUM, *registration.META_WORLD):
            with self.subTest(name):
                env = gymnasium.make(f"mentor/{name}")
                self.assertEqual(env.spec.max_episode_steps, env.unwrapped.episode_steps)
                env.close()
        timed = gymnasium.wrappers.TimeAwareObservation(gymnasium.make("mentor/Reacher-v5"))
        self.assertEqual(timed.reset(seed=1)[0].shape, (11,))

    def test_a_bundle_is_an_environment(self):
        env = gymnasium.make("mentor/bundle", path=BUNDLE)
        check_env(env.unwrapped, skip_render_check=True)
        self.assertEqual(env.reset(seed=1)[0].shape, (4,))

    def test_a_bandit_has_episodes_of_one_step(self):
        env = gymnasium.make("mentor/bernoulli_bandit")
        env.reset(seed=1)
        self.assertTrue(env.step(0)[3])

    def test_pictures_are_drawn(self):
        env = gymnasium.make("mentor/push-v3", render_mode="rgb_array", width=64, height=48)
        env.reset(seed=1)
        picture = env.render()
        self.assertEqual((picture.shape, picture.dtype), ((48, 64, 3), np.uint8))
        self.assertGreater(picture.std(), 1)
        with self.assertRaisesRegex(TypeError, "point_reach takes None"):
            mentor.MentorEnv("point_reach", render_mode="rgb_array")


class TasksTest(unittest.TestCase):
    def test_the_same_seed_is_the_same_life(self):
        for name in ("mentor/point_reach", "mentor/Hopper-v5"):
            first = run(gymnasium.make(name), 60)
            self.assertTrue((first == run(gymnasium.make(name), 60)).all())
            self.assertFalse((first[:4] == run(gymnasium.make(name), 60, seed=2)[:4]).all())

    def test_without_a_seed_chance_decides_and_says_how(self):
        first, second = (mentor.MentorEnv("Hopper-v5") for _ in range(2))
        a, b = first.reset()[0], second.reset()[0]
        self.assertFalse((a == b).all())
        again = mentor.MentorEnv("Hopper-v5")
        self.assertTrue((again.reset(seed=first.np_random_seed % 2**64)[0] == a).all())

    def test_a_goal_stays_until_other_options_come(self):
        env = mentor.MentorEnv("door-close-v3", goal_seed=1)
        goal = env.reset(seed=1, options={"goal": 3})[0]
        self.assertTrue((env.reset()[0] == goal).all())
        other = env.reset(options={"goal": 4})[0]
        self.assertFalse((other == goal).all())
        task = mentor.metaworld.ML1("door-close-v3", seed=1).train_tasks[3]
        self.assertTrue((env.reset(options={"parameters": task.parameters})[0] == goal).all())
        env.reset(options={"goal": None})
        self.assertFalse((env.reset()[0] == env.reset()[0]).all())

    def test_goals_are_hidden_when_asked(self):
        shown = mentor.MentorEnv("push-v3").reset(seed=1)[0][36:]
        hidden = mentor.MentorEnv("push-v3", goal_visible=False).reset(seed=1)[0][36:]
        self.assertTrue(shown.all())
        self.assertFalse(hidden.any())

    def test_wrappers_and_options_are_those_of_a_spec(self):
        plain = mentor.MentorEnv("point_reach", dimension=1)
        self.assertEqual(plain.action_space.shape, (1,))
        with self.assertRaisesRegex(ValueError, r"wrappers\[0\].*none_such"):
            mentor.MentorEnv("point_reach", wrappers=[{"name": "none_such"}])
        for wrong, meant in (
            ({"dimensoin": 3}, "dimensoin: .* did you mean 'dimension'"),
            ({"goal_visibel": True}, "goal_visibel: .* did you mean 'goal_visible'"),
            ({"banana": 3}, "banana: .* dimension, .* arguments are .* goal_visible"),
        ):
            for make in (gymnasium.make, gymnasium.make_vec):
                with self.assertRaisesRegex(ValueError, meant):
                    make("mentor/point_reach", **wrong)
        with self.assertRaisesRegex(ValueError, "num_thread: .* did you mean 'num_threads'"):
            gymnasium.make_vec("mentor/push-v3", 2, num_thread=2)

    def test_wrappers_of_a_spec_are_those_of_vectors_too(self):
        wrappers = [{"name": "sparse_reward"}]
        actions = np.full((2, 2), 0.1, np.float32)

        def rewards(envs):
            envs.reset(seed=1)
            found = [envs.step(actions)[1] for _ in range(30)]
            envs.close()
            return np.array(found)

        def make(mode, **arguments):
            return gymnasium.make_vec("mentor/point_reach", 2, vectorization_mode=mode, **arguments)

        plain = rewards(make(None))
        envs = make(None, wrappers=wrappers)
        self.assertIsInstance(envs.unwrapped, mentor.MentorVectorEnv)
        again = gymnasium.make_vec(envs.spec)
        sparse = rewards(envs)
        self.assertFalse((sparse == plain).all())
        self.assertTrue((rewards(again) == sparse).all())
        self.assertTrue((rewards(make("sync", wrappers=wrappers)) == sparse).all())
        clipped = make("sync", wrappers=[gymnasium.wrappers.ClipAction])
        self.assertIsInstance(clipped.envs[0], gymnasium.wrappers.ClipAction)
        with self.assertRaisesRegex(gymnasium.error.Error, "vector_entry_point"):
            make(None, wrappers=[gymnasium.wrappers.ClipAction])

    def test_old_versions_of_gymnasium_are_refused_with_words(self):
        for package, version, wanted in (
            ("mentor", "0.29.1", "1.1"),
            ("mentor", "1.0.0", "1.1"),
            ("mentor_signal", "0.29.1", "1.0"),
        ):
            with self.subTest(f"{package} {version}"), tempfile.TemporaryDirectory() as folder:
                old = pathlib.Path(folder, "gymnasium")
                old.mkdir()
                (old / "__init__.py").write_text(f'__version__ = "{version}"\n')
                path = os.pathsep.join([folder, *module.LIBRARIES])
                done = subprocess.run(
                    [sys.executable, "-c", f"import {package}"],
                    env={**os.environ, "PYTHONPATH": path},
                    capture_output=True,
                    text=True,
                    timeout=module.DEADLINE_S,
                )
                self.assertEqual(
                    done.stderr.splitlines()[-1],
                    f"ImportError: {package} needs Gymnasium {wanted} or later, and "
                    f"{sys.executable} has {version}: pip install 'gymnasium>={wanted}'",
                )


class StatesTest(unittest.TestCase):
    def test_a_saved_state_goes_on_elsewhere(self):
        for name in ("push-v3", "Hopper-v5", "point_reach"):
            first, second = mentor.MentorEnv(name), mentor.MentorEnv(name)
            run(first, 5)
            second.restore_state(first.save_state())
            action = first.action_space.sample()
            for one, two in zip(first.step(action)[:4], second.step(action)[:4]):
                self.assertTrue(np.array_equal(one, two))
            with self.assertRaisesRegex(ValueError, "save_state"):
                second.restore_state(b"no state")
            state = first.save_state()
            for at in range(len(state)):
                damaged = state[:at] + bytes([state[at] ^ 1 << at % 8]) + state[at + 1 :]
                with self.assertRaisesRegex(ValueError, "is damaged"):
                    second.restore_state(damaged)

    def test_copies_and_pickles_go_on_where_they_were(self):
        env = mentor.MentorEnv("Hopper-v5")
        run(env, 5)
        copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
        action = env.action_space.sample()
        wanted = env.step(action)[0]
        for one in copies:
            self.assertTrue((one.step(action)[0] == wanted).all())

    def test_states_of_the_simulator(self):
        env = mentor.MentorEnv("Hopper-v5")
        env.reset(seed=1)
        whole = env.positions_and_velocities()
        again = mentor.MentorEnv("Hopper-v5")
        again.reset(seed=2)
        again.set_state(whole[:6], whole[6:])
        self.assertTrue((again.positions_and_velocities() == whole).all())
        self.assertEqual(env.simulator_state().ndim, 1)
        with self.assertRaises(RuntimeError):
            mentor.MentorEnv("point_reach").simulator_state()
        with self.assertRaisesRegex(ValueError, "qpos"):
            again.set_state([np.nan], whole[6:])

    def test_a_policy_by_hand_solves_its_task(self):
        env = mentor.MentorEnv("reach-v3")
        env.reset(seed=1)
        success = [env.step(env.scripted_action())[4]["success"] for _ in range(200)]
        self.assertEqual(max(success), 1.0)


class DrawingTest(unittest.TestCase):  # Nightly
    def test_one_thread_draws_and_another_lets_go(self):
        for let_go in (lambda env: env.close(), lambda env: None):
            for _ in range(6):
                env = gymnasium.make(
                    "mentor/reach-v3", render_mode="rgb_array", width=64, height=48
                )
                env.reset(seed=1)
                first = env.render()
                own = [env]
                del env
                drawn = []

                def end():
                    drawn.append(own[0].render())
                    let_go(own.pop())

                thread = threading.Thread(target=end)
                thread.start()
                thread.join()
                self.assertTrue(np.array_equal(first, drawn[0]))
                self.assertTrue(first.flags.writeable)


class RefusedTest(unittest.TestCase):
    def test_actions_that_do_not_fit(self):
        env = mentor.MentorEnv("push-v3")
        with self.assertRaisesRegex(RuntimeError, "reset"):
            env.step(np.zeros(4))
        env.reset(seed=1)
        for action, kind, words in (
            (np.zeros(3), ValueError, r"action: has shape \[3\]; give \[4\]"),
            (np.zeros((2, 4)), ValueError, r"give \[4\]"),
            (np.full(4, np.nan), ValueError, "finite"),
            (np.full(4, np.inf), ValueError, "finite"),
            (np.full(4, 1e300), ValueError, "finite"),
            (np.ones(4, complex), TypeError, "complex"),
            ("left", TypeError, "numbers"),
            (None, TypeError, "action: is no array of real numbers"),
            ([[1], [2, 3], 4, 5], TypeError, "action: is no array of real numbers"),
            (0.0, ValueError, r"action: has shape \[\]; give \[4\]"),
        ):
            with self.subTest(repr(action)), self.assertRaisesRegex(kind, words):
                env.step(action)
        hidden = mentor.MentorEnv("push-v3", goal_visible=False)
        hidden.reset(seed=1)
        with self.assertRaisesRegex(ValueError, "state: is of an environment .* show the goal"):
            hidden.restore_state(env.save_state())
        hidden.step(np.zeros(4))
        env.action_space.seed(5)
        copied = copy.deepcopy(env)
        self.assertEqual(copied.action_space.sample().tolist(), env.action_space.sample().tolist())
        env.step([0, 0, 0, 1])  # It goes on as if nothing had been.
        for options in ("goal", 5):
            with self.subTest(options), self.assertRaisesRegex(TypeError, "options: is"):
                env.reset(options=options)
        with self.assertRaisesRegex(TypeError, "state: is int; give what save_state"):
            env.restore_state(10**12)
        choices = mentor.MentorEnv("bernoulli_bandit")
        choices.reset(seed=1)
        for action in (-1, 1000, 0.5, [0, 1]):
            with self.subTest(action), self.assertRaisesRegex(ValueError, "integers from 0 to"):
                choices.step(action)

    def test_arguments_that_do_not_fit(self):
        for words, arguments in (
            ("pusk-v3.*push-v3", {"name": "pusk-v3"}),
            ("path: give the folder", {"name": "bundle"}),
            ("path", {"name": "push-v3", "path": "."}),
            ("width", {"name": "push-v3", "width": 0}),
            ("goal_seed", {"name": "push-v3", "goal_seed": -1}),
            ("goal_visible", {"name": "push-v3", "goal_visible": "yes"}),
            ("goal_visible", {"name": "Hopper-v5", "goal_visible": True}),
            ("dimension", {"name": "point_reach", "dimension": [3]}),
            ("dimension", {"name": "point_reach", "dimension": 10**9}),
            ("goal_visible: is 1", {"name": "push-v3", "goal_visible": 1}),
            ("name: is None", {"name": None}),
            ("camera: is 5", {"name": "push-v3", "camera": 5}),
            ("wrappers: is 5", {"name": "push-v3", "wrappers": 5}),
            (r"wrappers\[0\]", {"name": "push-v3", "wrappers": [{"name": "time_feature", 5: 1}]}),
            ("path: is 5", {"name": "bundle", "path": 5}),
            ("path: is", {"name": "bundle", "path": "a\0b"}),
        ):
            refused = self.assertRaisesRegex((TypeError, ValueError), words)
            with self.subTest(arguments), refused:
                mentor.MentorEnv(**arguments).reset(seed=1)
        mentor.MentorEnv("push-v3", goal_visible=np.bool_(False))
        env = mentor.MentorEnv("push-v3")
        for seed in (-1, 2**64, 1.5, "one"):
            with self.subTest(seed), self.assertRaisesRegex(ValueError, "seed"):
                env.reset(seed=seed)
        for options in ({"goal": 50}, {"goal": -1}, {"goal": 1.5}, {"parameters": "x"}, {"x": 1}):
            with self.subTest(options), self.assertRaisesRegex(ValueError, "options"):
                env.reset(seed=1, options=options)
        with self.assertRaises((ValueError, RuntimeError)):
            env.reset(seed=1, options={"parameters": [1e9]})
        env.reset(seed=1, options={"goal": None})

    def test_a_closed_environment(self):
        env = mentor.MentorEnv("push-v3")
        env.reset(seed=1)
        env.close()
        env.close()
        for call in (env.reset, env.save_state, lambda: env.step(np.zeros(4))):
            with self.assertRaisesRegex(RuntimeError, "closed"):
                call()

    def test_a_forked_process_makes_its_own(self):
        env = mentor.MentorEnv("Hopper-v5")
        env.reset(seed=1)
        child = os.fork()
        if child == 0:
            try:
                env.step(np.zeros(3))
            except RuntimeError as error:
                os._exit(0 if "forked" in str(error) else 1)
            os._exit(2)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        env.step(np.zeros(3))

    def test_two_threads_on_one_environment(self):
        env = mentor.vector("Ant-v5", 64, num_threads=1)
        env.reset(seed=1)
        actions, said = np.zeros((64, 8), np.float32), []

        def work():
            for _ in range(50):
                try:
                    env.step(actions)
                except RuntimeError as error:
                    said.append(str(error))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(said)
        self.assertIn("another thread is using these environments", said[0])
        env.step(actions)

    def test_a_daemon_thread_may_outlive_the_interpreter(self):
        program = """
import sys, threading, time
import mentor, numpy as np
envs = mentor.vector("Hopper-v5", 2)
envs.reset(seed=1)
def live():
    while True:
        envs.step(np.zeros((2, 3), np.float32))
threading.Thread(target=live, daemon=True).start()
time.sleep(float(sys.argv[1]))
"""
        for wait in ("0", "0.003", "0.02", "0.1"):
            with self.subTest(wait):
                done = subprocess.run(
                    [sys.executable, "-c", program, wait],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    capture_output=True,
                    text=True,
                    timeout=60,
                )
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_importing_it_loads_neither_torch_nor_grpc(self):
        for name in ("torch", "grpc", "google.protobuf"):
            self.assertNotIn(name, sys.modules)


if __name__ == "__main__":
    unittest.main()
