#!/usr/bin/env python3
"""Chaos: a real cluster works on several experiments at once while faults hit its processes, their
connections, disk and database. Its users pause, resume, clone and cancel meanwhile. A seed gives
the experiments, the fleet, the store and the schedule. In the end each experiment is in the state
that its history demands, with the hash that it has alone. No user has seen two results for one
thing, and the records of all processes pass tests/fault/history_check.py.

As a test: one seed. By hand:

    tests/chaos/chaos_test.py --seeds 1-200 [--faults 12] [--kills] [--keep FOLDER]

With --kills the only fault is kill -9 of a random process, and each experiment meets it. A failing
seed prints the command that repeats it, and --keep leaves its histories.
"""

import argparse
import json
import pathlib
import random
import shutil
import sys
import time
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "cluster"), str(FOLDER.parent / "fault")]

import faults  # noqa: E402
import history_check  # noqa: E402
import postgres  # noqa: E402
from drawn_fleet import DrawnFleet  # noqa: E402
from harness import SPECS, ClusterTest, sets  # noqa: E402

SMALL = ("evaluation.lifetimes_per_goal=0", "checkpoint.keep_last=3")
EACH = "checkpoint.every=1"
SHORT_LIVES = (*SMALL, "lifetime.steps_per_iteration=40", EACH)


def kind(spec, rule, *overrides):
    """Returns a spec and its overrides. `rule`: outer updates, lifetimes of each and of a shard."""
    names = ("outer_updates", "lifetimes_per_update", "shard_lifetimes")
    return spec, (*(f"rule.{name}={value}" for name, value in zip(names, rule)), *overrides)


# Experiments of unequal size and different rules.
KINDS = {
    "long": kind("smoke", (120,), *SMALL),
    "wide": kind("smoke", (3, 400), *SMALL),
    "evaluated": kind("smoke", (20,), "seed=7"),
    "recorded": kind("smoke", (40,), "rule.gradient_variance=true", *SMALL),
    "blind": kind(
        "umbrella_blind",
        (60, 2),
        "benchmark.length=2",
        "lifetime.steps_per_iteration=64",
        "lifetime.iterations=25",
        *SMALL,
    ),
    "strategies": kind("point_reach_es", (30, 16, 4), *SHORT_LIVES),
    "reptile": kind("point_reach_reptile", (40, 8, 2), *SHORT_LIVES),
    "gradient": kind("point_reach_meta_gradient", (30, 8, 4), "agent.epochs=2", *SHORT_LIVES),
    "recurrent": kind("rl2_bandit", (12, 20, 5), EACH, *SMALL),
    "episodic": kind("maze_nec", (50, 4, 2), "rule.learning_rate=1e-3", *SMALL),
    "remembering": kind("rl2_episodic", (12, 20, 5), EACH, *SMALL),
    "initial": kind("point_reach_maml", (3, 8, 4), *SHORT_LIVES),
    "latents": kind(
        "maesn_half_circle",
        (12, 4, 2),
        "lifetime.steps_per_iteration=200",
        "checkpoint.every=3",
        *SMALL,
    ),
    "skills": kind("box_diayn", (30, 4, 2), "lifetime.iterations=12", "checkpoint.every=7", *SMALL),
    "losses": kind("point_reach_epg", (12, 16, 4), EACH, *SMALL),
    "population": kind(
        "point_reach_pbt", (), "rule.lifetimes_per_update=4", "rule.shard_lifetimes=2", *SMALL
    ),
    "worlds": kind("navigation_poet", (12,), *SMALL),
    "tables": kind("maze_mfec", (30, 4, 2), *SMALL),
    "curriculum": kind("point_reach_adr", (12, 8, 4), EACH, *SMALL),
    "quadratic": kind("quadratic_rl2", (8,), EACH, *SMALL),
    "rewards": kind("random_rewards_maml", (4,), EACH, *SMALL),
    "discount": kind(
        "umbrella_discount",
        (40, 4, 2),
        "lifetime.steps_per_iteration=64",
        "checkpoint.every=7",
        *SMALL,
    ),
}
FINAL = {"STATE_SUCCEEDED", "STATE_FAILED", "STATE_CANCELLED"}
PATIENCE_S = 300
# Descriptors and threads that a meta-learner may have at the end beyond those with its fleet at the
# beginning.
MORE_DESCRIPTORS, MORE_THREADS = 24, 16


def spec_of(kind):
    name, overrides = KINDS[kind]
    return SPECS / f"{name}.txtpb", sets(*overrides)


class User:
    """A user, and the answers to his or her calls as a history."""

    def __init__(self, folder):
        self.path, self.lines = folder / "user.jsonl", 0

    def write(self, event, answer, **more):
        self.lines += 1
        line = {
            "t": time.monotonic_ns(),
            "n": self.lines,
            "process": "user",
            "incarnation": "user",
            "event": event,
            "experiment": answer["name"],
            "uid": answer["uid"],
            "etag": answer["etag"],
            "state": answer["state"].removeprefix("STATE_"),
            **more,
        }
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")


class Trial:
    def __init__(self, test, seed, faults):
        self.test, self.seed, self.faults = test, seed, faults
        self.rng = random.Random(seed)
        self.kinds, self.wanted = {}, {}  # By experiment.
        self.server, self.database = None, None  # PostgreSQL's.
        self.log, self.done = [], 0
        self.met = set()  # Experiments that ran when a fault came.

    def about(self):
        store = "PostgreSQL" if self.server else "SQLite"
        number = len(self.fleet.meta_learners) if hasattr(self, "fleet") else 1
        standing_by = f" and {number - 1} that stand by" if number > 1 else ""
        tls = ", TLS" if hasattr(self, "fleet") and self.fleet.certificates else ""
        return f"{store}{standing_by}{tls}, {len(self.kinds)} experiments"

    def note(self, text):
        self.log.append(text)

    def run(self):
        kinds = self.test.kinds or self.rng.sample(sorted(KINDS), self.rng.randint(2, 4))
        hashes = {kind: self.test.hash_of_kind(kind) for kind in kinds}
        self.server = self.test.postgres() if self.rng.random() < 0.35 else None
        self.database = self.server and self.server.new_database()
        self.fleet = DrawnFleet(
            self.test,
            self.rng,
            self.test.folder / f"seed-{self.seed}",
            self.server and self.server.address(self.database),
            lambda: self.room(kinds),
        )
        self.note(f"{kinds}, {sorted(self.fleet.processes)}, {self.about()}")
        self.user = User(self.fleet.history)
        for kind in kinds:
            self.create(kind, kind)
        self.watch = self.start_watch(kinds)
        before = self.fleet.descriptors_and_threads()
        for number in range(self.faults):
            time.sleep(self.rng.uniform(0.05, 0.8))
            self.fleet.mend()
            states = self.states()
            if all(state in FINAL for state in states.values()):
                break
            fault = faults.kill if self.test.kills else faults.choose(self)
            self.note(f"{number}: {fault.__name__}")
            fault(self)
            self.done += 1
            self.met |= {name for name in states if states[name] == "STATE_RUNNING"}
        if self.test.kills:
            self.test.assertEqual(self.met, set(kinds), "an experiment ended before it met a kill")
        self.fleet.heal()
        self.settle()
        for name, kind in self.kinds.items():
            if kind not in hashes:
                hashes[kind] = self.test.hash_of_kind(kind)
            self.check_experiment(name, hashes[kind])
        self.check_processes(before)
        self.test.check_history(self.fleet.history)
        self.fleet.close()

    def room(self, kinds):
        """Bytes that these experiments need, and those that users may add."""
        added = max(self.test.bytes_alone(kind) for kind in faults.ADDED_KINDS)
        return sum(map(self.test.bytes_alone, kinds)) + self.faults * added

    def check_experiment(self, name, wanted_hash):
        got = self.get(name)
        self.user.write("final", got)
        self.test.assertIn(got["state"], self.wanted[name], f"{name}: {got.get('error')}")
        if got["state"] != "STATE_SUCCEEDED":
            return
        folder = self.fleet.state / "experiments" / got["uid"]
        self.test.assertEqual(self.test.hash(folder), wanted_hash, name)
        # Each outer update has its results. A clone has those since its checkpoint, if there are
        # any.
        first = 1 + int(got.get("sourceCheckpoint", "0").rsplit("/", 1)[-1])
        last = int(got["progress"]["outerUpdatesTotal"])
        if first > last:
            return
        code, table = self.call("metrics", name, "env_steps", "--csv", "--points", "10000")
        self.test.assertEqual(code, 0, table)
        steps = [int(line.split(",")[0]) for line in table.splitlines() if line[:1].isdigit()]
        self.test.assertEqual(steps, list(range(first, last + 1)), name)

    def check_processes(self, before):
        output = self.fleet.output()
        for wrong in (
            "exactness is broken",
            "Assertion",
            "AddressSanitizer",
            "runtime error",
            "check failed",
        ):
            self.test.assertNotIn(wrong, output)
        corrupt = list(self.fleet.state.glob("experiments/*/corrupt/*"))
        self.test.assertEqual(corrupt, [])
        after = self.fleet.descriptors_and_threads()
        self.test.assertLess(after[0], before[0] + MORE_DESCRIPTORS, "descriptors")
        self.test.assertLess(after[1], before[1] + MORE_THREADS, "threads")

    def start_watch(self, names):
        return self.test.start(
            "mentorctl",
            "--server",
            self.fleet.server,
            "watch",
            *names,
            env=self.fleet.user_environment(),
        )

    # Users. A call is repeated until the meta-learner answers, as people would do.

    def call(self, *arguments, code=0):
        end = time.monotonic() + 120
        while True:
            process = self.test.start(
                "mentorctl",
                "--server",
                self.fleet.server,
                "--output",
                "json",
                *arguments,
                env=self.fleet.user_environment(),
            )
            got = process.wait(120)
            if got == 0 or got not in (6,) or time.monotonic() > end:
                return got, process.output()
            self.fleet.mend()

    def get(self, name):
        code, output = self.call("get", name)
        self.test.assertEqual(code, 0, output)
        return json.loads(output)

    def create(self, name, kind, *arguments):
        spec, overrides = spec_of(kind)
        code, output = self.call("create", "-f", spec, "--id", name, *overrides, *arguments)
        # An earlier try has created it, but its answer was lost.
        if code != 0 and "ALREADY_EXISTS" in output:
            output = json.dumps(self.get(name))
        else:
            self.test.assertEqual(code, 0, output)
            self.told("create", output)
        self.kinds[name], self.wanted[name] = kind, {"STATE_SUCCEEDED"}

    def ask(self, verb, name, *arguments):
        """Asks for a change that may come too late; the answer then says so."""
        code, output = self.call(verb, name, *arguments)
        if code == 0:
            self.told(verb, output)
        return code == 0

    def told(self, verb, output):
        for line in output.splitlines():
            if line.startswith("{") and '"etag"' in line:
                self.user.write("acknowledged", json.loads(line), method=verb)

    def states(self):
        code, output = self.call("list")
        self.test.assertEqual(code, 0, output)
        rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return {row["name"].removeprefix("experiments/"): row["state"] for row in rows}

    def pick(self, *states):
        """Returns an experiment in one of these states, or nothing."""
        names = sorted(name for name, state in self.states().items() if state in states)
        return self.rng.choice(names) if names else None

    def settle(self):
        """Resumes paused experiments, and waits until all have ended."""
        end = time.monotonic() + PATIENCE_S
        disarm = time.monotonic() + 10
        while True:
            self.fleet.mend()
            if time.monotonic() > disarm:
                self.fleet.disarm()
            states = self.states()
            if all(state in FINAL for state in states.values()):
                return self.fleet.disarm()
            for name, state in states.items():
                if state == "STATE_PAUSED":
                    self.ask("resume", name)
            self.test.assertLess(time.monotonic(), end, f"{states}\n{self.fleet.output()[-4000:]}")
            time.sleep(0.2)


class Chaos(ClusterTest):
    seeds, faults, keep = range(1, 2), 6, None
    kinds, kills = None, False  # Without kinds the seed draws them.
    hashes, sizes, server = {}, {}, None

    @classmethod
    def tearDownClass(cls):
        if cls.server:
            cls.server.close()
            Chaos.server = None

    def hash_of_kind(self, kind):
        if kind not in self.hashes:
            spec, overrides = spec_of(kind)
            folder = self.folder / kind
            self.hashes[kind] = self.run_hash(folder, *overrides, spec=spec)
            self.sizes[kind] = sum(path.stat().st_size for path in folder.rglob("*"))
        return self.hashes[kind]

    def bytes_alone(self, kind):
        self.hash_of_kind(kind)
        return self.sizes[kind]

    def postgres(self):
        """One server for all trials; nothing where PostgreSQL is not installed."""
        if not postgres.programs():
            print("no PostgreSQL here: SQLite instead")
            return None
        if not Chaos.server:
            Chaos.server = postgres.PostgresServer()
        return Chaos.server

    def check_history(self, folder):
        findings, counts = history_check.check([folder])
        self.assertEqual([str(finding) for finding in findings[:20]], [])
        for event in ("assigned", "consumed", "updated", "committed", "acknowledged", "final"):
            self.assertGreater(counts[event], 0, event)

    def save(self, trial):
        if self.keep and hasattr(trial, "fleet"):
            folder = pathlib.Path(self.keep) / f"seed-{trial.seed}"
            shutil.copytree(trial.fleet.history, folder, dirs_exist_ok=True)
            (folder / "output").write_text(trial.fleet.output())

    def trials(self):
        for seed in self.seeds:
            begin = time.monotonic()
            trial = Trial(self, seed, self.faults)
            with self.subTest(seed=seed):
                try:
                    trial.run()
                except BaseException:
                    self.save(trial)
                    print("\n".join(trial.log))
                    again = "again: tests/chaos/chaos_test.py" + " --kills" * self.kills
                    print(again, "--seeds", seed, "--faults", self.faults, *(self.kinds or ()))
                    raise
                finally:
                    self.doCleanups()
                    self.setUp()
            took = time.monotonic() - begin
            print(f"seed {seed}: {trial.done} faults, {trial.about()}, {took:.0f} s", flush=True)


class ChaosTest(Chaos):
    def test_chaos(self):
        self.trials()


class KillsTest(Chaos):
    """Rules with different kinds of state: moments, populations, lineages, tables. At night
    more_chaos_test.py tries other rules."""

    kills, faults = True, 16
    kinds, seeds = ("long", "population", "worlds", "tables"), (1,)

    def test_kills(self):  # Nightly
        self.trials()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="1-20", help="a number, or a range like 1-200")
    parser.add_argument("--faults", type=int, default=12, help="faults of a seed, at most")
    parser.add_argument("--kills", action="store_true", help="no fault but kill -9")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="experiments; default: drawn")
    parser.add_argument("--keep", help="folder for the histories of failing seeds")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    ChaosTest.seeds = range(int(first), int(last or first) + 1)
    ChaosTest.faults, ChaosTest.keep = arguments.faults, arguments.keep
    ChaosTest.kinds, ChaosTest.kills = arguments.kinds, arguments.kills
    unittest.main(argv=[sys.argv[0], "ChaosTest"])


if __name__ == "__main__":
    main()
