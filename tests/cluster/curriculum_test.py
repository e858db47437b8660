"""Experiments with a curriculum: killed and resumed, with other actors and threads, they end with
the same hash. The hash contains the curriculum's ranges."""

import shutil
import unittest

from harness import SPECS, ClusterTest, sets

POINTS = SPECS / "point_reach_adr.txtpb"
HOPPER = SPECS / "hopper_randomized.txtpb"
UPDATES = 25
SMALL = (
    f"rule.outer_updates={UPDATES}",
    "rule.lifetimes_per_update=16",
    "rule.shard_lifetimes=4",
    "curriculum.buffer=2",
    "evaluation.lifetimes_per_goal=0",
    "checkpoint.every=1",
    "checkpoint.keep_last=0",
)


class CurriculumTest(ClusterTest):
    def check_killed(self, spec, *assignments):
        settings = sets(*SMALL, *assignments)
        whole = self.folder / "whole"
        want = self.run_hash(whole, *settings, "--threads", 1, spec=spec)
        columns = (whole / "records" / "training.csv").read_text().splitlines()[0]
        self.assertIn("range_entropy", columns)
        self.assertIn("boundary_lifetimes", columns)
        run = self.folder / "run"
        process = self.start_run(run, *settings, "--actors", 2, spec=spec)
        self.wait_for_checkpoints(run, 4)
        process.kill()
        self.assertLess(self.newest_step(run), UPDATES)
        copy = self.folder / "copy"
        shutil.copytree(run, copy)
        for newer in self.checkpoints(copy)[2:]:
            newer.unlink()
        for folder in (run, copy):
            self.assertEqual(self.run_hash(folder, *settings, "--actors", 2, spec=spec), want)

    def test_killed_with_ranges_of_tasks(self):  # Nightly
        self.check_killed(POINTS)

    def test_killed_with_ranges_of_physics(self):  # Nightly
        self.check_killed(
            HOPPER,
            "lifetime.steps_per_iteration=40",
            "agent.epochs=2",
            "agent.minibatches=2",
            "signal.enc1=8",
            "signal.enc2=8",
            "signal.lstm=8",
            "signal.heads=8",
            "signal.critic=8",
            "rule.k=20",
            "rule.epochs=2",
            "curriculum.name=adr",
            "curriculum.performance=shaped",
            "curriculum.threshold_low=0",
            "curriculum.threshold_high=0.5",
        )


if __name__ == "__main__":
    unittest.main()
