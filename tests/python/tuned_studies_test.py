"""The studies of results/studies, which tune PPO on training goals, are what a service accepts."""

import pathlib
import sys
import unittest

import studies

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))
from harness import ROOT, ClusterTest  # noqa: E402


def setUpModule():
    studies.Programs.CLIENT = studies.require()


class TunedStudiesTest(studies.Programs, ClusterTest):
    def test_none_sees_a_test_goal(self):
        _, address = self.start_meta_learner(self.folder / "state")
        found = sorted((ROOT / "results" / "studies").glob("*.yaml"))
        self.assertEqual(len(found), 6)
        for study in found:
            with self.subTest(study.stem):
                said = self.program("sweep", study, "--dry_run", "--server", address)
                self.assertIn("the service accepts it", said)
                self.assertIn(f"{study.stem}: 10 trials of 0 outer updates, 1 at once", said)
                self.assertIn("of ppo_shaped on train", said)
                text = study.read_text(encoding="utf-8")
                self.assertIn("evaluation.only_train_goals: true", text)
                self.assertIn("seeds: [101]", text)


if __name__ == "__main__":
    unittest.main()
