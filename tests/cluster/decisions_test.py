"""Rules with decisions inside a lifetime. A run that is killed in the middle of a generation
continues with the same agents. It ends with the same hash and the same table of the agents' last
episodes."""

import shutil
import unittest

from harness import SPECS, ClusterTest, sets

BLIND = SPECS / "umbrella_blind.txtpb"
UPDATES = 60
# Three generations of 25 iterations, ten in the last one; two shards; short episodes.
SMALL = sets(
    "benchmark.length=2",
    "lifetime.steps_per_iteration=64",
    "lifetime.iterations=25",
    f"rule.outer_updates={UPDATES}",
    "rule.lifetimes_per_update=2",
    "checkpoint.every=1",
    "checkpoint.keep_last=0",
)


class DecisionsTest(ClusterTest):
    def episodes(self, run):
        (recorded,) = run.glob("experiments/*/artifacts/episodes.binpb")
        return recorded.read_bytes()

    def table(self, run):
        """The last episodes of each agent. A report takes as long as all runs of a test."""
        self.run_to_end("mentor", "report", run, "--last_episodes", 40)
        return (run / "report" / "last_episodes.csv").read_text()

    def check_killed(self, *assignments):
        settings = [*SMALL, *sets(*assignments)]
        whole = self.folder / "whole"
        want = self.run_hash(whole, *settings, "--threads", 1, spec=BLIND)
        recorded = self.episodes(whole)
        run = self.folder / "run"
        process = self.start_run(run, *settings, "--actors", 2, spec=BLIND)
        self.wait_for_checkpoints(run, 5)
        process.kill()
        self.assertLess(self.newest_step(run), UPDATES)
        # Repeats from an early checkpoint, in the middle of the first generation.
        copy = self.folder / "copy"
        shutil.copytree(run, copy)
        for newer in self.checkpoints(copy)[3:]:
            newer.unlink()
        for folder in (run, copy):
            self.assertEqual(self.run_hash(folder, *settings, "--actors", 2, spec=BLIND), want)
            self.assertEqual(self.episodes(folder), recorded)
        return whole, run

    def test_killed_inside_a_generation(self):  # Nightly
        whole, run = self.check_killed()
        table = self.table(whole)
        # The second generation is the last that lived 25 iterations of 64 steps.
        self.assertRegex(table, r"\nagents beside their signal,1600,2,40,")
        self.assertEqual(self.table(run), table)

    def test_killed_with_an_update_that_waits_for_fresh_outer_data(self):  # Nightly
        self.check_killed("rule.outer_data=fresh")


if __name__ == "__main__":
    unittest.main()
