"""What tutorials show of files, and what they say where a library is missing. long_walks_test.py
runs their commands."""

import re
import shutil
import subprocess
import unittest

import walk
from pages import PageTest

ROBOT = "docs/tutorials/your_robot.md"


class TutorialsTest(PageTest):
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


if __name__ == "__main__":
    unittest.main()
