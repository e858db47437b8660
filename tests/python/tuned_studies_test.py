"""The studies of results/studies, which tune PPO on training goals, are what a service accepts."""

import pathlib
import sys
import types
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
        self.assertEqual(len(found), 12)
        for study in found:
            with self.subTest(study.stem):
                said = self.program("sweep", study, "--dry_run", "--server", address)
                self.assertIn("the service accepts it", said)
                trials, at_once = 40, 1
                if study.stem.endswith("-grid"):  # It tries all at once.
                    on_metaworld = "teachers_door_close" in study.read_text(encoding="utf-8")
                    trials = at_once = 12 if on_metaworld else 18
                words = f"{trials} trials of 0 outer updates, {at_once} at once"
                self.assertIn(f"{study.stem}: {words}", said)
                self.assertIn("of ppo_shaped on train", said)
                text = study.read_text(encoding="utf-8")
                self.assertIn("evaluation.only_train_goals: true", text)
                self.assertIn("seeds: [101]", text)

    def test_returns_are_no_success_where_no_episode_succeeds(self):
        from mentor_client.evaluation import EvaluationResult
        from mentor_client.sweep import study, study_file

        numbers = {"seg2": 185.0, "return": 185.0}
        result = EvaluationResult("train", "", "ppo_shaped", 4, "return", numbers, [], [])
        experiment = types.SimpleNamespace(evaluation=lambda: [result])
        for wanted, value in (("seg2", 0.0), ("return", 185.0)):
            one = object.__new__(study.Study)
            sought = study_file.Objective(evaluation=wanted, method="ppo_shaped", split="train")
            one._file = types.SimpleNamespace(objective=sought)
            self.assertEqual(one._objective(experiment, {}), value)


if __name__ == "__main__":
    unittest.main()
