"""MentorVectorEnv gives what Gymnasium's own vector environments make of our single one, bit for
bit, and refuses what is wrong."""

import functools
import unittest

import native_modules

COUNT = 3
STEPS = 40


def setUpModule():
    global gymnasium, mentor, np, AutoresetMode, AsyncVectorEnv, SyncVectorEnv, MentorEnv
    native_modules.make_importable()
    import gymnasium
    import numpy as np
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
    import mentor
    from mentor.environments.environment import MentorEnv


def makers(name, **arguments):
    return [functools.partial(MentorEnv, name, **arguments) for _ in range(COUNT)]


def actions_of(env, steps=STEPS):
    random = np.random.default_rng(5)
    if isinstance(env.single_action_space, gymnasium.spaces.Discrete):
        return random.integers(0, env.single_action_space.n, (steps, COUNT))
    return random.uniform(-1, 1, (steps, *env.action_space.shape)).astype(np.float32)


class VectorTest(unittest.TestCase):
    def same(self, ours, theirs, what):
        """Compares what two vector environments returned, with all that infos hold."""
        if isinstance(theirs, dict):
            self.assertEqual(sorted(ours), sorted(theirs), what)
            for key, value in theirs.items():
                self.same(ours[key], value, f"{what} {key}")
        elif isinstance(theirs, tuple):
            self.assertEqual(len(ours), len(theirs), what)
            for number, (one, other) in enumerate(zip(ours, theirs)):
                self.same(one, other, f"{what} [{number}]")
        elif theirs.dtype == object:
            for one, other in zip(ours, theirs):
                self.assertEqual(one is None, other is None, what)
                if one is not None:
                    self.same(one, other, what)
        else:
            self.assertEqual((ours.shape, ours.dtype), (theirs.shape, theirs.dtype), what)
            self.assertEqual(ours.tolist(), theirs.tolist(), what)

    def compare(self, name, mode, theirs, **arguments):
        ours = mentor.vector(name, COUNT, num_threads=2, autoreset_mode=mode, **arguments)
        self.assertEqual(ours.observation_space, theirs.observation_space)
        self.assertEqual(ours.action_space, theirs.action_space)
        self.assertEqual(ours.metadata["autoreset_mode"], theirs.metadata["autoreset_mode"])
        self.same(ours.reset(seed=7), theirs.reset(seed=7), "reset")
        for t, actions in enumerate(actions_of(ours)):
            one, other = ours.step(actions), theirs.step(actions)
            self.same(one, other, f"{name} {mode} step {t}")
            ended = other[2] | other[3]
            if mode is AutoresetMode.DISABLED and (ended.any() or t == 4):
                # An episode may be left early, too.
                options = {"reset_mask": ended if ended.any() else np.array([True, False, True])}
                one, other = ours.reset(options=options), theirs.reset(options=options)
                self.same(one[0], other[0], f"{name} reset after step {t}")
        ours.close()
        theirs.close()

    def test_the_bits_of_sync_vector_env(self):
        for name, arguments in (
            ("point_reach", {"episode_steps": 7}),
            ("Hopper-v5", {}),
            ("push-v3", {}),
            ("bernoulli_bandit", {}),
        ):
            for mode in AutoresetMode:
                with self.subTest(name, mode=mode):
                    theirs = SyncVectorEnv(makers(name, **arguments), autoreset_mode=mode)
                    self.compare(name, mode, theirs, **arguments)

    def test_the_bits_of_async_vector_env(self):
        for context in ("spawn", "fork"):
            mode = AutoresetMode.NEXT_STEP
            theirs = AsyncVectorEnv(makers("Hopper-v5"), context=context, autoreset_mode=mode)
            self.compare("Hopper-v5", mode, theirs)

    def test_make_vec_makes_it(self):
        env = gymnasium.make_vec("mentor/push-v3", num_envs=2)
        self.assertIsInstance(env, mentor.environments.vector.MentorVectorEnv)
        self.assertEqual(env.reset(seed=1)[0].shape, (2, 39))
        env.close()

    def test_without_copies_arrays_are_views(self):
        env = mentor.vector("point_reach", 2, copy=False)
        first, _ = env.reset(seed=1)
        kept = first.copy()
        second = env.step(np.ones((2, 2)))[0]
        self.assertTrue(np.shares_memory(first, second))
        self.assertNotEqual(first.tolist(), kept.tolist())
        # A view outlives its environment.
        env.close()
        del env
        self.assertEqual(first.tolist(), second.tolist())

    def test_send_and_recv_give_the_bits_of_step(self):
        plain = mentor.vector("point_reach", 5, episode_steps=6)
        env = mentor.vector("point_reach", 5, episode_steps=6, batch_size=2, num_threads=2)
        expected = [plain.reset(seed=1)[0]] + [plain.step(np.ones((5, 2)))[0] for _ in range(30)]
        env.async_reset(seed=1)
        counts = [0] * 5
        while min(counts) < 20:
            observations, _, _, _, infos = env.recv()
            for row, index in enumerate(infos["env_id"]):
                if counts[index] <= 30:
                    wanted = expected[counts[index]][index]
                    self.assertEqual(observations[row].tolist(), wanted.tolist())
                counts[index] += 1
            env.send(np.ones((2, 2)), infos["env_id"])
        env.close()

    def test_wrong_arguments_name_the_field(self):
        for arguments, message in (
            ({"num_envs": 0}, "num_envs"),
            ({"num_envs": 2**40}, "num_envs"),
            ({"num_envs": 2.0}, "num_envs"),
            ({"num_threads": 0}, "num_threads"),
            ({"batch_size": 9}, "batch_size"),
            ({"autoreset_mode": "Sometimes"}, "autoreset_mode"),
            ({"wings": 2}, "wings"),
        ):
            arguments = {"num_envs": 2, **arguments}
            with self.subTest(**arguments), self.assertRaisesRegex(ValueError, message):
                mentor.vector("point_reach", **arguments)

    def test_wrong_calls_name_the_field(self):
        env = mentor.vector("point_reach", 3)
        for arguments, message in (
            ({"seed": [1, 2]}, "seed: has 2"),
            ({"seed": [1, 2, -3]}, r"seed\[2\]"),
            ({"seed": "abc"}, "seed"),
            ({"options": {"reset_mask": [1, 0, 1]}}, "reset_mask"),
            ({"options": {"reset_mask": np.zeros(3, bool)}}, "reset_mask"),
            ({"options": {"reset_mask": np.ones(4, bool)}}, "reset_mask"),
        ):
            with self.subTest(**arguments), self.assertRaisesRegex(ValueError, message):
                env.reset(**arguments)
        env.reset(seed=1)
        for actions in (np.zeros((2, 2)), np.zeros(2), np.zeros((2, 3)), 0.0):
            with self.assertRaisesRegex(ValueError, r"actions: has shape .*give \[3, 2\]"):
                env.step(actions)
        with self.assertRaisesRegex(ValueError, r"actions\[1, 0\]: is nan"):
            env.step([[0, 0], [np.nan, 0], [0, 0]])
        with self.assertRaisesRegex(RuntimeError, r"recv\(\) waits for 3"):
            env.recv()
        env.send(np.zeros((1, 2)), [1])
        with self.assertRaisesRegex(RuntimeError, "environment 1 is at work"):
            env.send(np.zeros((1, 2)), [1])
        with self.assertRaisesRegex(RuntimeError, "at work"):
            env.step(np.zeros((3, 2)))
        for numbers in ([3], [-1], [2**32]):
            with self.assertRaisesRegex(ValueError, "env_id"):
                env.send(np.zeros((1, 2)), numbers)
        env.close()
        with self.assertRaisesRegex(RuntimeError, "closed"):
            env.step(np.zeros((3, 2)))

    def test_more_environments_than_memory_holds_are_refused(self):
        # Refused before the machine's memory is paid for.
        with self.assertRaisesRegex(
            ValueError, "num_envs: 65536 x .* MB that this process may use"
        ):
            mentor.vector("HumanoidStandup-v5", 65536)


if __name__ == "__main__":
    unittest.main()
