"""The recorded episodes of the originals, replayed through gymnasium.make("mentor/..."): the start
state is equal, and no step differs by more than envs/verify.h allows."""

import json
import unittest

import native_modules
from package import ROOT

FOLDER = ROOT / "tests" / "data" / "parity"
OBSERVATION, REWARD, INFO = 1e-12, 1e-10, 1e-10


def setUpModule():
    global gymnasium, mentor, np
    native_modules.make_importable()
    import gymnasium
    import numpy as np
    import mentor


class Recorded:
    def __init__(self, numbers, fields):
        self._numbers, self._fields = numbers, fields

    def __contains__(self, name):
        return name in self._fields

    def __getitem__(self, name):
        offset, shape = self._fields[name]["offset"], self._fields[name]["shape"]
        return self._numbers[offset : offset + int(np.prod(shape))].reshape(shape)


def begin(task, episode, recorded):
    """Returns the environment at its first observation."""
    meta_world = "rand_vec" in recorded
    visible = {"goal_visible": not episode["partially_observable"]} if meta_world else {}
    env = gymnasium.make(f"mentor/{task['task']}", disable_env_checker=True, **visible)
    if meta_world:
        options = {"parameters": recorded["rand_vec"].tolist()}
        observation, _ = env.reset(seed=1, options=options)
        if not episode.get("noise"):
            return env, observation
        return env, env.unwrapped.set_state(recorded["init_qpos"], recorded["init_qvel"])
    env.reset(seed=1)
    return env, env.unwrapped.set_state(recorded["init_qpos"], recorded["init_qvel"])


class GymnasiumParityTest(unittest.TestCase):
    def near(self, found, wanted, tolerance, what):
        error = np.abs(np.asarray(found) - np.asarray(wanted)).max(initial=0)
        self.assertLessEqual(error, tolerance, what)

    def replay(self, task, episode, recorded):
        env, observation = begin(task, episode, recorded)
        self.near(env.unwrapped.simulator_state(), recorded["init_state"], 0, "start state")
        self.near(observation, recorded["init_obs"], OBSERVATION, "first observation")
        for t, action in enumerate(recorded["action"]):
            observation, reward, terminated, truncated, info = env.step(action)
            what = f"step {t}"
            self.near(observation, recorded["obs"][t], OBSERVATION, what)
            self.near(reward, recorded["reward"][t], REWARD, what)
            self.assertEqual(terminated, bool(recorded["terminated"][t]), what)
            self.assertEqual(truncated, bool(recorded["truncated"][t]), what)
            for column, key in enumerate(task["info_keys"]):
                self.near(info[key], recorded["info"][t][column], INFO, f"{what}: {key}")
        env.close()

    def test_recorded_episodes_are_the_same(self):
        tasks = json.loads((FOLDER / "manifest.json").read_text())["tasks"]
        self.assertEqual(len(tasks), 61)
        for task in tasks:
            numbers = np.fromfile(FOLDER / task["file"], "<f8")
            for number, episode in enumerate(task["episodes"]):
                with self.subTest(task=task["task"], episode=number):
                    self.replay(task, episode, Recorded(numbers, episode["fields"]))


if __name__ == "__main__":
    unittest.main()
