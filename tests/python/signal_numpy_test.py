"""mentor_signal without PyTorch: NumPy, safetensors and Gymnasium suffice to use a signal. What
needs PyTorch names the extra that installs it. Skipped where deploy/install.sh --signal was not
run."""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import unittest

import signal_modules
from package import EXAMPLES, ROOT, SOURCE

ZOO = ROOT / "zoo"
# numpy.libs holds what its modules load; the others are what Gymnasium imports.
NEEDED = ("numpy", "safetensors", "gymnasium", "cloudpickle", "typing_extensions")
MORE = ("numpy.libs", "farama_notifications")

USE = """
import sys
import numpy as np
import mentor_signal
from point_reach import PointReach
import gymnasium

env = mentor_signal.LearnedReward(PointReach(), sys.argv[1])
env.reset(seed=1)
env.drawn(-1.0)
_, one, *_ = env.step(np.ones(2, np.float32))
envs = gymnasium.vector.SyncVectorEnv([PointReach] * 2)
envs = mentor_signal.LearnedReward(envs, sys.argv[1], log_prob=lambda *_: [-1.0, -1.0])
envs.reset(seed=[1, 1])
_, both, *_ = envs.step(np.ones((2, 2), np.float32))
assert np.allclose(both, one), (both, one)
assert sys.modules.get("torch") is None
"""

LOSS = """
import numpy as np
import mentor_signal

sizes = dict(observation=2, action=1, episode_steps=5, steps_per_iteration=5)
sizes.update(discrete_actions=False, independent_episodes=True)
network = {"name": "loss_conv", "options": {"buffer": 9, "context": 0}}
facts = {"sizes": sizes, "role": "LOSS", "input": "SHAPED", "reward": {}, "network": network}
signal = mentor_signal.Signal(facts, {"loss2.b": np.zeros(1, np.float32)})
try:
    signal.loss(None)
except mentor_signal.SignalError as error:
    print(error)
"""


class WithoutTorchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        signal_modules.make_importable(signal_modules.WITHOUT_TORCH)
        folder = tempfile.TemporaryDirectory(prefix="mentor-signal-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        for name in NEEDED:
            origin = pathlib.Path(importlib.util.find_spec(name).origin)
            place = origin.parent if origin.name == "__init__.py" else origin
            (cls.folder / place.name).symlink_to(place)
            for more in MORE:
                if (place.parent / more).exists() and not (cls.folder / more).exists():
                    (cls.folder / more).symlink_to(place.parent / more)
        # Even where the interpreter has a torch of its own, no import finds it.
        (cls.folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")

    def run_python(self, *words):
        path = ":".join(map(str, (self.folder, SOURCE, EXAMPLES)))
        return subprocess.run(
            [sys.executable, "-B", *map(str, words)],
            env={"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def test_the_numbers_are_mentors(self):
        folders = sorted(path.parent for path in ZOO.glob("*/config.json"))
        self.assertTrue(folders)
        for folder in folders:
            with self.subTest(folder.name):
                done = self.run_python("-m", "mentor_signal", folder)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("greatest difference from Mentor", done.stdout)

    def test_environments_get_the_reward(self):
        done = self.run_python("-c", USE, ZOO / "point-reach-reward")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_learned_loss_names_what_it_needs(self):
        done = self.run_python("-c", LOSS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("pip install './python[signal-loss]'", done.stdout)

    def test_students_of_stable_baselines_name_what_they_need(self):
        done = self.run_python("-c", "import mentor_signal.sb3")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.splitlines()[-1], "^ModuleNotFoundError: .*python\\[.*sb3\\]")


class ImportTest(unittest.TestCase):
    def test_using_a_signal_does_not_load_torch(self):
        """Even where it is installed: it takes seconds."""
        signal_modules.make_importable(signal_modules.WITHOUT_TORCH)
        path = [SOURCE, EXAMPLES, *signal_modules.WHEELS]
        done = subprocess.run(
            [sys.executable, "-B", "-c", USE, ZOO / "point-reach-reward"],
            env={"PYTHONPATH": ":".join(map(str, path))},
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
