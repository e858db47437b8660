"""Specs that need more memory than learners have (D5): they are refused or wait with both numbers,
and no learner dies of them; where a learner does not know its limit, they fail with the reason."""

import contextlib
import os
import pathlib
import unittest

from harness import BIN, SMOKE, ClusterTest, Process, sets

GROUPS = pathlib.Path("/sys/fs/cgroup")
# 34 MB of weights an agent, each some times over: about 20 GB a shard.
HUGE = sets(
    "agent.hidden_units=2048",
    "rule.lifetimes_per_update=64",
    "rule.shard_lifetimes=64",
    "rule.outer_updates=1",
    "evaluation.lifetimes_per_goal=0",
)
# About 1.5 GB a shard.
LARGE = sets(
    "agent.hidden_units=512",
    "rule.lifetimes_per_update=64",
    "rule.shard_lifetimes=64",
    "rule.outer_updates=1",
    "evaluation.lifetimes_per_goal=0",
)


@contextlib.contextmanager
def memory_group(limit_bytes):
    """A control group with so much memory: where its processes are written. None without root."""
    name = f"mentor-test-{os.getpid()}"
    v1 = (GROUPS / "memory" / "memory.limit_in_bytes").exists()
    folder = (GROUPS / "memory" if v1 else GROUPS) / name
    try:
        folder.mkdir()
        limit = folder / ("memory.limit_in_bytes" if v1 else "memory.max")
        limit.write_text(str(limit_bytes))
    except OSError:
        with contextlib.suppress(OSError):
            folder.rmdir()
        yield None
        return
    try:
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()


class MemoryTest(ClusterTest):
    def start_in(self, group, server, *arguments):
        """A learner in a control group."""
        command = [BIN / "mentor-learner", "--meta_learner", server, "--listen", "127.0.0.1:0"]
        process = Process(
            "bash", "-c", f'echo $BASHPID > {group}; exec "$@"', "bash", *command, *arguments
        )
        self.addCleanup(process.close)
        return process, process.wait_for(r"listening on (\S+)").group(1)

    def wait_for_activity(self, server, id, words):
        self.wait_until(
            lambda: words in self.get(server, id).get("activity", ""),
            f"'{words}' in the activity of {id}",
            deadline_s=30,
        )

    def group(self, limit_bytes):
        group = self.enterContext(memory_group(limit_bytes))
        if group is None:
            self.skipTest("needs root and a control group for memory")
        return group

    def test_a_spec_beyond_every_learner_is_refused_and_nobody_dies(self):
        group = self.group(1_500_000_000)
        _, server = self.start_meta_learner(self.folder / "state")
        # While nobody is there, nobody knows.
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
        # What fits is done beside it.
        self.create_experiment(server, "small", *sets("rule.outer_updates=1"))
        self.wait_for_state(server, "small", "STATE_SUCCEEDED")
        self.assertEqual(self.get(server, "early")["state"], "STATE_RUNNING")
        self.assertIsNone(learner.child.poll())
        learner.close()

    def test_a_shard_that_ends_its_learners_fails_with_the_reason(self):
        group = self.group(300 << 20)
        _, server = self.start_meta_learner(self.folder / "state")
        self.create_experiment(server, "large", *LARGE)

        def failed():
            return self.get(server, "large")["state"] == "STATE_FAILED"

        kills = 0
        while not failed():
            self.assertLess(kills, 12, "it goes on killing learners")
            # It says that it has no limit: the reckoning cannot help.
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
