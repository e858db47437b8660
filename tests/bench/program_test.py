"""mentor-bench, as run.py starts it."""

import json
import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("MENTOR_BIN_DIR", ROOT / "build/bin"))
DEADLINE_S = 100


def bench(*arguments):
    return subprocess.run(
        [BIN.parent / "tests/mentor-bench", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=ROOT,
    )


class ProgramTest(unittest.TestCase):
    def report(self, *arguments):
        done = bench(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_env_has_steps_resets_and_their_ratios_to_the_simulator(self):
        report = self.report("env", "--environments", "InvertedPendulum-v5,Reacher-v5,reach-v3")
        for name in ("mentor", "mujoco", "libtorch", "compiler", "isa"):
            self.assertTrue(report["versions"][name], name)
        self.assertEqual(report["versions"]["device"], "cpu")
        figures = {name: figure["value"] for name, figure in report["figures"].items()}
        for name, value in figures.items():
            self.assertGreater(value, 0, name)
        for name in ("InvertedPendulum-v5", "Reacher-v5", "reach-v3"):
            bare, step = figures[f"bare_us/{name}"], figures[f"step_us/{name}"]
            total = figures[f"total_us/{name}"]
            self.assertGreater(total, step)  # Resets are part of the whole.
            self.assertAlmostEqual(figures[f"step/{name}"], bare / step)
            self.assertAlmostEqual(figures[f"with_resets/{name}"], bare / total)
        product = figures["step/InvertedPendulum-v5"] * figures["step/Reacher-v5"]
        self.assertAlmostEqual(figures["Gymnasium v5 (2): step"], product**0.5)
        self.assertIn("Meta-World v3 (1): two threads", figures)

    def test_what_cannot_be_measured_is_refused(self):
        unknown = bench("env", "--environments", "Teacher-v5")
        self.assertEqual(unknown.returncode, 2, unknown.stdout)
        self.assertIn("Teacher-v5", unknown.stderr)
        plain = bench("env", "--environments", "point_reach")
        self.assertEqual(plain.returncode, 2, plain.stdout)
        self.assertIn("point_reach is not on MuJoCo", plain.stderr)
        self.assertIn("did you mean 'signal'", bench("signl").stderr)
        self.assertEqual(bench("ppo", "--device", "tpu").returncode, 2)

    def test_what_a_device_is_not_for_has_no_figures(self):
        self.assertIn("too slow", self.report("signal", "--device", "emulated")["none"])


if __name__ == "__main__":
    unittest.main()
