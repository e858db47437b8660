"""The figures and numbers of rows 10 and 14 of results/experiments.md: what they count and
compare, and that short runs give them. Skipped where deploy/install.sh --signal
was not run."""

import shutil
import subprocess
import sys
import unittest

import package
import signal_modules
from package import EXAMPLES, ROOT, SOURCE
from signal_modules import WHEELS

from harness import BIN, ClusterTest

SPEC = ROOT / "experiments" / "umbrella_metairn.txtpb"


def setUpModule():
    global encodes, figures, np
    signal_modules.make_importable((*signal_modules.WITHOUT_TORCH, "matplotlib"))
    EncodeTest.client = package.make_importable()
    sys.path.insert(0, str(EXAMPLES))
    import numpy as np
    import umbrella_figures as figures
    import what_rewards_encode as encodes


class UmbrellaTest(ClusterTest):
    def test_what_counts_as_learned_and_as_a_spike(self):
        self.assertEqual(figures.episodes_until([0.5] * 4 + [0.95] * 7), (10 * 32, True))
        self.assertEqual(figures.episodes_until([0.5] * 4 + [0.95] * 5), (9 * 32, False))
        mean, low, high = figures.interval([32, 64, 96])
        self.assertTrue(32 <= low < mean == 64 < high <= 96)
        right, wrong = np.array([0.3, 0.1, -0.1]), np.zeros(3)
        self.assertTrue(figures.has_spike(right, wrong))
        self.assertFalse(figures.has_spike(wrong, right))
        self.assertFalse(figures.has_spike(right, wrong + [0, 0, 0.3]))

    def test_the_figures_of_two_runs(self):  # Nightly
        runs, out = self.folder / "runs", self.folder / "out"
        for arm, c_in in (("metairn", 1), ("metairn-plain", 0)):
            changes = ["benchmark.length=2", "lifetime.steps_per_iteration=64", f"rule.c_in={c_in}"]
            settings = [word for change in changes for word in ("--set", change)]
            run = runs / f"{arm}-2-1"
            self.run_spec(run, *settings, spec=SPEC)
        path = [SOURCE, *(folder for folder in WHEELS if folder.is_dir())]
        program = [sys.executable, EXAMPLES / "umbrella_figures.py"]

        def draw():
            return subprocess.run(
                [*program, "--runs", runs, "--attention", runs / "metairn-2-1", "--out", out],
                env={"PYTHONPATH": ":".join(map(str, path)), "PATH": str(BIN)},
                capture_output=True,
                text=True,
            )

        done = draw()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"\| 2 \| 1 of 1, \d+ \| 1 of 1, \d+ \|")
        signal = (out / "signal.csv").read_text().splitlines()
        self.assertEqual(len(signal), 1 + 2)
        # The reward says one thing after the right action and another after the wrong one.
        _, _, _, right, wrong = signal[1].split(",")
        self.assertNotEqual(right, wrong)
        self.assertIn(b"after update 120", (out / "attention.svg").read_bytes())
        metrics = runs / "metairn-plain-2-1" / "metrics.csv"
        metrics.write_text("\n".join(metrics.read_text().splitlines()[:-1]) + "\n")
        done = draw()
        self.assertEqual(done.returncode, 1)
        self.assertIn("not ended: `mentor reproduce metairn-plain-2-1`", done.stderr)
        metrics.unlink()
        self.assertIn("metrics.csv is missing", draw().stderr)
        shutil.rmtree(runs / "metairn-plain-2-1")
        done = draw()
        self.assertEqual(done.returncode, 1)
        self.assertIn("length 2 has the seeds", done.stderr)


class EncodeTest(ClusterTest):
    def test_the_correlation_is_that_at_a_given_time(self):
        random = np.random.default_rng(1)
        time, progress = np.arange(50.0), random.normal(size=(8, 50))
        # Both grow with time, and nothing else is common to them.
        other = random.normal(size=(8, 50))
        self.assertGreater(
            np.corrcoef((other + time).ravel(), (progress + time).ravel())[0, 1], 0.9
        )
        self.assertLess(abs(encodes.given_time(other + time, progress + time)), 0.15)
        self.assertAlmostEqual(encodes.given_time(3 * progress - 9 * time, progress), 1)
        low, high = encodes.interval(progress + other, progress)
        self.assertTrue(0.5 < low < high < 0.9, (low, high))

    def test_a_run_is_read(self):
        run = self.folder / "run"
        self.run_spec(run)
        path = [self.client, SOURCE, *(folder for folder in WHEELS if folder.is_dir())]
        program = EXAMPLES / "what_rewards_encode.py"

        def ask(folder):
            return subprocess.run(
                [sys.executable, program, folder],
                env={"PYTHONPATH": ":".join(map(str, path))},
                capture_output=True,
                text=True,
            )

        done = ask(run)
        self.assertEqual(done.returncode, 0, done.stderr)
        number = r"-?\d\.\d\d"
        self.assertRegex(
            done.stdout, rf"\| run \| 8 \| {number} \[{number}, {number}\] \| {number}, "
        )
        for shard in run.rglob("evaluation/*.binpb"):
            shard.unlink()
        done = ask(run)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no two equally long lives", done.stderr)


if __name__ == "__main__":
    unittest.main()
