"""Tutorials run from their first command to their last (pages.py)."""

import re
import shutil
import subprocess
import unittest

import walk
from pages import INSTALLATION, PageTest

import gym_host

ROBOT = "docs/tutorials/your_robot.md"
ENVIRONMENT, SCRIPT = "docs/tutorials/your_environment.md", "docs/tutorials/your_training_script.md"


class TutorialsTest(PageTest):
    def test_your_robot(self):
        self.needs("robots/gymnasium_robotics", "--robots")
        output = self.walk(ROBOT)
        # From three bundles.
        self.assertEqual(output.count("kept          1000 random steps are finite"), 3, output)
        self.assertNotIn("BROKEN", output)
        # The same hash in one process and in a service.
        hashes = re.findall("(?m)^[0-9a-f]{64}$", output)
        self.assertEqual(len(hashes), 2, output)
        self.assertEqual(hashes[0], hashes[1])

    def test_your_robot_shows_what_its_files_hold(self):
        files = (walk.ROOT / "deploy/bundles/panda_reach").iterdir()
        texts = [file.read_text() for file in files]
        excerpts = re.findall(
            "```(?:xml|protobuf)\n(.*?)```", (walk.ROOT / ROBOT).read_text(), re.S
        )
        self.assertGreater(len(excerpts), 5)
        for excerpt in excerpts:
            self.assertTrue(any(excerpt in text for text in texts), excerpt)

    def test_a_robot_whose_model_is_not_installed_leaves_no_half_bundle(self):
        # A clone without .deps.
        bundles = self.folder / "deploy/bundles"
        shutil.copytree(walk.ROOT / "deploy/bundles", bundles)
        command = [bundles / "assemble.py", "panda_reach", self.folder / "my_panda"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("run deploy/install.sh --robots", done.stderr)
        self.assertFalse((self.folder / "my_panda").exists())

    def test_your_environment_and_your_training_script(self):
        self.needs("signal/stable_baselines3", "--signal")
        packages = gym_host.path_of(self.folder / "packages")
        sources = [walk.ROOT / path for path in ("python", ".deps/signal", ".deps/wheels")]
        self.has_python(*packages, *sources)
        output = self.walk(ENVIRONMENT, SCRIPT, without=INSTALLATION)
        self.assertIn("kept          the same bits in another process", output)
        self.assertIn("independent_episodes: true", output)
        self.assertIn("signals/boat/model.safetensors", output)
        self.assertIn("trained on | benchmark `single`, `Boat-v0 (boat ", output)
        self.assertIn("greatest difference from Mentor", output)
        self.assertRegex(output, r"(?m)^learned +0\.\d\d 0\.\d\d 0\.\d\d$")
        self.assertRegex(output, r"(?m)^learned +0\.\d\d of the episodes succeed$")


if __name__ == "__main__":
    unittest.main()
