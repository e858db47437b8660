"""`mentor reproduce`: the real program runs published claims again, and compares them."""

import csv
import hashlib
import pathlib
import re
import shutil
import sys
import unittest

from harness import SIGINT, ClusterTest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "results"))
import archive  # noqa: E402
import claims  # noqa: E402

CLAIMS = ROOT / "results" / "claims.csv"
TINY = (
    "mentor run point_reach --set rule.outer_updates=2 --set rule.lifetimes_per_update=8"
    " --set rule.shard_lifetimes=4 --set evaluation.goals=4"
)
# One claim of each kind that takes seconds. It notices every changed bit in one of its parts.
# published_claims_test.py has longer ones.
SHORT = [
    "point-reach-pbt-1",
    "umbrella-blind-5-1",
    "umbrella-ppo-5-1",
    "point-mass-stn-1",
    "box-diayn-1",
]

# Without Python a run ends with its records. A report takes longer than most of these runs.
NO_REPORTS = {"MENTOR_PYTHON": "no-python"}


def same(records, failed=0):
    """What the command says of records that came out bit for bit."""
    return f"{records} bit for bit, 0 the numbers only, 0 old arithmetic, {failed} failed"


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

    def record(self):
        """Takes what came out into the file of claims, with all its numbers."""
        made = {}
        for path in (self.folder / "out").glob("*.csv"):
            with path.open(encoding="utf-8", newline="") as file:
                (row,) = csv.DictReader(file)
            made[row["claim"], row["run"]] = row
        rows = [made.get((row["claim"], row["run"]), row) for row in self.rows()]
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
            env=NO_REPORTS,
        )

    def reproduce_aloud(self, *arguments):
        words = (*arguments, "--claims", self.claims, "--out", self.folder / "out")
        return self.run_to_end("mentor", "reproduce", *words)

    def test_a_claim_that_is_recorded_holds(self):  # Nightly
        said = self.reproduce("tiny-1")
        self.assertIn("nothing is recorded that it could be compared with", said)
        self.assertRegex(self.reproduce("tiny"), "(?m)^0 bit .* 0 failed, 3 without a record$")
        self.record()
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
        said = self.reproduce("tiny")
        self.assertEqual(said.count("reproduced bit for bit"), 3, said)
        # A whole run is compared, and not run again.
        checkpoint = min((self.folder / "out" / "tiny-1").rglob("*.ckpt"))
        before = checkpoint.stat().st_mtime_ns
        self.assertIn("bit for bit", self.reproduce("tiny-1"))
        self.assertEqual(checkpoint.stat().st_mtime_ns, before)
        listed = self.reproduce("--list", "tiny-2", "tiny", "tiny-2")
        # Claims appear in the order of the command, each once.
        self.assertEqual(
            [line.split()[0] for line in listed.splitlines()], ["tiny-2", "tiny-1", "tiny"]
        )
        words = ("mentor", "reproduce", "tiny-1", "--claims", self.claims)
        said = self.run_to_end(*words, "--out", self.folder / "loud")
        self.assertRegex(said, r"(?s)^1 run: \d CPU seconds of .*tiny-1 \(\d CPU seconds\): mentor")
        listed = self.reproduce("--list")
        self.assertIn(TINY + " --set seed=2", listed)
        self.assertIn(first["hash"][:16], listed)

    def test_where_nothing_is_learned_the_evaluation_is_the_result(self):  # Nightly
        baselines = TINY.replace("outer_updates=2", "outer_updates=0")
        self.write([("tiny", n, f"{baselines} --set seed={n}") for n in (1, 2)])
        self.reproduce("tiny")
        self.record()
        rows = self.rows()
        self.assertEqual([row["hash"] for row in rows], ["", "", ""])
        self.assertEqual(len({row["evaluation"] for row in rows}), 3)
        said = self.reproduce("tiny")
        self.assertIn("bit for bit: hash " + rows[0]["evaluation"], said)
        self.assertIn(same(3), said)
        self.assertIn("evaluation only", self.reproduce("--list"))

    def test_a_success_that_never_comes_is_zero(self):
        # No agent comes that near to its goal.
        never = TINY.replace("outer_updates=2", "outer_updates=0") + " --set benchmark.rho=1e-6"
        self.write([("tiny", n, f"{never} --set seed={n}") for n in (1, 2)])
        self.reproduce("tiny")
        self.record()
        for row in self.rows():
            self.assertIn("test.ppo_sparse.seg0=0[0,0]", row["numbers"])
            self.assertNotIn("seg0_return", row["numbers"])
        self.assertIn(same(3), self.reproduce("tiny"))

    def test_a_claim_is_pooled_from_all_its_runs(self):
        self.reproduce("tiny")
        self.record()
        self.assertIn("bit for bit", self.reproduce("tiny-all"))
        shutil.rmtree(self.folder / "out" / "tiny-2")
        said = self.reproduce("tiny-all", code=1)
        self.assertIn("tiny-2: does not exist; run 'mentor reproduce tiny'", said)

    def test_what_came_out_is_kept_for_the_archive(self):
        self.edit("tiny-1", measures="seg2@last:2")
        self.reproduce("tiny-1")
        records = self.folder / "out" / "tiny-1" / "records"
        text = (records / "training.csv").read_text(encoding="utf-8")
        curve = archive.curve_of(text, "training.csv", ["seg2"])
        self.assertEqual(len(curve.splitlines()), 1 + 2)
        text = (records / "lifetimes.csv").read_text(encoding="utf-8")
        lives = archive.lives_of(text, "lifetimes.csv").splitlines()
        self.assertEqual(lives[0].split(","), archive.LIVES)
        self.assertEqual(len(lives), len(text.splitlines()))
        (made,) = claims.parsed((records.parent.parent / "tiny-1.csv").read_text(), "tiny-1.csv")
        self.assertEqual(made["hash"], self.run_to_end("mentor", "hash", records.parent).strip())
        self.assertIn("seg2@last:2=", made["numbers"])

    def test_what_differs_is_explained(self):  # Nightly
        self.reproduce("tiny-1")
        self.record()
        whole = self.rows()[0]
        # A bit has changed, and the claim was not recorded again.
        self.edit("tiny-1", hash="0" * 64)
        said = self.reproduce("tiny-1", code=1)
        self.assertIn("Mentor's bits have changed", said)
        # Another processor explains it.
        environments, simulator, learner = whole["fingerprint"].split("/")
        self.edit("tiny-1", fingerprint=f"{environments}/{'0' * 12}/{learner}", processor="Other")
        said = self.reproduce("tiny-1")
        self.assertIn("The simulator (libm, MuJoCo) has other bits than that of the record (", said)
        self.assertIn("All numbers are the recorded ones.", said)
        self.assertIn("0 bit for bit, 1 the numbers only, 0 old arithmetic, 0 failed", said)
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
        self.assertIn("The learner (LibTorch, kernels) has another arithmetic", said)
        self.assertNotIn("edited", said)
        self.assertIn("0 bit for bit, 0 the numbers only, 1 old arithmetic, 0 failed", said)
        self.assertIn("old arithmetic, to be recorded again: tiny-1", said)
        self.assertIn("The learner (LibTorch, kernels)", self.reproduce_aloud("tiny-1"))
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

    def test_runs_that_are_not_whole_are_named_and_not_pooled(self):  # Nightly
        self.reproduce("tiny")
        self.record()
        out = self.folder / "out"
        # The file of the evaluation is missing.
        (shard, *_) = sorted(out.glob("tiny-2/experiments/*/artifacts/evaluation/*"))
        kept = shard.read_bytes()
        shard.unlink()
        said = self.reproduce("tiny", code=1)
        self.assertRegex(
            said, r"tiny-2: .*/tiny-2: has \d+ evaluated lifetimes of \d+; continue the run"
        )
        self.assertRegex(said, r"tiny: .*/tiny-2: has ")
        # One bit of the file has flipped.
        shard.write_bytes(kept[:-40] + bytes([kept[-40] ^ 1]) + kept[-39:])
        said = self.reproduce("tiny-2", code=1)
        self.assertIn(f"{shard.name} is damaged, or not an evaluation; fetch it again", said)
        shard.write_bytes(kept)
        # A run of another spec.
        self.edit("tiny-1", command=TINY + " --set seed=3")
        self.assertIn("holds a run of another spec", self.reproduce("tiny-1", code=1))

    def test_a_run_of_elsewhere_has_its_own_origin(self):  # Nightly
        self.reproduce("tiny-1")
        out = self.folder / "out"
        made = self.made("tiny-1")
        # Another version.
        newest = sorted((out / "tiny-1").glob("experiments/*/checkpoints/*.ckpt"))[-1]
        whole = newest.read_bytes()
        version = made["version"].encode()
        newest.write_bytes(with_header(whole, version, b"9" + version[1:]))
        self.reproduce("tiny-1")
        self.assertEqual(self.made("tiny-1")["version"].encode(), b"9" + version[1:])
        newest.write_bytes(whole)
        # Another machine.
        (file,) = (out / "tiny-1").glob("experiments/*/fingerprint")
        file.write_text("0" * len(file.read_text()))
        self.reproduce("tiny-1")
        self.assertEqual(self.made("tiny-1")["processor"], "another")
        self.assertRegex(self.made("tiny-1")["fingerprint"], "^[0-9a-f]{12}/0{12}/0{12}$")

    def made(self, name):
        text = (self.folder / "out" / f"{name}.csv").read_text(encoding="utf-8")
        return claims.parsed(text, name)[0]

    def test_wrong_words_get_a_remedy(self):
        said = self.reproduce("tyni-1", code=2)
        self.assertIn("there is no claim 'tyni-1'; nearest: tiny-1", said)
        self.assertIn("name a claim; 'mentor reproduce --list'", self.reproduce(code=2))
        self.write([("../evil", 1, TINY)])
        self.assertIn("column claim is '../evil', expected", self.reproduce("--list", code=2))
        self.claims.write_text("claim,run\nx,1\n", encoding="utf-8")
        said = self.reproduce("--list", code=2)
        self.assertIn("claims.csv: has no column 'row': is it a file of claims?", said)
        self.claims.unlink()
        self.assertIn("name the file of claims with --claims", self.reproduce("--list", code=2))

    def test_an_empty_path_is_no_default(self):
        self.assertIn("--claims: is empty", self.reproduce("tiny-1", "--claims", "", code=2))

    def test_a_wrong_command_is_named_before_the_first_run(self):
        self.edit("tiny-2", command=TINY + " --set seed=x")
        said = self.reproduce("tiny-1", "tiny-2", code=1)
        self.assertLess(said.index("tiny-2: seed"), said.index("tiny-1: hash"))

    def test_runs_of_a_service_are_fetched_and_recorded(self):
        _, address = self.start_service(threads=2)
        said = self.reproduce("tiny", "--server", address)
        self.assertIn("submitted 2 experiments", said)
        self.assertIn("0 failed, 3 without a record", said)
        # Fetched runs have records, too.
        self.assertTrue((self.folder / "out" / "tiny-2" / "records" / "lifetimes.csv").exists())
        self.record()
        by_service = self.rows()
        # They are compared, and not run on this machine.
        self.assertIn(same(3), self.reproduce("tiny"))
        # The same bits as here.
        shutil.rmtree(self.folder / "out")
        self.assertIn(same(3), self.reproduce("tiny"))
        # Fetched runs are not asked for again, the missing one is, and nothing is submitted.
        shutil.rmtree(self.folder / "out" / "tiny-2")
        said = self.reproduce("tiny", "--server", address)
        self.assertNotIn("submitted", said)
        self.assertIn(same(3), said)
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
        self.assertIn(same(1, failed=2), said)

    def test_a_campaign_has_more_runs_than_a_watch_takes(self):
        self.write([("tiny", n, f"{TINY} --set seed={n}") for n in range(1, 103)])
        _, address = self.start_meta_learner(self.folder / "state")
        campaign = self.start(
            *["mentor", "reproduce", "tiny", "--server", address],
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
        words = ("mentor", "reproduce", *SHORT, "--quiet", "--out", self.folder / "out")
        said = self.run_to_end(*words, env=NO_REPORTS)
        self.assertIn(same(len(SHORT)), said)


if __name__ == "__main__":
    unittest.main()
