"""One owner's experiment must not harm another owner's on a shared fleet (neighbours.py measures
it)."""

import unittest

from neighbours import GOOD, Neighbours

SECONDS = 4


class NeighboursTest(Neighbours):
    # The tests of ServiceTest run elsewhere.
    test_three_users_five_experiments_and_every_process_killed = None

    def test_resets_that_never_end_cost_their_owner(self):
        """A1: the fleet stopped for good, and its actors ignored SIGTERM."""
        alone, _, later, after, _ = self.measure("two", SECONDS)
        # Half of the actor belongs to this owner; other programs of this machine may take more.
        self.assertGreater(later, 0.2 * alone, (alone, later, after))
        self.assertGreater(after, 0.5 * alone, (alone, later, after))
        self.add("bob", "again", self.endless())
        self.wait_until(
            lambda: self.look("again")["state"] == "STATE_RUNNING", "the endless one runs"
        )
        self.rate(2)
        self.assertLess(self.stop_actor(), 10)

    def test_units_that_always_fail_cost_their_owner(self):
        """B2: another experiment fell from 85 updates a second to 0.1 to 10."""
        alone, _, later, after, _ = self.measure("failing", SECONDS)
        self.assertGreater(later, 0.3 * alone, (alone, later, after))
        self.assertEqual(self.look("bad")["owner"], "bob")

    def test_silent_actors_are_soon_done_without(self):
        """D4: three of them stopped an experiment for 24 s."""
        alone, _, later, after, _ = self.measure("hoarding", 2 * SECONDS)
        self.assertGreater(later, 0.3 * alone, (alone, later, after))

    def test_time_of_actors_goes_by_class(self):
        """B1: class, weight and owner did not count for actors."""
        *_, part = self.measure("equal", 3 * SECONDS)
        self.assertTrue(0.3 < part < 0.7, part)

    def test_a_higher_class_goes_first(self):
        *_, part = self.measure("classes", 3 * SECONDS)
        self.assertGreater(part, 0.6)

    def test_the_result_is_as_alone(self):
        """Turns decide when, never what."""
        settings = [*GOOD[:1], "rule.outer_updates=60", *GOOD[2:]]
        wanted = self.run_hash(self.folder / "alone", *settings)
        self.fleet()
        self.misbehave("two")
        self.wait_until(lambda: self.look("bad")["state"] == "STATE_RUNNING", "the bad one runs")
        self.add("ada", "good", settings)
        self.wait_for("good", "SUCCEEDED")
        run = self.state / "experiments" / self.look("good")["uid"]
        self.assertEqual(self.hash(run), wanted)


if __name__ == "__main__":
    unittest.main()
