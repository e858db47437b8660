"""Gymnasium's environments through mentor_env against ours, bit for bit
(tests/golden/envs/host/host_parity_test.cc)."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import gym_host  # noqa: E402

BIN = pathlib.Path(os.environ.get("MENTOR_BIN_DIR", gym_host.ROOT / "build" / "bin"))


class ParityTest(unittest.TestCase):
    def test_the_same_bits(self):
        program = BIN.parent / "tests" / "test_envs"
        if not program.exists():
            self.skipTest(f"{program} is not built")
        with tempfile.TemporaryDirectory(prefix="mentor-test-") as folder:
            done = subprocess.run(
                [program, "[.host_parity]"],
                env={**os.environ, "MENTOR_TEST_GYM": gym_host.flag(folder)},
                capture_output=True,
                text=True,
                timeout=500,
            )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("All tests passed", done.stdout)


if __name__ == "__main__":
    unittest.main()
