"""mentor_signal is typed. At night: mypy reads PyTorch for a quarter of a minute."""

import importlib
import subprocess
import sys
import unittest

import signal_modules
from package import SOURCE
from signal_modules import WHEELS


def setUpModule():
    signal_modules.make_importable()


class TypesTest(unittest.TestCase):
    def test_the_package_is_typed(self):
        try:
            importlib.import_module("mypy")
        except ImportError:
            self.skipTest("mypy is not installed")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "/dev/null", "mentor_signal"],
            cwd=SOURCE,
            env={"PYTHONPATH": ":".join(str(folder) for folder in WHEELS if folder.is_dir())},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
