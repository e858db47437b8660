"""Experiments in company. Each ends with the hash that it has alone, whatever else runs on the same
learners and whichever of them dies."""

import unittest

from harness import ClusterTest, sets

# Many small shards whose weights are sent once, beside many small updates that each have new
# weights.
WIDE = sets(
    "rule.outer_updates=2",
    "rule.lifetimes_per_update=600",
    "rule.shard_lifetimes=20",
    "evaluation.lifetimes_per_goal=0",
)
LONG = sets("rule.outer_updates=150", "evaluation.lifetimes_per_goal=0")
OTHER_RULE = sets(
    "rule.outer_updates=20",
    "evaluation.lifetimes_per_goal=0",
    "seed=5",
    "rule.gradient_variance=true",
)


class CompanyTest(ClusterTest):
    def company(self, disturb):
        experiments = {"wide": WIDE, "long": LONG, "other": OTHER_RULE}
        alone = {id: self.hash_alone(*overrides) for id, overrides in experiments.items()}
        state = self.folder / "state"
        _, server = self.start_meta_learner(state, 0, "--max_running", 3)
        workers = [self.start_workers(server, 1) for _ in range(2)]
        for id, overrides in experiments.items():
            self.create_experiment(server, id, *overrides)
        disturb(server, workers)
        for id in experiments:
            with self.subTest(id):
                self.assertEqual(self.hash_of(server, state, id), alone[id])

    def test_a_second_opinion_on_every_shard_changes_no_bit(self):
        """D13: shards are computed by two learners each."""
        short = sets("rule.outer_updates=3", "evaluation.lifetimes_per_goal=0")
        alone = self.hash_alone(*short)
        state = self.folder / "state"
        meta, server = self.start_meta_learner(state, 0, "--check_every", 1)
        for _ in range(2):
            self.start_workers(server, 1)
        self.wait_for_peers(server, "actors", 2)
        self.create_experiment(server, "audited", *short)
        self.assertEqual(self.hash_of(server, state, "audited"), alone)
        # Twice the steps, and the discarded ones in between.
        audited = self.get(server, "audited")
        served, made = int(audited["servedEnvSteps"]), int(audited["progress"]["envSteps"])
        self.assertGreaterEqual(served, 2 * made)
        self.assertNotIn("other bits", meta.output())

    def test_the_learner_that_holds_the_larger_one_is_killed(self):  # Nightly
        """D1: a learner erased the weights of the larger experiment. After the kills most of the
        work is left, side by side."""

        def disturb(server, workers):
            for learner, address, _ in workers:
                # Shards of this experiment are running somewhere.
                before = self.updates(server, "long")
                self.wait_until(
                    lambda: self.updates(server, "long") > before, "an update of the long one"
                )
                learner.kill()
                self.start_learner(server, address)

        self.company(disturb)


if __name__ == "__main__":
    unittest.main()
