"""The statistics of reports, against the programs' own intervals, against definitions of scipy and
rliable, and against variances that are known by hand."""

import importlib.util
import json
import os
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WHEELS = pathlib.Path(os.environ.get("MENTOR_REPORT_WHEELS", ROOT / ".deps/report"))
sys.path[:0] = [str(WHEELS), str(ROOT / "python")]
MISSING = importlib.util.find_spec("numpy") is None
if not MISSING:
    import numpy as np

    from mentor.report import statistics
    from mentor.report.statistics import Level, Sample


def setUpModule():
    if MISSING:
        raise unittest.SkipTest("what reports are drawn with is missing: deploy/install.sh")


GOLDEN = pathlib.Path(__file__).parent / "data" / "report_intervals.json"


class StatisticsTest(unittest.TestCase):
    def one_goal_each(self, values):
        levels = tuple(Level(goal=goal) for goal in range(len(values)))
        return Sample(levels, np.asarray(values, float))

    def test_random_numbers_are_those_of_the_programs(self):
        # Intervals that the programs computed, of `mentor run smoke`.
        golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
        for case in golden["evaluations"]:
            levels = [Level(goal=goal) for goal in case["goals"]]
            rows = np.array(case["values"])[:, None]
            found = statistics.intervals_of_columns(levels, rows)[0]
            np.testing.assert_allclose(found, case["interval"], rtol=1e-9, atol=1e-12)
            whole = statistics.interval_of(Sample(tuple(levels), rows[:, 0]))
            np.testing.assert_allclose(whole, case["interval"], rtol=1e-9, atol=1e-12)

    def test_an_interval_of_a_rate_is_near_the_normal_one(self):
        # 400 lifetimes, 100 successes: standard error sqrt(0.25 * 0.75 / 400) = 0.02165.
        found = statistics.interval_of(self.one_goal_each([i % 4 == 0 for i in range(400)]))
        self.assertEqual(found.mean, 0.25)
        self.assertAlmostEqual(found.low, 0.25 - 1.96 * 0.02165, delta=0.004)
        self.assertAlmostEqual(found.high, 0.25 + 1.96 * 0.02165, delta=0.004)

    def test_levels_are_not_independent_lifetimes(self):
        # Half of 60 goals have 9 successes in 10 lifetimes, half 1: variance 0.16/60 + 0.09/600.
        levels = tuple(Level(goal=goal) for goal in range(60) for _ in range(10))
        values = [float((i == 0) == (goal % 2 == 0)) for goal in range(60) for i in range(10)]
        found = statistics.interval_of(Sample(levels, np.array(values)))
        deviation = (0.16 / 60 + 0.09 / 600) ** 0.5
        self.assertAlmostEqual(found.low, 0.5 - 1.96 * deviation, delta=0.008)
        self.assertAlmostEqual(found.high, 0.5 + 1.96 * deviation, delta=0.008)

    def test_unequal_levels_are_drawn_as_they_are(self):
        # Meta-seed 0 has two goals of 1 and 2 lifetimes, meta-seed 1 one goal of 3.
        levels = [Level(meta_seed=0, goal=0), *[Level(meta_seed=0, goal=1)] * 2]
        levels += [Level(meta_seed=1, goal=0)] * 3
        sample = Sample(tuple(levels), np.arange(6.0))
        self.assertEqual([list(part) for part in statistics.pool(sample)], [[0, 1, 2, 3, 4, 5]])
        of_seeds = sample._replace(of_seeds=True)
        self.assertEqual([list(part) for part in statistics.pool(of_seeds)], [[1, 4]])
        found = statistics.interval_of(of_seeds)
        self.assertEqual(found.mean, 2.5)
        self.assertLess(found.low, 1.5)
        self.assertGreater(found.high, 4)

    def test_a_level_with_one_member_is_not_drawn(self):
        found = statistics.interval_of(
            Sample((Level(), Level(environment="b")), np.array([1.0, 3]))
        )
        self.assertEqual(found, (2, 2, 2))

    def test_columns_leave_missing_numbers_out(self):
        rows = np.array([[1, np.nan, 4], [3, np.nan, np.nan], [5, np.nan, 4]])
        found = statistics.intervals_of_columns([Level(goal=g) for g in range(3)], rows)
        self.assertEqual(found[0].mean, 3)
        self.assertTrue(np.isnan(found[1]).all())
        self.assertEqual(found[2], (4, 4, 4))

    def test_the_interquartile_mean_is_that_of_scipy_and_rliable(self):
        # scipy.stats.trim_mean(x, 0.25), which rliable calls: floor(n / 4) go at each end.
        for values, expected in (
            ([7, 0, 6, 1, 5, 2, 4, 3], 3.5),
            ([100, 1, 2, 3, -50], 2),
            ([0, 0, 1], 1 / 3),
            ([5], 5),
        ):
            found = statistics.interquartile_mean([np.array([values], float)])[0]
            self.assertAlmostEqual(found, expected, places=14)
        strata = [np.array([[0.0, 0, 1, 1]]), np.array([[9.0, 2, 0, 1]])]
        self.assertEqual(statistics.interquartile_mean(strata)[0], 0.75)

    def test_improvement_and_profiles_are_those_of_rliable(self):
        def scores(*strata):
            levels = [
                Level(environment=str(e), meta_seed=s)
                for e, v in enumerate(strata)
                for s in range(len(v))
            ]
            return Sample(tuple(levels), np.concatenate([np.array(v, float) for v in strata]))

        # 1 ties 1 and loses to 3, 2 beats 1 and loses to 3: (0.5 + 0 + 1 + 0) / 4.
        chance = statistics.probability_of_improvement
        self.assertEqual(chance(scores([1, 2]), scores([1, 3])).mean, 0.375)
        self.assertEqual(chance(scores([1, 2], [5]), scores([1, 3], [4])).mean, 0.6875)
        self.assertEqual(chance(scores([2, 3]), scores([0, 1])), (1, 1, 1))
        pooled = [np.array([[0, 0.5, 1]]), np.array([[1.0, 1]])]
        shares = [statistics.share_above(at)(pooled)[0] for at in (0, 0.5, 0.9)]
        np.testing.assert_allclose(shares, [(2 / 3 + 1) / 2, (1 / 3 + 1) / 2, (1 / 3 + 1) / 2])

    def test_what_makes_a_goal_easy_cancels_out(self):
        # Goals differ by up to 9, the two methods on each of 100 goals by 0 and 2 in turn:
        # standard error 0.1.
        ease = np.arange(100) % 10
        a, b = self.one_goal_each(ease + 2 * (np.arange(100) // 10 % 2)), self.one_goal_each(ease)
        found, paired = statistics.difference_of_means(a, b)
        self.assertTrue(paired)
        self.assertEqual(found.mean, 1)
        self.assertAlmostEqual(found.low, 1 - 1.96 * 0.1, delta=0.02)
        self.assertAlmostEqual(found.high, 1 + 1.96 * 0.1, delta=0.02)
        other = b._replace(levels=(*b.levels[:-1], Level(goal=1000)))
        apart, paired = statistics.difference_of_means(a, other)
        self.assertFalse(paired)
        self.assertLess(apart.low, 0.3)  # sqrt(2 * 8.25 / 100) = 0.41

    def test_pairs_of_goals_leave_the_chance_of_meta_seeds_in(self):
        # 20 meta-seeds of each, one above and one below in turn, on the same two goals: standard
        # error sqrt(2 / 20). On draws of goals of their own, the draws cancel out.
        def seeds(mean, own):
            levels = [
                Level(meta_seed=s, goal_seed=s if own else 0, goal=g)
                for s in range(20)
                for g in (0, 1)
            ]
            return Sample(
                tuple(levels),
                np.array([mean + 1 - s % 2 * 2 for s in range(20) for _ in "ab"], float),
            )

        crossed, paired = statistics.difference_of_means(seeds(3, False), seeds(1, False))
        self.assertTrue(paired)
        self.assertAlmostEqual(crossed.low, 2 - 1.96 * 0.1**0.5, delta=0.06)
        self.assertAlmostEqual(crossed.high, 2 + 1.96 * 0.1**0.5, delta=0.06)
        nested, _ = statistics.difference_of_means(seeds(3, True), seeds(1, True))
        np.testing.assert_allclose(nested, [2, 2, 2], atol=1e-12)
        a, b = (seeds(mean, False)._replace(of_seeds=True) for mean in (3, 1))
        np.testing.assert_allclose(
            statistics.difference_of_means(a, b).interval, crossed, rtol=1e-12
        )

    def test_correlations_are_those_of_scipy(self):
        # scipy.stats.pearsonr and spearmanr; the last ties share their ranks.
        x = np.arange(1.0, 6)
        self.assertAlmostEqual(statistics.pearson(x, np.array([2.0, 1, 4, 3, 5])), 0.8)
        self.assertAlmostEqual(statistics.spearman(x, x**3), 1)
        found = statistics.spearman(np.array([1.0, 2, 2, 3]), np.arange(1.0, 5))
        self.assertAlmostEqual(found, 0.9486832980505138)
        self.assertTrue(np.isnan(statistics.pearson(x, np.full(5, 0.1))))

    def test_a_running_mean_begins_with_what_there_is(self):
        found = statistics.running_mean(np.array([np.nan, 2, np.nan, 4]), 3)
        np.testing.assert_array_equal(found, [np.nan, 2, 2, 3])


if __name__ == "__main__":
    unittest.main()
