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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

import postgres  # noqa: E402
from harness import BIN, ClusterTest, Process, sets  # noqa: E402

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
        self.database = self.postgres.new_database()
        self.state = self.folder / "state"
        self.processes, self.addresses = {}, {}
        help_text = self.of(self.old, "mentor-meta-learner", "--help")
        help_text.wait(60)
        stands_by = "--standby" in help_text.output()
        self.meta_learners = [f"meta-learner-{i}" for i in range(3 if stands_by else 1)]

    def of(self, bin_dir, program, *arguments):
        process = Process(pathlib.Path(bin_dir) / program, *arguments)
        self.addCleanup(process.close)
        return process

    def launch(self, name, bin_dir):
        """Starts the process `name` at its former address."""
        role = name.rpartition("-")[0]
        number = int(name.rpartition("-")[2])
        command = [f"mentor-{role}"]
        if role == "actor":
            command += ["--threads", 1, "--learner", self.addresses[f"learner-{number}"]]
        else:
            command += ["--listen", self.addresses.get(name, "127.0.0.1:0")]
        if role == "learner":
            command += ["--meta_learner", self.servers]
        if role == "meta-learner":
            command += ["--state", self.state, "--database", self.postgres.address(self.database)]
            if len(self.meta_learners) > 1:
                command += ["--standby"]
        process = self.of(bin_dir, *command)
        if role != "actor":
            self.addresses[name] = process.wait_for(r"^listening on (\S+)").group(1)
        self.processes[name] = process

    @property
    def servers(self):
        return ",".join(self.addresses[name] for name in self.meta_learners)

    def replace(self, name, bin_dir):
        process = self.processes[name]
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0, process.output())
        self.launch(name, bin_dir)
        self.go_on()

    def updates(self):
        return self.get(self.servers, "long")["progress"].get("outerUpdates", 0)

    def go_on(self):
        """Waits until the experiment has made some progress in the present fleet."""
        target = self.updates() + 4
        self.assertLess(target, 400, "the experiment was over before the upgrade was")
        self.wait_until(lambda: self.updates() >= target, "progress", 60)

    def test_each_process_is_replaced_and_hashes_stay(self):
        hashes = {kind: self.run_hash(self.folder / kind, *words) for kind, words in KINDS.items()}
        names = [*self.meta_learners, "learner-0", "learner-1", "actor-0", "actor-1"]
        for name in names:
            self.launch(name, self.old)
        for kind, words in KINDS.items():
            self.create_experiment(self.servers, kind, *words)
        self.go_on()
        for name in names:
            self.replace(name, BIN)
        # A user of the version before calls a meta-learner of this version.
        listed = self.of(self.old, "mentorctl", "--server", self.addresses[names[0]], "list")
        self.assertEqual(listed.wait(60), 0, listed.output())
        # The way back, for one process of each kind.
        for name in (names[0], "learner-0", "actor-0"):
            self.replace(name, self.old)
        for kind, hash in hashes.items():
            self.wait_for_state(self.servers, kind, "STATE_SUCCEEDED")
            uid = self.get(self.servers, kind)["uid"]
            self.assertEqual(self.hash(self.state / "experiments" / uid), hash, kind)


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
