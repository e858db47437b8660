"""mentor's environments as Gymnasium's Env: its checkers, what lasts, and what callers do wrong."""

import copy
import os
import pickle
import threading
import unittest
import warnings

import native_modules
from package import ROOT

BUNDLE = ROOT / "deploy" / "bundles" / "reacher"


def setUpModule():
    global gymnasium, mentor, np, check_env, native, registration
    native_modules.make_importable(native_modules.SIGNAL, native_modules.WHEELS)
    import gymnasium
    import numpy as np
    from gymnasium.utils.env_checker import check_env
    import mentor
    from mentor import _native as native
    from mentor.environments import registration


def make(name, **arguments):
    return gymnasium.make(f"mentor/{name}", disable_env_checker=True, **arguments)


def history(env, steps=30):
    """What later steps and episodes give."""
    random = np.random.default_rng(1)
    found = []
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(
            random.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        )
        found.append((observation.tolist(), reward, terminated, truncated, info))
        if terminated or truncated:
            found.append(env.reset()[0].tolist())
    return found


class EnvironmentsTest(unittest.TestCase):
    def test_every_environment_is_registered(self):
        names = {entry["name"] for entry in native.catalogue()} - {"mjcf"}
        self.assertEqual(set(registration.NAMES) - {"bundle"}, names)
        for name in registration.NAMES:
            self.assertIn(f"mentor/{name}", gymnasium.registry)

    def test_gymnasiums_checker_passes(self):
        for name in registration.NAMES:
            arguments = {"path": BUNDLE} if name == "bundle" else {}
            with self.subTest(name), warnings.catch_warnings():
                # Bounds of observations are infinite, as with the originals.
                warnings.simplefilter("ignore")
                env = make(name, **arguments)
                if env.unwrapped.episode_steps == 1:
                    # The checker takes an end at the first step for a mistake.
                    continue
                check_env(env.unwrapped, skip_render_check=True)
                env.close()

    def test_stable_baselines_checker_passes(self):
        from stable_baselines3.common.env_checker import check_env as sb3_check

        for name in ("point_reach", "Hopper-v5", "push-v3", "maze", "bernoulli_bandit"):
            with self.subTest(name), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sb3_check(make(name).unwrapped, skip_render_check=True)

    def test_an_unnamed_import_registers_by_module(self):
        env = gymnasium.make("mentor:mentor/point_reach")
        self.assertEqual(env.reset(seed=1)[0].dtype, np.float64)

    def test_copies_go_on_as_the_original(self):
        for name in ("point_reach", "push-v3"):
            env = make(name).unwrapped
            env.reset(seed=3)
            for _ in range(5):
                env.step(env.action_space.sample())
            copied, loaded = copy.deepcopy(env), pickle.loads(pickle.dumps(env))
            expected = history(env, 250)
            self.assertEqual(history(copied, 250), expected)
            self.assertEqual(history(loaded, 250), expected)

    def test_an_environment_without_an_episode_is_copied(self):
        env = pickle.loads(pickle.dumps(make("point_reach").unwrapped))
        self.assertEqual(
            env.reset(seed=1)[0].tolist(), make("point_reach").reset(seed=1)[0].tolist()
        )

    def test_wrong_actions_are_refused_and_the_episode_goes_on(self):
        env = make("push-v3").unwrapped
        env.reset(seed=1)
        for action, error, message in (
            (np.zeros(3), ValueError, r"action: has shape \[3\]; give \[4\]"),
            (np.zeros((4, 1)), ValueError, "action: has shape"),
            (np.array(1.0), ValueError, "action: has shape"),
            (["a"] * 4, TypeError, "action: give numbers"),
            (None, ValueError, "action: has shape"),
            (np.zeros(4, complex), TypeError, "action: is complex"),
            ([0, 0, np.nan, 0], ValueError, r"actions\[0, 2\]: is nan"),
            ([0, 0, 0, 1e300], ValueError, r"actions\[0, 3\]: is inf"),
        ):
            with self.subTest(action=action), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with self.assertRaisesRegex(error, message):
                    env.step(action)
        env.step(np.zeros(4))

    def test_wrong_choices_are_refused(self):
        env = make("bernoulli_bandit").unwrapped
        env.reset(seed=1)
        for action in (-1, 10**6, 0.5, "1", [0, 1], None):
            with self.subTest(action=action), self.assertRaisesRegex(ValueError, "action: "):
                env.step(action)

    def test_wrong_arguments_name_the_field(self):
        for name, arguments, message in (
            ("push-v3", {"goal_seed": -1}, "goal_seed"),
            ("push-v3", {"goal_visible": "yes"}, "goal_visible"),
            ("push-v3", {"frames": 3}, "frames"),
            ("push-v3", {"wrappers": [{"name": "sparse"}]}, "wrappers"),
            ("push-v3", {"wrappers": [3]}, r"wrappers\[0\]"),
            ("push-v3", {"path": "/tmp"}, "path"),
            ("push-v3", {"width": 0}, "width"),
            ("bundle", {}, "path"),
            ("bundle", {"path": "/nowhere"}, "nowhere"),
            ("point_reach", {"render_mode": "rgb_array"}, "render_mode"),
            ("point_reach", {"episode_steps": "many"}, "episode_steps"),
        ):
            with self.subTest(name, **arguments), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with self.assertRaisesRegex(ValueError, message):
                    make(name, **arguments)
        with self.assertRaisesRegex(ValueError, "push-v3"):
            mentor.environments.environment.MentorEnv("pusch-v3")

    def test_wrong_resets_name_the_field(self):
        env = make("push-v3").unwrapped
        for arguments, message in (
            ({"seed": -1}, "seed"),
            ({"seed": 1.5}, "seed"),
            ({"seed": 2**64}, "seed"),
            ({"options": {"goal": 50}}, r"options\['goal'\]"),
            ({"options": {"goal": -1}}, r"options\['goal'\]"),
            ({"options": {"goals": 1}}, r"options\['goals'\]"),
            ({"options": {"parameters": [1.0]}}, "parameters"),
            ({"options": {"parameters": [np.nan] * 6}}, "parameters"),
            ({"options": {"goal": 1, "parameters": [1.0] * 6}}, "not both"),
        ):
            with self.subTest(**arguments), self.assertRaisesRegex(ValueError, message):
                env.reset(**arguments)
            # The refused choice does not last.
            env.reset(seed=1)

    def test_what_comes_too_early_or_late_is_an_error(self):
        env = make("point_reach").unwrapped
        with self.assertRaisesRegex(RuntimeError, r"reset\(\)"):
            env.step(np.zeros(2))
        env.reset(seed=1)
        for _ in range(env.episode_steps):
            _, _, terminated, truncated, _ = env.step(np.zeros(2))
        self.assertTrue(terminated or truncated)
        with self.assertRaisesRegex(RuntimeError, "has ended"):
            env.step(np.zeros(2))
        env.close()
        env.close()
        for call in (lambda: env.step(np.zeros(2)), env.reset, env.save_state):
            with self.assertRaisesRegex(RuntimeError, "closed"):
                call()
        for state in (b"", b"\0" * 40, os.urandom(200)):
            with self.assertRaises(ValueError):
                make("point_reach").unwrapped.restore_state(state)

    def test_a_forked_process_is_told(self):
        env = mentor.vector("point_reach", 4, num_threads=3)
        env.reset(seed=1)
        end, other_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                env.step(np.zeros((4, 2)))
            except RuntimeError as error:
                os.write(other_end, str(error).encode())
            env.close()
            del env
            os._exit(7)
        os.close(other_end)
        with os.fdopen(end, "rb") as pipe:
            self.assertIn(b"forked", pipe.read())
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 7)
        env.step(np.zeros((4, 2)))

    def test_two_threads_are_an_error_and_no_crash(self):
        env = mentor.vector("Hopper-v5", 16, num_threads=2)
        env.reset(seed=1)
        errors, steps = [], []

        def work():
            for _ in range(300):
                try:
                    env.step(np.zeros((16, 3)))
                    steps.append(1)
                except RuntimeError as error:
                    errors.append(str(error))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertTrue(steps)
        self.assertEqual([one for one in errors if "another thread" not in one], [])
        env.step(np.zeros((16, 3)))

    def test_a_picture_is_drawn(self):
        env = make("Hopper-v5", render_mode="rgb_array", width=64, height=48)
        env.reset(seed=1)
        picture = env.render()
        self.assertEqual((picture.shape, picture.dtype), ((48, 64, 3), np.uint8))
        self.assertGreater(picture.std(), 1)


if __name__ == "__main__":
    unittest.main()
