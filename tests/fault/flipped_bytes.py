#!/usr/bin/env python3
"""Flips bytes in the state of a service and starts it again. By hand, some minutes:

    tests/fault/flipped_bytes.py --each 20

The state has an experiment that was killed in the middle of its updates, and one that has ended.
For each kind of file, bytes are drawn and flipped, one in a fresh copy of the state each time. Then
the service goes on with a learner and an actor. Prints a table of what became of it:

    same      the experiment ended with the hash that it has without a flip
    refused   the start, the experiment or `mentor hash` was refused, with words that say why
    reindex   the row was unreadable and named; after `reindex` it ended with the same hash
    WRONG     anything else; the exit status is 1 then

tests/unit/meta_learner/store/damage_test.cc flips each byte of rows in one process:
MENTOR_FAULT_TRIALS=1 tries all of them."""

import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

from harness import BIN, SIGTERM, ClusterTest, kept_port, sets  # noqa: E402

# Files of the state folder, by kind; the kinds "and reindex" lose their database afterwards.
KINDS = {
    "mentor.db": "mentor.db",
    "mentor.db-wal": "mentor.db-wal",
    "FORMAT": "FORMAT",
    "experiment.txtpb": "experiments/*/experiment.txtpb",
    "experiment.txtpb, and reindex": "experiments/*/experiment.txtpb",
    "spec.txtpb, merged.txtpb": "experiments/*/spec.txtpb|experiments/*/merged.txtpb",
    "spec.txtpb, merged.txtpb, and reindex": "experiments/*/spec.txtpb|experiments/*/merged.txtpb",
    "fingerprint, learner_fingerprint": "experiments/*/*fingerprint",
    "checkpoints/*.ckpt": "experiments/*/checkpoints/*.ckpt",
    "checkpoints/*.ckpt, and reindex": "experiments/*/checkpoints/*.ckpt",
    "artifacts/evaluation/*.binpb": "experiments/*/artifacts/evaluation/*.binpb",
    "log.jsonl": "experiments/*/log.jsonl",
    "reserve, LOCK": "reserve|LOCK",
}
OUTCOMES = ("same", "refused", "reindex", "WRONG")
DEADLINE_S = 120


class Flips(ClusterTest):
    """One service, started again and again on the same port beside its workers."""

    def make_state(self):
        """Leaves the state of a killed service in self.base."""
        self.base = self.folder / "base"
        port = kept_port(self)
        self.address = f"127.0.0.1:{port}"
        # The first experiment makes one update; the second is killed before its third.
        killed = {"MENTOR_FAILPOINTS": "outer.before_update=4:kill"}
        meta_learner, _ = self.start_meta_learner(self.base, port, env=killed)
        self.start_workers(self.address, 1)
        self.create_experiment(self.address, "ended", *sets("rule.outer_updates=1"))
        self.wait_for_state(self.address, "ended", "STATE_SUCCEEDED")
        self.create_experiment(self.address, "one")
        meta_learner.wait()
        (self.uid,) = [
            file.parent.name
            for file in self.base.glob("experiments/*/experiment.txtpb")
            if '"experiments/one"' in file.read_text()
        ]
        self.name = "one"
        self.want = self.hashed(self.go_on(self.copy("whole")))[1]
        self.assertRegex(self.want, "^[0-9a-f]{64}$", self.log)

    def copy(self, name, base=None):
        state = self.folder / name
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(base or self.base, state)
        return state

    def go_on(self, state):
        """Runs the service until the experiment has ended or is refused; returns the state."""
        self.said = ""
        meta_learner = self.start("mentor-meta-learner", "--state", state, "--listen", self.address)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and meta_learner.child.poll() is None:
            done = subprocess.run(
                [BIN / "mentorctl", "--server", self.address, "get", self.name, "--output", "json"],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
            )
            self.said = done.stdout + done.stderr
            if done.returncode == 0:
                now = json.loads(done.stdout)
                if now["state"] in ("STATE_SUCCEEDED", "STATE_FAILED", "STATE_PAUSED"):
                    break
                if "fingerprint" in now.get("activity", ""):
                    break
            elif "DATA_LOSS" in self.said or "NOT_FOUND" in self.said:
                break
            time.sleep(0.1)
        if meta_learner.child.poll() is None:
            meta_learner.signal(SIGTERM)
        meta_learner.wait()
        self.log = meta_learner.output()
        meta_learner.close()
        return state

    def hashed(self, state):
        done = subprocess.run(
            [BIN / "mentor", "hash", state / "experiments" / self.uid],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        return done.returncode, done.stdout.strip(), done.stderr

    def reindex(self, state):
        """Runs `reindex`; returns whether the experiment is back, under the name self.name."""
        done = subprocess.run(
            [BIN / "mentor-meta-learner", "--state", state, "reindex"],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        self.said = self.log = done.stdout + done.stderr
        back = re.search(rf"^{self.uid}  experiments/(\S+)  PAUSED", done.stdout, re.MULTILINE)
        self.name = back and back[1]
        return bool(back)

    def resume(self, state):
        meta_learner, _ = self.start_meta_learner(state, self.address)
        self.mentorctl(self.address, "resume", self.name)
        meta_learner.signal(SIGTERM)
        meta_learner.wait()
        meta_learner.close()

    def judge(self, state, loses_database):
        """Returns what becomes of a state with a flipped byte, and the words about it."""
        self.name = "one"
        if loses_database:
            for file in state.glob("mentor.db*"):
                file.unlink()
            if not self.reindex(state):
                return self.refused(self.said)
            self.resume(state)
        else:
            self.go_on(state)
            if "DATA_LOSS" in self.said and "row of experiments/one" in self.said:
                if not self.reindex(state):
                    return self.refused(self.said)
                self.resume(state)
                loses_database = True
        if loses_database:
            self.go_on(state)
        if '"STATE_SUCCEEDED"' not in self.said:
            return self.refused(self.said if self.said.startswith("{") else self.log + self.said)
        code, found, words = self.hashed(state)
        if code != 0:
            return self.refused(words)
        if found != self.want:
            return "WRONG", f"{found}, not {self.want}"
        return ("reindex" if loses_database else "same"), ""

    @staticmethod
    def refused(words):
        known = ("damaged", "DATA_LOSS", "malformed", "was lost", "fingerprint", "cannot use")
        # What is damaged must not reach a client as broken text.
        plain = any(word in words for word in known) and "invalid UTF-8" not in words
        return ("refused" if plain else "WRONG"), words

    def trial(self, kind, rng):
        patterns = KINDS[kind].split("|")
        state = self.copy("trial")
        if kind == "mentor.db":
            # The log has what the killed service wrote last.
            database = sqlite3.connect(state / "mentor.db")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.close()
        files = sorted(file for one in patterns for file in state.glob(one))
        files = [file for file in files if file.stat().st_size > 0]
        if not files:
            return None
        file = rng.choice(files)
        data = bytearray(file.read_bytes())
        # Much of a database is empty pages.
        at = rng.choice([i for i, byte in enumerate(data) if byte] or range(len(data)))
        flip = rng.choice([1 << rng.randrange(8), rng.randrange(1, 256)])
        data[at] ^= flip
        file.write_bytes(data)
        outcome, words = self.judge(state, "and reindex" in kind)
        return outcome, f"{file.relative_to(state)} at {at}, flipped {flip:#04x}: {words}"


def run(each, seed, kinds=None, out=print, tell_all=False):
    """Returns the number of outcomes by kind and outcome; tells what is wrong, or everything."""
    counts = collections.Counter()
    with Flips.alone() as flips:
        flips.make_state()
        for kind in kinds or KINDS:
            rng = random.Random(f"{seed} {kind}")
            for _ in range(each):
                tried = flips.trial(kind, rng)
                if tried is None:
                    break
                outcome, words = tried
                counts[kind, outcome] += 1
                if outcome == "WRONG" or tell_all:
                    out(f"{outcome}: {words}")
    return counts


def table(counts):
    lines = ["| flipped in | same | refused | after `reindex` | WRONG |", "|---|---|---|---|---|"]
    for kind in KINDS:
        row = [counts[kind, outcome] for outcome in OUTCOMES]
        if any(row):
            lines.append(f"| `{kind}` | " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=5, help="flips in each kind of file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=KINDS, help="one kind")
    parser.add_argument("--verbose", action="store_true", help="tell of each flip")
    flags = parser.parse_args()
    kinds = [flags.only] if flags.only else None
    counts = run(flags.each, flags.seed, kinds, tell_all=flags.verbose)
    print(table(counts))
    sys.exit(any(outcome == "WRONG" for _, outcome in counts))


if __name__ == "__main__":
    main()
