"""Actors that know several learners. They spread over the learners, help where there is work, and
move when a learner is killed, drained, hangs or comes back. Experiments end with the hash that they
have alone."""

import json
import socket
import unittest

from harness import SIGTERM, ClusterTest, sets

LONG = sets(
    "rule.outer_updates=60",
    "rule.shard_lifetimes=2",  # Four shards an update.
    "evaluation.lifetimes_per_goal=0",
    "checkpoint.keep_last=3",
)


class LearnersTest(ClusterTest):
    def start_fleet(self, learners=3, actors=6):
        self.state = self.folder / "state"
        _, self.server = self.start_meta_learner(self.state)
        self.learners = [self.start_learner(self.server) for _ in range(learners)]
        self.addresses = ",".join(address for _, address in self.learners)
        self.actors = [self.start_actor(self.addresses) for _ in range(actors)]
        self.wait_for_peers(self.server, "actors", actors)

    def name_of(self, learner):
        """Returns learners/UID, which the log of an actor has beside the address."""
        for actor in self.actors:
            for line in actor.output().splitlines():
                if "connected to a learner" in line:
                    entry = json.loads(line)
                    if entry["address"] == learner:
                        return entry["learner"]
        return None

    def newest(self):
        steps = [int(path.stem) for path in self.checkpoints(self.state)]
        return max(steps, default=0)

    def wait_for_step(self, step):
        self.wait_until(lambda: self.newest() >= step, f"outer update {step}")

    def assert_actors_live(self):
        for actor in self.actors:
            self.assertIsNone(actor.child.poll(), actor.output())

    def test_one_killed_one_drained_one_started_again(self):
        alone = self.hash_alone(*LONG)
        self.start_fleet()
        killed, drained = self.learners[0], self.learners[1]
        drained_name = self.name_of(drained[1])
        self.create_experiment(self.server, "kills", *LONG)
        self.wait_for_step(5)
        killed[0].kill()
        self.wait_for_step(self.newest() + 5)
        if drained_name is None:  # No actor came there, so all units of its shards wait for one.
            drained_name = self.name_of(drained[1])
        self.assertIsNotNone(drained_name)
        self.mentorctl(self.server, "drain", drained_name)
        self.assertEqual(drained[0].wait(), 0)
        self.wait_for_step(self.newest() + 5)
        again, _ = self.start_learner(self.server, killed[1])
        again.wait_for("connected to the meta-learner")
        self.learners[2][0].signal(SIGTERM)
        self.assertEqual(self.learners[2][0].wait(), 0)
        self.assertEqual(self.hash_of(self.server, self.state, "kills"), alone)
        self.assert_actors_live()
        self.wait_until(
            lambda: len(self.peers(self.server, "actors")) == 6, "all actors at the learner left"
        )

    def test_two_experiments_over_three_learners(self):  # Nightly
        seeds = (1, 2)
        alone = [self.hash_alone(*LONG, "--set", f"seed={i}") for i in seeds]
        self.start_fleet(3, 0)
        # All actors have the same home, so two learners have none.
        homes = {}
        while max((len(actors) for actors in homes.values()), default=0) < 3:
            actor = self.start_actor(self.addresses)
            home = actor.wait_for('connected to a learner.*"address":"([^"]*)"').group(1)
            homes.setdefault(home, []).append(actor)
        most = max(homes.values(), key=len)
        for actor in sum(homes.values(), []):
            if actor not in most:
                actor.kill()
        for i in seeds:
            self.create_experiment(self.server, f"e{i}", *LONG, "--set", f"seed={i}")
        self.assertEqual([self.hash_of(self.server, self.state, f"e{i}") for i in seeds], alone)

    def test_one_actor_is_enough_for_three_learners(self):  # Nightly
        alone = self.hash_alone(*LONG)
        self.start_fleet(3, 0)
        self.create_experiment(self.server, "one", *LONG)
        self.wait_until(
            lambda: all(peer.get("work") for peer in self.peers(self.server, "learners").values()),
            "shards at all learners",
        )
        # The actor goes to each learner once, and then stays where its shards come to.
        actor = self.start_actor(self.addresses)
        self.assertEqual(self.hash_of(self.server, self.state, "one"), alone)
        self.assertLessEqual(actor.output().count("moves to another learner"), 6)

    def test_addresses_that_hang_or_are_no_learner(self):
        short = sets("rule.outer_updates=2", *LONG[3::2])
        alone = self.hash_alone(*short)
        self.state = self.folder / "state"
        _, self.server = self.start_meta_learner(self.state)
        _, learner = self.start_learner(self.server)
        with socket.create_server(("127.0.0.1", 0)) as hangs:
            hanging = f"127.0.0.1:{hangs.getsockname()[1]}"
            # A meta-learner is no learner, a name without addresses leads nowhere, and one address
            # is given twice.
            addresses = [hanging, self.server, learner, "localhost.invalid:1", learner]
            actor = self.start_actor(",".join(addresses), 1, "--allow_insecure")
            actor.wait_for("a name of learners cannot be resolved")
            actor.wait_for("connected to a learner")
            self.create_experiment(self.server, "hangs", *short)
            self.assertEqual(self.hash_of(self.server, self.state, "hangs"), alone)

    def test_a_name_stands_for_its_addresses(self):
        self.state = self.folder / "state"
        _, self.server = self.start_meta_learner(self.state)
        _, learner = self.start_learner(self.server)
        port = learner.rsplit(":", 1)[1]
        actor = self.start_actor(f"dns:///localhost:{port}")
        actor.wait_for("connected to a learner")
        self.assertIn(f'"address":"127.0.0.1:{port}"', actor.output())

    def test_lists_that_are_wrong(self):
        many = ",".join("127.0.0.1:1" for _ in range(1025))
        for addresses, why in (
            ("127.0.0.1:1,", "address ''"),
            ("127.0.0.1:1,learner", "address 'learner': expected HOST:PORT"),
            ("dns:///learner", "expected HOST:PORT"),
            ("127.0.0.1:1,far.example:2", "without TLS"),
            (many, "there are 1025 addresses; give at most 1024"),
        ):
            with self.subTest(why):
                output = self.run_to_end("mentor-actor", "--learner", addresses, code=2)
                self.assertIn(why, output)


if __name__ == "__main__":
    unittest.main()
