"""What can be told apart in reports, and what they leave out since it says nothing."""

import csv
import json
import os
import signal
import subprocess
import sys
import unittest

from report_test import MISSING, ROOT, Page, ReportTest, setUpModule

if not MISSING:
    import made_runs
    import numpy as np

    from mentor.report import records, theme, training, words
    from mentor.report.statistics import Interval

__all__ = ["setUpModule"]


class LooksTest(ReportTest):
    def test_an_end_that_is_not_0_does_not_read_as_0(self):
        # Since 0 decides: equal texts would have opposite verdicts.
        self.assertEqual(words.interval(Interval(0.02, 0.004, 0.04)), "0.020 [0.004, 0.040]")
        self.assertEqual(words.interval(Interval(0.02, 0.0, 0.04)), "0.02 [0.00, 0.04]")
        self.assertEqual(
            words.interval(Interval(-0.02, -0.04, -4e-4)), "-0.0200 [-0.0400, -0.0004]"
        )

    def test_methods_and_colours_can_be_told_apart(self):
        methods = records.METHODS.values()
        for kind in ("colour", "shape"):
            self.assertEqual(len({getattr(one, kind) for one in methods}), len(methods), kind)
        dashes = [one.dash for one in methods if not one.learned]
        self.assertEqual(len(set(dashes)), len(dashes))
        self.assertEqual({one.shape for one in methods} - set(theme.SHAPES), set())

        def light(colour):
            parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            parts = [p / 12.92 if p <= 0.04 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
            return float(np.dot(parts, (0.2126, 0.7152, 0.0722))) + 0.05

        for name, pair in theme.COLOURS.items():
            for own, page in zip(pair, theme.COLOURS["page"]):
                ends = sorted((light(own), light(page)))
                # WCAG 2, 1.4.11.
                self.assertTrue(name in ("page", "grid") or ends[1] / ends[0] >= 3, name)

    def test_a_rule_that_learns_no_weights_is_advised_no_more_updates(self):
        run = records.read(made_runs.run(self.folder / "run", learned=0.05, end=0.05))
        self.assertIn("outer_updates", self.outcome_of(run).next[0].command)
        run.record["meta_learns"], run.record["identity"]["rule"] = False, "disco"
        found = self.outcome_of(run)
        self.assertRegex(found.sentence, r"^It did not work: agents of rule disco succeed in ")
        self.assertNotIn("outer_updates", " ".join(step.command for step in found.next))

    def test_a_page_names_what_teaches_beside_the_title_of_the_spec(self):  # Nightly
        for updates, said in ((40, "rule black_box"), (0, "no meta-training")):
            run = made_runs.run(self.folder / f"run{updates}", outer_updates_total=updates)
            self.report(run)
            self.assertIn(f"Reach: run{updates}, {said}, seed 1", Page(run / "report.html").text)

    def test_skipped_updates_are_the_first_hint(self):
        run = records.read(made_runs.run(self.folder / "run", end=0.6))
        run.training.metrics["signal_sd"] = np.full(40, 1e-9)
        run.training.metrics["nonfinite_updates"] = np.zeros(40)
        self.assertEqual([hint.id for hint in training.hints(run)], ["signal-died"])
        run.training.metrics["nonfinite_updates"][30:] = 3
        first = training.hints(run)[0]
        self.assertEqual(first.id, "updates-not-finite")
        self.assertIn("30 updates of agents, the first in outer update 31,", first.text)
        page = (ROOT / "docs/it_does_not_learn.md").read_text(encoding="utf-8")
        self.assertIn(f"### {first.id}\n", page)

    def test_what_never_changes_is_a_sentence_and_a_table_that_says_nothing_is_not_there(self):
        run = made_runs.run(self.folder / "run", goals=50, each=2)
        rows = made_runs.training(np.random.default_rng(1), 3, 0.5)
        rows = [{**row, "rho_error": 0, "pg_loss": row["seg2"]} for row in rows]
        record = json.loads((run / "records" / "run.json").read_text(encoding="utf-8"))
        record["files"]["training.csv"] = 3
        (run / "records" / "run.json").write_text(json.dumps(record), encoding="utf-8")
        with open(run / "records" / "training.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        self.report(run)
        page = Page(run / "report.html")
        self.assertIn("What had one value all the time: ", page.text)
        self.assertIn("ratio error 0", page.text)
        self.assertNotIn("metric_rho_error", page.charts)
        self.assertIn("Policy loss", page.text)
        self.assertIn("(50 rows, scroll)", page.text)
        alone = made_runs.run(self.folder / "alone", goals=50, each=1)
        self.report(alone)
        self.assertNotIn("By goal", Page(alone / "report.html").text)

    def test_ends_in_silence_with_its_reader(self):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as output:
            done = subprocess.run(
                [sys.executable, "-m", "mentor.report", "--help"],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=output,
                stderr=subprocess.PIPE,
            )
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, b""))


if __name__ == "__main__":
    unittest.main()
