#!/usr/bin/env python3
"""Measures the time without a leader after kill -9 or SIGSTOP of the leader, with three
meta-learners on one PostgreSQL. For comparison, a single meta-learner with SQLite that is started
again at once. By hand:

    tests/chaos/takeover.py --trials 50

A trial begins with the fault. It ends when a change sent to the list of addresses is acknowledged.
Every change that was acknowledged before must still exist."""

import argparse
import itertools
import pathlib
import signal
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))

import package  # noqa: E402
import postgres  # noqa: E402
import standby_test  # noqa: E402
from harness import SMOKE, ClusterTest  # noqa: E402

NUMBERS = itertools.count()


class Trials(ClusterTest):
    def create(self, client):
        """Sends a change until it is acknowledged; returns its name."""
        id = f"trial-{next(NUMBERS)}"
        client.create(SMOKE, id=id)
        return id

    def measure(self, client, fault):
        """Returns the seconds from the fault to the next change; checks that nothing was lost."""
        before = self.create(client)
        fault()
        began = time.monotonic()
        after = self.create(client)
        took = time.monotonic() - began
        for id in (before, after):
            client.get(id)
            client.delete(id, force=True)
        return took

    def standby(self, trials, number):
        database, state = standby_test.SERVER.new_database(), self.folder / f"state-{number}"
        members = [standby_test.MetaLearner(self, database, state) for _ in range(3)]
        spans = []
        with self.client(",".join(member.address for member in members)) as client:
            for _ in range(trials):
                leader = next(m for m in members if m.metric("mentor_meta_learner_leader") == 1)
                spans.append(self.measure(client, lambda: leader.process.signal(number)))
                if number == signal.SIGSTOP:
                    leader.process.signal(signal.SIGCONT)
                leader.process.wait(60)
                leader.start()
        for member in members:
            member.process.kill()
        return spans

    def single(self, trials):
        meta, address = self.start_meta_learner(self.folder / "alone")
        spans = []

        def restart():
            nonlocal meta
            meta.kill()
            meta = self.start(
                "mentor-meta-learner", "--state", self.folder / "alone", "--listen", address
            )

        with self.client(address) as client:
            for _ in range(trials):
                spans.append(self.measure(client, restart))
        meta.kill()
        return spans

    @staticmethod
    def client(servers):
        from mentor_client import Client

        return Client(servers, timeout=60)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=50, help="of each kind")
    parser.add_argument("--only", default="", help="kinds that have these words")
    arguments = parser.parse_args()
    package.make_importable()
    standby_test.SERVER = postgres.PostgresServer()
    try:
        with Trials.alone() as case:
            for what, run in (
                ("kill -9, three on PostgreSQL", lambda n: case.standby(n, signal.SIGKILL)),
                ("SIGSTOP, three on PostgreSQL", lambda n: case.standby(n, signal.SIGSTOP)),
                ("kill -9, one on SQLite", case.single),
            ):
                if arguments.only not in what:
                    continue
                spans = run(arguments.trials)
                print(
                    f"{what}: {len(spans)} trials, median {statistics.median(spans):.2f} s, "
                    f"worst {max(spans):.2f} s",
                    flush=True,
                )
    finally:
        standby_test.SERVER.close()


if __name__ == "__main__":
    main()
