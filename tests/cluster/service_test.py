"""A service with three users and five experiments, over TLS with tokens, while every process is
killed in turn."""

import json

from harness import sets
from secure import SecureTest

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


class ServiceTest(SecureTest):
    def wait_for(self, name, *states):
        self.wait_for_state("viewer", name, *(f"STATE_{state}" for state in states))

    def create(self, user, name, seed, *arguments):
        self.create_experiment(user, name, *LONGER, *sets(f"seed={seed}"), *arguments)

    def test_three_users_five_experiments_and_every_process_killed(self):
        fleet = self.fleet
        fleet.start("meta-learner-0", "--max_running", 2)
        history = self.start("mentorctl", *self.flags_of("viewer"), "watch", "--output", "json")
        # Without workers it sees a1 before the first update.
        self.create("ada", "a1", 1)
        history.wait_for('"name": ?"experiments/a1"')
        for name in ("learner-0", "actor-0", "actor-1"):
            fleet.start(name)
        self.create("ada", "a2", 2, "--priority", "low")
        self.create("cem", "c1", 3)
        self.wait_until(lambda: self.updates("viewer", "a1") >= 1, "a first update")
        fleet.kill("actor-0")
        fleet.start("actor-0")

        # An experiment of a higher class takes a place.
        self.create("bob", "b1", 4, "--priority", "high")
        self.wait_for("b1", "RUNNING", "SUCCEEDED")
        self.wait_for("c1", "RUNNING", "QUEUED")
        self.mentorctl("cem", "pause", "c1")
        self.wait_for("c1", "PAUSED")
        fleet.kill("learner-0")
        fleet.start("learner-0")

        # What was answered survives.
        self.create("bob", "b2", 5)
        fleet.kill("meta-learner-0")
        fleet.start("meta-learner-0", "--max_running", 2)
        self.assertEqual(state_of(self.look("c1")), "PAUSED")
        self.assertIn(state_of(self.look("b2")), ("QUEUED", "RUNNING"))
        self.mentorctl("viewer", "cancel", "b2", code=4)
        self.mentorctl("bob", "cancel", "b2", "--reason", "one of mine is enough")
        self.wait_for("b2", "CANCELLED")
        self.assertEqual(self.look("b2")["error"]["message"], "one of mine is enough")
        self.mentorctl("ada", "pause", "b2", code=4)  # It is not hers.
        self.mentorctl("bob", "pause", "b2", code=5)
        self.mentorctl("cem", "resume", "c1")
        fleet.kill("actor-1")

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
                for line in self.mentorctl(
                    "viewer", "checkpoints", name, "--output", "json"
                ).splitlines()
            ][-1]
            self.assertEqual(newest["outerStep"], UPDATES)
            self.assertEqual(
                newest["stateHash"], self.hash_alone(*LONGER, *sets(f"seed={seed}")), name
            )
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
