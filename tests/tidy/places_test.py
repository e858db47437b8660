"""results/places.py puts the numbers of claims into places of pages, and names wrong ones."""

import importlib.util
import json
import math
import pathlib
import re
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "results"))
import claims  # noqa: E402
import data_files  # noqa: E402
from data_files import Mistake  # noqa: E402

MISSING = importlib.util.find_spec("numpy") is None
if not MISSING:
    import places
    import published
    import teachers

    from mentor.report import significance


def setUpModule():
    if MISSING:
        raise unittest.SkipTest("what reports are drawn with is missing: deploy/install.sh")


HEADER = (
    "claim,run,row,command,measures,version,processor,fingerprint,cpu_seconds,env_steps,hash,"
    "evaluation,numbers\n"
)
ROWS = (
    'a,1,1,mentor run x,,v,p,f,10,100,abc,e,"seg=0.5[0.4,0.6] first=3"\n'
    'a,2,1,mentor run y,,v,p,f,30,100,abd,e,"seg=0.25[0.2,0.3] first=0"\n'
    "a,3,1,mentor run z,,,,,,,,,\n"
    'a,all,1,,,v,p,f,,,0123456789abcdefff,e,"seg=0.375[0.2,0.6]"\n'
    "b,1,1,mentor run w,,,,,,,,,\n"
    'half2,1,2,mentor run x,,v,p,f,10,100,abc,e,"seg=0.5 first=0"\n'
    'half2,2,2,mentor run y,,v,p,f,10,100,abd,e,"seg=0.3 first=1"\n'
    'apart,1,2,mentor run x,,v,p,f,10,100,abc,e,"seg=0.5[0.4,0.6]"\n'
    'apart,2,2,mentor run y,,v,p,f,10,100,abd,e,"seg=0.3[0.2,0.4]"\n'
    'low,1,2,mentor run x,,v,p,f,10,100,abc,e,"seg=0.2 first=0.1"\n'
    'low,2,2,mentor run y,,v,p,f,10,100,abd,e,"seg=0.1 first=0.2"\n'
    'half,1,1,mentor run x,,v,p,f,10,100,abc,e,"test.seg=0.5"\n'
    'half,2,1,mentor run y,,v,p,f,10,100,abd,e,"train.seg=0.5"\n'
)


class ClaimsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "claims.csv"
        self.file.write_text(HEADER + ROWS, encoding="utf-8")
        self.claims = claims.read(self.file)

    def shown(self, place):
        return places.text_of(place, self.claims)

    def test_places_have_the_numbers_of_their_claims(self):
        self.assertEqual(self.shown("a seg"), "0.38 [0.20, 0.60]")
        self.assertEqual(self.shown("a seg runs"), "0.50, 0.25, -")
        # Without a line of all, no run stands for the others.
        self.assertEqual(self.shown("apart seg"), "0.50, 0.30")
        self.assertEqual(self.shown("a seg seeds"), "0.38 [0.25, 0.50] (2 of 3 seeds)")
        # 0.375, and 12.706 * 0.125 on both sides.
        self.assertEqual(self.shown("a seg t"), "0.38 [-1.21, 1.96] (2 of 3 seeds)")
        self.assertEqual(self.shown("a seg mean .3f"), "0.375")
        self.assertEqual(self.shown("a seg range"), "0.25 to 0.50")
        self.assertEqual(self.shown("a first reached"), "1")
        self.assertEqual(self.shown("a first count"), "2")
        self.assertEqual(self.shown("a first median of-reached *32 .0f"), "96")
        self.assertEqual(self.shown("a cost .0f"), "20")
        self.assertEqual(self.shown("a steps .0f"), "100")
        self.assertEqual(self.shown("a cost runs .0f"), "10, 30, -")
        self.assertEqual(self.shown("b cost"), "-")
        # One run has no deviation.
        self.assertEqual(self.shown("a-2 seg deviation"), "-")

    def test_a_place_may_name_one_run(self):
        self.assertEqual(self.shown("a-2 seg"), "0.25 [0.20, 0.30]")
        self.assertEqual(self.shown("a-2 cost .0f"), "30")
        self.assertEqual(self.shown("a-3 seg"), "-")
        # Pairs the runs that both have: run 2 alone.
        self.assertEqual(self.shown("a-2 seg less a first"), "+0.25")
        for name in ("a-4", "a-all"):
            with self.assertRaisesRegex(Mistake, f"no claim '{name}'"):
                self.shown(f"{name} seg")

    def test_a_difference_is_paired_by_run(self):
        # 0.5 - 3, 0.25 - 0
        self.assertEqual(self.shown("a seg less a first"), "-1.12 [-2.50, +0.25]")
        self.assertEqual(self.shown("a seg runs less a first"), "-2.50, +0.25")
        self.assertEqual(self.shown("a seg t less a first"), "-1.12 [-18.60, +16.35]")
        self.assertEqual(self.shown("a seg less b seg"), "-")
        self.assertEqual(self.shown("a seg mean *10 .1f less a first"), "-11.2")
        self.assertEqual(self.shown("a seg .3f less a seg"), "0.000 [0.000, 0.000]")
        self.assertEqual(self.shown("half2 cost runs .0f less a first"), "+7, +10")
        with self.assertRaisesRegex(Mistake, "'often' is no word here"):
            self.shown("a seg often less a first")
        with self.assertRaisesRegex(Mistake, "no claim 'c'"):
            self.shown("a seg less c seg")

    def test_a_number_of_the_paper(self):
        curve = "paper 1, ml1 door-close, test, learned reward"
        self.assertEqual(self.shown(f"{curve}, 5-8"), "0.43")
        self.assertEqual(self.shown(f"{curve}, deterministic"), "0.85")
        # One of the first four episodes can be read, and is the mean.
        self.assertEqual(self.shown(f"{curve}, 1-4"), "0.00")
        self.assertEqual(self.shown(f"{curve}, 9-12, band"), "0.81 ± 0.011")
        with self.assertRaisesRegex(Mistake, "has no such curve"):
            self.shown("paper 2, ml1 door-close, test, PPO shaped, after 4000 steps, band")
        for episodes in ("13-14", "9-5", "a-b", "0-999999999", ""):
            with self.assertRaisesRegex(Mistake, "has no such episode"):
                self.shown(f"{curve}, {episodes}")
        with self.assertRaisesRegex(Mistake, "has no such curve"):
            self.shown("paper 1, ml1 door-close, learned reward, 5-8")

    def test_runs_beside_the_papers_seeds(self):
        # 0.5 and 0.3, deviation 0.141; half of the band times 1.225.
        cells = self.shown("welch half2 seg, 1, ml1 door-close, test, learned reward, 9-12")
        self.assertEqual(cells, "0.40, 0.141 | 0.81, 0.013 | -4.1, 0.15 | 114.8, 0.017")
        place = "welch b seg, 1, ml1 door-close, test, learned reward, 9-12"
        self.assertEqual(self.shown(place), "- | - | - | -")

    def test_tests_agree_with_tables(self):
        # Quantiles of Student's t and of F from tables of 95 %.
        for freedom, t in ((1, 12.706), (2, 4.303), (9, 2.262)):
            self.assertAlmostEqual(significance.p_of_t(t, freedom), 0.05, delta=1e-4)
        self.assertAlmostEqual(significance.p_of_f(39.0, 2, 2), 0.05, delta=1e-4)
        self.assertAlmostEqual(significance.p_of_f(9.9792, 3, 4), 0.05, delta=1e-4)
        # Welch: equal sizes and deviations are Student's t with 4 degrees of freedom.
        t, chance = significance.welch((1, 1, 3), (0, 1, 3))
        self.assertAlmostEqual(t, math.sqrt(1.5))
        self.assertAlmostEqual(chance, significance.p_of_t(t, 4))
        # Two equal deviations: Student's interval with four degrees of freedom, 2.7764 errors.
        low, high = significance.apart([0, 1, 2], [-1, 0, 1])
        self.assertAlmostEqual((high - low) / 2, 2.7764 * math.sqrt(2 / 3), delta=1e-4)

    def test_students_t_decides_and_equality_has_a_test_of_its_own(self):
        # 0.3 and 0.2; 0.5 and -0.7; a pair that is equal.
        self.assertEqual(
            self.shown("ahead half2 seg less low seg"), "not shown, [-0.39, +0.89]; 2 of 2"
        )
        self.assertEqual(self.shown("ahead half2 seg less b seg"), "-")
        self.assertEqual(self.shown("ahead half2-1 seg less low-1 seg"), "not asked: one meta-seed")
        self.assertEqual(self.shown("near 0.05, half2 seg less apart seg"), "**yes**, p 0")
        # 0.05 below its upper bound of 0.3 is no equality: an interval with 0 in it shows nothing.
        self.assertEqual(self.shown("near 0.3, half2 seg less low seg"), "not shown, p 0.25")
        with mock.patch.object(places, "differences", lambda *_: ([0.3, 0.31, 0.29], [])):
            self.assertEqual(self.shown("ahead a b less c d"), "**yes**, [+0.28, +0.32]")
        with mock.patch.object(places, "differences", lambda *_: ([-0.3, -0.31, -0.29], [])):
            self.assertEqual(self.shown("ahead a b less c d"), "**no**, [-0.32, -0.28]; 0 of 3")
        # By hand: the lesser t is that of 0.03 / (0.01 / sqrt(3)), on one side.
        below = significance.p_of_t(0.03 * math.sqrt(3) / 0.01, 2) / 2
        self.assertAlmostEqual(significance.p_of_equal([0.01, 0.02, 0.03], 0.05), below)
        self.assertAlmostEqual(significance.p_of_equal([-0.01, -0.02, -0.03], 0.05), below)
        self.assertGreater(significance.p_of_equal([0.06, 0.07, 0.08], 0.05), 0.95)
        # Quantile of 95 % with two degrees of freedom: 2.920.
        spread = 0.01 / math.sqrt(3)
        values = [2.920 * spread + step for step in (-0.01, 0, 0.01)]
        self.assertAlmostEqual(significance.p_above(values, 0), 0.05, delta=1e-4)

    def test_an_interval_of_a_rate_is_one_of_rates(self):
        # The logit of 0.9 is 2.197; 12.706 * 0.05 / (0.9 * 0.1) = 7.06.
        low, high = significance.student_of_rates([0.85, 0.95])
        self.assertAlmostEqual(low, 1 / (1 + math.exp(7.0589 - 2.1972)), delta=1e-4)
        self.assertAlmostEqual(high, 1 / (1 + math.exp(-7.0589 - 2.1972)), delta=1e-4)
        self.assertEqual(significance.student_of_rates([1, 1, 1]), (1, 1))
        self.assertEqual(significance.student_of_rates([0, 0]), (0, 0))
        low, high = significance.student_of_rates([0, 1])
        self.assertGreaterEqual(low, 0)
        self.assertLessEqual(high, 1)
        # A small spread far from the ends: Student's interval.
        own, plain = (
            f([0.49, 0.5, 0.51]) for f in (significance.student_of_rates, significance.student)
        )
        self.assertAlmostEqual(own[0], plain[0], delta=1e-3)
        for number, is_rate in (
            ("test.learned.seg2", True),
            ("train.learned_best.det", True),
            ("test.learned.seg2/reach-v3", True),
            ("success@last:6", True),
            ("test.learned.seg2_return", False),
            ("shaped_return@last:20", False),
            ("cost", False),
        ):
            self.assertEqual(bool(places.RATE.fullmatch(number)), is_rate, number)

    def test_holm_counts_every_test(self):
        self.assertEqual(significance.holm([0.01, 0.04, 0.03], 0.05), 1)
        self.assertEqual(significance.holm([0.01, 0.02, 0.05], 0.05), 3)
        self.assertEqual(significance.holm([0.03, 0.04], 0.05), 0)
        # 0.3 and 0.2: p 0.13; 0 and 1 less 0.1 and 0.2: p 0.7.
        place = "holm 0.2, half2 seg less low seg; half2 first less low first"
        self.assertEqual(self.shown(place), "1 of 2 (p 0.126), 0 by Holm's method")

    def test_a_mean_of_another_file(self):
        (self.file.parent / "other.csv").write_text("# source\nlength,last\n2,1\n2,2\n5,9\n")
        with mock.patch.object(published, "PAPER", self.file):
            self.assertEqual(self.shown("data other, last, length=2"), "1.50")
            with self.assertRaisesRegex(Mistake, "other.csv has no such row"):
                self.shown("data other, last, length=3")

    def test_what_was_registered_passes_or_not(self):
        for place, text in (
            ("half2 seg >= 0.4", "**yes**"),
            ("half2-2 seg >= 0.4", "**no**"),
            ("half2 seg >= 0.41", "**no**"),
            ("half2 seg <= 0.3", "**no**"),
            # 0.3 and 0.2 are above in both meta-seeds, as was registered: 5 errors by t.
            ("half2 seg less low seg >= 0.2", "as registered; not shown by t, p 0.13"),
            ("half2-1 seg less low-1 seg >= 0.2", "**yes**"),
            # 0.5 and -0.7: 0.1 / 0.6 above -0.2, p = 0.5 - atan(1 / 6) / pi.
            (
                "half2 seg less half2 first within 0.2",
                "as registered; not shown by two tests, p 0.45",
            ),
            # The mean is, and a meta-seed is not: 0.1 and -0.1 are 10 errors above -1.
            ("low seg less low first >= -1", "**yes**"),
            ("half2 first less low first >= 0.1", "**no**"),
            ("half2 seg less half2 seg within 0.01", "**yes**"),
            ("half2 seg less low seg within 0.2", "**no**"),
            ("a seg >= 0.1", "not ended (2 of 3 runs)"),
            ("half2 cost <= 20", "**yes**"),
            ("half2 seg less b seg >= 0", "not ended (0 of 2 runs)"),
        ):
            self.assertEqual(self.shown(f"passes {place}"), text, place)
        for place in (
            "passes a seg > 0.1",
            "passes a seg runs >= 0.1",
            "passes a seg >= 0.1.1",
            "passes a seg less b seg less b seg >= 0",
            "ahead a seg",
            "near 0.1 a seg less b seg",
            "near x, a seg less b seg",
            "teachers point-reach",
            "teachers nowhere cpu",
            "a seg less",
            "a seg less b",
            "a seg less b seg less b seg",
            "a less b seg",
        ):
            with self.assertRaisesRegex(Mistake, "is not of the form|no claim|with a number"):
                self.shown(place)
        with self.assertRaisesRegex(Mistake, "no claim 'c'"):
            self.shown("passes c seg >= 0.1")

    def test_a_row_of_the_campaign_is_a_table(self):
        # Runs of an arithmetic that ended at the processor's maker name the processor.
        for arithmetic, maker in (("f", ""), ("another", "p: ")):
            with mock.patch.object(places, "ARITHMETIC", arithmetic):
                self.assertEqual(
                    self.shown("campaign 1").splitlines()[:2],
                    [
                        f"| a | 2 of 3 | 0.01 | {maker}abc abd | 01234567 | `mentor run x,y,z` |",
                        "| b | 0 of 1 | - | - | - | `mentor run w` |",
                    ],
                )

    def test_a_damaged_file_is_told(self):
        for rows, words in (
            (HEADER.replace("row,", "") + ROWS, "has no column 'row'"),
            (HEADER + ROWS + "short,1,1\n", "claim short, run 1: has more or fewer cells"),
            (HEADER + ROWS + "b,1,1,,,,,,,,,,\n", "claim b, run 1: is there twice"),
            (HEADER + "a,1,1,x,,v,p,f,lots,1,a,e,\n", "cpu_seconds is 'lots', no number"),
            (HEADER + "a,1,1,x,,v,p,f,1,1,a,e,seg=nan\n", "'seg=nan' is no number"),
        ):
            self.file.write_text(rows, encoding="utf-8")
            with self.assertRaisesRegex(Mistake, words):
                claims.read(self.file)
        self.file.write_bytes(b"\xff")
        for file, words in (
            (self.file, "can't decode"),
            (self.file.with_name("none.csv"), "No such file"),
        ):
            with self.assertRaisesRegex(Mistake, f"{file.name}: .*{words}"):
                claims.read(file)
        self.file.write_text("\ufeff" + HEADER + ROWS, encoding="utf-8")
        self.assertEqual(list(claims.read(self.file)), list(self.claims))

    def test_a_damaged_file_of_the_papers_numbers_is_told(self):
        header = "figure,benchmark,split,method,episode,success\n"
        for text, words in (
            ("1,ml1 reach,test,PPO,1,0.5\n", "has no column 'benchmark'"),
            (header + "1,ml1 reach,test,PPO,1,some\n", "success is 'some', no number"),
            (header + "1,ml1 reach,test,PPO\n", "success is 'None', no number"),
        ):
            self.file.write_text(text, encoding="utf-8")
            with self.assertRaisesRegex(Mistake, words):
                published.paper(self.file)
        with self.assertRaisesRegex(Mistake, "none.csv"):
            published.paper(self.file.with_name("none.csv"))
        self.file.write_text("# source\n" + header + "1,a,b,c,4,0.5\n", encoding="utf-8")
        self.assertEqual(published.paper(self.file), {("1", "a", "b", "c"): {"4": 0.5}})

    def test_what_is_not_recorded_is_a_dash(self):
        self.assertEqual(self.shown("b seg"), "-")

    def test_wrong_places_are_named(self):
        for place, words in (
            ("c seg", "no claim 'c'"),
            ("a", "with a number"),
            (
                "a set",
                "run 1 of claim 'a' is recorded, and has no number 'set'; of its 4 .*: seg, cost, "
                "steps",
            ),
            # A mean over fewer runs than recorded would be another number.
            ("half test.seg mean", "run 2 of claim 'half' .* no number 'test.seg'; .*: train.seg"),
            ("a seg often", "'often' is no word"),
            ("a seg mean runs", "mean and runs do not go together"),
            # Also before anything is recorded.
            ("b seg often", "'often' is no word"),
            ("a seg *x", r"'\*x' is no word"),
        ):
            with self.assertRaisesRegex(Mistake, words):
                self.shown(place)

    def test_a_table_is_filled_from_its_template(self):
        tables = places.tables_of("Words.\n# one\n\n| {a seg mean} |\n# two\n| 2 |\n", self.claims)
        self.assertEqual(tables, {"one": "| 0.38 |\n", "two": "| 2 |\n"})
        page = "x\n<!-- table one -->\n| old |\n<!-- end of table -->\ny {a seg}\n"
        used = set()
        filled = places.fill(page, tables, used)
        self.assertIn("-->\n| 0.38 |\n<!-- end of table -->\ny {a seg}\n", filled)
        self.assertEqual(places.fill(filled, tables, used), filled)
        self.assertEqual(used, {"one"})

    def test_all_wrong_places_are_named_with_their_lines(self):
        with self.assertRaises(places.Mistakes) as raised:
            places.tables_of("# one\n| {a seg} |\n| {a set} |\n\n# two\n| {c seg} |\n", self.claims)
        (first, second) = raised.exception.args[0]
        self.assertEqual((first[0], second[0]), (3, 6))
        self.assertIn("{a set}: run 1 of claim 'a' is recorded", first[1])
        self.assertIn("{c seg}: no claim 'c'", second[1])
        with self.assertRaises(places.Mistakes) as raised:
            places.tables_of("# one\n| 1 |\n# one\n| 2 |\n", self.claims)
        self.assertEqual(raised.exception.args[0], [(3, "there are two tables 'one'")])

    def test_a_table_without_its_end_does_not_swallow_what_follows(self):
        table = "<!-- table one -->\n| 1 |\n"
        end = "<!-- end of table -->\n"
        words = "no '<!-- end of table -->' follows this table"
        for page, mistake in (
            (table + "a sentence\n" + table + end, (1, words)),
            (table + end + table, (4, words)),
            ("\n" + table.replace("one", "two") + end, (2, "tables.txt has no table 'two'")),
        ):
            with self.assertRaises(places.Mistakes) as raised:
                places.fill(page, {"one": "| 1 |\n"}, set())
            self.assertEqual(raised.exception.args[0], [mistake])

    def test_every_signal_of_the_zoo_is_a_recorded_result(self):
        recorded = {row["hash"] for runs in claims.read().values() for row in runs.values()}
        cards = list((ROOT / "zoo").glob("*/config.json"))
        self.assertTrue(cards)
        for card in cards:
            made = json.loads(card.read_text(encoding="utf-8"))["trained"]["result_hash"]
            self.assertIn(made, recorded, f"{card}: export the claim's run again")

    def test_so_many_tasks_pay_as_a_baseline_needs_steps_beyond_the_signals(self):
        lives = "mentor run x --set lifetime.iterations=5"
        numbers = " ".join(
            f"test.ppo.seg{i}={success}" for i, success in enumerate((0, 1, 2, 4, 6))
        )
        self.file.write_text(
            f"{HEADER}signal,1,1,mentor run x,,v,p,f,10,9000,abc,e,test.learned.seg2=5\n"
            f"few,1,1,{lives},,v,p,f,0,0,,e,{numbers}\n"
            f"far,1,1,{lives},,v,p,f,0,0,,e,{numbers.replace('=6', '=4')}\n"
            f"near,1,1,{lives},,v,p,f,0,0,,e,{numbers.replace('seg2=2', 'seg2=5')}\n"
            f"none,1,1,{lives},,,,,,,,,\n"
            f"unsaid,1,1,mentor run x,,v,p,f,0,0,,e,{numbers}\n"
        )
        known = claims.read(self.file)
        for claim, said in (
            ("few", "15 tasks, it gets there after 4 updates"),
            ("far", "fewer than 15 tasks, it is not there after 4 updates"),
            ("near", "none, it gets there after 2 updates, too"),
            ("none", "-"),
        ):
            place = f"pays signal test.learned.seg2 over {claim} ppo 300"
            self.assertEqual(places.text_of(place, known), said)
        for wrong in ("pays signal", "pays signal test.learned.seg2 over unsaid ppo 300"):
            with self.assertRaises(Mistake):
                places.text_of(wrong, known)


class TeachersTest(unittest.TestCase):
    """results/teachers.py puts the rows that it plans into claims.csv."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "claims.csv"
        patched = mock.patch.object(claims, "CLAIMS", self.file)
        patched.start()
        self.addCleanup(patched.stop)
        empty = dict.fromkeys(claims.COLUMNS, "")
        self.rows = [
            {**empty, "claim": claim, "run": run, "row": teachers.ROW, "command": command}
            for claim, run, command in teachers.planned()
        ]

    def write(self):
        self.file.write_text(claims.printed(self.rows), encoding="utf-8")

    def test_rows_as_planned_are_a_table(self):
        self.write()
        steps, cpu = (
            places.text_of(f"teachers maze {one}", claims.read()) for one in ("steps", "cpu")
        )
        self.assertIn("not run: `teachers-maze-2-es-steps`", steps)
        self.assertIn("not run: `teachers-maze-2-es`", cpu)
        self.assertIn("not run, nor planned", steps)
        # The learned reward sets the steps: its claim is that of both tables.
        for table in (steps, cpu):
            self.assertIn("not run: `teachers-maze-2-reward`", table)
            self.assertNotIn("PPO tuned", table)

    def test_costs_and_a_tuned_ppo_are_shown_once_they_are_there(self):
        for one in self.rows:
            if (
                one["claim"] in ("teachers-maze-2-reward", "teachers-maze-2-untrained")
                and one["run"] != "all"
            ):
                one.update(hash="a", cpu_seconds="117", env_steps="10022400")
                one[
                    "numbers"
                ] = "test.learned.seg2=0.5 test.ppo_sparse.seg2=0.25 test.ppo_shaped.seg2=0.25"
        for seed in teachers.SEEDS:
            tuned = {
                **self.rows[0],
                "claim": "teachers-maze-2-tuned",
                "run": str(seed),
                "row": "51",
            }
            self.rows.append({**tuned, "hash": "b", "numbers": "test.ppo_shaped.seg2=0.375"})
        self.write()
        for budget in teachers.BUDGETS:
            lines = places.text_of(f"teachers maze {budget}", claims.read()).splitlines()
            self.assertIn(
                "| learned reward (black box) | 0.50 [0.50, 0.50]; 117 s, 10.0 M |", lines[6]
            )
            self.assertIn("| none: success alone | 0.25 [0.25, 0.25] |", lines[0])
            self.assertIn("| the shaped reward, PPO tuned | 0.38 [0.38, 0.38] |", lines[2])

    def test_budgets_pay_what_they_say(self):
        task = teachers.TASKS["point-reach"]
        reward, es, bmg = (task.taught[one] for one in ("reward", "es", "bmg"))
        # 60 s of 0.25 s; 38,400 steps each.
        self.assertEqual(teachers.outer_updates(task, reward, 2), 240)
        self.assertEqual(teachers.outer_updates(task, es, 2), 462)
        for taught in (reward, es, bmg):
            number = teachers.outer_updates(task, taught, 2, "steps")
            self.assertEqual(number * teachers.steps_of(taught, 2), 240 * 38400)
        # Recorded rows have the steps of the plan.
        known = claims.read(data_files.CLAIMS)
        for cell in teachers.cells():
            taught = teachers.TASKS[cell[0]].taught.get(cell[2])
            for row in claims.runs_of(teachers.claim_of(*cell), known):
                if taught and row["env_steps"]:
                    updates = int(re.search(r"outer_updates=(\d+)", row["command"])[1])
                    self.assertEqual(
                        updates * teachers.steps_of(taught, cell[1]), int(row["env_steps"])
                    )

    def test_a_table_wants_its_rows_as_planned(self):
        self.rows[0]["command"] += " --set rule.learning_rate=1"
        self.write()
        with self.assertRaises(Mistake) as raised:
            places.text_of("teachers point-reach cpu", claims.read())
        self.assertIn(claims.name_of(self.rows[0]), str(raised.exception))
        self.assertIn("run results/teachers.py", str(raised.exception))

    def test_rows_without_a_result_follow_the_plan(self):
        planned, other = self.rows[0]["command"], "mentor run other"
        self.rows[0]["command"] = other
        self.rows[1].update(command=other, hash="a" * 64)
        gone = self.rows.pop(2)
        self.rows.append({**self.rows[3], "claim": "teachers-nowhere-2-none"})
        self.rows.append({**self.rows[3], "claim": "of-another-row", "row": "1", "command": other})
        self.write()
        teachers.main()
        rows = {claims.name_of(row): row for row in claims.parsed(self.file.read_text(), "")}
        self.assertEqual(rows[claims.name_of(self.rows[0])]["command"], planned)
        self.assertEqual(rows[claims.name_of(self.rows[1])]["command"], other)
        self.assertEqual(rows[claims.name_of(gone)]["command"], gone["command"])
        self.assertNotIn("teachers-nowhere-2-none-" + self.rows[3]["run"], rows)
        self.assertEqual(rows["of-another-row-" + self.rows[3]["run"]]["command"], other)


if __name__ == "__main__":
    unittest.main()
