"""zoo/add.py, with a program in place of `mentor` that writes what a run would give."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import signal_modules
from package import ROOT

ZOO = ROOT / "zoo"
# mentor export RUN --out DIR ...
EXPORT = """#!/bin/sh
echo "$@" > {said}
[ "$2" = missing ] && {{ echo "no run $2" >&2; exit 2; }}
cp -r {source} "$4"
"""


class AddTest(unittest.TestCase):
    def setUp(self):
        signal_modules.make_importable(signal_modules.WITHOUT_TORCH)
        folder = tempfile.TemporaryDirectory(prefix="mentor-zoo-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.zoo = self.folder / "zoo"
        self.zoo.mkdir()
        self.said = self.folder / "said"
        program = self.folder / "mentor"
        program.write_text(EXPORT.format(said=self.said, source=ZOO / "point-reach-reward"))
        program.chmod(0o700)

    def add(self, *words, code=0):
        path = [str(folder) for folder in signal_modules.WHEELS]
        done = subprocess.run(
            [sys.executable, "-B", ZOO / "add.py", *words, "--zoo", self.zoo],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path),
                "MENTOR_BIN_DIR": str(self.folder),
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout + done.stderr

    def names(self):
        return sorted(path.name for path in self.zoo.iterdir())

    def test_a_recorded_run_is_added(self):
        said = self.add("point-reach-reward-3", "--name", "reach")
        self.assertIn("<Signal lstm, REWARD", said)
        self.assertEqual(self.names(), ["reach"])
        words = self.said.read_text().split()
        self.assertEqual(words[:2], ["export", "point-reach-reward-3"])
        for flags in ("--weights best", "--name reach", "--license apache-2.0"):
            self.assertIn(flags, " ".join(words))
        said = self.add("point-reach-reward-3", "--name", "reach", code=1)
        self.assertIn("--force writes over it", said)
        self.add("point-reach-reward-3", "--name", "reach", "--force")

    def test_another_result_is_not(self):
        said = self.add("point-reach-reward", "--run", "somewhere", code=1)
        self.assertIn("and point-reach-reward-1 the hash 670a1aa9", said)
        self.assertEqual(self.names(), [])

    def test_what_is_missing_is_named(self):
        self.assertIn("CLAIM: there is no 'door'", self.add("door", code=1))
        said = self.add("point-reach-reward-3", "--run", "missing", code=1)
        self.assertIn("no run missing", said)
        self.assertEqual(self.names(), [])


if __name__ == "__main__":
    unittest.main()
