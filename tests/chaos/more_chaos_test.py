"""What chaos_test.py does, with more seeds, at night."""

import unittest

import chaos_test


class MoreChaosTest(chaos_test.ChaosTest):
    seeds = range(3, 7)

    def test_chaos(self):
        super().test_chaos()


if __name__ == "__main__":
    unittest.main()
