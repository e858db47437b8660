"""A service with three users and five experiments, over TLS with tokens, while every process is
killed in turn."""

import hashlib
import json
import secrets

import peers
from harness import SMOKE, ClusterTest, sets

UPDATES = 30
LONGER = sets(f"rule.outer_updates={UPDATES}")
# From proto/mentor/v1/experiment.proto; common/resources/states.cc has the same table.
ARROWS = {
    "QUEUED": {"RUNNING", "PAUSED", "CANCELLED", "FAILED"},
    "RUNNING": {"PAUSING", "PAUSED", "CANCELLING", "QUEUED", "SUCCEEDED", "FAILED"},
    "PAUSING": {"PAUSED", "CANCELLING", "SUCCEEDED", "FAILED"},
    "PAUSED": {"QUEUED", "CANCELLED", "FAILED"},
    "CANCELLING": {"CANCELLED", "SUCCEEDED", "FAILED"},
}


def state_of(experiment):
    return experiment["state"].removeprefix("STATE_")


class ServiceTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.credentials = peers.Credentials(self.folder / "credentials")
        lines = (self.credentials.folder / "tokens").read_text()
        for user in ("ada", "bob", "cem"):
            token = secrets.token_hex(24)
            self.credentials.write(f"{user}.token", token + "\n")
            lines += f"operator {user} {hashlib.sha256(token.encode()).hexdigest()}\n"
        self.credentials.write("tokens", lines)
        self.state = self.folder / "state"

    def start_meta(self, port=0, max_running=2):
        c = self.credentials
        return self.start_meta_learner(
            self.state,
            port,
            "--tls_cert",
            c / "server.crt",
            "--tls_key",
            c / "server.key",
            "--tokens",
            c / "tokens",
            "--max_running",
            max_running,
            "--disk_reserve_mb",
            1,
        )

    def start_a_learner(self, port=0):
        c = self.credentials
        return self.start_learner(
            self.address,
            port,
            *c.tls("learner"),
            "--no_client_certificates",
            "--tokens",
            c / "tokens",
            "--token_file",
            c / "learner.token",
        )

    def start_an_actor(self):
        c = self.credentials
        return self.start_actor(
            self.learner_address, 1, "--tls_ca", c / "ca.crt", "--token_file", c / "actor.token"
        )

    def as_user(self, user):
        c = self.credentials
        return [
            "--server",
            self.address,
            "--tls_ca",
            c / "ca.crt",
            "--token_file",
            c / f"{user}.token",
        ]

    def ctl(self, user, *arguments, code=0):
        return self.run_to_end(
            "mentorctl", *self.as_user(user), "--timeout", 60, *arguments, code=code
        )

    def look(self, name):
        return json.loads(self.ctl("viewer", "get", name, "--output", "json"))

    def wait_for(self, name, *states):
        self.wait_until(lambda: state_of(self.look(name)) in states, f"{name} in {states}")

    def create(self, user, name, seed, *arguments):
        self.ctl(
            user, "create", "-f", SMOKE, *LONGER, *sets(f"seed={seed}"), "--id", name, *arguments
        )

    def undisturbed_hash(self, seed):
        run = self.folder / f"undisturbed-{seed}"
        return self.run_hash(run, *LONGER, *sets(f"seed={seed}"))

    def test_three_users_five_experiments_and_every_process_killed(self):
        meta, self.address = self.start_meta()
        history = self.start("mentorctl", *self.as_user("viewer"), "watch", "--output", "json")
        # Without workers it sees a1 before the first update.
        self.create("ada", "a1", 1)
        history.wait_for('"name": ?"experiments/a1"')
        learner, self.learner_address = self.start_a_learner()
        actors = [self.start_an_actor() for _ in range(2)]
        self.create("ada", "a2", 2, "--priority", "low")
        self.create("cem", "c1", 3)
        self.wait_until(
            lambda: self.look("a1")["progress"].get("outerUpdates", 0) >= 1, "a first update"
        )
        actors[0].kill()
        self.start_an_actor()

        # An experiment of a higher class takes a place.
        self.create("bob", "b1", 4, "--priority", "high")
        self.wait_for("b1", "RUNNING", "SUCCEEDED")
        self.wait_for("c1", "RUNNING", "QUEUED")
        self.ctl("cem", "pause", "c1")
        self.wait_for("c1", "PAUSED")
        learner.kill()
        learner, _ = self.start_a_learner(self.learner_address)

        # What was answered survives.
        self.create("bob", "b2", 5)
        meta.kill()
        meta, _ = self.start_meta(self.address)
        self.assertEqual(state_of(self.look("c1")), "PAUSED")
        self.assertIn(state_of(self.look("b2")), ("QUEUED", "RUNNING"))
        self.ctl("viewer", "cancel", "b2", code=4)
        self.ctl("bob", "cancel", "b2", "--reason", "one of mine is enough")
        self.wait_for("b2", "CANCELLED")
        self.assertEqual(self.look("b2")["error"]["message"], "one of mine is enough")
        self.ctl("ada", "pause", "b2", code=4)  # It is not hers.
        self.ctl("bob", "pause", "b2", code=5)
        self.ctl("cem", "resume", "c1")
        actors[1].kill()

        for name, owner, seed in (
            ("a1", "ada", 1),
            ("a2", "ada", 2),
            ("b1", "bob", 4),
            ("c1", "cem", 3),
        ):
            self.wait_for(name, "SUCCEEDED")
            experiment = self.look(name)
            self.assertEqual(experiment["owner"], owner)
            self.assertEqual(experiment["progress"]["outerUpdates"], UPDATES)
            newest = [
                json.loads(line)
                for line in self.ctl("viewer", "checkpoints", name, "--output", "json").splitlines()
            ][-1]
            self.assertEqual(newest["outerStep"], UPDATES)
            self.assertEqual(newest["stateHash"], self.undisturbed_hash(seed), name)
        self.assertEqual(self.look("b2")["owner"], "bob")
        self.check_history(history)

    def check_history(self, history):
        """One stream saw everything across the restart: no state is skipped, and none comes
        twice."""
        wanted = {
            "a1": "SUCCEEDED",
            "a2": "SUCCEEDED",
            "b1": "SUCCEEDED",
            "b2": "CANCELLED",
            "c1": "SUCCEEDED",
        }

        def seen():
            states = {}
            for line in history.output().splitlines():
                if not line.startswith("{"):
                    continue
                event = json.loads(line)
                if event.get("event") not in ("EVENT_CREATED", "EVENT_UPDATED"):
                    continue
                experiment = event["experiment"]
                states.setdefault(experiment["name"].removeprefix("experiments/"), []).append(
                    (
                        int(experiment["progress"].get("outerUpdates", 0)),
                        state_of(experiment),
                        experiment["etag"],
                    )
                )
            return states

        self.wait_until(
            lambda: {name: events[-1][1] for name, events in seen().items()} == wanted,
            "the end in the history",
        )
        for name, events in seen().items():
            etags = [etag for _, _, etag in events]
            self.assertEqual(len(etags), len(set(etags)), f"{name}: an event came twice")
            for (before, old, _), (after, new, _) in zip(events, events[1:]):
                self.assertTrue(old == new or new in ARROWS[old], f"{name}: {old} became {new}")
                self.assertGreaterEqual(after, before, f"{name} went back")
            updates = [update for update, _, _ in events]
            if wanted[name] == "SUCCEEDED":
                self.assertEqual(
                    sorted(set(updates)), list(range(UPDATES + 1)), f"{name}: an update is missing"
                )


if __name__ == "__main__":
    import unittest

    unittest.main()
