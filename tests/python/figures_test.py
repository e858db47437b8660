"""The figures and numbers of rows 10, 11, 12 and 14 of results/experiments.md: what they count and
compare, and that short runs and recorded claims give them. Skipped where deploy/install.sh --signal
was not run."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import package
import signal_modules
from package import ROOT, SOURCE
from signal_modules import WHEELS

from harness import BIN, SMOKE, ClusterTest

SPEC = ROOT / "experiments" / "umbrella_metairn.txtpb"


def setUpModule():
    global campaign, encodes, figures, np
    signal_modules.make_importable((*signal_modules.WITHOUT_TORCH, "matplotlib"))
    EncodeTest.client = package.make_importable()
    sys.path.insert(0, str(SOURCE / "examples"))
    import campaign_figures as campaign
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

    def test_the_figures_of_two_runs(self):
        runs, out = self.folder / "runs", self.folder / "out"
        for arm, c_in in (("metairn", 1), ("metairn-plain", 0)):
            changes = ["benchmark.length=2", "lifetime.steps_per_iteration=64", f"rule.c_in={c_in}"]
            settings = [word for change in changes for word in ("--set", change)]
            run = runs / f"{arm}-2-1"
            self.run_to_end("mentor", "run", SPEC, *settings, "--out", run, "--quiet")
        path = [SOURCE, *(folder for folder in WHEELS if folder.is_dir())]
        program = [sys.executable, SOURCE / "examples" / "umbrella_figures.py"]

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


CLAIMS_HEADER = "claim,run,row,command,measures,version,processor,fingerprint,cpu_seconds,env_steps"


class CampaignTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mentor-figures-")
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name)
        successes = {"lstm": (0.5, 0.6), "whole": (0.75, 0.95), "past": (0.5, 0.6)}
        self.rows = [
            f"later-{tier}-{network},{run},11,mentor run x,,,,,,,a,b,"
            f"test.learned.seg2={value} test.ppo_sparse.seg2=0.1"
            for tier in "vm"
            for network, values in successes.items()
            for run, value in enumerate(values, 1)
        ]

    def draw(self):
        text = "\n".join([f"{CLAIMS_HEADER},hash,evaluation,numbers", *self.rows, ""])
        (self.out / "claims.csv").write_text(text)
        program = SOURCE / "examples" / "campaign_figures.py"
        path = ":".join(str(folder) for folder in WHEELS if folder.is_dir())
        done = subprocess.run(
            [sys.executable, program, "--claims", self.out / "claims.csv", "--out", self.out],
            env={"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def drawn(self, name):
        return (self.out / name).read_bytes()

    def test_the_figure_of_later_steps(self):
        done = self.draw()
        # 0.25 and 0.35 by meta-seed.
        self.assertIn("| V | 0.55 [0.50, 0.60] | 0.85 [0.75, 0.95] | 0.55", done.stdout)
        self.assertIn("| 0.30 [0.25, 0.35] |", done.stdout)
        self.assertIn(b"past alone", self.drawn("later_steps.svg"))
        self.assertIn(b"PPO on success alone", self.drawn("later_steps.svg"))
        self.assertIn("settings.svg is left out: not recorded yet: settings-rate", done.stderr)
        self.rows[0] = "later-v-lstm,1,11,mentor run x,,,,,,,,,"
        (self.out / "later_steps.svg").unlink()
        done = self.draw()
        self.assertIn("later_steps.svg is left out: not recorded yet: later-v-lstm-1", done.stderr)
        self.assertFalse((self.out / "later_steps.svg").exists())

    def test_the_figures_of_the_paper(self):
        self.assertIn("rewards.svg is left out: no claim of it is planned", self.draw().stderr)
        # A claim that is planned has its panel; the paper's curves stand beside what has ended.
        numbers = " ".join(f"test.learned.{part}=0.5" for part in ("seg0", "seg1", "seg2", "det"))
        self.rows.append(f"reach-reward,1,2,mentor run x,,,,,,,a,b,{numbers}")
        self.rows.append("reach-reward,2,2,mentor run x,,,,,,,,,")
        self.assertNotIn("rewards.svg", self.draw().stderr)
        ended = self.drawn("rewards.svg")
        self.assertIn(b"the paper (Meta-World v2)", ended)
        self.rows[-2] = "reach-reward,1,2,mentor run x,,,,,,,,,"
        self.draw()
        self.assertLess(len(self.drawn("rewards.svg")), len(ended))

    def test_ml10_has_one_run_and_ppo_on_unseen_classes_alone(self):
        def planned(claim, *numbers):
            parts = ("seg0", "seg1", "seg2", "det")
            made = " ".join(
                f"{number}.{part}=0.104[0.09,0.12]" for number in numbers for part in parts
            )
            self.rows.append(f'{claim},1,4,mentor run x,,,,,,,a,b,"{made}"')

        planned("ml10-reward", "train.learned", "test.learned")
        planned("ml10-ppo", "test.ppo_shaped", "test.ppo_sparse")
        self.rows.append("ml10-advantage,1,4,mentor run x,,,,,,,,,")
        self.draw()
        self.assertIn(b"training classes", self.drawn("ml10.svg"))

    def test_a_published_curve_is_cut_at_gaps_and_updates(self):
        curve = {"1": 0.1, "3": 0.3, "4": 0.4, "5": 0.5, "6": 0.6}
        self.assertEqual(
            campaign.pieces(curve), [[(1, 0.1)], [(3, 0.3), (4, 0.4)], [(5, 0.5), (6, 0.6)]]
        )

    def test_success_by_class(self):
        self.assertIn(
            "ml10_classes.svg is left out: not recorded yet: ml10-reward-1", self.draw().stderr
        )
        for claim, teachers in (
            ("reward", ["train.learned", "test.learned"]),
            ("advantage", ["train.learned", "test.learned"]),
            ("ppo", ["test.ppo_shaped", "test.ppo_sparse"]),
        ):
            made = " ".join(
                f"{teacher}.{number}"
                for teacher in teachers
                for number in (
                    *(f"{part}=0.3[0.2,0.4]" for part in ("seg0", "seg1", "seg2", "det")),
                    f"seg2/{teacher.partition('.')[0]}-v3=0.38[0.3,0.5]",
                    f"seg1/{teacher.partition('.')[0]}-v3=0.1[0.1,0.1]",
                )
            )
            self.rows.append(f'ml10-{claim},1,4,mentor run x,,,,,,,a,b,"{made}"')
        done = self.draw()
        self.assertEqual(done.stdout.count("| train | 0.38 | 0.38 |"), 1)
        self.assertEqual(done.stdout.count("| test | 0.38 | 0.38 | 0.38 | 0.38 |"), 1)
        self.assertIn(b"unseen classes", self.drawn("ml10_classes.svg"))


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
        self.run_to_end("mentor", "run", SMOKE, "--out", run, "--quiet")
        path = [self.client, SOURCE, *(folder for folder in WHEELS if folder.is_dir())]
        program = SOURCE / "examples" / "what_rewards_encode.py"

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
