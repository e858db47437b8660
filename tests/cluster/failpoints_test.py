"""A cluster in normal work hits every failpoint. Failpoints of fetching, backups, object storage,
devices and bundles are left out; they have tests of their own."""

import re
import subprocess
import time

from harness import BIN, ROOT, SPECS, ClusterTest, sets

ELSEWHERE = (
    "cluster/fetch_test.py",
    "conformance/meta_learner/store/store_test.cc",
    "loopback/actor/bundles_test.cc",
    "unit/common/bundle_cache_test.cc",
    "unit/kernels/device_monitor_test.cc",
    "unit/meta_learner/store/bundle_shelf_test.cc",
    "unit/meta_learner/objects/objects_test.cc",
)
# Much data in few messages, so that messages travel in pieces.
LARGE = sets(
    "rule.outer_updates=1",
    "rule.lifetimes_per_update=128",
    "rule.shard_lifetimes=128",
    "lifetime.steps_per_iteration=400",
    "evaluation.lifetimes_per_goal=0",
)
# Many units, some of which are computed again and compared; few checkpoints are kept.
LONG = sets(
    "rule.outer_updates=60",
    "rule.lifetimes_per_update=40",
    "rule.shard_lifetimes=20",
    "checkpoint.keep_last=1",
    "evaluation.lifetimes_per_goal=0",
)
# Shards that continue from snapshots.
SNAPSHOTS = sets(
    "rule.outer_updates=2",
    "rule.lifetimes_per_update=4",
    "rule.shard_lifetimes=2",
    "evaluation.lifetimes_per_goal=0",
)


def points_in_sources():
    found = set()
    for folder in ("actor", "common", "learner", "mentor", "meta_learner"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".cc", ".h") and path.stem != "failpoint":
                found |= set(re.findall(r'MENTOR_FAILPOINT\("([^"]+)"\)', path.read_text()))
    return found


class FailpointsTest(ClusterTest):
    def armed(self, binary):
        """The first hit of each failpoint is recorded, and does nothing else."""
        listed = subprocess.run(
            [BIN / binary, "--list_failpoints"], capture_output=True, text=True, check=True
        )
        rules = [f"{name}=1:sleep(0)" for name in listed.stdout.split()]
        return {"MENTOR_FAILPOINTS": ";".join(rules), "MENTOR_FAILPOINT_LOG": str(self.log)}

    def hits(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return {line.split()[0] for line in lines}

    def test_every_failpoint_is_hit(self):
        self.log = self.folder / "hits"
        state = self.folder / "state"
        _, server = self.start_meta_learner(state, env=self.armed("mentor-meta-learner"))
        _, learner = self.start_learner(server, env=self.armed("mentor-learner"))
        for _ in range(2):
            self.start_actor(learner, 1, env=self.armed("mentor-actor"))
        self.create_experiment(server, "large", *LARGE)
        self.create_experiment(server, "long", *LONG)
        snapshots = SPECS / "point_reach_meta_gradient.txtpb"
        self.create_experiment(server, "snapshots", *SNAPSHOTS, spec=snapshots)
        self.create_experiment(server, "cancelled", *LONG)
        self.mentorctl(server, "pause", "cancelled")
        # The experiment may have been running.
        self.wait_for_state(server, "cancelled", "STATE_PAUSED")
        for verb in ("resume", "cancel"):
            self.mentorctl(server, verb, "cancelled")
        self.wait_for_state(server, "cancelled", "STATE_CANCELLED")
        self.mentorctl(server, "delete", "cancelled")
        self.mentorctl(server, "watch", "large", "snapshots")
        others = "".join((ROOT / "tests" / path).read_text() for path in ELSEWHERE)
        elsewhere = {name for name in points_in_sources() if name in others}
        wanted = points_in_sources() - elsewhere
        end = time.monotonic() + 60
        while not wanted <= self.hits() and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(wanted - self.hits(), set())
        self.assertGreaterEqual(len(wanted), 30)
