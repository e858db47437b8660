"""mentor.metaworld against tables that the Python package drew: names and goals of its benchmarks,
and bad input."""

import hashlib
import json
import random
import unittest

import module

module.make_importable()
import mentor  # noqa: E402
import numpy as np  # noqa: E402

RECORDED = module.ROOT / "tests/data/parity/metaworld_goals_seed0.json"


class MetaworldTest(unittest.TestCase):
    def check(self, tasks, recorded, visible):
        """Compares tasks with the tables by environment; a long table has its hash."""
        names = list(dict.fromkeys(task.env_name for task in tasks))
        self.assertEqual(sorted(names), sorted(recorded))
        for name in names:
            mine = [task for task in tasks if task.env_name == name]
            self.assertEqual({task.goal_visible for task in mine}, {visible})
            numbers = np.concatenate([task.parameters for task in mine])
            table = recorded[name]
            if isinstance(table, list):
                self.assertEqual(numbers.tolist(), table)
            else:
                self.assertEqual(
                    hashlib.sha256(numbers.astype("<f8").tobytes()).hexdigest(), table["sha256"]
                )

    def test_tasks_are_those_of_the_package(self):
        recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["benchmarks"]
        for name in ("ML10", "ML45", "MT10", "MT50"):
            with self.subTest(name):
                ours = getattr(mentor.metaworld, name)(seed=0)
                self.check(ours.train_tasks, recorded[name]["train"], name.startswith("MT"))
                self.check(ours.test_tasks, recorded[name].get("test", {}), False)
        for name in mentor.metaworld.ML1.ENV_NAMES:
            with self.subTest(name):
                ml1, mt1 = mentor.metaworld.ML1(name, seed=0), mentor.metaworld.MT1(name, seed=0)
                self.check(ml1.train_tasks, {name: recorded["ML1"]["train"][name]}, False)
                self.check(ml1.test_tasks, {name: recorded["ML1"]["test"][name]}, False)
                self.check(mt1.train_tasks, {name: recorded["ML1"]["train"][name]}, True)

    def test_it_is_used_as_the_package_is(self):
        ml1 = mentor.metaworld.ML1("door-close-v3", seed=1)
        self.assertEqual((len(ml1.train_tasks), len(ml1.test_tasks)), (50, 50))
        env = ml1.train_classes["door-close-v3"]()
        env.set_task(random.Random(1).choice(ml1.train_tasks))
        observation, _ = env.reset(seed=1)
        self.assertFalse(observation[36:].any())
        self.assertEqual(env.step(env.action_space.sample())[0].shape, (39,))
        self.assertEqual(len(mentor.metaworld.MT1.ENV_NAMES), 50)
        self.assertEqual(mentor.metaworld.MT1("push-v3", seed=1).test_tasks, [])
        one = mentor.metaworld.MT1("push-v3", seed=1)
        self.assertEqual(one.test_classes, one.train_classes)
        with self.assertRaisesRegex(ValueError, "task.env_name: is 'push-v3'"):
            env.set_task(mentor.metaworld.MT1("push-v3", seed=1).train_tasks[0])

    def test_a_task_says_whether_observations_show_the_goal(self):
        hidden = mentor.metaworld.ML1("push-v3", seed=1).train_tasks[0]
        shown = mentor.metaworld.MT1("push-v3", seed=1).train_tasks[0]
        env = mentor.metaworld.MT1("push-v3", seed=1).train_classes["push-v3"]()
        seen = []
        for task in (shown, hidden, shown):
            env.set_task(task)
            seen.append(env.reset()[0][36:])
        self.assertEqual(seen[0].tolist(), seen[2].tolist())
        self.assertTrue(seen[0].any())
        self.assertFalse(seen[1].any())
        self.assertEqual(env.reset()[0][36:].tolist(), seen[0].tolist())

    def test_tasks_that_do_not_fit(self):
        env = mentor.metaworld.ML1("push-v3", seed=1).train_classes["push-v3"]()
        with self.assertRaisesRegex(RuntimeError, "has no task yet; call set_task"):
            env.reset()
        for task, words in (
            (None, "task: is NoneType"),
            (
                mentor.metaworld.Task("push-v3", "abc"),
                "task.parameters: give a list of finite numbers",
            ),
            (
                mentor.metaworld.Task("push-v3", None),
                "task.parameters: give a list of finite numbers",
            ),
        ):
            with self.subTest(words), self.assertRaisesRegex((TypeError, ValueError), words):
                env.set_task(task)

    def test_seeds_and_names_that_do_not_fit(self):
        self.assertNotEqual(
            mentor.metaworld.ML1("push-v3").seed, mentor.metaworld.ML1("push-v3").seed
        )
        for words, arguments in (
            ("env_name: 'pusk-v3'", ("pusk-v3",)),
            ("seed", ("push-v3", -1)),
            ("seed", ("push-v3", 2**31)),
            ("seed", ("push-v3", 1.0)),
        ):
            with self.subTest(arguments), self.assertRaisesRegex(ValueError, words):
                mentor.metaworld.ML1(*arguments)


if __name__ == "__main__":
    unittest.main()
