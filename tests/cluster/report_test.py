"""Reports of real runs: the records that programs write, and the content of the page, without a
browser. tests/report/pages.py looks at it in one, tests/python/report_test.py at made-up runs."""

import html.parser
import json
import shutil
import unittest

from harness import SLOWLY, ClusterTest, sets


class Page(html.parser.HTMLParser):
    """The text of a page, its tables' headers and its charts."""

    def __init__(self, path):
        super().__init__()
        self.headers, self.labels, self.ids, self.text = [], [], set(), ""
        self.charts = None
        self.data = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        self.data = attributes.get("type") == "application/json"
        if tag == "th":
            self.headers.append(attributes.get("scope"))
        if attributes.get("role") == "img":
            self.labels.append(attributes["aria-label"])

    def handle_data(self, data):
        if self.data:
            self.charts = json.loads(data)
        elif self.lasttag not in ("script", "style"):
            self.text += data

    def handle_endtag(self, tag):
        self.data = False


class ReportTest(ClusterTest):
    def test_a_page_of_a_run(self):
        run = self.folder / "run"
        # Without Python a run ends with its records, and says how to get the report.
        output = self.run_spec(run, report=True, env={"MENTOR_PYTHON": "no-python"})
        self.assertIn("no report: there is no program no-python: install Python", output)
        self.assertIn(f"then run: mentor report {run}", output)
        self.assertFalse((run / "report.html").exists())
        record = json.loads((run / "records" / "run.json").read_text(encoding="utf-8"))
        self.assertEqual(record["files"]["training.csv"], 4)

        # With it, and with a film beside the run.
        (run / "life.gif").write_bytes(b"GIF89a")
        self.assertNotIn("warning", self.run_to_end("mentor", "report", run, "--png"))
        self.assertTrue((run / "report" / "evaluation_test.png").exists())
        page = Page(run / "report.html")
        self.assertRegex(page.text, r"20\d\d-\d\d-\d\d \d\d:\d\d UTC")
        self.assertIn("evaluation_test", page.charts)
        self.assertIn("training_by_update", page.charts)
        self.assertIn("before learning", page.text)
        self.assertEqual(len(page.labels), len(page.charts))
        self.assertTrue(all(page.labels), page.labels)
        self.assertEqual(set(page.headers), {"col", "row"})
        text = (run / "report.html").read_text(encoding="utf-8")
        self.assertIn('src="life.gif"', text)
        self.assertLess(len(text), 2_000_000)

    def test_a_folder_that_cannot_be_written_is_reported_elsewhere(self):  # Nightly
        run, out = self.folder / "run", self.folder / "out"
        self.run_spec(run)
        # A file in the way, as a folder without rights is to anybody but root.
        shutil.rmtree(run / "records")
        for name in ("records", "report"):
            (run / name).write_bytes(b"")
        self.run_to_end("mentor", "report", run, "--out", out)
        self.assertTrue((out / "report.html").exists())
        self.assertTrue((out / "records" / "0" / "run.json").exists())
        self.run_to_end("mentor", "doctor", run, code=3)

    def test_a_comparison_says_which_budgets_there_were(self):  # Nightly
        short, long = self.folder / "short", self.folder / "long"
        self.run_spec(long)
        self.run_spec(short, *sets("rule.outer_updates=2", "display_name=short"))
        said = self.run_to_end("mentor", "report", short, long, "--out", self.folder / "both")
        self.assertIn("The budgets of meta-training were not equal: a run of short had 2", said)
        page = Page(self.folder / "both" / "comparison.html")
        self.assertIn("not equal", page.text)
        self.assertIn("budgets", page.ids)
        for figure in ("training_by_steps", "training_by_cpu", "scores_by_steps_test"):
            self.assertIn(figure, page.charts)
        again = self.folder / "again"
        self.run_spec(again, *sets("rule.outer_updates=2", "display_name=again", "seed=9"))
        said = self.run_to_end("mentor", "report", short, again, "--out", self.folder / "equal")
        self.assertIn("All runs had the same budget of meta-training: 2 outer updates", said)

    def test_published_curves_lie_beside_those_of_runs(self):  # Nightly
        run, curves = self.folder / "run", self.folder / "curves.csv"
        self.run_spec(run)
        text = "figure,method,episode,success\n1,learned reward,1,0.5\n2,learned reward,1,0.75\n"
        curves.write_text(text + "1,learned reward,deterministic,0.875\n")
        options = ("--published", curves, "--published_rows", "figure=1", "--published_name", "P")
        self.assertNotIn("warning", self.run_to_end("mentor", "report", run, *options))
        drawn = (run / "report" / "episodes_test.csv").read_text(encoding="utf-8")
        self.assertIn('"learned reward, P"', drawn)
        page = Page(run / "report.html")
        self.assertIn("Beside what is published (P)", page.text)
        said = self.run_to_end("mentor", "report", run, "--published", curves, code=2)
        self.assertIn("curves.csv:3: a second number for episode 1 of", said)
        self.assertIn('choose with --published_rows "figure=1"', said)

    def test_an_extended_run_and_a_copy(self):  # Nightly
        short, long, whole = (self.folder / name for name in ("short", "long", "whole"))
        self.run_spec(short)
        longer = sets("rule.outer_updates=8")
        self.run_to_end("mentor", "run", "--from", short, "--out", long, *longer)
        text = Page(long / "report.html").text
        self.assertIn(f" environment steps), the first 4 in {short}", text)
        self.assertIn(f"{short}, after outer update 4", text)
        self.assertIn(": long, rule black_box, seed ", text)
        # Equal weights are not a second meta-seed.
        self.run_spec(whole, *longer)
        said = self.run_to_end("mentor", "report", long, whole, "--out", self.folder / "c", code=2)
        self.assertIn("have the same spec and the same meta-seed, seed ", said)
        # Folders of comparisons may lie among runs.
        self.run_to_end("mentor", "report", short, long, "--out", self.folder / "c")
        again = self.run_to_end("mentor", "report", short, long, self.folder / "c", "--out", whole)
        self.assertIn("is a comparison, not a run: left out", again)
        self.assertIn("CPU seconds and wall time leave out", again)

    def test_what_is_evaluated_is_said(self):  # Nightly
        run = self.folder / "run"
        self.run_spec(run)
        said = self.run_to_end("mentor", "evaluate", f"{run}/2", "--seeds", 2, "--goals", 1)
        self.assertIn("weights after outer update 2; unseen goals, 2 seeds of agents", said)
        self.assertRegex(said, rf"Results      {run}/experiments/\S+/evaluations/test-u2\n")
        self.assertIn(f"Next         mentor report {run}/2", said)
        self.run_to_end("mentor", "report", run)
        text = Page(run / "report.html").text
        self.assertIn("Weights after outer update 4", text)
        self.assertIn("Evaluations of older weights are not here: after outer update 2.", text)

    def test_rules_without_updates_in_a_lifetime(self):  # Nightly
        run = self.folder / "rl2"
        small = sets("rule.outer_updates=2", "evaluation.goals=2")
        self.run_to_end("mentor", "run", "point_reach_rl2", "--out", run, *small)
        said = self.run_to_end("mentor", "evaluate", run, "--seeds", 1)
        self.assertIn("without ppo_sparse, ppo_shaped, since PPO never updates its agents", said)
        self.assertRegex(said, r"random signal +\d+ lifetimes  whole lifetime ")
        self.assertNotIn("before learning", said)

    def test_the_report_of_a_run_at_work_has_what_is_there(self):
        run = self.folder / "run"
        process = self.start_run(run, *sets("rule.outer_updates=4000"), env=SLOWLY)
        self.wait_for_checkpoints(run, 2)
        said = self.run_to_end("mentor", "report", run)
        self.assertIn("The run is still active: these are its results so far.", said)
        self.assertRegex(
            said, r"The run made \d+ outer updates of the 4,000 that its spec asks for"
        )
        page = Page(run / "report.html")
        self.assertIn("The run is still active", page.text)
        self.assertIn("training_by_update", page.charts)
        # The run was not disturbed.
        count = self.newest_step(run)
        self.wait_until(lambda: self.newest_step(run) > count, "another update")
        process.kill()


if __name__ == "__main__":
    unittest.main()
