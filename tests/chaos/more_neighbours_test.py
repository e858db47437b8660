"""What neighbours_test.py does, with experiments of one class, at night."""

import unittest

import neighbours_test


class MoreNeighboursTest(neighbours_test.NeighboursTest):
    def test_time_of_actors_goes_by_class(self):
        """B1: class, weight and owner did not count for actors."""
        self.check("equal", lambda part: 0.3 < part < 0.7)


if __name__ == "__main__":
    unittest.main()
