"""The notebook with a run of its own runs from top to bottom; that of the client does so at night
(long_notebook_test.py)."""

from notebooks import ROOT, NotebookCase

from harness import BIN


class NotebookTest(NotebookCase):
    def test_a_run_of_its_own_shows_its_curve_and_its_report(self):  # Nightly
        shown = self.execute(
            "first_run.ipynb", self.folder, ROOT / "python", MENTOR_BIN_DIR=str(BIN)
        )
        self.assertIn("agent.gama: AgentSpec has no field 'gama'; did you mean 'gamma'?", shown)
        for once in ("1 <progress", "1 <iframe", "1 <details"):
            self.assertIn(once, shown)
        self.assertRegex(shown, "[3-9] <svg")
        self.assertEqual(len(list(self.folder.glob("runs/point_reach-*/report.html"))), 1)
        self.assertTrue((self.folder / "signals/point_reach/config.json").is_file())
