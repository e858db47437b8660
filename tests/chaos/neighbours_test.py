"""One owner's experiment must not harm another owner's on a shared fleet (neighbours.py measures
it)."""

import unittest

from neighbours import GOOD, Neighbours

SECONDS = 5


class NeighboursTest(Neighbours):
    def check(self, case, fair):
        """Measures the good one's part of the actors' time until it is fair, three times at most.
        Other programs of this machine take its time now and then; a fault shows each time."""
        for _ in range(3):
            part = self.part_of_time(case, SECONDS)
            print("part", part, flush=True)
            if fair(part):
                return
            self.doCleanups()
            self.setUp()
        self.fail(part)

    def goes_on(self, what):
        """At its worst, each fault left the good one less than 3 updates a second, or none."""
        before = self.updates("ada", "good")
        self.wait_until(
            lambda: self.updates("ada", "good") > before + 100, f"100 updates {what}", 30
        )

    def test_resets_that_never_end_cost_their_owner(self):  # Nightly
        """A1: the fleet stopped for good, and its actors ignored SIGTERM."""
        self.begin("two")
        end = self.misbehave("two")
        for name in ("bad", "worse"):
            self.wait_until(lambda: self.look(name)["state"] == "STATE_RUNNING", f"{name} runs")
        self.goes_on("beside resets that never end")
        end()
        self.goes_on("after them")
        self.create_experiment("bob", "again", *self.endless())
        self.wait_until(
            lambda: self.look("again")["state"] == "STATE_RUNNING", "the endless one runs"
        )
        self.rate(2)
        self.assertLess(self.stop_actor(), 30)

    def test_units_that_always_fail_cost_their_owner(self):  # Nightly
        """B2: another experiment fell from 85 updates a second to 0.1 to 10."""
        self.begin("failing")
        self.misbehave("failing")
        self.wait_until(lambda: self.look("bad")["state"] != "STATE_QUEUED", "the bad one runs")
        self.goes_on("beside units that fail")
        self.assertEqual(self.look("bad")["owner"], "bob")

    def test_silent_actors_are_soon_done_without(self):  # Nightly
        """D4: three of them stopped an experiment for 24 s, or until they left."""
        self.begin("hoarding")
        self.misbehave("hoarding")
        self.wait_until(lambda: self.num_holders() == 3, "all three hold units")
        self.goes_on("beside silent actors")
        self.assertEqual(self.num_holders(), 3)

    def test_a_higher_class_goes_first(self):  # Nightly
        """B1: class, weight and owner did not count for actors. Equals: more_neighbours_test.py."""
        self.check("classes", lambda part: part > 0.6)

    def test_the_result_is_as_alone(self):
        """Turns decide when, never what."""
        settings = [*GOOD[:1], "rule.outer_updates=60", *GOOD[2:]]
        wanted = self.hash_alone(*settings)
        self.start_fleet()
        self.misbehave("two")
        self.wait_until(lambda: self.look("bad")["state"] == "STATE_RUNNING", "the bad one runs")
        self.create_experiment("ada", "good", *settings)
        self.assertEqual(self.hash_of("ada", self.state, "good"), wanted)


if __name__ == "__main__":
    unittest.main()
