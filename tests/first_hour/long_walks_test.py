"""Pages and tutorials of minutes run from their first command to their last (pages.py), at
night."""

import re
import unittest

import walk
from pages import BIN, INSTALLATION, PageTest

import gym_host

ON_PATH = f"export PATH={BIN}:$PATH"
ROBOT = "docs/tutorials/your_robot.md"
ENVIRONMENT, SCRIPT = "docs/tutorials/your_environment.md", "docs/tutorials/your_training_script.md"


class LongPagesTest(PageTest):
    def test_the_python_of_readme(self):
        self.has_all_of_python()
        self.walk("README.md", only="python_block", before=(ON_PATH,))

    def test_signals(self):
        self.has_all_of_python()
        self.walk("docs/signals.md", without=INSTALLATION, before=(ON_PATH,))

    def test_own_environments(self):
        self.has_all_of_python()
        without = (*INSTALLATION, "mentor run")
        self.walk(
            "docs/own_environments.md", without=without, before=(ON_PATH, ". venv/bin/activate")
        )

    def test_environments(self):
        # Minutes: an agent's film needs a run, and tests/parity replays the episodes.
        slow = ("mentor run", "mentor env render door-close-v3 --policy runs", "mentor env verify")
        self.walk("docs/environments.md", without=slow)

    def test_it_does_not_learn(self):
        self.walk("docs/it_does_not_learn.md")

    def test_mentorctl(self):
        self.walk("docs/mentorctl.md")


class LongTutorialsTest(PageTest):
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
