"""`mentor reproduce` of published claims that take ten seconds to a minute each."""

import unittest

from harness import ClusterTest

CLAIMS = ["point-reach-advantage-1", "point-reach-es-1", "point-reach-reward-1"]


class LongerClaimsTest(ClusterTest):
    def test_longer_claims_hold(self):
        words = ("mentor", "reproduce", *CLAIMS, "--quiet", "--out", self.folder / "out")
        said = self.run_to_end(*words, deadline_s=1200)
        self.assertIn(f"{len(CLAIMS)} bit for bit, 0 the numbers only", said)


if __name__ == "__main__":
    unittest.main()
