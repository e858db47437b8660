"""Many environments at once: Gymnasium's own vector environments over single ones, bit for bit."""

import unittest

import module

module.make_importable()
import gymnasium  # noqa: E402
import mentor  # noqa: E402
import numpy as np  # noqa: E402
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv  # noqa: E402

NUM, STEPS = 3, 45
NAMES = ("point_reach", "Hopper-v5", "bernoulli_bandit")


def single(name):
    return lambda: gymnasium.make(f"mentor:mentor/{name}")


class EndsOnSuccess(gymnasium.Wrapper):
    on = True

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        solved = self.on and info["success"] == 1
        return observation, reward, terminated or solved, truncated, info


def pairs(infos):
    """The entries that some environment has, by key, where it has them."""
    found = {}
    for key, value in infos.items():
        if key.startswith("_") or not np.any(infos[f"_{key}"]):
            continue
        mask = np.asarray(infos[f"_{key}"])
        if isinstance(value, dict):
            found[key] = pairs(value)
        else:
            found[key] = [np.asarray(one).tolist() for one in np.asarray(value, object)[mask]]
    return found


class VectorTest(unittest.TestCase):
    def same(self, ours, theirs, mode, options=None):
        """Returns how many episodes were terminated."""
        ours.action_space.seed(1)
        one, two = (envs.reset(seed=5, options=options) for envs in (ours, theirs))
        self.assertTrue(np.array_equal(one[0], two[0]))
        ends = 0
        for t in range(STEPS):
            actions = ours.action_space.sample()
            one, two = ours.step(actions), theirs.step(actions)
            for a, b in zip(one[:4], two[:4]):
                self.assertEqual((a.shape, a.dtype), (b.shape, b.dtype))
                self.assertTrue(np.array_equal(a, b), t)
            self.assertEqual(pairs(one[4]), pairs(two[4]))
            done, ends = one[2] | one[3], ends + one[2].sum()
            if mode is AutoresetMode.DISABLED and done.any():
                options = {"reset_mask": done}
                one, two = ours.reset(options=options), theirs.reset(options=options)
                self.assertTrue(np.array_equal(one[0], two[0]))
        return ends

    def test_all_kinds_of_autoreset_are_those_of_gymnasium(self):
        for name in NAMES:
            for mode in AutoresetMode:
                with self.subTest(name=name, mode=mode):
                    theirs = SyncVectorEnv([single(name)] * NUM, autoreset_mode=mode)
                    ours = mentor.vector(name, NUM, autoreset_mode=mode)
                    self.assertEqual(ours.metadata["autoreset_mode"], mode)
                    self.assertEqual(ours.observation_space, theirs.observation_space)
                    self.assertEqual(ours.action_space, theirs.action_space)
                    self.same(ours, theirs, mode)

    def test_success_ends_episodes_while_that_is_on(self):
        # Success comes within the ten steps of an episode, or with the only one.
        for name in ("contextual_bandit", "bernoulli_bandit"):
            for mode in AutoresetMode:
                one = single(name)
                ends = [lambda one=one: EndsOnSuccess(one())] * NUM
                theirs = SyncVectorEnv(ends, autoreset_mode=mode)
                ours = mentor.vector(name, NUM, autoreset_mode=mode, terminate_on_success=True)
                with self.subTest(name=name, mode=mode):
                    self.assertGreater(self.same(ours, theirs, mode, {"goal": 2}), 5)
                    ours.terminate_on_success = False
                    theirs.set_attr("on", False)
                    self.assertEqual(self.same(ours, theirs, mode), 0)

    def test_gymnasium_steps_single_ones_in_processes(self):
        theirs = AsyncVectorEnv([single("Hopper-v5")] * NUM, context="spawn")
        try:
            self.same(gymnasium.make_vec("mentor/Hopper-v5", NUM), theirs, AutoresetMode.NEXT_STEP)
        finally:
            theirs.close()

    def test_bits_depend_on_neither_number_nor_threads(self):
        def life(num_envs, threads):
            envs = mentor.vector("Ant-v5", num_envs, num_threads=threads)
            numbers = [envs.reset(seed=7)[0][0]]
            for t in range(20):
                actions = np.full(envs.action_space.shape, np.sin(t), np.float32)
                numbers.append(envs.step(actions)[0][0])
            return np.array(numbers)

        wanted = life(1, 1)
        for num_envs, threads in ((3, 1), (3, 2), (8, 5)):
            self.assertTrue(np.array_equal(life(num_envs, threads), wanted))

    def test_views_change_with_the_next_step_and_copies_do_not(self):
        for copy in (True, False):
            envs = mentor.vector("point_reach", NUM, copy=copy)
            envs.reset(seed=1)
            first = envs.step(envs.action_space.sample())
            kept = first[0].copy()
            second = envs.step(envs.action_space.sample())
            self.assertEqual(np.array_equal(first[0], kept), copy)
            self.assertEqual(np.shares_memory(first[0], second[0]), not copy)
        envs.close()
        self.assertTrue(np.isfinite(first[0]).all())  # What was given out stays readable.

    def test_send_and_recv_give_each_environment_its_own_life(self):
        waiting = mentor.vector("point_reach", NUM)
        waiting.reset(seed=3)
        action = np.full((NUM, 2), 0.25, np.float32)
        lives = [[] for _ in range(NUM)]
        for _ in range(STEPS):
            for i, observation in enumerate(waiting.step(action)[0]):
                lives[i].append(observation)
        envs = mentor.vector("point_reach", NUM, num_threads=2, batch_size=1)
        envs.async_reset(seed=3)
        seen = [[] for _ in range(NUM)]
        while min(len(one) for one in seen) <= STEPS:
            observations, _, _, _, infos = envs.recv()
            for i, observation in zip(infos["env_id"], observations):
                seen[i].append(observation)
            envs.send(action[: len(infos["env_id"])], infos["env_id"])
        for i in range(NUM):
            self.assertTrue(np.array_equal(seen[i][1 : STEPS + 1], lives[i]))
        with self.assertRaisesRegex(RuntimeError, "send.. and recv"):
            envs.step(action)
        with self.assertRaisesRegex(RuntimeError, "at work already"):
            envs.send(action)

    def test_recv_gives_those_that_are_left(self):
        envs = mentor.vector("point_reach", 7, batch_size=3)
        with self.assertRaisesRegex(RuntimeError, "no episode has begun; call async_reset"):
            envs.send(np.zeros((1, 2)), [0])
        envs.async_reset(seed=1)
        seen = [list(envs.recv()[4]["env_id"]) for _ in range(3)]
        self.assertEqual([len(ids) for ids in seen], [3, 3, 1])
        self.assertEqual(sorted(sum(seen, [])), list(range(7)))
        with self.assertRaisesRegex(RuntimeError, "0 are at work: send"):
            envs.recv()
        for ids in ([], np.zeros(0, int), [0] * 8):
            with self.assertRaisesRegex(ValueError, "env_id"):
                envs.send(np.zeros((len(ids), 2)), ids)
        envs.async_reset(seed=1)
        self.assertEqual(len(envs.recv()[4]["env_id"]), 3)
        envs.terminate_on_success = True
        with self.assertRaisesRegex(RuntimeError, "with terminate_on_success use step"):
            envs.recv()

    def test_goals_and_pictures_of_all(self):
        envs = gymnasium.make_vec("mentor/push-v3", 2, render_mode="rgb_array", width=32, height=32)
        observations = envs.reset(seed=1, options={"goal": 3})[0]
        self.assertTrue((observations[0] == observations[1]).all())
        self.assertEqual([picture.shape for picture in envs.render()], [(32, 32, 3)] * 2)

    def test_wrappers_of_gymnasium_fit(self):
        envs = gymnasium.make_vec("mentor/Hopper-v5", NUM)
        envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
        envs = gymnasium.wrappers.vector.NormalizeObservation(envs)
        envs.reset(seed=1)
        episodes = 0
        for _ in range(100):
            infos = envs.step(envs.action_space.sample())[4]
            episodes += int(np.sum(infos.get("_episode", 0)))
        self.assertGreater(episodes, 0)

    def test_more_environments_than_memory_holds_are_refused(self):
        with self.assertRaisesRegex(ValueError, "num_envs: 65536 x .* MB that this process may"):
            mentor.vector("HumanoidStandup-v5", 65536)

    def test_what_does_not_fit_is_refused(self):
        for words, arguments in (
            ("num_envs", {"num_envs": 0}),
            ("num_envs", {"num_envs": 10**9}),
            ("num_envs", {"num_envs": 2.5}),
            ("num_threads", {"num_threads": 0}),
            ("batch_size", {"num_envs": 2, "batch_size": 3}),
            ("autoreset_mode", {"autoreset_mode": "never"}),
            ("copy: is 'x'", {"copy": "x"}),
            ("terminate_on_success: is 1", {"terminate_on_success": 1}),
            ("max_episode_steps: is 3", {"max_episode_steps": 3}),
        ):
            with self.subTest(arguments), self.assertRaisesRegex(ValueError, words):
                mentor.MentorVectorEnv("point_reach", **arguments)
        mentor.vector("point_reach", 2, autoreset_mode="SAME_STEP").close()
        envs = mentor.vector("point_reach", 2)
        with self.assertRaisesRegex(RuntimeError, "environment 0.*reset"):
            envs.step(np.zeros((2, 2)))
        envs.reset(seed=[1, None])
        for actions in (np.zeros((3, 2)), np.zeros((2, 3)), np.zeros(4)):
            with self.assertRaisesRegex(ValueError, r"give \[2, 2\]"):
                envs.step(actions)
        with self.assertRaisesRegex(ValueError, "seed: has 3"):
            envs.reset(seed=[1, 2, 3])
        for mask in (np.array([1, 0]), np.zeros(2, bool), np.ones(3, bool)):
            with self.assertRaisesRegex(ValueError, "reset_mask"):
                envs.reset(options={"reset_mask": mask})
        envs.close()
        with self.assertRaisesRegex(RuntimeError, "closed"):
            envs.step(np.zeros((2, 2)))


if __name__ == "__main__":
    unittest.main()
