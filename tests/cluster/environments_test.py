"""Whole runs on other environments than point_reach. Where episodes end early, an agent's iteration
is one unit and the state travels. The hash is the same in one process, in several, and after kills.
Also benchmarks of Meta-World."""

import csv
import functools
import unittest

from harness import ClusterTest, sets

UPDATES = 12
PENDULUM = sets(
    "benchmark.name=single",
    "benchmark.environment=InvertedPendulum-v5",
    "lifetime.steps_per_iteration=150",
    "evaluation.goals=1",
    "evaluation.lifetimes_per_goal=4",
    "evaluation.deterministic_episodes=2",
    f"rule.outer_updates={UPDATES}",
)


def evaluated_lifetimes(run):
    with open(run / "records" / "lifetimes.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@functools.cache
def undisturbed():
    """Returns the hash of one run in one process, with one actor of one thread."""
    with ClusterTest.alone() as case:
        return case.run_hash(case.folder / "run", *PENDULUM, "--threads", 1)


class EarlyEndsTest(ClusterTest):
    def test_actors_and_threads(self):  # Nightly
        for actors, threads in ((2, 2), (3, 1)):
            run = self.folder / f"run-{actors}-{threads}"
            value = self.run_hash(run, *PENDULUM, "--actors", actors, "--threads", threads)
            self.assertEqual(value, undisturbed())

    def test_everything_killed_in_turn(self):  # Nightly
        state = self.folder / "state"
        meta_learner, meta_address = self.start_meta_learner(state)
        learner, learner_address, actors = self.start_workers(meta_address, 1, 1)
        self.create_experiment(meta_address, "pendulum", *PENDULUM)

        def done():
            return self.newest_step(state)

        self.wait_for_checkpoints(state, 1)
        actors[0].kill()
        seen = done()
        self.wait_until(lambda: done() > seen, "an update with one actor")
        learner.kill()
        self.start_learner(meta_address, learner_address)
        seen = done()
        self.wait_until(lambda: done() > seen, "an update with a new learner")
        meta_learner.kill()
        self.assertLess(done(), UPDATES)
        self.start_meta_learner(state, meta_address)
        self.start_actor(learner_address)
        self.wait_for_state(meta_address, "pendulum", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), undisturbed())

    def test_report_compares_returns_of_episodes_of_any_number(self):  # Nightly
        run = self.folder / "run"
        self.run_spec(run, *PENDULUM, report=True)
        rows, page = evaluated_lifetimes(run), (run / "report.html").read_text()
        episodes = {int(row["lifetime_episodes"]) for row in rows}
        self.assertGreater(
            len(episodes), 1
        )  # Lifetimes differ in it, and have many more than 3 * 150 / 1000.
        self.assertGreater(min(episodes), 3)
        for row in rows:
            returns = row["episode_return"].split()
            self.assertEqual(len(returns), int(row["lifetime_episodes"]) + 2)
            # One for each step but the last.
            self.assertLess(sum(map(float, returns[:-2])), 450)
        self.assertIn("No episode reports success", page)
        self.assertIn("shaped return", page)


class MetaWorldBenchmarksTest(ClusterTest):
    def test_ten_environments_in_one_update(self):  # Nightly
        run = self.folder / "run"
        self.run_spec(
            run,
            *sets(
                "benchmark.name=ml10",
                "lifetime.iterations=2",
                "lifetime.steps_per_iteration=500",
                "rule.outer_updates=1",
                "rule.lifetimes_per_update=30",
                "rule.shard_lifetimes=15",
                "evaluation.goals=1",
                "evaluation.best_weights=false",
                "evaluation.deterministic_episodes=1",
                "evaluation.baseline=PPO_SPARSE,PPO_SPARSE_AND_SHAPED",
            ),
            report=True,
            deadline_s=400,
        )
        rows = evaluated_lifetimes(run)
        train = {row["environment"] for row in rows if row["split"] == "train"}
        test = {row["environment"] for row in rows if row["split"] == "test"}
        self.assertEqual((len(train), len(test), len(train & test)), (10, 5, 0))
        self.assertEqual(
            {row["teacher"] for row in rows if row["split"] == "test"},
            {"learned", "sparse", "sparse_and_shaped"},
        )
        with open(run / "records" / "training.csv", encoding="utf-8") as file:
            training = next(csv.DictReader(file))
        # Every environment has its own curve, of 3 lifetimes.
        for environment in train:
            self.assertIn(f"shaped_return/{environment}", training)
        self.assertIn("by environment", (run / "report.html").read_text())

    def test_without_test_tasks_those_of_training_are_evaluated(self):  # Nightly
        run = self.folder / "run"
        self.run_spec(
            run,
            *sets(
                "benchmark.name=mt1",
                "benchmark.environment=reach-v3",
                "lifetime.steps_per_iteration=500",
                "rule.outer_updates=1",
                "evaluation.goals=1",
                "evaluation.train_goals=false",
            ),
            report=True,
        )
        rows = evaluated_lifetimes(run)
        self.assertEqual({row["split"] for row in rows}, {"train"})
        self.assertEqual(
            {row["teacher"] for row in rows},
            {"learned", "best", "sparse", "shaped"},
        )
        page = (run / "report.html").read_text()
        self.assertIn("training goals", page)
        self.assertIn('id="signal_histogram"', page)


if __name__ == "__main__":
    unittest.main()
