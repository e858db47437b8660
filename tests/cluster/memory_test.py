"""Specs that need more memory than learners have (D5). They are refused, or wait with both numbers,
and no learner dies of them."""

import unittest

from harness import SMOKE, sets
from memory_group import MemoryGroupTest

# 34 MB of weights an agent, each several times over: about 20 GB a shard.
HUGE = sets(
    "agent.hidden_units=2048",
    "rule.lifetimes_per_update=64",
    "rule.shard_lifetimes=64",
    "rule.outer_updates=1",
    "evaluation.lifetimes_per_goal=0",
)


class MemoryTest(MemoryGroupTest):
    def wait_for_activity(self, server, id, words):
        self.wait_until(
            lambda: words in self.get(server, id).get("activity", ""),
            f"'{words}' in the activity of {id}",
            deadline_s=30,
        )

    def test_a_spec_beyond_every_learner_is_refused_and_nobody_dies(self):
        group = self.group(1_500_000_000)
        _, server = self.start_meta_learner(self.folder / "state")
        # Without a learner the limit is unknown.
        self.create_experiment(server, "early", *HUGE)
        learner, address = self.start_in(group, server)
        self.start_actor(address)
        self.wait_for_activity(
            server, "early", "and the largest learner has 1.5 GB; make rule.shard_lifetimes"
        )
        for verb in (["validate"], ["create", "--id", "late"]):
            refused = self.mentorctl(server, *verb, "-f", SMOKE, *HUGE, code=2)
            self.assertRegex(
                refused,
                r"rule.shard_lifetimes: a shard needs \d+\.\d GB of a learner, and the largest "
                r"one that is connected has 1.5 GB",
            )
        peers = self.mentorctl(server, "peers")
        self.assertIn("/1.5 GB", peers)
        self.assertIn("experiments/early: needs more memory", peers)
        # An experiment that fits runs meanwhile.
        self.create_experiment(server, "small", *sets("rule.outer_updates=1"))
        self.wait_for_state(server, "small", "STATE_SUCCEEDED")
        self.assertEqual(self.get(server, "early")["state"], "STATE_RUNNING")
        self.assertIsNone(learner.child.poll())
        learner.close()


if __name__ == "__main__":
    unittest.main()
