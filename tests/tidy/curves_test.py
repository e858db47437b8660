"""docs/curves.py draws the curves of claims, and says whether what was registered came out."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import claims  # noqa: E402
import curves  # noqa: E402
import falling_back  # noqa: E402

HEADER = (
    "claim,run,row,command,measures,version,processor,fingerprint,cpu_seconds,env_steps,hash,"
    "evaluation,numbers\n"
)
EARLY = curves.EARLY


class CurvesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "claims.csv"
        self.file.write_text(HEADER, encoding="utf-8")
        (self.folder / "curves").mkdir()

    def plan(self, claim, run):
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{claim},{run},8,mentor run x,,,,,,,,,\n")

    def record(self, claim, run, final, points, header="shaped_return"):
        """A run that has ended; points: (steps, values...)."""
        steps = points[-1][0]
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{claim},{run},8,mentor run x,,v,p,f,1,{steps},h,,")
            file.write(f"shaped_return@last:5={final}\n")
        lines = [f"env_steps,{header}", *(",".join(map(str, point)) for point in points)]
        path = self.folder / "curves" / f"{claim}-{run}.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def said(self, *words):
        return curves.Recorded(self.file).verdict(words)

    def main(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        words = ["curves.py", "--claims", str(self.file), "--out", str(self.folder), *arguments]
        with (
            mock.patch.object(sys, "argv", words),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            curves.main()
        return err.getvalue()

    def test_a_line_is_the_mean_over_the_seeds_of_running_means(self):
        first = [(10, 0.0), (20, 4.0), (30, 8.0)]
        second = [(10, 2.0), (20, 6.0), (30, 10.0)]
        # The window of 20 steps has two points, except at the beginning.
        (begin, middle, end) = curves.lines_of([first, second], 20)
        self.assertEqual(begin[:2], (10, 1))
        self.assertEqual(middle[:2], (20, 3))
        self.assertEqual(end[:2], (30, 7))
        self.assertEqual(end[2:], (6, 8))
        # Where one seed has no episode, there is no point.
        self.assertEqual([one[0] for one in curves.lines_of([first, second[:1]], 20)], [10])
        self.assertEqual(list(curves.lines_of([], 20)), [])

    def test_a_fall_is_measured_from_the_best_mean_before(self):
        falls = falling_back.falls_of({1: 0.2, 2: 0.4, 3: 0.1, 4: 0.8, 5: 0.6})
        self.assertEqual((falls.worst, falls.steps), (0.25, 3))
        self.assertAlmostEqual(falls.end, 0.75)
        # A run that has had no success yet cannot fall.
        self.assertEqual(falling_back.falls_of({1: 0.0, 2: 0.0}).worst, 1)

    def test_runs_that_fall_back_are_counted(self):
        steps = [curves.UPDATE_STEPS * update for update in (20, 40, 60)]
        self.record("a", 1, 0, [(s, v) for s, v in zip(steps, (0.4, 0.8, 0.2))], "seg2")
        self.record("a", 2, 0, [(s, v) for s, v in zip(steps, (0.4, 0.6, 0.6))], "seg2")
        self.assertEqual(self.said("falls", "a"), "0.25, 1.00 | 0.25, 1.00 | 60, 0")
        self.assertEqual(self.said("fallen", "a"), "1 of 2")

    def test_an_interval_narrows_with_the_seeds_and_tells_arms_apart(self):
        low, high = claims.interval([1, 2, 3, 4, 5])
        self.assertTrue(1 <= low < 2.3 and 3.7 < high <= 5, (low, high))
        narrow = claims.interval([1, 2, 3, 4, 5] * 4)
        self.assertLess(narrow[1] - narrow[0], 0.7 * (high - low))
        self.assertGreater(claims.interval([5, 6, 7], less=[1, 2, 3])[0], 0)
        self.assertLess(claims.interval([2, 3, 4], less=[1, 2, 3])[0], 0)

    def test_a_figure_names_the_seeds_that_have_ended(self):
        panel = curves.FIGURES["stn_reward"].panels[0]
        header = "shaped_return,signal_mean,signal_std"
        for run in (1, 2):
            points = [(1000000 * n, 5, 3 * n, 4 * n) for n in (1, 2, 3)]
            self.record(panel.arms["no tanh"], run, 1, points, header)
        self.plan(panel.arms["no tanh"], 3)
        self.plan(panel.arms["within a tanh"], 1)
        self.plan("stn-halfcheetah", 1)
        self.assertEqual(self.main("stn_reward"), "")
        svg = (self.folder / "stn_reward.svg").read_text(encoding="utf-8")
        xml.fromstring(svg)
        for words in ("no tanh (2 of 3 seeds)", "within a tanh (0 of 1 seeds)", "HalfCheetah"):
            self.assertIn(words, svg)
        # The sizes reach 15.
        self.assertIn("<text> 14</text>", svg)

    def test_a_run_without_its_curve_is_named(self):
        for arm in curves.FIGURES["stn_terms"].panels[0].arms.values():
            self.record(arm, 1, 1, [(100, 5)])
        for arm in curves.FIGURES["stn_terms"].panels[1].arms.values():
            self.plan(arm, 1)
        (self.folder / "curves" / "stn-terms-all-1.csv").unlink()
        said = self.main("stn_terms")
        self.assertIn("'mentor reproduce stn-terms-all-1 --from RUNS --record' keeps it", said)
        svg = (self.folder / "stn_terms.svg").read_text(encoding="utf-8")
        self.assertIn("[17] + [12] + [13] (0 of 1 seeds)", svg)
        with self.assertRaisesRegex(claims.Mistake, "stn-terms-all-1 --from"):
            self.said("learned", "stn-terms-all")
        # A curve that another run has left.
        (self.folder / "curves" / "stn-terms-all-1.csv").write_text(
            "env_steps,shaped_return\n7,1\n"
        )
        with self.assertRaisesRegex(SystemExit, "stn-terms-all-1.csv is the curve of another run"):
            self.main("stn_terms")

    def test_a_meta_gradient_is_shown_where_its_agents_had_two_updates(self):
        black_box = [(180000 * n, 0, 0.1 * n) for n in range(1, 17)]
        # In each generation: no update, one, two.
        gradient = [(60000 * n, (0, 0.5, 0.02 * n)[(n - 1) % 3]) for n in range(1, 49)]
        self.record("one", 1, 1, black_box, "seg1,seg2")
        self.record("other", 1, 1, gradient, "success")
        text = self.file.read_text(encoding="utf-8")
        text = text.replace("other,1,8,mentor run x", "other,1,8,mentor run ml1_meta_gradient")
        self.file.write_text(text, encoding="utf-8")
        curve = curves.Recorded(self.file).curves("other-1", curves.SUCCESS)[0]
        self.assertEqual(len(curve), 16)
        self.assertEqual(curve[0], (180000, 0.06))
        # The last three generations, and the same three updates of the black box.
        self.assertEqual(self.said("early", "other", "other"), "0.90")
        self.assertEqual(self.said("early-gain", "other", "one"), "-0.60")
        black_box += [(180000 * 17, 0, 1)]
        self.record("longer", 1, 1, black_box, "seg1,seg2")
        self.assertEqual(self.said("early", "longer", "other"), "1.50")
        with self.assertRaisesRegex(claims.Mistake, "other the last steps of longer"):
            self.said("early", "other", "longer")
        self.record("longer", 2, 1, black_box, "seg1,seg2")
        with self.assertRaisesRegex(claims.Mistake, "must have as many runs"):
            self.said("early", "longer", "other")
        (self.folder / "curves" / "one-1.csv").write_bytes(b"\xff")
        with self.assertRaisesRegex(claims.Mistake, "one-1.csv: .*decode"):
            self.said("early", "one", "one")

    def test_odd_claims_and_curves_are_named(self):
        arms = list(curves.FIGURES["stn_terms"].panels[0].arms.values())
        for arm in arms[:2]:
            self.record(arm, 1, 1, [(100, 5)])
        self.plan(arms[2], "all")
        with self.assertRaisesRegex(claims.Mistake, f"{arms[2]} has no runs"):
            self.said("order", *arms)
        with self.assertRaisesRegex(claims.Mistake, "has no runs"):
            claims.value_of(f"{arms[2]} hash", claims.read(self.file))
        curve = self.folder / "curves" / f"{arms[0]}-1.csv"
        for text, what in (
            ("", "of another run"),
            ("steps\n1\n", "of another run"),
            ("env_steps,signal_mean\n100,5\n", "no return in a line"),
            ("env_steps,shaped_return\n100,x\n", "no return in a line"),
        ):
            curve.write_text(text, encoding="utf-8")
            with self.assertRaisesRegex(claims.Mistake, what):
                self.said("learned", arms[0])
        whole = self.file.read_text(encoding="utf-8")
        for number, what in (
            ("success@last:5", "must name one of"),
            ("shaped_return", "is no number"),
        ):
            word = "shaped_return@last:5=1"
            self.file.write_text(whole.replace(word, f"{number}={1 if 'succ' in number else 'x'}"))
            with self.assertRaisesRegex(claims.Mistake, what):
                self.said("learned", arms[1])

    def test_what_has_not_ended_has_no_verdict(self):
        self.record("a", 1, 1, [(EARLY, 5)])
        self.plan("a", 2)
        self.assertEqual(self.said("learned", "a"), "not ended (1 of 2 runs)")
        for words, what in ((("a",), "no verdict"), (("often", "a"), "no verdict")):
            with self.assertRaisesRegex(claims.Mistake, what):
                self.said(*words)
        with self.assertRaisesRegex(claims.Mistake, "no claim 'b'"):
            self.said("order", "a", "b")

    def test_learned_compares_the_end_with_the_beginning(self):
        for run, final in ((1, 30), (2, 40), (3, 35)):
            # What comes after the beginning is not counted.
            self.record("a", run, final, [(EARLY // 2, 10), (EARLY, 20), (EARLY + 1, 99)])
        self.assertRegex(self.said("learned", "a"), r"\*\*yes\*\*: 20 \[\d+, \d+\] above")
        for run, final in ((1, 10), (2, 40), (3, 5)):
            self.record("b", run, final, [(EARLY, 15), (EARLY + 1, 99)])
        self.assertIn("**no**: 3 [", self.said("learned", "b"))

    def test_not_below_allows_a_standard_error(self):
        # Deviations of 10 and 0, four seeds: the standard error is 5.
        for run, final in enumerate((90, 90 + 2 * 75**0.5, 90, 90 + 2 * 75**0.5), 1):
            self.record("a", run, final, [(1, 1)])
        mean = 90 + 75**0.5
        for claim, other in (("b", mean + 4.9), ("c", mean + 5.1)):
            for run in (1, 2, 3, 4):
                self.record(claim, run, other, [(1, 1)])
        self.assertEqual(
            self.said("not-below", "a", "b"), "**yes**: difference -5, standard error 5"
        )
        self.assertIn("**no**", self.said("not-below", "a", "c"))

    def test_order_names_arms_whose_intervals_are_apart(self):
        panel = curves.FIGURES["stn_returns"].panels[0].arms
        for arm, finals in zip(
            panel.values(), ((50, 51, 52), (10, 30, 20), (40, 41, 42), (9, 22, 33))
        ):
            for run, final in enumerate(finals, 1):
                self.record(arm, run, final, [(1, 1)])
        self.assertEqual(
            self.said("order", *panel.values()),
            "PPO above CLN, c_ex 0 and above CLN, c_ex 1 and above LIRPG; "
            "CLN, c_ex 1 above CLN, c_ex 0 and above LIRPG",
        )
        self.assertEqual(
            self.said("order", panel["LIRPG"], panel["CLN, c_ex 0"]), "no arm is above another"
        )

    def test_a_reward_grows_while_its_last_fifth_rises_above_what_a_tanh_allows(self):
        header = "shaped_return,signal_mean,signal_std"
        rising = [(n, 1, 0, 0.2 * n) for n in range(1, 11)]
        small = [(n, 1, 0, 0.01 * n) for n in range(1, 11)]
        stopped = [(n, 1, 3, 4) for n in range(1, 11)]
        self.record("a", 1, 1, rising, header)
        self.assertEqual(self.said("grows", "a"), "**yes**: in 1 of 1 seeds")
        self.record("a", 2, 1, small, header)
        self.record("a", 3, 1, stopped, header)
        self.assertEqual(self.said("grows", "a"), "**no**: in 1 of 3 seeds")

    def test_a_page_has_verdicts_in_its_places(self):
        self.plan("a", 1)
        recorded = curves.Recorded(self.file)
        page = "<!-- claims\n{verdict learned a}; {verdict x}\n-->\n<!-- end of claims -->\n"
        with self.assertRaises(claims.Mistakes):
            claims.fill(page, recorded.claims, recorded.verdict)
        filled = claims.fill(
            page.replace("verdict x", "a return seeds"), recorded.claims, recorded.verdict
        )
        self.assertIn("-->\nnot ended (0 of 1 runs); -\n", filled)

    def test_every_figure_and_verdict_of_the_pages_is_planned(self):
        recorded = curves.Recorded(claims.CLAIMS)
        for name, figure in curves.FIGURES.items():
            self.assertTrue((ROOT / "docs" / "images" / f"{name}.svg").exists(), name)
            for panel in figure.panels:
                for claim in panel.arms.values():
                    self.assertTrue(recorded.runs(claim)[0], claim)


if __name__ == "__main__":
    unittest.main()
