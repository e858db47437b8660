"""A learner that does not know its limit dies of a spec that needs more memory (D5). The experiment
then fails with the reason instead of killing one learner after another."""

import unittest

from harness import sets
from memory_group import MemoryGroupTest

# About 1.5 GB a shard.
LARGE = sets(
    "agent.hidden_units=512",
    "rule.lifetimes_per_update=64",
    "rule.shard_lifetimes=64",
    "rule.outer_updates=1",
    "evaluation.lifetimes_per_goal=0",
)


class MemoryKillsTest(MemoryGroupTest):
    def test_a_shard_that_ends_its_learners_fails_with_the_reason(self):
        group = self.group(300 << 20)
        _, server = self.start_meta_learner(self.folder / "state")
        self.create_experiment(server, "large", *LARGE)

        def failed():
            return self.get(server, "large")["state"] == "STATE_FAILED"

        kills = 0
        while not failed():
            self.assertLess(kills, 12, "it goes on killing learners")
            # The learner reports no limit, so the estimate cannot help.
            learner, _ = self.start_in(group, server, "--memory_gb", 0)
            self.wait_until(lambda end=learner: end.child.poll() is not None or failed(), "end")
            if learner.child.poll() is not None:
                kills += 1
            learner.close()
        self.assertGreaterEqual(kills, 7)
        error = self.get(server, "large")["error"]["message"]
        self.assertRegex(error, "learners vanished while they had the same shard")
        self.assertRegex(error, r"it is reckoned at \d\.\d GB")


if __name__ == "__main__":
    unittest.main()
