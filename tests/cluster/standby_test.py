"""Several meta-learners on one PostgreSQL and one folder. One leads; the others stand by, answer
reads and take over when the leader is killed, stopped or cut off. Experiments end with the hash
that they have alone, and no acknowledged change is lost."""

import re
import signal
import time
import unittest

import postgres
from harness import ClusterTest, kept_port, sets

EVALUATED_LATER = ("evaluation.lifetimes_per_goal=0", "checkpoint.keep_last=3")
LONG = sets("rule.outer_updates=150", *EVALUATED_LATER)
TAKEOVER_S = 60  # The lease is 6 s; a busy machine adds to it.
EXIT_USAGE, EXIT_IN_USE = 2, 4


def setUpModule():
    global SERVER
    if postgres.programs() is None:
        raise unittest.SkipTest("PostgreSQL is not installed")
    SERVER = postgres.PostgresServer()
    unittest.addModuleCleanup(SERVER.close)


class MetaLearner:
    """One of several meta-learners; it can be started again at its address."""

    def __init__(self, test, database, state):
        self.test, self.database, self.state = test, database, state
        self.address = f"127.0.0.1:{kept_port(test)}"
        self.start()

    def start(self):
        self.process = self.test.start(
            "mentor-meta-learner", "--state", self.state, "--standby",
            "--database", SERVER.address(self.database), "--metrics", "127.0.0.1:0",
            "--admin", "127.0.0.1:0", "--listen", self.address,
        )  # fmt: skip
        self.process.wait_for(r"^listening on ")
        self.admin = self.process.wait_for(r"^admin on (\S+)").group(1)

    def metric(self, name):
        return self.process.metric(name)

    def health(self, service):
        process = self.test.start("mentor-probe", "--address", self.admin, "--service", service)
        process.wait(30)
        return process.output()


class StandbyTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.state = self.folder / "state"
        self.database = SERVER.new_database()
        self.members = []

    def start_members(self, count=2):
        """The first one leads."""
        for _ in range(count):
            self.members.append(MetaLearner(self, self.database, self.state))
        self.servers = ",".join(member.address for member in self.members)
        return self.members

    def workers(self):
        learner, address = self.start_learner(self.servers)
        self.start_actor(address, 2)
        return learner

    def begin(self, id="long", updates=5):
        """Starts an experiment and waits for some updates."""
        self.create_experiment(self.servers, id, *LONG)
        files = "experiments/*/checkpoints/*.ckpt"
        self.wait_until(
            lambda: any(int(file.stem) >= updates for file in self.state.glob(files)),
            f"{updates} updates",
        )

    def wait_for_leader(self, member, since):
        member.process.wait_for("leading from now on", TAKEOVER_S)
        took = time.monotonic() - since
        self.assertLess(took, TAKEOVER_S)
        return took

    def check_end(self, id="long"):
        self.assertEqual(self.hash_of(self.servers, self.state, id), self.hash_alone(*LONG))
        self.assertEqual(list(self.state.glob("experiments/*/corrupt/*")), [])

    def leaders(self):
        def leads(member):
            try:
                return member.metric("mentor_meta_learner_leader") == 1
            except OSError:  # It has just ended.
                return False

        return [m for m in self.members if m.process.child.poll() is None and leads(m)]

    def test_a_killed_leader_is_replaced_and_the_experiment_ends_with_its_hash(self):
        first, second, third = self.start_members(3)
        self.workers()
        self.begin()
        # The change is acknowledged just before the kill, through one that stands by.
        names = f"{third.address},{second.address},{first.address}"
        self.create_experiment(names, "last-words", *LONG, "--priority", "low")
        killed = time.monotonic()
        first.process.kill()
        self.wait_until(lambda: self.leaders(), "a leader", TAKEOVER_S)
        self.assertLess(time.monotonic() - killed, TAKEOVER_S)
        (leader,) = self.leaders()
        self.assertEqual(leader.metric("mentor_meta_learner_takeovers_total"), 1)
        self.assertEqual(self.get(self.servers, "last-words")["name"], "experiments/last-words")
        # The killed one comes back, stands by, and leads again in its turn.
        first.start()
        self.assertEqual(self.leaders(), [leader])
        killed = time.monotonic()
        leader.process.kill()
        self.wait_until(lambda: self.leaders(), "a leader again", TAKEOVER_S)
        self.mentorctl(self.servers, "cancel", "last-words")
        self.check_end()

    def test_a_standby_reads_and_names_the_leader(self):
        first, second = self.start_members()
        self.create_experiment(first.address, "one")
        one = self.get(second.address, "one")
        self.assertEqual(one["uid"], self.get(first.address, "one")["uid"])
        for words in (["list"], ["metrics", "one"], ["checkpoints", "one"], ["artifacts", "one"]):
            self.mentorctl(second.address, *words)

        # A leader announces its address with its first beats.
        def refused():
            process = self.start(
                "mentorctl", "--server", second.address, "--timeout", "1", "--output", "json",
                "pause", "one",
            )  # fmt: skip
            self.assertNotEqual(process.wait(), 0)
            # One that gets no processor for a second has no answer at all.
            if re.search("knows no leader|DEADLINE", process.output()):
                return False
            self.assertIn("NOT_LEADER", process.output())
            return f"{first.address} leads" in process.output()

        self.wait_until(refused, "the standby names the leader", 30)
        self.assertEqual(second.metric("mentor_meta_learner_leader"), 0)
        for service, of_first, of_second in (
            ("readiness", "SERVING", "NOT_SERVING"),
            ("mentor.v1.ShardService", "SERVING", "NOT_SERVING"),
            ("mentor.v1.ExperimentService", "SERVING", "NOT_SERVING"),
            ("available", "SERVING", "SERVING"),
            ("liveness", "SERVING", "SERVING"),
        ):
            self.assertEqual((first.health(service), second.health(service)),
                             (of_first, of_second), service)  # fmt: skip
        # A list finds the leader, whichever is asked first; a watch continues over a takeover.
        self.mentorctl(f"{second.address},{first.address}", "pause", "one")
        watch = self.start(
            "mentorctl", "--server", self.servers, "watch", "one", "--output", "json"
        )
        watch.wait_for("PAUSED")
        since = time.monotonic()
        first.process.signal(signal.SIGTERM)
        self.assertEqual(first.process.wait(), 0)
        self.wait_for_leader(second, since)
        self.wait_until(lambda: second.health("readiness") == "SERVING", "it is ready", 30)
        self.mentorctl(self.servers, "cancel", "one")
        watch.wait_for("CANCELLED", 30)
        watch.wait(30)

    def test_a_stopped_leader_is_replaced_and_ends_when_it_wakes(self):  # Nightly
        first, second = self.start_members()
        self.workers()
        self.begin()
        since = time.monotonic()
        first.process.signal(signal.SIGSTOP)
        self.wait_for_leader(second, since)
        self.create_experiment(self.servers, "meanwhile", *LONG)
        first.process.signal(signal.SIGCONT)
        self.assertEqual(first.process.wait(30), EXIT_IN_USE, first.process.output())
        self.assertIn("taken over", first.process.output())
        self.mentorctl(second.address, "cancel", "meanwhile")
        self.check_end()

    def test_cut_connections_leave_one_leader(self):  # Nightly
        first, second = self.start_members()
        self.workers()
        self.begin()
        for _ in range(3):
            # Sessions come back when they are next needed, a second later at most.
            self.wait_until(lambda: SERVER.cut(self.database) > 0, "a session to cut", 10)
            time.sleep(0.3)
        self.wait_until(lambda: len(self.leaders()) == 1, "one leader", 20)
        if first.process.child.poll() is not None:
            self.assertEqual(first.process.wait(), EXIT_IN_USE)
            first.start()
        # The server itself stops for a while: the first to connect then leads, and never both.
        SERVER.stop()
        time.sleep(1)
        SERVER.start()
        self.wait_until(lambda: len(self.leaders()) == 1, "one leader", 30)
        self.check_end()
        fence = SERVER.sql(self.database, "SELECT fence.number = lease.number FROM fence, lease")
        self.assertEqual(fence, ["t"])

    def test_a_start_waits_for_a_connection_that_is_to_be_had(self):
        SERVER.sql("postgres", "CREATE ROLE guest LOGIN CONNECTION LIMIT 0")
        SERVER.sql("postgres", f"ALTER DATABASE {self.database} OWNER TO guest")
        address = SERVER.address(self.database).replace("mentor@", "guest@")
        flags = ["--state", self.state, "--listen", "127.0.0.1:0", "--database"]
        full = self.start("mentor-meta-learner", *flags, address)
        full.wait_for("the database is away.*too many connections for role")
        self.assertIsNone(full.child.poll())
        SERVER.sql("postgres", "ALTER ROLE guest CONNECTION LIMIT 20")
        server = full.wait_for(r"^listening on (\S+)").group(1)
        self.assertEqual(self.mentorctl(server, "list", "--output", "name"), "")
        # A process that is stopped while it waits ends. An error that does not pass is no reason to
        # wait.
        SERVER.sql("postgres", "ALTER ROLE guest CONNECTION LIMIT 0")
        waiting = self.start("mentor-meta-learner", *flags, address)
        waiting.wait_for("the database is away")
        waiting.child.send_signal(signal.SIGTERM)
        self.assertEqual(waiting.wait(30), 0)
        nowhere = address.replace(self.database, "nowhere").replace("guest@", "mentor@")
        refused = self.run_to_end("mentor-meta-learner", *flags, nowhere, code=1)
        self.assertIn('database "nowhere" does not exist; correct user and database', refused)

    def test_what_cannot_be_is_refused(self):  # Nightly
        wrong = self.run_to_end(
            "mentor-meta-learner", "--state", self.state, "--standby", code=EXIT_USAGE
        )
        self.assertIn("--standby needs --database", wrong)
        (first,) = self.start_members(1)
        # Without --standby a second one is refused.
        second = ["mentor-meta-learner", "--state", self.state, "--listen", "127.0.0.1:0"]
        same = self.run_to_end(
            *second, "--database", SERVER.address(self.database), code=EXIT_IN_USE
        )
        self.assertIn("in use by another meta-learner", same)
        # The folder belongs to the first one's database.
        other = SERVER.address(SERVER.new_database())
        for flags in ([], ["--standby"]):
            refused = self.run_to_end(*second, "--database", other, *flags, code=1)
            self.assertIn("belongs to another database", refused)
        sqlite = self.run_to_end(*second, code=EXIT_IN_USE)
        self.assertIn("is in use by", sqlite)
        self.assertEqual(self.mentorctl(first.address, "list", "--output", "name"), "")


if __name__ == "__main__":
    unittest.main()
