"""The Python of README and of docs/python.md's environments runs as it stands there."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

import module
from module import DEADLINE_S, LIBRARIES, ROOT


def blocks(page, heading):
    """Returns the blocks of Python below a heading, up to the next one of its level."""
    section = page.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"\n```python\n(.*?)\n```", section, re.DOTALL)


class FrontPageTest(unittest.TestCase):
    def runs(self, program):
        path = os.pathsep.join(LIBRARIES)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", program],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error::UserWarning"},
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

    @module.needs_signal
    def test_the_lines_of_readme_train_and_teach(self):
        (program,) = blocks(ROOT / "README.md", "In Python")
        said = self.runs(
            program
            + "\nassert observations.shape == (8, 39), observations.shape"
            + "\nassert len(run.metrics['meta_return']) == 40"
            + "\nenv.reset(seed=1)"
            + "\nenv.drawn(-2.0)"
            + "\nprint(env.step(env.action_space.sample())[1])"
        )
        self.assertRegex(said.splitlines()[-1], r"^-?[0-9.]")

    def test_the_lines_about_environments_run(self):
        programs = blocks(ROOT / "docs/python.md", "Environments")
        self.assertEqual(len(programs), 2)
        self.runs("\n".join(programs))


if __name__ == "__main__":
    unittest.main()
