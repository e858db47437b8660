"""Recorded episodes of the Python originals, replayed through gymnasium.make: the start is theirs
bit for bit, and all else within the tolerances of envs/verify.h."""

import json
import unittest

import module

module.make_importable()
import gymnasium  # noqa: E402
import numpy as np  # noqa: E402
from mentor.environments import registration  # noqa: E402

FOLDER = module.ROOT / "tests/data/parity"
STATE, REWARD = 1e-12, 1e-10


class ParityTest(unittest.TestCase):
    def begin(self, env, fields, recorded):
        """Brings the environment to the start of the recording; returns its observation."""
        if "rand_vec" in fields:
            observation = env.reset(seed=0, options={"parameters": fields["rand_vec"]})[0]
            if not recorded.get("noise", False):
                return observation
        else:
            env.reset(seed=0)
        return env.unwrapped.set_state(fields["init_qpos"], fields["init_qvel"])

    def replay(self, task, recorded, numbers):
        fields = {
            name: numbers[place["offset"] :][: int(np.prod(place["shape"]))].reshape(place["shape"])
            for name, place in recorded["fields"].items()
        }
        options = {}
        if "rand_vec" in fields:
            options["goal_visible"] = not recorded.get("partially_observable", True)
        env = gymnasium.make(f"mentor:mentor/{task['task']}", **options)
        observation = self.begin(env, fields, recorded)
        state = env.unwrapped.simulator_state()
        self.assertTrue(np.array_equal(state, fields["init_state"].ravel()), "the start differs")
        self.assertTrue(np.array_equal(observation, fields["init_obs"].ravel()))
        for t in range(recorded["steps"]):
            action = fields["action"][t].astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(action)
            np.testing.assert_allclose(observation, fields["obs"][t], rtol=0, atol=STATE)
            self.assertAlmostEqual(reward, fields["reward"].ravel()[t], delta=REWARD)
            self.assertEqual(terminated, bool(fields["terminated"].ravel()[t]))
            self.assertEqual(truncated, bool(fields["truncated"].ravel()[t]))
            wanted = fields["info"].reshape(recorded["steps"], -1)[t]
            given = [info[key] for key in task["info_keys"]]
            np.testing.assert_allclose(given, wanted, rtol=0, atol=REWARD)
        env.close()

    def test_recorded_episodes_come_again_in_all_61(self):  # Nightly
        manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
        names = {task["task"] for task in manifest["tasks"]}
        self.assertEqual(names, {*registration.GYMNASIUM, *registration.META_WORLD})
        for task in manifest["tasks"]:
            numbers = np.fromfile(FOLDER / task["file"], "<f8")
            for number, recorded in enumerate(task["episodes"]):
                with self.subTest(task=task["task"], episode=number):
                    self.replay(task, recorded, numbers)


if __name__ == "__main__":
    unittest.main()
