#!/usr/bin/env python3
"""Rolling upgrade, and the way back. While experiments run, the processes of a fleet are replaced
one after another, from binaries of another build to those of this one and back. After each
replacement a fleet of two builds works for a while. In the end the experiments have the hash that
they have alone. By hand:

    tests/chaos/upgrade_test.py --old BIN_DIR

BIN_DIR is build/bin of the version before, with the same wire version and arithmetic. Needs
PostgreSQL; skipped without it and without BIN_DIR. Versions that know --standby have three
meta-learners; older ones are replaced in place."""

import argparse
import pathlib
import signal
import sys
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

import postgres  # noqa: E402
from fleet import Fleet  # noqa: E402
from harness import BIN, ClusterTest, sets  # noqa: E402

SMALL = ("evaluation.lifetimes_per_goal=0", "checkpoint.keep_last=3")
KINDS = {
    "long": sets("rule.outer_updates=400", *SMALL),
    "wide": sets("rule.outer_updates=12", "rule.lifetimes_per_update=400", *SMALL),
}


class UpgradeTest(ClusterTest):
    old = None

    def setUp(self):
        super().setUp()
        if self.old is None or postgres.programs() is None:
            self.skipTest("needs --old BIN_DIR and PostgreSQL")
        self.postgres = postgres.PostgresServer()
        self.addCleanup(self.postgres.close)
        with self.programs_of(self.old):
            help_text = self.start("mentor-meta-learner", "--help")
        help_text.wait(60)
        stands_by = "--standby" in help_text.output()
        self.flags = ["--database", self.postgres.address(self.postgres.new_database())]
        self.flags += ["--standby"] * stands_by
        self.meta_learners = [f"meta-learner-{i}" for i in range(3 if stands_by else 1)]
        self.fleet = Fleet(self, self.folder / "state")
        self.fleet.homes = {"actor-1": "learner-1"}

    def programs_of(self, bin_dir):
        return unittest.mock.patch.object(self, "bin", bin_dir)

    def launch(self, name, bin_dir):
        with self.programs_of(bin_dir):
            self.fleet.start(name, *(self.flags if name in self.meta_learners else ()))

    def replace(self, name, bin_dir):
        code = self.fleet.end(name, signal.SIGTERM)
        self.assertEqual(code, 0, self.fleet.processes[name].output())
        self.launch(name, bin_dir)
        self.go_on()

    def go_on(self):
        """Waits until the experiment has made some progress in the present fleet."""
        target = self.updates(self.fleet.server, "long") + 4
        self.assertLess(target, 400, "the experiment was over before the upgrade was")
        self.wait_until(lambda: self.updates(self.fleet.server, "long") >= target, "progress", 60)

    def test_each_process_is_replaced_and_hashes_stay(self):
        hashes = {kind: self.run_hash(self.folder / kind, *words) for kind, words in KINDS.items()}
        names = [*self.meta_learners, "learner-0", "learner-1", "actor-0", "actor-1"]
        for name in names:
            self.launch(name, self.old)
        for kind, words in KINDS.items():
            self.create_experiment(self.fleet.server, kind, *words)
        self.go_on()
        for name in names:
            self.replace(name, BIN)
        # A user of the version before calls a meta-learner of this version.
        with self.programs_of(self.old):
            self.mentorctl(self.fleet.addresses[names[0]], "list")
        # The way back, for one process of each kind.
        for name in (names[0], "learner-0", "actor-0"):
            self.replace(name, self.old)
        for kind, hash in hashes.items():
            self.assertEqual(self.hash_of(self.fleet.server, self.fleet.state, kind), hash, kind)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", help="build/bin of the version before")
    arguments = parser.parse_args()
    UpgradeTest.old = arguments.old and pathlib.Path(arguments.old).resolve()
    unittest.main(argv=[sys.argv[0]])


if __name__ == "__main__":
    main()
