"""Rules with decisions inside a lifetime: killed in the middle of a generation of agents, a run
goes on from where these agents stood, and ends with the same hash."""

import pathlib
import shutil
import tempfile
import unittest

from harness import SPECS, ClusterTest

BLIND = SPECS / "umbrella_blind.txtpb"
UPDATES = 60
# Three generations of 25 iterations, ten of the last; two shards; short episodes.
SMALL = (
    "--set",
    "benchmark.length=2",
    "--set",
    "lifetime.steps_per_iteration=64",
    "--set",
    "lifetime.iterations=25",
    "--set",
    f"rule.outer_updates={UPDATES}",
    "--set",
    "rule.lifetimes_per_update=2",
    "--set",
    "checkpoint.every=1",
    "--set",
    "checkpoint.keep_last=0",
)


class DecisionsTest(ClusterTest):
    def run_whole(self, name, *settings):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.run_to_end(
            "mentor",
            "run",
            BLIND,
            *SMALL,
            *settings,
            "--out",
            folder / name,
            "--threads",
            "1",
            "--quiet",
        )
        return self.hash(folder / name)

    def check_killed(self, *settings):
        want = self.run_whole("whole", *settings)
        run = self.folder / "run"
        arguments = (
            "mentor",
            "run",
            BLIND,
            *SMALL,
            *settings,
            "--out",
            run,
            "--actors",
            "2",
            "--quiet",
        )
        process = self.start(*arguments)
        self.wait_for_checkpoints(run, 5)
        process.kill()
        done = int(self.checkpoints(run)[-1].stem)
        self.assertLess(done, UPDATES)
        # Once more from an early checkpoint, in the middle of the first generation.
        copy = self.folder / "copy"
        shutil.copytree(run, copy)
        for newer in self.checkpoints(copy)[3:]:
            newer.unlink()
        for folder in (run, copy):
            self.run_to_end(
                "mentor",
                "run",
                BLIND,
                *SMALL,
                *settings,
                "--out",
                folder,
                "--actors",
                "2",
                "--quiet",
            )
            self.assertEqual(self.hash(folder), want)

    def test_killed_inside_a_generation(self):
        self.check_killed()

    def test_killed_with_an_update_that_waits_for_fresh_outer_data(self):
        self.check_killed("--set", "rule.outer_data=fresh")


if __name__ == "__main__":
    unittest.main()
