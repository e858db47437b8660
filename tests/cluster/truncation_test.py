"""Limits of steps that do not count as ends (agent.bootstrap_on_truncation), through the real
binaries: other numbers than without, and the same ones whatever happens to the actors."""

import unittest

from harness import SPECS, ClusterTest

SMOKE = SPECS / "smoke.txtpb"
UPDATES = 40
# Agents with a value network; every episode of this task ends at its limit.
ON = ("--set", f"rule.outer_updates={UPDATES}", "--set", "agent.bootstrap_on_truncation=true")
OFF = ON[:3] + ("agent.bootstrap_on_truncation=false",)


class TruncationTest(ClusterTest):
    def run_hash(self, name, *arguments):
        run = self.folder / name
        self.run_to_end("mentor", "run", SMOKE, "--out", run, "--quiet", *arguments)
        return self.hash(run)

    def test_exact_whatever_the_actors_do(self):
        one = self.run_hash("one", *ON, "--actors", "1")
        self.assertEqual(self.run_hash("three", *ON, "--actors", "3"), one)
        self.assertNotEqual(self.run_hash("off", *OFF), one)

        state = self.folder / "state"
        _, meta_address = self.start_meta_learner(state)
        _, learner_address = self.start_learner(meta_address)
        actors = [self.start_actor(learner_address) for _ in range(2)]
        self.mentorctl(meta_address, "create", "-f", SMOKE, *ON, "--id", "smoke")
        self.wait_for_checkpoints(state, 1)
        for actor in actors:
            actor.kill()
        self.assertLess(int(self.checkpoints(state)[-1].stem), UPDATES)
        self.start_actor(learner_address, 2)
        self.wait_for_state(meta_address, "smoke", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), one)

    def test_both_kinds_of_ends(self):
        """A pole that falls terminates, and one that stands is cut at the limit of the task."""
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
        on = ("--set", "agent.bootstrap_on_truncation=true")
        hashes = []
        for name, actors in (("one", "1"), ("three", "3")):
            run = self.folder / name
            self.run_to_end("mentor", "run", spec, *on, "--out", run, "--actors", actors, "--quiet")
            hashes.append(self.hash(run))
        self.assertEqual(hashes[0], hashes[1])


if __name__ == "__main__":
    unittest.main()
