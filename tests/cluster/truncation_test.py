"""Limits of steps that do not count as ends (agent.bootstrap_on_truncation), through the real
binaries. The numbers differ from those without, and do not depend on what happens to the actors."""

import unittest

from harness import ClusterTest, sets

UPDATES = 40
# Agents with a value network; every episode of this task ends at its limit.
LONGER = sets(f"rule.outer_updates={UPDATES}")
ON, OFF = (sets(f"agent.bootstrap_on_truncation={value}") for value in ("true", "false"))


class TruncationTest(ClusterTest):
    def test_exact_whatever_the_actors_do(self):  # Nightly
        one, three = (
            self.run_hash(self.folder / f"{actors}", *LONGER, *ON, "--actors", actors)
            for actors in (1, 3)
        )
        self.assertEqual(three, one)
        self.assertNotEqual(self.run_hash(self.folder / "off", *LONGER, *OFF), one)

        state = self.folder / "state"
        _, meta_address = self.start_meta_learner(state)
        _, learner_address, actors = self.start_workers(meta_address, 1, 1)
        self.create_experiment(meta_address, "smoke", *LONGER, *ON)
        self.wait_for_checkpoints(state, 1)
        for actor in actors:
            actor.kill()
        self.assertLess(self.newest_step(state), UPDATES)
        self.start_actor(learner_address, 2)
        self.wait_for_state(meta_address, "smoke", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), one)

    def test_both_kinds_of_ends(self):
        """A falling pole terminates the episode; a standing one is cut at the limit of the task."""
        spec = self.folder / "pendulum.txtpb"
        spec.write_text(
            """
            benchmark { name: "single" environment: "InvertedPendulum-v5" }
            lifetime { iterations: 2 steps_per_iteration: 1200 }
            agent { hidden_units: 4 epochs: 1 minibatches: 4 }
            signal { role: REWARD }
            rule {
                outer_updates: 1 lifetimes_per_update: 2 shard_lifetimes: 1
                option { name: "k" value: "50" } option { name: "epochs" value: "1" }
            }
            evaluation {
                lifetimes_per_goal: 1 goals: 1 deterministic_episodes: 1
                train_goals: false best_weights: false
            }
        """
        )
        one, three = (
            self.run_hash(self.folder / f"{actors}", *ON, "--actors", actors, spec=spec)
            for actors in (1, 3)
        )
        self.assertEqual(one, three)


if __name__ == "__main__":
    unittest.main()
