"""Whole runs on other environments than point_reach. Where episodes end early, an agent's iteration
is one unit and the state travels: the same hash in one process, in several, and when they are
killed. And benchmarks of Meta-World."""

import csv
import functools
import pathlib
import shutil
import tempfile
import unittest

from harness import SPECS, ClusterTest

SMOKE = SPECS / "smoke.txtpb"
UPDATES = 12
PENDULUM = (
    "--set",
    "benchmark.name=single",
    "--set",
    "benchmark.environment=InvertedPendulum-v5",
    "--set",
    "lifetime.steps_per_iteration=150",
    "--set",
    "evaluation.goals=1",
    "--set",
    "evaluation.lifetimes_per_goal=4",
    "--set",
    "evaluation.deterministic_episodes=2",
    "--set",
    f"rule.outer_updates={UPDATES}",
)


@functools.cache
def undisturbed():
    """Hash and evaluated lifetimes of one run in one process, one actor with one thread."""
    case = ClusterTest()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
    try:
        case.run_to_end(
            "mentor", "run", SMOKE, *PENDULUM, "--out", folder / "run", "--threads", "1", "--quiet"
        )
        with open(folder / "run" / "report" / "evaluation_lifetimes.csv", encoding="utf-8") as file:
            return (
                case.hash(folder / "run"),
                list(csv.DictReader(file)),
                (folder / "run" / "report.html").read_text(),
            )
    finally:
        case.doCleanups()
        shutil.rmtree(folder, ignore_errors=True)


class EarlyEndsTest(ClusterTest):
    def test_actors_and_threads(self):
        for actors, threads in ((2, 2), (3, 1)):
            run = self.folder / f"run-{actors}-{threads}"
            self.run_to_end(
                "mentor",
                "run",
                SMOKE,
                *PENDULUM,
                "--out",
                run,
                "--actors",
                actors,
                "--threads",
                threads,
                "--quiet",
            )
            self.assertEqual(self.hash(run), undisturbed()[0])

    def test_everything_killed_in_turn(self):
        state = self.folder / "state"
        meta_learner, meta_address = self.start_meta_learner(state)
        learner, learner_address = self.start_learner(meta_address)
        actors = [self.start_actor(learner_address) for _ in range(2)]
        self.mentorctl(meta_address, "create", "-f", SMOKE, *PENDULUM, "--id", "pendulum")

        def done():
            return int(self.checkpoints(state)[-1].stem)

        self.wait_for_checkpoints(state, 1)
        actors[0].kill()
        seen = done()
        self.wait_until(lambda: done() > seen, "an update with one actor")
        learner.kill()
        self.start_learner(meta_address, learner_address.rsplit(":", 1)[1])
        seen = done()
        self.wait_until(lambda: done() > seen, "an update with a new learner")
        meta_learner.kill()
        self.assertLess(done(), UPDATES)
        self.start_meta_learner(state, meta_address.rsplit(":", 1)[1])
        self.start_actor(learner_address)
        self.wait_for_state(meta_address, "pendulum", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), undisturbed()[0])

    def test_report_compares_returns_of_episodes_of_any_number(self):
        _, rows, page = undisturbed()
        episodes = {int(row["lifetime_episodes"]) for row in rows}
        self.assertGreater(
            len(episodes), 1
        )  # Lifetimes differ in it, and have many more than 3 * 150 / 1000.
        self.assertGreater(min(episodes), 3)
        for row in rows:
            returns = [row[f"return_{i + 1}"] for i in range(int(row["lifetime_episodes"]) + 2)]
            self.assertNotIn("", returns)
            self.assertEqual(
                row.get(f"return_{len(returns) + 1}") or "", ""
            )  # 2 deterministic ones, not more.
            # One for each step but the last.
            self.assertLess(sum(map(float, returns[:-2])), 450)
        self.assertIn("No episode reports success", page)
        self.assertIn("shaped return", page)


class MetaWorldBenchmarksTest(ClusterTest):
    def test_ten_environments_in_one_update(self):
        run = self.folder / "run"
        self.run_to_end(
            "mentor",
            "run",
            SMOKE,
            "--out",
            run,
            "--quiet",
            "--set",
            "benchmark.name=ml10",
            "--set",
            "lifetime.iterations=2",
            "--set",
            "lifetime.steps_per_iteration=500",
            "--set",
            "rule.outer_updates=1",
            "--set",
            "rule.lifetimes_per_update=30",
            "--set",
            "rule.shard_lifetimes=15",
            "--set",
            "evaluation.goals=1",
            "--set",
            "evaluation.best_weights=false",
            "--set",
            "evaluation.deterministic_episodes=1",
            "--set",
            "evaluation.baseline=PPO_SPARSE,PPO_SPARSE_AND_SHAPED",
            deadline_s=400,
        )
        with open(run / "report" / "evaluation_lifetimes.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        train = {row["environment"] for row in rows if row["split"] == "train"}
        test = {row["environment"] for row in rows if row["split"] == "test"}
        self.assertEqual((len(train), len(test), len(train & test)), (10, 5, 0))
        self.assertEqual(
            {row["method"] for row in rows if row["split"] == "test"},
            {"learned", "PPO sparse", "PPO sparse and shaped"},
        )
        with open(run / "report" / "training.csv", encoding="utf-8") as file:
            training = next(csv.DictReader(file))
        # Every environment has its own curve, of 3 lifetimes.
        for environment in train:
            self.assertIn(f"shaped_return/{environment}", training)
        self.assertIn("By environment", (run / "report.html").read_text())

    def test_without_test_tasks_those_of_training_are_evaluated(self):
        run = self.folder / "run"
        self.run_to_end(
            "mentor",
            "run",
            SMOKE,
            "--out",
            run,
            "--quiet",
            "--set",
            "benchmark.name=mt1",
            "--set",
            "benchmark.environment=reach-v3",
            "--set",
            "lifetime.steps_per_iteration=500",
            "--set",
            "rule.outer_updates=1",
            "--set",
            "evaluation.goals=1",
            "--set",
            "evaluation.train_goals=false",
        )
        with open(run / "report" / "evaluation_lifetimes.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual({row["split"] for row in rows}, {"train"})
        self.assertEqual(
            {row["method"] for row in rows},
            {"learned", "learned (best)", "PPO sparse", "PPO shaped"},
        )
        page = (run / "report.html").read_text()
        self.assertIn("On training goals", page)
        self.assertIn('id="signal_histogram"', page)


if __name__ == "__main__":
    unittest.main()
