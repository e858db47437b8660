"""A vector with the task classes of a benchmark, against environments of mentor.metaworld that are
stepped one by one."""

import json
import runpy
import sys
import types
import unittest
from unittest import mock

import module

module.make_importable()
import gymnasium  # noqa: E402
import mentor  # noqa: E402
import numpy as np  # noqa: E402
from mentor.environments.registration import META_WORLD, VECTORS  # noqa: E402

SEED, STEPS = 3, 12


def tasks_of(name):
    """The tasks of each class, in the benchmark's order."""
    benchmark = getattr(mentor.metaworld, name.split("-")[0])(seed=SEED)
    tasks = benchmark.test_tasks if name.endswith("-test") else benchmark.train_tasks
    classes = {}
    for task in tasks:
        classes.setdefault(task.env_name, []).append(task)
    return list(classes.values())


def single(task):
    env = mentor.MentorEnv(task.env_name, goal_visible=task.goal_visible)
    env.set_task(task)
    return env


class ClassesTest(unittest.TestCase):
    def test_goals_are_those_of_the_benchmarks(self):  # Nightly
        for name, (_, _, count, _) in VECTORS.items():
            with self.subTest(name):
                classes = tasks_of(name)
                envs = gymnasium.make_vec(f"mentor/{name}", goal_seed=SEED, num_threads=2)
                self.assertEqual((envs.num_envs, len(classes)), (count, count))
                self.assertEqual(envs.unwrapped.goal_visible, name.startswith("MT"))
                found = envs.reset(seed=1, options={"goal": 7})[0]
                wanted = np.array([single(tasks[7]).reset(seed=1)[0] for tasks in classes])
                self.assertTrue(np.array_equal(found[:, :39], wanted))
                one_hot = np.eye(count) if name.startswith("MT") else np.zeros((count, 0))
                self.assertTrue(np.array_equal(found[:, 39:], one_hot))
                self.assertEqual(found[:, 36:39].any(), name.startswith("MT"))
                envs.close()

    def test_steps_are_those_of_single_environments(self):
        classes = tasks_of("MT10")
        for count in (1, 8, 12):
            envs = mentor.vector("MT10", count, goal_seed=SEED)
            alone = [single(classes[i % 10][2]) for i in range(count)]
            found = envs.reset(seed=5, options={"goal": 2})[0]
            for i, env in enumerate(alone):
                self.assertTrue(np.array_equal(found[i, :39], env.reset(seed=5 + i)[0]))
            self.assertEqual(found[:, 39:].argmax(1).tolist(), [i % 10 for i in range(count)])
            envs.action_space.seed(1)
            for _ in range(STEPS):
                actions = envs.action_space.sample()
                found, rewards, terminated, truncated, infos = envs.step(actions)
                for i, env in enumerate(alone):
                    one = env.step(actions[i])
                    self.assertTrue(np.array_equal(found[i, :39], one[0]))
                    self.assertEqual((rewards[i], terminated[i], truncated[i]), one[1:4])
                    self.assertEqual({key: infos[key][i] for key in one[4]}, one[4])
            envs.close()

    def test_each_reset_draws_a_goal_by_seed(self):
        classes = [{task.parameters[-3:] for task in tasks} for tasks in tasks_of("MT10")]

        def goals(count, resets=4):
            envs = mentor.vector("MT10", count, goal_seed=SEED)
            drawn = [envs.reset(seed=1)[0]] + [envs.reset()[0] for _ in range(resets - 1)]
            fixed = [envs.reset(options={"goal": 1})[0], envs.reset()[0]]
            self.assertTrue(np.array_equal(*fixed))
            self.assertFalse(np.array_equal(envs.reset(options={"goal": None})[0], fixed[0]))
            envs.close()
            return np.array(drawn)[:, :, 36:39]

        ten, many = goals(10), goals(64)
        self.assertTrue(np.array_equal(ten, many[:, :10]))
        self.assertGreater(len(np.unique(ten[:, 0], axis=0)), 1)
        self.assertFalse(np.array_equal(many[:, 0], many[:, 10]))  # One class, another seed.
        for goal in many[:, ::10].reshape(-1, 3):  # The vector of reach-v3 ends with it.
            self.assertIn(tuple(goal), classes[0])

    def test_episodes_begin_anew_with_other_goals(self):
        for mode in ("NEXT_STEP", "SAME_STEP"):
            envs = mentor.vector("ML10-test", 2, autoreset_mode=mode, copy=False)
            other = mentor.vector("ML10-test", 2)
            wanted = [other.reset(seed=1)[0], other.reset()[0]]
            self.assertTrue(np.array_equal(envs.reset(seed=1)[0], wanted[0]))
            actions = np.zeros((2, 4), np.float32)
            for _ in range(500):
                found, _, _, truncated, infos = envs.step(actions)
            self.assertTrue(truncated.all())
            if mode == "NEXT_STEP":
                found = envs.step(actions)[0]
            else:
                self.assertEqual([len(one) for one in infos["final_obs"]], [39, 39])
            self.assertTrue(np.array_equal(found, wanted[1]))
            self.assertFalse(np.array_equal(*wanted))

    def test_observations_in_single_precision(self):
        for name in ("MT10", "point_reach"):
            double = mentor.vector(name, 2, autoreset_mode="SAME_STEP")
            envs = mentor.vector(name, 2, dtype="float32", autoreset_mode="SAME_STEP")
            self.assertEqual(envs.observation_space.dtype, np.float32)
            wanted, found = double.reset(seed=1)[0], envs.reset(seed=1)[0]
            actions = np.zeros(envs.action_space.shape, np.float32)
            for _ in range(60):
                self.assertEqual((wanted.dtype, found.dtype), (np.float64, np.float32))
                self.assertTrue(np.array_equal(wanted.astype(np.float32), found))
                wanted, (found, _, _, _, infos) = double.step(actions)[0], envs.step(actions)
                for one in infos.get("final_obs", []):
                    self.assertEqual(one.dtype, np.float32)

    def test_options_and_wrappers_fit(self):
        for arguments, width in (
            ({"one_hot": False}, 39),
            ({"wrappers": [{"name": "time_feature"}]}, 50),
        ):
            envs = gymnasium.make_vec("mentor/MT10", **arguments)
            self.assertEqual(envs.reset(seed=1)[0].shape, (10, width))
            envs.close()
        hidden = mentor.vector("MT10", goal_visible=False).reset(seed=1)[0]
        self.assertFalse(hidden[:, 36:39].any())

    def test_what_does_not_fit_is_refused(self):
        for words, name, arguments in (
            ("name: there is no 'MT11'; did you mean MT10", "MT11", {}),
            ("name: there is no 'ML10'; .*ML10-train", "ML10", {}),
            ("num_envs: is 0; give an integer", "MT10", {"num_envs": 0}),
            ("dtype: is 'int8'; give 'float64' or 'float32'", "MT10", {"dtype": "int8"}),
            ("dtype: is None", "MT10", {"dtype": None}),
            ("one_hott: is no option of MT10; did you mean 'one_hot'", "MT10", {"one_hott": True}),
            ("has one_hot; arguments are .*, goal_visible", "MT10", {"foo": 1}),
            ("one_hot: is no option of ML10-train; it has none", "ML10-train", {"one_hot": True}),
        ):
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                mentor.vector(name, **arguments)
        with self.assertRaisesRegex(gymnasium.error.NameNotFound, "Did you mean: `MT10`"):
            gymnasium.make_vec("mentor/MT11")
        with self.assertRaisesRegex(ValueError, "MT10 has many tasks; gymnasium.make_vec"):
            gymnasium.make("mentor/MT10")
        envs = mentor.vector("MT10", 2)
        with self.assertRaisesRegex(ValueError, r"options\['goal'\]: is 50, but .* 0 to 49"):
            envs.reset(options={"goal": 50})
        with self.assertRaisesRegex(ValueError, r"parameters'\]: .* give the number of a goal"):
            envs.reset(options={"parameters": [1, 2, 3]})

    def test_recipes_of_metaworld_algorithms_find_what_they_ask_for(self):
        named = {name: types.SimpleNamespace(__name__=name.upper()) for name in META_WORLD}
        modules = {
            "metaworld": types.SimpleNamespace(),
            "metaworld.env_dict": types.SimpleNamespace(ALL_V3_ENVIRONMENTS=named),
            "metaworld_algorithms": types.SimpleNamespace(
                envs=types.SimpleNamespace(MetaworldConfig=types.SimpleNamespace)
            ),
        }
        with mock.patch.dict(sys.modules, modules):
            example = runpy.run_path(str(module.ROOT / "docs/examples/metaworld_recipes.py"))
        config = example["MetaworldConfig"](
            env_id="MT10", use_one_hot=True, terminate_on_success=False, max_episode_steps=500,
            reward_func_version="v2", reward_normalization_method=None,
            normalize_observations=False, num_goals=50,
        )  # fmt: skip
        envs = config.spawn(SEED)
        self.assertEqual(envs.get_attr("task_name")[0], "REACH-V3")
        envs.call("toggle_terminate_on_success", True)
        self.assertEqual(envs.get_attr("terminate_on_success"), [True] * 10)
        observations = envs.reset()[0]
        self.assertEqual((observations.shape, observations.dtype), ((10, 49), np.float32))
        returns, done = np.zeros(10), np.zeros(10, bool)
        for t in range(1, 501):
            actions = [envs.unwrapped.native.scripted_action(i) for i in range(10)]
            observations, rewards, terminated, truncated, infos = envs.step(actions)
            returns += rewards
            for i in np.flatnonzero((terminated | truncated) & ~done):
                final = infos["final_info"]
                self.assertEqual(final["success"][i], terminated[i])
                self.assertEqual(final["episode"]["l"][i], t)
                self.assertAlmostEqual(final["episode"]["r"][i], returns[i])
                self.assertFalse(np.array_equal(infos["final_obs"][i], observations[i]))
            done |= terminated | truncated
        self.assertTrue(done.all())
        states = json.loads(json.dumps(envs.call("get_checkpoint")))
        again = config.spawn(SEED)
        again.call("load_checkpoint", states)
        self.assertTrue(np.array_equal(again.reset()[0], envs.reset()[0]))
        config.num_goals = 3
        with self.assertRaisesRegex(ValueError, "num_goals: is 3; Mentor has 50 alone"):
            config.spawn()


if __name__ == "__main__":
    unittest.main()
