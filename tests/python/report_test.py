"""mentor.report: its words, its pages, and what it says of folders that lack something.
tests/cluster/report_test.py has reports of real runs."""

import csv
import html.parser
import importlib.util
import io
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest.mock
from contextlib import nullcontext, redirect_stderr, redirect_stdout

ROOT = pathlib.Path(__file__).resolve().parents[2]
WHEELS = pathlib.Path(os.environ.get("MENTOR_REPORT_WHEELS", ROOT / ".deps/report"))
sys.path[:0] = [str(WHEELS), str(ROOT / "python")]
MISSING = importlib.util.find_spec("altair") is None
if not MISSING:
    import made_runs
    import numpy as np

    from mentor.report import beside, compare, drawing, evaluation, one_run, outcome
    from mentor.report import published, records, training, words
    from mentor.report.cli import main
    from mentor.report.statistics import Interval


def setUpModule():
    if MISSING:
        raise unittest.SkipTest("what reports are drawn with is missing: deploy/install.sh")


class Page(html.parser.HTMLParser):
    """A page's text, the addresses that it names, and the charts in it."""

    def __init__(self, path):
        super().__init__()
        self.addresses, self.text, self.headings, self.charts = [], "", [], {}
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self._inside = "charts" if found.get("id") == "charts" else tag
        self.addresses += [found[key] for key in ("src", "href") if key in found]

    def handle_data(self, data):
        if self._inside == "charts":
            self.charts = json.loads(data)
        elif self._inside not in ("script", "style"):
            self.text += data
        if self._inside in ("h1", "span"):
            self.headings.append(data.strip())

    def handle_endtag(self, tag):
        self._inside = "h1" if tag == "span" else ""


class ReportTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mentor-report-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def report(self, *arguments, code=0, drawn=False):
        """Returns what it says, on both streams. Most charts are compiled, and few are drawn."""
        said, error, drawn = io.StringIO(), io.StringIO(), drawn or "--png" in arguments
        blank = unittest.mock.patch.object(drawing, "still", return_value="<svg/>")
        with redirect_stdout(said), redirect_stderr(error), nullcontext() if drawn else blank:
            found = main([str(one) for one in arguments])
        self.assertEqual(found, code, error.getvalue())
        return said.getvalue() + error.getvalue()

    def outcome_of(self, run):
        results = evaluation.results_of(run.lives, run.iterations)
        return outcome.outcome_of(run, results, evaluation.compared(results))


class WordsTest(ReportTest):
    def test_the_interval_decides_at_every_budget(self):
        # The same facts have the same words, however many lifetimes they come from.
        for difference, word in (
            (Interval(0.01, 0.001, 0.02), "better than PPO"),
            (Interval(-0.5, -0.9, -0.1), "worse than PPO"),
            (Interval(0.9, 0.0, 1.0), "cannot be told apart from PPO"),
        ):
            self.assertEqual(words.verdict_on(difference, "PPO"), word)
        self.assertEqual(words.movement(Interval(0.02, 0.01, 0.03), 0.01), "rises")
        self.assertEqual(words.movement(Interval(0.02, 0.009, 0.03), 0.01), "does not move")
        self.assertEqual(words.movement(Interval(-2, -3, -1), 0.5), "falls")

    def test_numbers_in_words(self):
        self.assertEqual(words.ranges([7, 1, 2, 3]), "1 to 3, 7")
        self.assertEqual(words.several(1536000, "run"), "1,536,000 runs")
        self.assertEqual(
            words.interval(Interval(-0.001, 0, 1), [0.5, np.nan]), "0.00 [0.00, 1.00] (0.50, -)"
        )
        self.assertIn("and 994 others", words.interval(Interval(0, 0, 1), [0.5] * 1000))

    def made(self, **changed):
        return records.read(made_runs.run(self.folder / "run", **changed))

    def test_a_run_that_worked_says_how_well(self):
        found = self.outcome_of(self.made(learned=0.9))
        self.assertEqual(found.answer, "worked")
        self.assertRegex(
            found.sentence,
            r"^It worked: agents taught by the learned reward succeed in "
            r"0\.\d\d \[0\.\d\d, \d\.\d\d\] of their episodes after 2 updates on unseen "
            r"goals, better than PPO sparse \(difference 0\.\d\d \[0\.\d\d, \d\.\d\d\]\), ",
        )
        self.assertTrue(all(one.paired for one in found.comparisons))
        self.assertEqual(found.next, [])

    def test_a_run_that_learned_nothing_says_what_to_do(self):
        run = self.made(learned=0.05, end=0.05)
        found = self.outcome_of(run)
        self.assertEqual(found.answer, "nothing")
        self.assertRegex(
            found.sentence, r"^It did not work: .*; success after 2 updates does not move in"
        )
        self.assertEqual(
            found.next[0].command, f"mentor run --from {run.name} --set rule.outer_updates=200"
        )
        self.assertIn("lifetime.iterations=12", found.next[1].command)
        self.assertIn("mentor doctor", found.next[2].command)
        # Better than one baseline, by a network that meta-training did not change.
        run = self.made(end=0.05, teachers={"learned": 0.5, "sparse": 0.05, "shaped": 0.9})
        self.assertEqual(self.outcome_of(run).answer, "nothing")

    def test_answers_without_an_evaluation(self):
        for updates, end, answer, begin in (
            (40, 0.6, "learning", "It learns: success after 2 updates rises in meta-training: "),
            (40, 0.05, "nothing", "Nothing was learned: success after 2 updates does not move"),
            (3, 0.6, "unknown", "It is too early to say: 3 outer updates, and nothing has been"),
            (0, 0.6, "unknown", "Nothing has been learned yet: there is no outer update and no"),
        ):
            shutil.rmtree(self.folder / "run", ignore_errors=True)
            found = self.outcome_of(self.made(updates=updates, end=end, evaluated=False))
            self.assertEqual(found.answer, answer)
            self.assertTrue(found.sentence.startswith(begin), found.sentence)

    def test_a_leak_before_any_learning_is_said(self):
        lives = [
            made_runs.life(teacher, i, [float(teacher == "learned")] * 13)
            for teacher in ("learned", "sparse")
            for i in range(8)
        ]
        folder = made_runs.write(
            self.folder / "leak", made_runs.record(self.folder, "leak", 1), {"lifetimes.csv": lives}
        )
        report = one_run.Report(records.read(folder), published.Published(), 100)
        self.assertIn("so something leaks", " ".join(report.opening))

    def test_hints_name_what_the_metrics_show_and_none_of_a_run_that_learns(self):
        self.assertEqual(training.hints(self.made()), [])
        run = self.made(end=0.6)
        run.training.metrics["signal_sd"] = np.full(40, 1e-9)
        run.training.metrics["epochs"] = np.r_[np.full(10, 4.0), np.ones(30)]
        fallen = np.r_[np.linspace(0.1, 0.9, 20), np.linspace(0.9, 0.1, 20)]
        run.training.metrics["seg2"] = fallen
        found = {hint.id: hint.text for hint in training.hints(run)}
        self.assertEqual(list(found), ["training-got-worse", "kl-stops-at-once", "signal-died"])
        self.assertIn("Since outer update 11 target_kl", found["kl-stops-at-once"])
        page = (ROOT / "docs/it_does_not_learn.md").read_text(encoding="utf-8")
        for id, *_ in training._SYMPTOMS:
            self.assertIn(f"### {id}\n", page)


class FoldersTest(ReportTest):  # Nightly
    def test_a_page_opens_with_the_sentence_and_asks_for_no_network(self):
        run = made_runs.run(self.folder / "run <b>")
        said = self.report(run, "--svg", "--png")
        page = Page(run / "report.html")
        self.assertEqual(page.headings[0], "It worked:")
        self.assertIn(said.splitlines()[0].split(": ", 1)[1][:60], " ".join(page.headings))
        self.assertEqual([a for a in page.addresses if not a.startswith("#")], [])
        text = (run / "report.html").read_text(encoding="utf-8")
        # A page of a megabyte is no message of a failure.
        self.assertTrue("default-src &#39;none&#39;" in text and "run <b>" not in text)
        self.assertLess(len(text), 2_000_000)
        for name in page.charts:
            self.assertTrue((run / "report" / f"{name}.csv").stat().st_size, name)
            svg = (run / "report" / f"{name}.svg").read_text(encoding="utf-8")
            self.assertNotIn("var(", svg)
            png = (run / "report" / f"{name}.png").read_bytes()
            self.assertTrue(png.startswith(b"\x89PNG"))
        self.assertIn("episodes_test", page.charts)
        answer = json.loads((run / "report" / "outcome.json").read_text(encoding="utf-8"))
        self.assertEqual(answer["answer"], "worked")
        self.assertEqual(answer["summary"], said.splitlines()[:-1])

    def test_the_tables_have_the_numbers_of_the_sentence(self):
        run = made_runs.run(self.folder / "run")
        said = self.report(run)
        with open(run / "report" / "evaluation.csv", encoding="utf-8") as file:
            rows = {(row["method"], row["quantity"]): row for row in csv.DictReader(file)}
        mean = float(rows["learned", "seg2"]["mean"])
        self.assertIn(f"succeed in {mean:.2f} [", said)

    def test_every_part_may_be_missing(self):
        for parts in (
            {"evaluated": False},
            {"updates": 0},
            {"signal": False},
            {"evaluated": False, "updates": 0, "signal": False},
        ):
            folder = self.folder / "-".join(parts)
            self.report(made_runs.run(folder, **parts))
            self.assertTrue(Page(folder / "report.html").headings[0])

    def test_several_environments_and_episodes_that_end_early(self):
        rng, teachers = np.random.default_rng(1), {"learned": 0.6, "sparse": 0.1}
        rows = made_runs.lives(rng, teachers, 6, environment="near")
        rows += made_runs.lives(rng, teachers, 6, environment="far")
        for row in rows[::3]:
            for name in ("episode_success", "episode_return"):
                row[name] = " ".join(row[name].split()[:10])
            row.update(lifetime_episodes=9, segment_episodes="4 4 1")
        runs = [
            made_runs.write(
                self.folder / f"r{seed}",
                made_runs.record(self.folder / f"r{seed}", "Two", seed),
                {"lifetimes.csv": rows},
            )
            for seed in (1, 2)
        ]
        self.report(runs[0])
        page = Page(runs[0] / "report.html")
        self.assertIn("Success rate by environment", page.text)
        # Equal numbers of episodes are not equal parts of a life.
        self.assertNotIn("episodes_test", page.charts)
        self.assertIn("evaluation_test", page.charts)
        self.report(*runs, "--out", self.folder / "both")
        table = (self.folder / "both" / "comparison" / "environments_test.csv").read_text()
        self.assertIn("\nfar,Two,", table)

    def test_agents_that_live_across_updates_have_curves_by_generation(self):
        rows = [
            {
                "outer_update": update,
                "env_steps": 1000 * update,
                "generation": (update - 1) // 10,
                "iteration": (update - 1) % 10,
                "success": 0.05 * ((update - 1) % 10) + 0.004 * update,
                "shaped_return": 1,
            }
            for update in range(1, 101)
        ]
        record = made_runs.record(self.folder / "run", "Lives", 1, iterations=10)
        run = made_runs.write(self.folder / "run", record, {"training.csv": rows})
        said = self.report(run)
        self.assertIn("It learns: success at the end of a lifetime rises in meta-training", said)
        self.assertIn("(first 2 generations) to", said)
        curves = (run / "report" / "training_lives.csv").read_text()
        for generation in (0, 3, 6, 9):
            self.assertIn(f"generation {generation},", curves)

    def test_where_nothing_can_succeed_returns_are_compared(self):
        rows = made_runs.lives(np.random.default_rng(1), {"learned": 0.9, "shaped": 0.1}, 8)
        for row in rows:
            row["episode_success"] = " ".join("0" * 13)
        record = made_runs.record(self.folder / "run", "Returns", 1)
        run = made_runs.write(self.folder / "run", record, {"lifetimes.csv": rows})
        said = self.report(run)
        self.assertIn("It worked: agents taught by the learned reward have a shaped return", said)
        self.assertIn("No episode reports success", Page(run / "report.html").text)

    def test_a_run_that_failed_says_so_first(self):
        run = made_runs.run(self.folder / "run", failure="the disk is full", updates=12)
        said = self.report(run)
        self.assertTrue(said.startswith("The run failed: the disk is full\n"))
        self.assertEqual(Page(run / "report.html").headings[0], "The run failed:")

    def test_maps_of_attention_are_drawn(self):
        seen = {"name": "attention", "lifetime": 0, "iteration": 1, "rows": 2, "columns": 2}
        maps = [{**seen, "values": [0.25, None, 1, 0.5]}] * 6
        record = made_runs.record(self.folder / "run", "Maps", 1)
        files = {"signals.csv": made_runs.signals(np.random.default_rng(1))}
        run = made_runs.write(self.folder / "run", record, files, maps)
        self.report(run, "--png")
        # Four of each name.
        self.assertEqual(len(list((run / "report").glob("map_*.png"))), 4)
        self.assertIn("attention, lifetime 0, after 1 update", Page(run / "report.html").text)

    def test_folders_that_lack_something_are_told_the_command(self):
        run = made_runs.run(self.folder / "run")
        command = f"mentor report {run}"
        cut = run / "records" / "lifetimes.csv"
        whole = cut.read_text(encoding="utf-8")
        cut.write_text("".join(whole.splitlines(keepends=True)[:7]), encoding="utf-8")
        said = self.report(run, code=2)
        self.assertIn("lifetimes.csv: has 6 rows, and run.json counts 100: it is cut", said)
        self.assertIn(command, said)
        cut.write_text(whole[: len(whole) // 2], encoding="utf-8")
        self.assertRegex(
            self.report(run, code=2), r"lifetimes.csv(:\d+)?: (is not as|has \d+ rows)"
        )
        cut.write_text(whole.replace("learned,", "telepathy,", 1), encoding="utf-8")
        self.assertIn(
            "lifetimes.csv:2: is not as written: teacher is 'telepathy'", self.report(run, code=2)
        )
        cut.unlink()
        self.assertIn("lifetimes.csv: is not there, and run.json counts", self.report(run, code=2))
        facts = run / "records" / "run.json"
        record = json.loads(facts.read_text(encoding="utf-8"))
        facts.write_text(json.dumps({**record, "format": 7}), encoding="utf-8")
        self.assertIn("has format 7, and this version reads 1; update", self.report(run, code=2))
        facts.write_text('{"format": 1, ', encoding="utf-8")
        self.assertIn("run.json: is cut or changed", self.report(run, code=2))
        shutil.rmtree(run / "records")
        old = self.report(run, code=2)
        self.assertIn("a run that an older version made", old)
        self.assertIn(command, old)
        self.assertIn("is no run folder", self.report(self.folder / "nothing", code=2))

    def test_a_run_of_another_machine_is_named_as_it_is_here(self):
        run = made_runs.run(self.folder / "there", learned=0.05, end=0.05)
        moved = self.folder / "here"
        run.rename(moved)
        said = self.report(moved)
        self.assertIn(f"mentor run --from {moved} --set", said)
        self.assertNotIn(f"--from {run}", said)

    def test_a_folder_that_cannot_be_written_needs_another(self):
        run = made_runs.run(self.folder / "run")
        (run / "report").write_text("a file in the way", encoding="utf-8")
        self.assertIn("cannot be written", said := self.report(run, code=2))
        self.assertIn("name another folder with --out", said)
        self.report(run, "--out", self.folder / "elsewhere")
        self.assertTrue((self.folder / "elsewhere" / "report.html").exists())
        # Records may lie elsewhere, too.
        shutil.move(run / "records", self.folder / "kept")
        out = ("--out", self.folder / "kept")
        self.report(run, f"--records={run}={self.folder / 'kept'}", *out)

    def test_the_page_of_a_long_run_stays_small(self):
        run = made_runs.run(self.folder / "run", updates=500, goals=50)
        self.report(run, drawn=True)
        self.assertLess((run / "report.html").stat().st_size, 3_000_000)


class ComparisonTest(ReportTest):  # Nightly
    def made(self, methods, seeds=(1, 2, 3), **changed):
        return [
            made_runs.run(self.folder / f"{title}-{seed}", title, seed, learned=rate, **changed)
            for title, rate in methods.items()
            for seed in seeds
        ]

    def test_each_meta_seed_is_visible_and_the_better_method_comes_first(self):
        runs = self.made({"A": 0.9, "B": 0.3})
        said = self.report(*runs, "--out", self.folder / "both")
        self.assertRegex(
            said, r"^A is better than B \(difference 0\.\d\d \[0\.\d\d, 0\.\d\d\]\)\.\n6 runs of 2"
        )
        self.assertIn("All runs had the same budget of meta-training: 40 outer updates", said)
        page = Page(self.folder / "both" / "comparison.html")
        self.assertTrue(page.headings[0].startswith("A is better than B"))
        rows = (self.folder / "both" / "comparison" / "episodes_test.csv").read_text()
        for seed in (1, 2, 3):
            self.assertIn(f"A,{seed},", rows)
        scores = (self.folder / "both" / "comparison" / "scores_test.csv").read_text()
        self.assertIn("mean_by_meta_seed", scores)
        tables = (self.folder / "both" / "comparison" / "tables.md").read_text()
        self.assertIn("### Scores at the end of a lifetime", tables)

    def test_a_report_and_a_comparison_say_the_same(self):
        run = made_runs.run(self.folder / "a", "A", learned=0.7)
        one = self.outcome_of(records.read(run)).comparisons[0]
        said = self.report(run, *self.made({"B": 0.3}, seeds=(1,)), "--out", self.folder / "both")
        difference = words.interval(one.difference)
        self.assertIn(f"A is better than PPO sparse (difference {difference})", said)

    def test_what_does_not_fit_is_refused_by_name(self):
        a, b = self.made({"A": 0.5}, seeds=(1, 2))
        twice = self.report(a, a, "--out", self.folder / "c", code=2)
        self.assertIn("are the same run (experiment A-1)", twice)
        record = json.loads((b / "records" / "run.json").read_text())
        record["identity"]["seed"] = 1
        (b / "records" / "run.json").write_text(json.dumps(record))
        said = self.report(a, b, "--out", self.folder / "c", code=2)
        self.assertIn("have the same spec and the same meta-seed, seed 1 and goal_seed 1", said)
        said = self.report(a, "--label", f"{b}=B", code=2)
        self.assertIn("give RUN=..., with a run as it is named in this command", said)

    def test_labels_and_cautions(self):
        runs = self.made({"A": 0.5, "B": 0.5}, seeds=(1,))
        runs.append(made_runs.run(self.folder / "c", "C", evaluated=False))
        said = self.report(*runs, "--label", f"{runs[0]}=LSTM", "--out", self.folder / "x")
        self.assertIn("LSTM", said)
        self.assertIn(f"there is no evaluation of {runs[2]}", said)
        self.assertIn("One seed: the intervals cover other goals", said)

    def test_a_folder_of_a_comparison_is_left_out(self):
        runs = self.made({"A": 0.5}, seeds=(1, 2))
        self.report(*runs, "--out", out := self.folder / "out")
        said = self.report(*runs, out, "--out", self.folder / "again")
        self.assertIn("is a comparison, not a run: left out", said)

    def test_a_thousand_seeds(self):
        first = made_runs.run(
            self.folder / "s1",
            "A",
            1,
            goals=2,
            each=1,
            updates=10,
            signal=False,
            teachers={"learned": 0.6, "sparse": 0.1},
        )
        record = json.loads((first / "records" / "run.json").read_text())
        runs = [first]
        for seed in range(2, 1001):
            folder = self.folder / f"s{seed}"
            shutil.copytree(first / "records", folder / "records")
            record["identity"].update(seed=seed, experiment=f"A-{seed}")
            (folder / "records" / "run.json").write_text(json.dumps(record))
            runs.append(folder)
        said = self.report(*runs, "--out", self.folder / "all", drawn=True)
        self.assertIn("1,000 runs of 1 method.", said)
        page = self.folder / "all" / "comparison.html"
        self.assertLess(page.stat().st_size, 5_000_000)
        rows = (self.folder / "all" / "comparison" / "episodes_test.csv").read_text()
        self.assertEqual(len(set(re.findall(r"^A,(\d+),", rows, re.M))), 1000)

    def test_middle_statistics_are_left_out_where_they_hide_what_differs(self):
        def ranking(wins):
            lives = [made_runs.life("learned", i, [float(i < wins)] * 13) for i in range(100)]
            shutil.rmtree(self.folder / "r", ignore_errors=True)
            run = records.read(
                made_runs.write(
                    self.folder / "r", made_runs.record("r", "R", 1), {"lifetimes.csv": lives}
                )
            )
            return compare.rankings(compare.group([run]), "lifetime")[0]

        self.assertFalse(ranking(20).middle_tells())
        self.assertTrue(ranking(0).middle_tells())


class BesideAndPublishedTest(ReportTest):
    def test_last_episodes_of_agents_beside_their_signal(self):
        lives = [
            made_runs.life("learned", i, [0.0] * 8 + [1.0] * 4, segment_episodes="4 4 4")
            for i in range(4)
        ]
        own = [{**life, "teacher": "sparse"} for life in lives]
        record = made_runs.record(self.folder / "r", "R", 1, beside_known=100)
        run = records.read(
            made_runs.write(self.folder / "r", record, {"beside.csv": lives, "lifetimes.csv": own})
        )
        cohorts = beside.of_run(run)
        last = beside.measure(cohorts[0], 4, 1200)
        self.assertEqual((last.env_steps, last.mean_success.mean, last.most), (1200, 1.0, 4))
        self.assertEqual(beside.measure(cohorts[0], 4, 800).mean_success.mean, 0)
        said = " ".join(beside.sentences(cohorts, 4))
        self.assertIn("Over the last 4 episodes of an agent, after 1,200 environment steps", said)
        self.assertIn("cannot be told apart from PPO sparse", said)
        self.report(self.folder / "r", "--last_episodes", 4)
        self.assertIn(
            "agents beside their signal",
            (self.folder / "r" / "report" / "last_episodes.csv").read_text(),
        )

    def test_published_curves_lie_beside_ours(self):
        run, curves = made_runs.run(self.folder / "run"), self.folder / "curves.csv"
        text = "# a comment\nfigure,method,episode,success\n1,learned reward,1,0.5\n"
        curves.write_text(text + "2,learned reward,1,0.75\n1,learned reward,deterministic,0.875\n")
        self.report(
            run, "--published", curves, "--published_rows", "figure=1", "--published_name", "P"
        )
        self.assertIn("learned reward, P", (run / "report" / "episodes_test.csv").read_text())
        self.assertIn("Beside what is published (P)", Page(run / "report.html").text)
        said = self.report(run, "--published", curves, code=2)
        self.assertIn("curves.csv:4: a second number for episode 1 of", said)
        self.assertIn('choose with --published_rows "figure=1"', said)
        said = self.report(run, "--published", curves, "--published_rows", "figure=3", code=2)
        self.assertIn("no row of", said)
        curves.write_text("method,episode,success\na,1,2\n")
        said = self.report(run, "--published", curves, code=2)
        self.assertIn("curves.csv:2: column success: is '2', expected a rate from 0 to 1", said)

    def test_the_doctor_says_it_in_words_and_as_json(self):
        run = made_runs.run(self.folder / "run", learned=0.05, end=0.05)
        text = self.report(run, "--say", code=3)
        self.assertIn("meta-training    success after 2 updates does not move", text)
        self.assertIn("evaluation       learned success rate 0.", text)
        answer = json.loads(self.report(run, "--json", code=3))
        self.assertEqual(answer["answer"], "nothing")
        self.assertEqual(answer["comparisons"][0]["baseline"], "PPO sparse")
        self.assertFalse((run / "report.html").exists())


if __name__ == "__main__":
    unittest.main()
