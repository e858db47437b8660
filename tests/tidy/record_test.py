"""results/record.py takes runs into claims.csv and the archive, or says what contradicts them."""

import contextlib
import fcntl
import importlib.util
import io
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "results"))
import archive  # noqa: E402
import claims  # noqa: E402
import data_files  # noqa: E402
import record  # noqa: E402
import teachers  # noqa: E402

LIVES = (
    "teacher,split,environment,lifetime,goal,goal_seed,has_goals,seed,lifetime_episodes,"
    "segment_episodes,episode_success,episode_return\n"
    "learned,test,reach,0,0,1,1,1,4,2 2,0 0 1 0 1,1.23456 2 3 4 5\n"
)
NUMBERS = "test.learned.seg2=0.5[0.4,0.6] test.learned.last=0.25 test.learned.seg0=0.1[0,0.2]"


def row(run="1", **changes):
    ended = {"version": "0.2.0", "env_steps": "30", "hash": "a" * 64, "evaluation": "b" * 64}
    made = {"claim": "tiny", "run": run, "row": "1", "command": f"mentor run x --set seed={run}"}
    return dict.fromkeys(claims.COLUMNS, "") | made | ended | {"numbers": NUMBERS} | changes


def planned(run):
    return (
        dict.fromkeys(claims.COLUMNS, "")
        | {"claim": "tiny", "run": run}
        | {
            "row": "1",
            "command": f"mentor run x --set seed={run}",
        }
    )


class RecordTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.claims = self.folder / "claims.csv"
        self.runs = self.folder / "runs"
        self.asked = {"tiny-1": {"test.learned.seg2"}, "tiny-2": set(), "tiny-all": set()}
        for where, name, value in (
            (record, "CLAIMS", self.claims),
            (archive, "ARCHIVE", self.folder / "archive.tar.xz"),
            (record, "numbers_asked", lambda known, files: self.asked),
        ):
            patch = mock.patch.object(where, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def run_it(self, *arguments):
        with (
            mock.patch.object(sys, "argv", ["record.py", *map(str, arguments)]),
            contextlib.redirect_stdout(io.StringIO()) as out,
        ):
            record.main()
        return out.getvalue()

    def write_runs(self, *rows):
        for one in rows:
            records = self.runs / claims.name_of(one) / "records"
            records.mkdir(parents=True, exist_ok=True)
            (records / "lifetimes.csv").write_text(LIVES)
        (self.runs / "tiny.csv").write_text(claims.printed(rows), encoding="utf-8")

    def known(self):
        rows = claims.parsed(self.claims.read_text(encoding="utf-8"), "x")
        return {claims.name_of(one): one for one in rows}

    def test_what_was_recorded_can_be_recorded_again(self):
        self.write_runs(row("1"), row("2"), planned("3"), row("all", command=""))
        self.asked["tiny-3"] = set()
        self.assertEqual(self.run_it(self.runs).count("recorded"), 2)
        known = self.known()
        self.assertEqual(known["tiny-1"]["numbers"], "test.learned.seg2=0.5[0.4,0.6]")
        # No page asks this run: its last episodes stay, for reproduce to compare.
        self.assertEqual(known["tiny-2"]["numbers"], "test.learned.last=0.25")
        self.assertEqual(known["tiny-3"]["hash"], "")
        self.assertEqual(known["tiny-all"]["numbers"], "")
        files = archive.read(archive.ARCHIVE)
        self.assertIn(f'tiny,1,"{NUMBERS}"\n', files["numbers.csv"])
        # 3.5 in the last iteration, 5 without noise.
        self.assertTrue(files["lives/tiny-1.csv"].endswith(",1,1,1,4,2 2,00101,3.5 5\n"))
        before = [path.read_bytes() for path in (self.claims, archive.ARCHIVE)]
        self.run_it(self.runs)
        self.assertEqual([path.read_bytes() for path in (self.claims, archive.ARCHIVE)], before)

        # A page asks for another number, which the archive has.
        self.asked["tiny-2"] = {"test.learned.seg0"}
        self.run_it()
        self.assertEqual(self.known()["tiny-2"]["numbers"], "test.learned.seg0=0.1[0,0.2]")

    def test_others_wait_and_readers_meet_a_whole_file(self):
        self.write_runs(row("1"))
        self.run_it(self.runs)
        before, written = self.claims.read_bytes(), []
        replace = os.replace

        def looked(new, file):
            folder = os.open(self.folder, os.O_RDONLY)
            self.addCleanup(os.close, folder)
            with self.assertRaises(BlockingIOError):
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.assertEqual(self.claims.read_bytes(), before)
            written.append(file.name)
            replace(new, file)

        with mock.patch.object(os, "replace", looked):
            self.run_it(self.runs)
            with mock.patch.object(claims, "CLAIMS", self.claims):
                teachers.main()
        self.assertEqual(written, ["archive.tar.xz", "archive.sha256", "claims.csv", "claims.csv"])

    def test_a_run_that_ends_later_fills_its_row(self):
        self.write_runs(row("1"), planned("2"), row("all", command=""))
        self.run_it(self.runs)
        self.assertEqual(self.run_it("--planned"), "tiny-2\n")
        self.write_runs(row("1"), row("2", row="9"), row("all", command="", hash="c" * 64))
        with self.assertRaisesRegex(SystemExit, "tiny-all: another hash is recorded; --replace"):
            self.run_it(self.runs)
        self.assertEqual(self.known()["tiny-2"]["hash"], "")
        self.run_it(self.runs, "--replace")
        known = self.known()
        self.assertEqual(list(known), ["tiny-1", "tiny-2", "tiny-all"])
        self.assertEqual(known["tiny-all"]["hash"], "c" * 64)
        self.assertEqual((known["tiny-2"]["hash"], known["tiny-2"]["row"]), ("a" * 64, "9"))
        self.write_runs(row("1", command="mentor run y"))
        with self.assertRaisesRegex(
            SystemExit, "tiny-1: is recorded with another command.*reproduce tiny-1 --out RUNS"
        ):
            self.run_it(self.runs, "--replace")

    def test_the_folder_of_mentor_reproduce(self):
        self.claims.write_text(claims.printed([planned("1")]), encoding="utf-8")
        runs = self.runs
        records = runs / "tiny-1" / "records"
        records.mkdir(parents=True)

        with self.assertRaisesRegex(SystemExit, "has no NAME.csv of a run"):
            self.run_it(runs)
        made = row("1", measures="seg2@last:2 kl@last:1")
        (runs / "tiny-1.csv").write_text(claims.printed([made]), encoding="utf-8")
        (records / "lifetimes.csv").write_text(LIVES.replace(" 1 0 1,", " 0 0 0,"))
        updates = "".join(f"{n},{n * 10},{n / 1000},\n" for n in range(1, 402))
        (records / "training.csv").write_text("outer_update,env_steps,seg2,kl\n" + updates)
        self.assertIn("tiny-1: recorded, aaaaaaaa", self.run_it(runs))
        files = archive.read(archive.ARCHIVE)
        # Three updates in a point, and two in the last.
        lines = files["curves/tiny-1.csv"].splitlines()
        self.assertEqual(lines[:2] + lines[-1:], ["env_steps,kl,seg2", "30,,0.002", "4010,,0.4005"])
        # Where no life succeeds, the return of each episode stays.
        self.assertTrue(files["lives/tiny-1.csv"].endswith(",00000,1.235 2 3 4 5\n"))

    def test_a_damaged_archive_is_told(self):
        self.write_runs(row("1"))
        self.run_it(self.runs)
        archive.ARCHIVE.write_bytes(archive.ARCHIVE.read_bytes() + b"x")
        with self.assertRaisesRegex(SystemExit, "is not the file that archive.sha256 names"):
            self.run_it(self.runs)


class RecordedTest(unittest.TestCase):
    def setUp(self):
        if importlib.util.find_spec("vl_convert") is None:
            self.skipTest("what reports are drawn with is missing: deploy/install.sh")

    def test_lives_of_the_archive_give_the_recorded_numbers(self):
        import numpy as np

        from mentor.report.statistics import Level, Sample, interval_of

        files, levels, values = archive.read(), [], []
        for run in range(3):
            name = f"lives/button-press-reward-{run + 1}.csv"
            for life in data_files.rows_of(files[name], name, archive.LIVES):
                if (life["teacher"], life["split"]) != ("learned", "test"):
                    continue
                levels.append(Level("", run, int(life["goal_seed"]), int(life["goal"])))
                values.append(np.mean([int(one) for one in life["successes"][8:12]]))
        pooled = interval_of(Sample(tuple(levels), np.array(values)))
        recorded = claims.read()["button-press-reward"]["all"]["numbers"]["test.learned.seg2"]
        self.assertEqual(tuple(float(f"{one:.5g}") for one in pooled), recorded)

    def test_claims_have_what_pages_and_figures_ask_for(self):
        book = record.Book()
        asked = record.numbers_asked(
            claims.claims_of((dict(one) for one in book.rows), "x"), book.files
        )
        known = claims.read()
        for one in book.rows:
            have = set(known[one["claim"]][one["run"]]["numbers"]) - set(claims.OF_COLUMNS)
            slim = {word.rpartition("=")[0] for word in record.slim(one, asked).split()}
            self.assertEqual(have, slim, f"{claims.name_of(one)}: run results/record.py")


if __name__ == "__main__":
    unittest.main()
