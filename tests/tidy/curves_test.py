"""results/curves.py says whether what was registered came out, and results/figures.py draws it."""

import importlib.util
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "results"))
import archive  # noqa: E402
import claims  # noqa: E402
from data_files import CLAIMS, Mistake  # noqa: E402

MISSING = importlib.util.find_spec("vl_convert") is None
if not MISSING:
    import arms as figure_arms
    import curves
    import figures
    import places


def setUpModule():
    if MISSING:
        raise unittest.SkipTest("what reports are drawn with is missing: deploy/install.sh")


HEADER = (
    "claim,run,row,command,measures,version,processor,fingerprint,cpu_seconds,env_steps,hash,"
    "evaluation,numbers\n"
)
EARLY = 21 * 2048  # As in row 8.


class CurvesTest(unittest.TestCase):
    def setUp(self):
        self.rows, self.files = [], {}

    def plan(self, claim, run):
        self.rows.append(f"{claim},{run},8,mentor run x,,,,,,,,,")

    def record(self, claim, run, final, points, header="shaped_return"):
        """A run that has ended; points: (steps, values...)."""
        number = f"shaped_return@last:5={final}"
        self.rows.append(f"{claim},{run},8,mentor run x,,v,p,f,1,{points[-1][0]},h,,{number}")
        lines = [f"env_steps,{header}", *(",".join(map(str, point)) for point in points)]
        self.files[f"curves/{claim}-{run}.csv"] = "\n".join(lines) + "\n"

    def recorded(self):
        text = HEADER + "\n".join(self.rows) + "\n"
        return curves.Recorded(claims.claims_of(claims.rows_of(text, "x", ()), "x"), self.files)

    def said(self, *words):
        return self.recorded().verdict(words)

    def drawn(self, name):
        """The figure, and the runs without a curve."""
        recorded = self.recorded()
        with tempfile.TemporaryDirectory() as folder:
            figures.draw(recorded, [name], pathlib.Path(folder))
            svg = pathlib.Path(folder, f"{name}.svg").read_text(encoding="utf-8")
        xml.fromstring(svg)
        return svg, recorded.missing

    def test_a_line_is_the_mean_over_the_seeds_of_running_means(self):
        first = [(10, 0.0), (20, 4.0), (30, 8.0)]
        second = [(10, 2.0), (20, 6.0), (30, 10.0)]
        # The window of 20 steps has two points, except at the beginning.
        (begin, middle, end) = figures.smooth_lines([first, second], 20)
        self.assertEqual((begin[0], begin[1].mean), (1e-5, 1))
        self.assertEqual(middle[1].mean, 3)
        self.assertEqual(end[1], (7, 6, 8))
        # Where one seed has no episode, there is no point.
        self.assertEqual([one[0] for one in figures.smooth_lines([first, second[:1]], 20)], [1e-5])
        self.assertEqual(list(figures.smooth_lines([], 20)), [])

    def test_a_fall_is_measured_from_the_best_mean_before(self):
        falls = curves.falls_of({1: 0.2, 2: 0.4, 3: 0.1, 4: 0.8, 5: 0.6})
        self.assertEqual((falls.worst, falls.steps), (0.25, 3))
        self.assertAlmostEqual(falls.end, 0.75)
        # A run that has had no success yet cannot fall.
        self.assertEqual(curves.falls_of({1: 0.0, 2: 0.0}).worst, 1)

    def test_runs_that_fall_back_are_counted(self):
        steps = [curves.UPDATE_STEPS * update for update in (20, 40, 60)]
        self.record("a", 1, 0, [(s, v) for s, v in zip(steps, (0.4, 0.8, 0.2))], "seg2")
        self.record("a", 2, 0, [(s, v) for s, v in zip(steps, (0.4, 0.6, 0.6))], "seg2")
        self.assertEqual(self.said("falls", "a"), "0.25, 1.00 | 0.25, 1.00 | 60, 0")
        self.assertEqual(self.said("fallen", "a"), "1 of 2")

    def test_an_interval_narrows_with_the_seeds(self):
        low, high = places.interval([1, 2, 3, 4, 5])
        self.assertTrue(1 <= low < 2.3 and 3.7 < high <= 5, (low, high))
        narrow = places.interval([1, 2, 3, 4, 5] * 4)
        self.assertLess(narrow[1] - narrow[0], 0.7 * (high - low))

    def test_a_figure_names_the_seeds_that_have_ended(self):
        panel = figure_arms.FIGURES["stn_reward"].panels[0]
        header = "shaped_return,signal_mean,signal_std"
        for run in (1, 2):
            points = [(1000000 * n, 5, 3 * n, 4 * n) for n in (1, 2, 3)]
            self.record(panel.arms["no tanh"], run, 1, points, header)
        self.plan(panel.arms["no tanh"], 3)
        self.plan(panel.arms["within a tanh"], 1)
        self.plan("stn-halfcheetah", 1)
        svg, missing = self.drawn("stn_reward")
        self.assertEqual(missing, [])
        for words in ("no tanh (2 of 3 seeds)", "within a tanh (0 of 1 seed)", "HalfCheetah"):
            self.assertIn(words, svg)
        # The sizes reach 15.
        self.assertIn(">14</text>", svg)

    def test_a_run_without_its_curve_is_named(self):
        for arm in figure_arms.FIGURES["stn_terms"].panels[0].arms.values():
            self.record(arm, 1, 1, [(100, 5)])
        for arm in figure_arms.FIGURES["stn_terms"].panels[1].arms.values():
            self.plan(arm, 1)
        del self.files["curves/stn-terms-all-1.csv"]
        svg, missing = self.drawn("stn_terms")
        self.assertEqual(missing, ["stn-terms-all-1"])
        self.assertIn("[17] + [12] + [13] (0 of 1 seed)", svg)
        with self.assertRaisesRegex(Mistake, "without a curve: stn-terms-all-1"):
            self.said("learned", "stn-terms-all")
        # A curve that another run has left.
        self.files["curves/stn-terms-all-1.csv"] = "env_steps,shaped_return\n7,1\n"
        with self.assertRaisesRegex(Mistake, "stn-terms-all-1.csv is the curve of another run"):
            self.drawn("stn_terms")
        with self.assertRaisesRegex(Mistake, "no figure some; there are lirpg_delayed, "):
            self.drawn("some")

    def test_a_meta_gradient_is_shown_where_its_agents_had_two_updates(self):
        black_box = [(180000 * n, 0, 0.1 * n) for n in range(1, 17)]
        # In each generation: no update, one, two.
        gradient = [(60000 * n, (0, 0.5, 0.02 * n)[(n - 1) % 3]) for n in range(1, 49)]
        self.record("one", 1, 1, black_box, "seg1,seg2")
        self.record("other", 1, 1, gradient, "success")
        self.rows[-1] = self.rows[-1].replace("mentor run x", "mentor run ml1_meta_gradient")
        curve = self.recorded().curves("other-1", curves.SUCCESS)[0]
        self.assertEqual(len(curve), 16)
        self.assertEqual(curve[0], (180000, 0.06))
        # The last three generations, and the same three updates of the black box.
        self.assertEqual(self.said("early", "other", "other"), "0.90")
        self.assertEqual(self.said("early-gain", "other", "one"), "-0.60")
        black_box += [(180000 * 17, 0, 1)]
        self.record("longer", 1, 1, black_box, "seg1,seg2")
        self.assertEqual(self.said("early", "longer", "other"), "1.50")
        with self.assertRaisesRegex(Mistake, "other the last steps of longer"):
            self.said("early", "other", "longer")
        self.record("longer", 2, 1, black_box, "seg1,seg2")
        with self.assertRaisesRegex(Mistake, "must have as many runs"):
            self.said("early", "longer", "other")

    def test_odd_claims_and_curves_are_named(self):
        arms = list(figure_arms.FIGURES["stn_terms"].panels[0].arms.values())
        for arm in arms[:2]:
            self.record(arm, 1, 1, [(100, 5)])
        self.plan(arms[2], "all")
        with self.assertRaisesRegex(Mistake, f"{arms[2]} has no runs"):
            self.said("order", *arms)
        with self.assertRaisesRegex(Mistake, "has no runs"):
            places.value_of(f"{arms[2]} hash", self.recorded().claims)
        name = f"curves/{arms[0]}-1.csv"
        for text, what in (
            ("", "of another run"),
            ("steps\n1\n", "of another run"),
            ("env_steps,signal_mean\n100,5\n", "no return in a line"),
            ("env_steps,shaped_return\n100,x\n", "no return in a line"),
        ):
            self.files[name] = text
            with self.assertRaisesRegex(Mistake, what):
                self.said("learned", arms[0])
        whole = self.rows
        for number, what in (
            ("success@last:5", "must name one of"),
            ("shaped_return", "is no number"),
        ):
            word = "shaped_return@last:5=1"
            other = f"{number}={1 if 'succ' in number else 'x'}"
            self.rows = [row.replace(word, other) for row in whole]
            with self.assertRaisesRegex(Mistake, what):
                self.said("learned", arms[1])

    def test_what_has_not_ended_has_no_verdict(self):
        self.record("a", 1, 1, [(EARLY, 5)])
        self.plan("a", 2)
        self.assertEqual(self.said("learned", "a"), "not ended (1 of 2 runs)")
        for words, what in ((("a",), "no verdict"), (("often", "a"), "no verdict")):
            with self.assertRaisesRegex(Mistake, what):
                self.said(*words)
        with self.assertRaisesRegex(Mistake, "no claim 'b'"):
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
        panel = figure_arms.FIGURES["stn_returns"].panels[0].arms
        for arm, finals in zip(
            panel.values(), ((50, 51, 52), (18, 22, 20), (40, 41, 42), (19, 22, 25))
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

    def test_a_table_has_verdicts_in_its_places(self):
        self.plan("a", 1)
        recorded = self.recorded()
        table = "# x\n{verdict learned a}, {verdict x}\n"
        with self.assertRaises(places.Mistakes):
            places.tables_of(table, recorded.claims, recorded.verdict)
        table = table.replace("verdict x", "a return seeds")
        filled = places.tables_of(table, recorded.claims, recorded.verdict)
        self.assertEqual(filled, {"x": "not ended (0 of 1 runs), -\n"})

    def test_figures_name_teachers_as_tables_do(self):
        tables = (ROOT / "results" / "tables.txt").read_text(encoding="utf-8")
        for title, *_ in figures.TEACHERS.values():
            self.assertTrue(f", {title} |" in tables or f"}} {title} |" in tables, title)

    def test_every_figure_and_verdict_of_the_pages_is_planned(self):
        recorded = curves.Recorded(claims.read(CLAIMS), archive.read())
        for name, make in figures.MADE.items():
            drawn = (ROOT / "docs" / "images" / f"{name}.svg").exists()
            self.assertTrue(drawn or not make(recorded), name)  # Unless nothing of it has ended.
        for figure in figure_arms.FIGURES.values():
            for panel in figure.panels:
                for claim in panel.arms.values():
                    self.assertTrue(recorded.runs(claim)[0], claim)


if __name__ == "__main__":
    unittest.main()
