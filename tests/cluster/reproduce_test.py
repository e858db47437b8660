"""`mentor reproduce`: the real program runs published claims again, and reports on them."""

import csv
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from harness import SIGINT, ClusterTest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLAIMS = ROOT / "docs" / "data" / "claims.csv"
TINY = (
    "mentor run point_reach --set rule.outer_updates=2 --set rule.lifetimes_per_update=8"
    " --set rule.shard_lifetimes=4 --set evaluation.goals=4"
)
# One short claim of each kind that docs/ shows. It notices every changed bit in one of
# their parts.
SHORT = [
    "point-reach-advantage-1",
    "point-reach-reward-1",
    "point-reach-es-1",
    "point-reach-pbt-1",
    "umbrella-blind-5-1",
    "umbrella-ppo-5-1",
    "point-mass-stn-1",
    "box-diayn-1",
]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_header(checkpoint, old, new):
    """Returns a whole checkpoint with `new` for `old`, of equal length, in its header."""
    end = 12 + int.from_bytes(checkpoint[8:12], "little")
    header = checkpoint[12:end].replace(old, new)
    body = checkpoint[:12] + header + checkpoint[end:-52]
    body += crc32c(header).to_bytes(4, "little") + checkpoint[-48:-40]
    return body + hashlib.sha256(body).digest() + checkpoint[-8:]


class ClaimsOfOnesOwnTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.claims = self.folder / "claims.csv"
        with CLAIMS.open(encoding="utf-8") as file:
            self.columns = next(csv.reader(file))
        self.write([("tiny", 1, f"{TINY} --set seed=1"), ("tiny", 2, f"{TINY} --set seed=2")])

    def write(self, runs):
        with self.claims.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, self.columns, lineterminator="\n")
            table.writeheader()
            for claim, run, command in runs:
                table.writerow({"claim": claim, "run": run, "command": command})
            table.writerow({"claim": "tiny", "run": "all"})

    def rows(self):
        with self.claims.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def edit(self, name, **changes):
        rows = self.rows()
        for row in rows:
            if f"{row['claim']}-{row['run']}" == name:
                row.update(changes)
        with self.claims.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, self.columns, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)

    def reproduce(self, *arguments, code=0):
        return self.run_to_end(
            "mentor",
            "reproduce",
            *arguments,
            "--claims",
            self.claims,
            "--out",
            self.folder / "out",
            "--quiet",
            code=code,
        )

    def reproduce_aloud(self, *arguments):
        words = (*arguments, "--claims", self.claims, "--out", self.folder / "out")
        return self.run_to_end("mentor", "reproduce", *words)

    def test_a_claim_is_recorded_and_holds(self):
        said = self.reproduce("tiny-1", code=1)
        self.assertIn("nothing is recorded yet: --record records it", said)
        said = self.reproduce("tiny", "--record")
        self.assertIn("3 passed, 0 failed", said)
        self.assertIn(f"Recorded in {self.claims}", self.reproduce("tiny-1", "--record"))
        first, second, both = self.rows()
        self.assertNotEqual(first["hash"], second["hash"])
        self.assertEqual(len(both["hash"]), 64)
        self.assertEqual(
            first["hash"],
            self.run_to_end("mentor", "hash", self.folder / "out" / "tiny-1").strip(),
        )
        self.assertRegex(both["numbers"], r"test\.learned\.seg2=[\d.]+\[[\d.]+,[\d.]+\]")
        self.assertIn("test.ppo_sparse.seg0=", both["numbers"])
        shutil.rmtree(self.folder / "out")
        said = self.reproduce("tiny", "--strict")
        self.assertEqual(said.count("reproduced bit for bit"), 3, said)
        listed = self.reproduce("--list", "tiny-2", "tiny", "tiny-2")
        # Claims appear in the order of the command, each once.
        self.assertEqual(
            [line.split()[0] for line in listed.splitlines()], ["tiny-2", "tiny-1", "tiny"]
        )
        words = ("mentor", "reproduce", "tiny-1", "--claims", self.claims)
        said = self.run_to_end(*words, "--out", self.folder / "loud")
        self.assertRegex(said, r"(?s)^1 run: \d CPU seconds of .*tiny-1 \(\d CPU seconds\): mentor")
        self.assertIn("excludes", self.reproduce("--planned", "--within", "60", code=2))
        listed = self.reproduce("--list")
        self.assertIn(TINY + " --set seed=2", listed)
        self.assertIn(first["hash"][:16], listed)

    def test_where_nothing_is_learned_the_evaluation_is_the_result(self):
        baselines = TINY.replace("outer_updates=2", "outer_updates=0")
        self.write([("tiny", n, f"{baselines} --set seed={n}") for n in (1, 2)])
        self.reproduce("tiny", "--record")
        rows = self.rows()
        self.assertEqual([row["hash"] for row in rows], ["", "", ""])
        self.assertEqual(len({row["evaluation"] for row in rows}), 3)
        said = self.reproduce("tiny", "--strict")
        self.assertIn("bit for bit: hash " + rows[0]["evaluation"], said)
        self.assertIn("3 passed, 0 failed", said)
        self.assertIn("evaluation only", self.reproduce("--list"))
        self.assertIn("no recorded claim", self.reproduce("--within", "60", code=2))

    def test_a_success_that_never_comes_is_zero(self):
        # No agent comes that near to its goal.
        never = TINY.replace("outer_updates=2", "outer_updates=0") + " --set benchmark.rho=1e-6"
        self.write([("tiny", n, f"{never} --set seed={n}") for n in (1, 2)])
        self.reproduce("tiny", "--record", "--lifetimes")
        for row in self.rows():
            self.assertIn("test.ppo_sparse.seg0=0[0,0]", row["numbers"])
            self.assertNotIn("seg0_return", row["numbers"])
        self.assertIn("3 passed", self.reproduce("tiny", "--strict"))

    def test_runs_are_pooled_without_their_folders(self):
        self.reproduce("tiny", "--record", "--lifetimes")
        whole = self.rows()
        for run in ("tiny-1", "tiny-2"):
            shutil.rmtree(self.folder / "out" / run)
        said = self.reproduce("tiny-all", "--strict")
        self.assertIn("reproduced bit for bit", said)
        self.assertIn("2 of its runs are those kept in lifetimes/", said)
        self.assertIn("their hashes are the record's own", said)
        # Behind a link, too, where the lifetimes are beside the file and not beside the link.
        (self.folder / "links").mkdir()
        link = self.folder / "links" / "claims.csv"
        link.symlink_to(self.claims)
        words = ("mentor", "reproduce", "tiny-all", "--claims", link, "--out", self.folder / "out")
        self.assertIn("reproduced bit for bit", self.run_to_end(*words))
        # Recorded anew, the row of all runs is what it was.
        self.edit("tiny-all", hash="", evaluation="", numbers="")
        self.assertIn("1 passed", self.reproduce("tiny-all", "--record"))
        self.assertEqual(self.rows(), whole)
        kept = self.claims.parent / "lifetimes" / "tiny-2.csv.gz"
        shutil.copy(self.claims.parent / "lifetimes" / "tiny-1.csv.gz", kept)
        said = self.reproduce("tiny-all", code=1)
        self.assertIn("has other lifetimes than those recorded for tiny-2", said)
        kept.unlink()
        said = self.reproduce("tiny-all", code=1)
        self.assertIn("no lifetimes of tiny-2 are kept; run 'mentor reproduce tiny'", said)

    def test_the_curve_of_a_recorded_run_is_kept_and_drawn(self):
        short = "mentor run stn_point_mass --set lifetime.iterations=3 --set rule.outer_updates=3"
        runs = ("stn-hopper-1", "stn-hopper-2", "stn-bounded-hopper-1", "stn-halfcheetah-1")
        names = [run.rpartition("-") for run in runs]
        self.write([(claim, run, f"{short} --set seed={run}") for claim, _, run in names])
        for run in runs:
            measures = "shaped_return@last:2 signal_mean@last:2 signal_std@last:2"
            self.edit(run, measures=measures)
        self.reproduce("stn-hopper-1", "stn-bounded-hopper-1", "--record")
        self.reproduce("stn-hopper-2", code=1)
        curves = self.folder / "curves"
        self.assertEqual(len(list(curves.iterdir())), 2)
        with (self.folder / "out" / "stn-hopper-1" / "metrics.csv").open() as file:
            metrics = list(csv.DictReader(file))
        kept = (curves / "stn-hopper-1.csv").read_text()
        lines = list(csv.DictReader(kept.splitlines()))
        self.assertEqual(len(lines), 3)
        for line, whole in zip(lines, metrics, strict=True):
            self.assertEqual(
                list(line), ["env_steps", "shaped_return", "signal_mean", "signal_std"]
            )
            for name, text in line.items():
                self.assertAlmostEqual(
                    float(text), float(whole[name]), delta=1e-4 * abs(float(text))
                )
        # Another curve is told, and replaced when asked.
        (curves / "stn-hopper-1.csv").write_text(kept.replace(lines[0]["shaped_return"], "1"))
        runs_here = ("stn-hopper-1", "--from", self.folder / "out")
        said = self.reproduce(*runs_here, "--record", code=1)
        self.assertIn("Its curve in curves/ beside the file of claims is another one.", said)
        self.reproduce(*runs_here, "--record", "--replace")
        self.assertEqual((curves / "stn-hopper-1.csv").read_text(), kept)
        # A curve that is missing comes back with its run.
        (curves / "stn-hopper-1.csv").unlink()
        self.assertIn("stn-hopper-1 --from RUNS --record", self.draw())
        self.reproduce("stn-hopper-1", "--from", self.folder / "out", "--record")
        self.assertEqual((curves / "stn-hopper-1.csv").read_text(), kept)
        self.assertEqual(self.draw(), "")
        figure = (self.folder / "stn_reward.svg").read_text(encoding="utf-8")
        self.assertIn("no tanh (1 of 2 seeds)", figure)
        self.assertIn("within a tanh (1 seeds)", figure)

    def draw(self):
        """Draws the figure that the claims of the test above are in."""
        program = ROOT / "docs" / "curves.py"
        flags = ["--claims", self.claims, "--out", self.folder]
        return subprocess.run(
            [sys.executable, program, *flags, "stn_reward"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stderr

    def test_what_differs_is_explained(self):
        self.reproduce("tiny-1", "--record")
        whole = self.rows()[0]
        # A bit has changed, and the claim was not recorded again.
        self.edit("tiny-1", hash="0" * 64)
        said = self.reproduce("tiny-1", code=1)
        self.assertIn("Mentor's bits have changed", said)
        # Another processor explains it.
        environments, simulator, learner = whole["fingerprint"].split("/")
        self.edit("tiny-1", fingerprint=f"{environments}/{'0' * 12}/{learner}", processor="Other")
        said = self.reproduce("tiny-1")
        self.assertIn("The fingerprint of the simulator (libm, MuJoCo) differs", said)
        self.assertIn("All numbers are the recorded ones.", said)
        self.reproduce("tiny-1", "--strict", code=1)
        # Another version.
        self.edit("tiny-1", fingerprint=whole["fingerprint"], version="0.1.9")
        self.assertIn("Version 0.1.9 made the record", self.reproduce("tiny-1"))
        # Other arithmetic made a number that no hash covers: nobody is said to have edited it.
        other = re.sub(r"(test.learned.seg0=)[^\[ ]+", r"\g<1>0.5", whole["numbers"])
        self.assertNotEqual(other, whole["numbers"])
        self.edit(
            "tiny-1",
            hash=whole["hash"],
            version=whole["version"],
            numbers=other,
            fingerprint=f"{environments}/{simulator}/{'0' * 12}",
        )
        said = self.reproduce("tiny-1")
        self.assertIn("the same hash, other numbers", said)
        self.assertIn("The fingerprint of the learner (LibTorch, kernels) differs", said)
        self.assertNotIn("edited", said)
        self.assertIn("The fingerprint of the learner", self.reproduce_aloud("tiny-1"))
        self.edit("tiny-1", fingerprint=whole["fingerprint"], numbers=whole["numbers"])
        # The agents count where the teacher has learned nothing.
        self.edit("tiny-1", metrics="0" * 64)
        said = self.reproduce("tiny-1", code=1)
        self.assertIn("the same hash, other metrics along the run", said)
        self.edit("tiny-1", metrics=whole["metrics"])
        # The lives of the evaluation count, too.
        self.edit("tiny-1", hash=whole["hash"], version=whole["version"], evaluation="0" * 64)
        said = self.reproduce("tiny-1", code=1)
        self.assertIn("the same hash, other lives in the evaluation", said)

    def test_runs_that_are_not_whole_are_named_and_not_pooled(self):
        self.reproduce("tiny", "--record")
        before = self.claims.read_text(encoding="utf-8")
        out = self.folder / "out"
        # A file of the evaluation is missing.
        (shard, *_) = sorted(out.glob("tiny-2/experiments/*/artifacts/evaluation/*"))
        kept = shard.read_bytes()
        shard.unlink()
        said = self.reproduce("tiny", "--from", out, "--record", code=1)
        self.assertRegex(
            said, r"tiny-2: .*/tiny-2: has \d+ evaluated lifetimes of \d+; continue the run"
        )
        self.assertRegex(said, r"tiny: .*/tiny-2: has ")
        # The file belongs to another run.
        (other,) = out.glob(f"tiny-1/experiments/*/artifacts/evaluation/{shard.name}")
        shard.write_bytes(other.read_bytes())
        said = self.reproduce("tiny-2", "--from", out, "--record", code=1)
        self.assertIn(f"{shard.name} belongs to a run of another spec (", said)
        # One bit of the file has flipped.
        shard.write_bytes(kept[:-40] + bytes([kept[-40] ^ 1]) + kept[-39:])
        said = self.reproduce("tiny-2", "--from", out, "--record", code=1)
        self.assertIn(f"{shard.name} is damaged, or not an evaluation; fetch it again", said)
        shard.write_bytes(kept)
        # The last checkpoint is cut.
        newest = sorted(out.glob("tiny-1/experiments/*/checkpoints/*.ckpt"))[-1]
        whole = newest.read_bytes()
        newest.write_bytes(whole[:-40])
        said = self.reproduce("tiny-1", "--from", out, "--record", code=1)
        self.assertIn("checkpoint after outer update 2 is missing or damaged", said)
        newest.write_bytes(whole)
        # A run of another spec.
        self.edit("tiny-1", command=TINY + " --set seed=3")
        said = self.reproduce("tiny-1", "--from", out, "--record", code=1)
        self.assertIn("is a run of another spec", said)
        self.edit("tiny-1", command=TINY + " --set seed=1")
        self.assertEqual(self.claims.read_text(encoding="utf-8"), before)

    def test_another_hash_is_replaced_only_when_asked(self):
        self.reproduce("tiny-1", "--record")
        made = self.claims.read_text(encoding="utf-8")
        self.edit("tiny-1", hash="0" * 64)
        out = self.folder / "out"
        said = self.reproduce("tiny-1", "--from", out, "--record", code=1)
        self.assertIn("record it with --record --replace", said)
        self.assertEqual(self.rows()[0]["hash"], "0" * 64)
        self.reproduce("tiny-1", "--from", out, "--record", "--replace")
        self.assertEqual(self.claims.read_text(encoding="utf-8"), made)
        # The same holds for another number of the same bits.
        numbers = self.rows()[0]["numbers"]
        other = re.sub(r"(test.learned.seg0=)[^\[ ]+", r"\g<1>0.5", numbers)
        self.assertNotEqual(other, numbers)
        self.edit("tiny-1", numbers=other)
        said = self.reproduce("tiny-1", "--from", out, "--record", code=1)
        self.assertIn("--replace replaces what contradicts it", said)
        self.assertEqual(self.rows()[0]["numbers"], other)
        self.reproduce("tiny-1", "--from", out, "--record", "--replace")
        self.assertEqual(self.claims.read_text(encoding="utf-8"), made)
        # A run of another version has that version.
        newest = sorted((out / "tiny-1").glob("experiments/*/checkpoints/*.ckpt"))[-1]
        whole = newest.read_bytes()
        version = self.rows()[0]["version"].encode()
        newest.write_bytes(with_header(whole, version, b"9" + version[1:]))
        self.edit("tiny-1", hash="", evaluation="", numbers="")
        self.reproduce("tiny-1", "--from", out, "--record")
        self.assertEqual(self.rows()[0]["version"].encode(), b"9" + version[1:])
        newest.write_bytes(whole)
        self.claims.write_text(made, encoding="utf-8")
        # Reading makes no store where none is.
        database = out / "tiny-1" / "mentor.db"
        database.rename(self.folder / "kept.db")
        said = self.reproduce("tiny-1", "--from", out, code=1)
        self.assertIn("has no mentor.db: copy the whole folder", said)
        self.assertFalse(database.exists())
        (self.folder / "kept.db").rename(database)
        # A run of another machine has its arithmetic, not that of this one.
        (file,) = (out / "tiny-1").glob("experiments/*/fingerprint")
        file.write_text("0" * len(file.read_text()))
        said = self.reproduce("tiny-1", "--from", out)
        self.assertIn("reproduced bit for bit", said)
        self.edit("tiny-1", hash="", evaluation="", numbers="")
        self.reproduce("tiny-1", "--from", out, "--record")
        self.assertEqual(self.rows()[0]["processor"], "another")
        self.assertRegex(self.rows()[0]["fingerprint"], "^[0-9a-f]{12}/0{12}/0{12}$")

    def test_recording_loses_nothing_of_the_file(self):
        commands = [(f"t{n}", 1, f"{TINY} --set seed={n}") for n in range(1, 5)]
        self.write([*commands, ("tiny", 1, f"{TINY} --set seed=9")])
        self.claims.chmod(0o664)
        link = self.folder / "link.csv"
        link.symlink_to(self.claims)
        # Four commands at once, and a user who adds a row.
        flags = ["--record", "--quiet", "--claims", link, "--out", self.folder / "out"]
        recording = [
            self.start("mentor", "reproduce", f"{claim}-1", *flags) for claim, _, _ in commands
        ]
        with self.claims.open("a", encoding="utf-8") as file:
            file.write("late,1,,mentor run smoke" + "," * (len(self.columns) - 4) + "\n")
        for process in recording:
            self.assertEqual(process.wait(), 0, process.output())
        rows = {row["claim"]: row["hash"] for row in self.rows()}
        self.assertTrue(all(rows[claim] for claim, _, _ in commands), rows)
        self.assertIn("late", rows)
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.claims.stat().st_mode & 0o777, 0o664)
        # The command refuses to write what would lose the comment.
        text = "# ours\n" + self.claims.read_text(encoding="utf-8")
        self.claims.write_text(text, encoding="utf-8")
        said = self.reproduce("tiny-1", "--record", code=2)
        self.assertIn("comments, columns of one's own", said)
        # Nothing has run for it.
        self.assertFalse((self.folder / "out" / "tiny-1").exists())
        self.assertEqual(self.claims.read_text(encoding="utf-8"), text)

    def test_wrong_words_get_a_remedy(self):
        said = self.reproduce("tyni-1", code=2)
        self.assertIn("there is no claim 'tyni-1'; nearest: tiny-1", said)
        self.assertIn("name a claim, or give --within SECONDS", self.reproduce(code=2))
        for service in (["--service"], ["--server", "127.0.0.1:1"]):
            said = self.reproduce("tiny", "--from", self.folder, *service, code=2)
            self.assertIn("--from runs nothing", said)
        said = self.reproduce("--within", "10", code=2)
        self.assertIn("no recorded claim took at most 10 CPU seconds", said)
        self.write([("../evil", 1, TINY)])
        self.assertIn("column claim is '../evil', expected", self.reproduce("--list", code=2))
        self.claims.write_text("claim,run\nx,1\n", encoding="utf-8")
        said = self.reproduce("--list", code=2)
        self.assertIn("claims.csv: has no column 'row': is it a file of claims?", said)
        self.claims.unlink()
        self.assertIn("name the file of claims with --claims", self.reproduce("--list", code=2))

    def test_runs_together_are_not_recorded_against_the_record_of_a_run(self):
        self.reproduce("tiny", "--record")
        self.edit("tiny-1", hash="0" * 64)
        out = self.folder / "out"
        said = self.reproduce("tiny-all", "--from", out, code=1)
        self.assertIn("the folder of tiny-1 has another result than the record", said)
        self.edit("tiny-all", hash="", evaluation="", numbers="")
        before = self.rows()
        said = self.reproduce("tiny", "--from", out, "--record", code=1)
        self.assertIn("tiny: the folder of tiny-1 has another result", said)
        self.assertEqual(self.rows(), before)
        self.reproduce("tiny", "--from", out, "--record", "--replace")
        self.assertIn("3 passed", self.reproduce("tiny", "--from", out, "--strict"))

    def test_an_empty_path_is_no_default(self):
        self.assertIn("--from: is empty", self.reproduce("tiny-1", "--from", "", code=2))

    def test_a_wrong_command_is_named_before_the_first_run(self):
        self.edit("tiny-2", command=TINY + " --set seed=x")
        said = self.reproduce("tiny-1", "tiny-2", code=1)
        self.assertLess(said.index("tiny-2: seed"), said.index("tiny-1: hash"))

    def test_runs_of_a_service_are_fetched_and_recorded(self):
        _, address = self.start_meta_learner(self.folder / "state")
        self.start_workers(address, 2)
        said = self.reproduce("--planned", "--record", "--server", address)
        self.assertIn("submitted 2 experiments", said)
        self.assertIn("3 passed, 0 failed", said)
        by_service = self.rows()
        # A fetched run is not mixed with one of this machine.
        said = self.reproduce("tiny-1", code=1)
        self.assertIn("holds tiny-1, which a service ran; choose another folder", said)
        said = self.reproduce("tiny", "--strict", "--from", self.folder / "out")
        self.assertIn("3 passed, 0 failed", said)
        # The same bits as here.
        shutil.rmtree(self.folder / "out")
        self.assertIn("3 passed, 0 failed", self.reproduce("tiny", "--strict"))
        # Fetched runs are not asked for again, the missing one is, and nothing is submitted.
        shutil.rmtree(self.folder / "out" / "tiny-2")
        said = self.reproduce("tiny", "--strict", "--server", address)
        self.assertNotIn("submitted", said)
        self.assertIn("3 passed, 0 failed", said)
        self.assertEqual(self.rows(), by_service)
        # An experiment of that name with another spec does not count as the claim's.
        self.edit("tiny-2", command=TINY + " --set seed=5")
        shutil.rmtree(self.folder / "out")
        said = self.reproduce("tiny-2", "--server", address, code=1)
        self.assertIn("has an experiment of this name with another spec", said)
        # A command that is none is named, and does not hold up the others.
        self.edit("tiny-2", command=TINY + " --set agent.hidden_units=0")
        said = self.reproduce("tiny", "--server", address, code=1)
        self.assertRegex(said, "tiny-2: agent.hidden_units: is 0")
        self.assertIn("1 passed, 2 failed", said)

    def test_a_campaign_has_more_runs_than_a_watch_takes(self):
        self.write([("tiny", n, f"{TINY} --set seed={n}") for n in range(1, 103)])
        _, address = self.start_meta_learner(self.folder / "state")
        campaign = self.start(
            *["mentor", "reproduce", "--planned", "--server", address],
            *["--claims", self.claims, "--out", self.folder / "out"],
        )
        campaign.wait_for("submitted 102 experiments")
        # Runs that end outside of the watch are seen once earlier ones have ended.
        for name in ("tiny-102", "tiny-1", "tiny-2"):
            self.mentorctl(address, "cancel", name)
        for name in ("tiny-1", "tiny-2", "tiny-102"):
            campaign.wait_for(f"^{name}: the experiment is CANCELLED")
        campaign.signal(SIGINT)
        self.assertEqual(campaign.wait(), 130)


class PublishedClaimsTest(ClusterTest):
    def test_short_claims_hold(self):
        said = self.run_to_end(
            "mentor", "reproduce", *SHORT, "--quiet", "--out", self.folder / "out"
        )
        self.assertIn(f"{len(SHORT)} passed, 0 failed", said)


if __name__ == "__main__":
    unittest.main()
