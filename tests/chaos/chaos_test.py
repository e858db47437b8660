"""Chaos: a real cluster that works on several experiments at once while its processes are killed,
stopped and started again and its users pause, resume, clone and cancel. A seed gives the
experiments, the fleet and the schedule. In the end each experiment is in the state that its history
demands, with the hash that it has alone, and nobody has seen two results of one thing differ.

As a test: a few seeds. By hand:

    tests/chaos/chaos_test.py --seeds 1-200 [--faults 12]

A failing seed prints the command that repeats it.
"""

import argparse
import pathlib
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

from harness import SPECS, ClusterTest, sets  # noqa: E402

SMALL = ("evaluation.lifetimes_per_goal=0", "checkpoint.keep_last=3")
# Experiments of unequal size and of different rules: a name, a spec and its overrides.
KINDS = {
    "long": ("smoke", ("rule.outer_updates=120", *SMALL)),
    "wide": ("smoke", ("rule.outer_updates=3", "rule.lifetimes_per_update=400", *SMALL)),
    "evaluated": ("smoke", ("rule.outer_updates=20", "seed=7")),
    "recorded": ("smoke", ("rule.outer_updates=40", "rule.gradient_variance=true", *SMALL)),
    "blind": (
        "umbrella_blind",
        (
            "benchmark.length=2",
            "lifetime.steps_per_iteration=64",
            "lifetime.iterations=25",
            "rule.outer_updates=60",
            "rule.lifetimes_per_update=2",
            *SMALL,
        ),
    ),
}
FINAL = {"STATE_SUCCEEDED", "STATE_FAILED", "STATE_CANCELLED"}
PATIENCE_S = 300


def spec_of(kind):
    name, overrides = KINDS[kind]
    return SPECS / f"{name}.txtpb", sets(*overrides)


class Fleet:
    """The processes of a cluster, by name; each can be started again at its address."""

    def __init__(self, test, rng, state):
        self.test, self.rng, self.state = test, rng, state
        self.addresses, self.processes, self.ended = {}, {}, []
        self.start("meta-learner")
        learners = [f"learner-{i}" for i in range(rng.randint(2, 3))]
        for learner in learners:
            self.start(learner)
        # Each learner has an actor; the others choose.
        homes = learners + [rng.choice(learners) for _ in range(rng.randint(0, 2))]
        self.homes = {f"actor-{i}": home for i, home in enumerate(homes)}
        for actor in self.homes:
            self.start(actor)

    @property
    def server(self):
        return self.addresses["meta-learner"]

    def start(self, name):
        port = self.addresses.get(name, 0)
        if name == "meta-learner":
            started = self.test.start_meta_learner(self.state, port, "--max_running", 4)
        elif name.startswith("learner"):
            started = self.test.start_learner(self.server, port)
        else:
            home = self.addresses[self.homes[name]]
            self.processes[name] = self.test.start_actor(home, self.rng.randint(1, 2))
            return
        self.processes[name], self.addresses[name] = started

    def victim(self, kinds=("meta-learner", "learner", "actor")):
        kind = self.rng.choice(kinds)
        return self.rng.choice(sorted(n for n in self.processes if n.startswith(kind)))

    def end(self, name, number):
        process = self.processes[name]
        process.signal(number)
        process.wait(60)
        self.ended.append(process)
        self.start(name)

    def output(self):
        every = [*self.ended, *self.processes.values()]
        return "\n".join(process.output() for process in every)


class Trial:
    def __init__(self, test, seed, faults):
        self.test, self.seed, self.faults = test, seed, faults
        self.rng = random.Random(seed)
        self.state = test.folder / f"state-{seed}"
        self.kinds, self.wanted = {}, {}  # By experiment.
        self.log = []

    def run(self):
        kinds = self.rng.sample(sorted(KINDS), self.rng.randint(2, 4))
        hashes = {kind: self.test.hash_alone(kind) for kind in kinds}
        self.fleet = Fleet(self.test, self.rng, self.state)
        for kind in kinds:
            self.create(kind, kind)
        for number in range(self.faults):
            time.sleep(self.rng.uniform(0.05, 0.8))
            if all(state in FINAL for state in self.states().values()):
                break
            fault = self.rng.choice(FAULTS)
            self.log.append(f"{number}: {fault.__name__}")
            fault(self)
        self.settle()
        for name, kind in self.kinds.items():
            got = self.test.get(self.fleet.server, name)
            self.test.assertEqual(got["state"], self.wanted[name], name)
            if got["state"] == "STATE_SUCCEEDED":
                folder = self.state / "experiments" / got["uid"]
                self.test.assertEqual(self.test.hash(folder), hashes[kind], name)
        output = self.fleet.output()
        for wrong in ("exactness is broken", "Assertion", "AddressSanitizer", "runtime error"):
            self.test.assertNotIn(wrong, output)
        corrupt = list(self.state.glob("experiments/*/corrupt/*"))
        self.test.assertEqual(corrupt, [])
        for process in self.fleet.processes.values():
            process.kill()

    def create(self, name, kind):
        spec, overrides = spec_of(kind)
        self.test.create_experiment(self.fleet.server, name, *overrides, spec=spec)
        self.kinds[name], self.wanted[name] = kind, "STATE_SUCCEEDED"

    def states(self):
        return {name: self.test.get(self.fleet.server, name)["state"] for name in self.kinds}

    def pick(self, *states):
        """An experiment in one of these states, or nothing."""
        names = sorted(name for name, state in self.states().items() if state in states)
        return self.rng.choice(names) if names else None

    def ask(self, verb, name, *arguments):
        """A change that may come too late, which is then answered and nothing else."""
        process = self.test.start(
            "mentorctl", "--server", self.fleet.server, verb, name, *arguments
        )
        return process.wait(120) == 0

    def settle(self):
        """Resumes what is paused and waits until all is over."""
        end = time.monotonic() + PATIENCE_S
        while True:
            states = self.states()
            if all(state in FINAL for state in states.values()):
                return
            for name, state in states.items():
                if state == "STATE_PAUSED":
                    self.ask("resume", name)
            self.test.assertLess(time.monotonic(), end, f"{states}\n{self.fleet.output()[-4000:]}")
            time.sleep(0.2)

    # Faults.

    def kill(self):
        self.fleet.end(self.fleet.victim(), signal.SIGKILL)

    def terminate(self):
        self.fleet.end(self.fleet.victim(), signal.SIGTERM)

    def kill_two(self):
        for kind in self.rng.sample(["meta-learner", "learner", "actor"], 2):
            self.fleet.end(self.fleet.victim([kind]), signal.SIGKILL)

    def stop_for_a_while(self):
        """Longer than the silence after which a peer is taken for dead, sometimes."""
        process = self.fleet.processes[self.fleet.victim(["learner", "actor"])]
        process.signal(signal.SIGSTOP)
        time.sleep(self.rng.choice([0.2, 1, 6.5]))
        process.signal(signal.SIGCONT)

    def pause(self):
        name = self.pick("STATE_RUNNING", "STATE_QUEUED")
        if name:
            self.ask("pause", name)

    def resume(self):
        name = self.pick("STATE_PAUSED")
        if name:
            self.ask("resume", name)

    def cancel_a_copy(self):
        name = f"copy-{len(self.kinds)}"
        self.create(name, self.rng.choice(["long", "wide"]))
        time.sleep(self.rng.uniform(0, 0.5))
        if self.ask("cancel", name):
            self.wanted[name] = "STATE_CANCELLED"


FAULTS = [
    Trial.kill,
    Trial.kill,
    Trial.terminate,
    Trial.kill_two,
    Trial.stop_for_a_while,
    Trial.pause,
    Trial.resume,
    Trial.cancel_a_copy,
]


class ChaosTest(ClusterTest):
    seeds, faults = range(1, 4), 8
    hashes = {}

    def hash_alone(self, kind):
        if kind not in self.hashes:
            spec, overrides = spec_of(kind)
            self.hashes[kind] = self.run_hash(self.folder / kind, *overrides, spec=spec)
        return self.hashes[kind]

    def test_chaos(self):
        for seed in self.seeds:
            begin = time.monotonic()
            trial = Trial(self, seed, self.faults)
            with self.subTest(seed=seed):
                try:
                    trial.run()
                except BaseException:
                    print("\n".join(trial.log))
                    print(f"again: tests/chaos/chaos_test.py --seeds {seed} --faults {self.faults}")
                    raise
            took = time.monotonic() - begin
            print(f"seed {seed}: {len(trial.log)} faults, {took:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="1-20", help="a number, or a range like 1-200")
    parser.add_argument("--faults", type=int, default=12, help="faults of a seed, at most")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    ChaosTest.seeds = range(int(first), int(last or first) + 1)
    ChaosTest.faults = arguments.faults
    unittest.main(argv=[sys.argv[0]])


if __name__ == "__main__":
    main()
