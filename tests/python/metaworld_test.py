"""mentor.metaworld: names, order and goals of benchmarks are those of the package metaworld."""

import pickle
import unittest

import native_modules


def setUpModule():
    global ours, theirs, np
    native_modules.make_importable(native_modules.WHEELS, native_modules.PEERS)
    import metaworld as theirs
    import numpy as np
    import mentor.metaworld as ours


def tasks_of(package_tasks):
    """The package's tasks as ours: name, numbers, visibility."""
    found = []
    for task in package_tasks:
        data = pickle.loads(task.data)
        numbers = tuple(float(number) for number in data["rand_vec"])
        found.append((task.env_name, numbers, not data["partially_observable"]))
    return found


class MetaworldTest(unittest.TestCase):
    def equal(self, one, other):
        self.assertEqual(list(one.train_classes), list(other.train_classes))
        self.assertEqual(list(one.test_classes), list(other.test_classes))
        self.assertEqual([tuple(t) for t in one.train_tasks], tasks_of(other.train_tasks))
        self.assertEqual([tuple(t) for t in one.test_tasks], tasks_of(other.test_tasks))

    def test_ml1_has_the_tasks_of_the_package(self):
        for name, seed in (("door-close-v3", 3), ("peg-insert-side-v3", 0)):
            self.equal(ours.ML1(name, seed=seed), theirs.ML1(name, seed=seed))

    def test_ml10_has_the_tasks_of_the_package(self):
        self.equal(ours.ML10(seed=5), theirs.ML10(seed=5))

    def test_mt10_has_the_tasks_of_the_package(self):
        self.equal(ours.MT10(seed=7), theirs.MT10(seed=7))

    def test_a_class_makes_an_environment_that_takes_a_task(self):
        ml1 = ours.ML1("reach-v3", seed=1)
        env = ml1.train_classes["reach-v3"]()
        env.set_task(ml1.train_tasks[4])
        observation, _ = env.reset(seed=1)
        self.assertEqual(observation[36:].tolist(), [0, 0, 0])
        other, _ = env.reset(seed=1, options={"goal": 4})
        self.assertEqual(observation.tolist(), other.tolist())
        with self.assertRaisesRegex(ValueError, "task.env_name: is 'push-v3'"):
            env.set_task(ours.ML1("push-v3", seed=1).train_tasks[0])

    def test_wrong_names_and_seeds_are_refused(self):
        with self.assertRaisesRegex(ValueError, "env_name: 'reach-v9'"):
            ours.ML1("reach-v9")
        for seed in (-1, 2**31, 1.5, "1", True):
            with self.assertRaisesRegex(ValueError, "seed: is"):
                ours.ML10(seed=seed)


if __name__ == "__main__":
    unittest.main()
