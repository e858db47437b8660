"""results/generate.py refuses, by name, what makes a comparison unfair or a number unrepeatable."""

import importlib.util
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "results"))
import claims  # noqa: E402
import refusals  # noqa: E402

MISSING = importlib.util.find_spec("numpy") is None
if not MISSING:
    import places

HEADER = ",".join(claims.COLUMNS) + "\n"
COMMAND = (
    "mentor run ml1_reward --set seed={0} --set benchmark.goal_seed={1} --set agent.clip=0.91 "
    "--set rule.outer_updates=0"
)
STUDY = """# claims: door-ppo-tuned
# command: mentor run ml1_reward --set rule.outer_updates=0
# goals: train
# goal_seeds: 101
# chosen: 1
trial,state,agent.clip,value,seed 101
0,complete,0.2,0.11,0.11
1,complete,0.9123,0.30,0.30
2,fail,0.5,,
"""


def row(claim, run, command, result=""):
    cells = {"claim": claim, "run": run, "row": "1", "command": command, "evaluation": result}
    return {**dict.fromkeys(claims.COLUMNS, ""), **cells}


class RefusalsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.old = self.folder / "old.txt"
        self.old.write_text("# old\n")
        self.studies = self.folder / "studies"
        self.studies.mkdir()
        self.rows = [row("door-ppo-tuned", run, COMMAND.format(run, run)) for run in ("1", "3")]

    def known(self):
        return claims.claims_of([dict(one) for one in self.rows], "x")

    def said(self, files=()):
        return "\n".join(refusals.refused(self.known(), files, self.studies, self.old))

    def study(self, old="", new="", name="door.csv"):
        self.assertIn(old, STUDY)
        (self.studies / name).write_text(STUDY.replace(old, new) if old else STUDY)

    def test_a_tuned_claim_has_a_study_of_its_settings(self):
        self.assertIn("claim door-ppo-tuned is tuned, and no file", self.said())
        self.study()
        self.assertEqual(self.said(), "")
        self.rows.append(row("untuned", "1", "mentor run x"))
        self.assertEqual(self.said(), "")
        self.rows[0]["command"] = COMMAND.format(1, 1).replace("0.91", "0.95")
        self.assertIn("chose agent.clip=0.9123, and door-ppo-tuned-1 has '0.95'", self.said())

    def test_of_two_studies_the_better_one_counts(self):
        self.study()
        self.study("0.9123,0.30,0.30", "0.5,0.29,0.29", name="grid.csv")
        self.assertEqual(self.said(), "")
        self.study("0.9123,0.30,0.30", "0.5,0.31,0.31", name="grid.csv")
        self.assertIn("studies/grid.csv:1: chose agent.clip=0.5, and door-ppo-tuned", self.said())
        self.assertNotIn("door.csv", self.said())

    def test_a_study_has_seen_nothing_of_the_test(self):
        # The test goals of goal seed 3 are the training goals of 4.
        for old, new, words in (
            (
                "goal_seeds: 101",
                "goal_seeds: 101 4",
                "door-ppo-tuned-3 is tested on: the test goals",
            ),
            ("goal_seeds: 101", "goal_seeds: none", "unnamed goals"),
            ("seed 101\n", "seed 3\n", "door-ppo-tuned-3 is tested on: seed 3"),
        ):
            self.study(old, new)
            self.assertIn(words, self.said())
        # Training goals of goal seed 3 are tested by none of the claim's runs. Its test goals are.
        (self.studies / "door.csv").write_text(STUDY.replace("goal_seeds: 101", "goal_seeds: 3"))
        self.assertEqual(self.said(), "")
        text = STUDY.replace("goal_seeds: 101", "goal_seeds: 3").replace("train", "test")
        (self.studies / "door.csv").write_text(text)
        self.assertIn("the test goals of goal seed 3", self.said())

    def test_a_study_has_all_its_trials_and_the_best_is_chosen(self):
        for old, new, words in (
            ("# goals: train\n", "", "has no line '# goals: ...'"),
            ("goals: train", "goals: some", "goals is 'some'"),
            ("0,complete,0.2,0.11,0.11\n", "", "trial 0 is missing"),
            ("chosen: 1", "chosen: 2", "trial 2, the chosen one, is not a complete one"),
            ("chosen: 1", "chosen: 0", "trial 1 has more than the chosen trial 0"),
            ("0.30,0.30", ",0.30", "trial 1 is complete and has no value"),
            ("claims: door-ppo-tuned", "claims: none", "names claim none, which is not in"),
            ("seed 101\n", "seconds\n", "has no column of a setting, or none 'seed N'"),
        ):
            self.study(old, new)
            self.assertIn(words, self.said())
        self.study(name="door.txt")
        self.assertIn("studies/door.txt:1: a study is a file NAME.csv", self.said())

    def test_a_setting_that_nobody_reads_is_refused(self):
        self.study(
            "rule.outer", "signal.role=ADVANTAGE --set evaluation.baseline= --set rule.outer"
        )
        self.assertEqual(self.said(), "")  # The clip is read.
        gamma = STUDY.replace("agent.clip", "agent.gamma").replace(
            "ml1_reward", "ml1_advantage --set evaluation.baseline="
        )
        (self.studies / "door.csv").write_text(gamma)
        self.assertIn("agent.gamma is not read: with signal.role ADVANTAGE", self.said())
        # Baselines have a value network.
        (self.studies / "door.csv").write_text(gamma.replace(" --set evaluation.baseline=", ""))
        self.assertNotIn("not read", self.said())
        self.rows.append(row("dpo", "1", "mentor run point_reach_dpo --set agent.clip=0.3"))
        self.assertIn("dpo-1: agent.clip is not read: with agent.surrogate DPO", self.said())

    def test_what_is_recorded_has_its_raw_rows(self):
        self.rows = [row("new", "1", "mentor run x", "a" * 64), row("plan", "1", "mentor run x")]
        self.assertIn("new-1 is recorded, and the archive has no lives/new-1.csv", self.said())
        self.assertEqual(self.said({"lives/new-1.csv": ""}), "")
        self.old.write_text("new\ngone\n")
        self.assertEqual(
            self.said().splitlines()[0].split(": ")[1], "no claim 'gone'; remove the line"
        )
        self.assertIn("claim new has its raw rows; remove", self.said({"lives/new-1.csv": ""}))
        # Where nothing was evaluated a curve is all that there is.
        self.rows = [{**row("new", "1", "mentor run x"), "hash": "a" * 64}]
        self.old.write_text("")
        self.assertIn("no curves/new-1.csv", self.said())

    def test_the_list_of_old_claims_only_shrinks(self):
        listed = [one for one in refusals.OLD.read_text().splitlines() if one[0] != "#"]
        self.assertLessEqual(len(listed), 80)

    @unittest.skipIf(MISSING, "what reports are drawn with is missing: deploy/install.sh")
    def test_a_column_waits_for_its_claims(self):
        text = (
            "# one\n| a | {when tuned other} b | c |\n|---|---|---|\n| 1 | {tuned seg mean} | 3 |\n"
        )
        self.rows = []
        kept = "| a | c |\n|---|---|\n| 1 | 3 |\n"
        self.assertEqual(places.tables_of(text, self.known()), {"one": kept})
        self.rows = [row("tuned", "1", "mentor run x")]
        self.assertEqual(places.tables_of(text, self.known()), {"one": kept})
        self.rows = [{**row("tuned", "1", "mentor run x", "e"), "numbers": "seg=0.5"}]
        kept = "| a | b | c |\n|---|---|---|\n| 1 | 0.50 | 3 |\n"
        self.assertEqual(places.tables_of(text, self.known()), {"one": kept})


if __name__ == "__main__":
    unittest.main()
