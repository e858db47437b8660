#!/usr/bin/env python3
"""Measures an experiment on a shared fleet while another owner's experiment misbehaves. Its outer
updates a second are taken alone, beside the other one, and after that one was cancelled. Also its
part of the actors' time beside the other one. One learner, one actor with two threads, TLS and
tokens of two users. By hand:

    tests/chaos/neighbours.py [--seconds 10] [CASE ...]
"""

import argparse
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))

from harness import sets  # noqa: E402
from secure import SecureTest  # noqa: E402

GOOD = sets(
    "rule.outer_updates=1000000",
    "evaluation.lifetimes_per_goal=0",
    "checkpoint.every=1000",
    "checkpoint.keep_last=1",
)
# Units of 20,000 steps with a large policy for each step.
LONG = sets(
    "rule.outer_updates=1000000",
    "evaluation.lifetimes_per_goal=0",
    "lifetime.steps_per_iteration=20000",
    "agent.hidden_units=512",
    "agent.minibatches=32",
    "agent.epochs=1",
)
# It simulates more than it learns, so that actors always have units of it.
BUSY = sets(
    "rule.outer_updates=1000000",
    "evaluation.lifetimes_per_goal=0",
    "evaluation.baseline=",
    "checkpoint.every=1000",
    "checkpoint.keep_last=1",
    "benchmark.name=ml1",
    "benchmark.environment=reach-v3",
    "lifetime.steps_per_iteration=500",
    "rule.lifetimes_per_update=32",
    "rule.shard_lifetimes=8",
    "agent.epochs=1",
)
OWN = sets(
    "benchmark.name=single",
    "benchmark.environment=mjcf",
    "evaluation.goals=1",
    "evaluation.lifetimes_per_goal=0",
    "rule.outer_updates=1000000",
)
TASK = """model: "chain.xml"
summary: "A chain."
episode_steps: 100
observation { qpos: "*" }
action { low: -1 high: 1 actuator { name: "pull" gain: 1 } }
reward { name: "none" expression: "0" }
"""
# How the other experiment misbehaves, and the overrides that make it.
CASES = {
    "endless": "resets that never end",
    "two": "two experiments of that kind",
    "long": "units of 20,000 steps and 512 hidden units",
    "low": "the same of class LOW, the good one HIGH",
    "failing": "units that always fail",
    "hoarding": "three actors that take units and are silent",
    "equal": "both simulate all the time",
    "classes": "the same, the bad one LOW, the good one HIGH",
}


def chain(links):
    inner = '<geom type="capsule" fromto="0 0 0 0 0 .1" size=".01"/>'
    bodies = ""
    for i in range(links):
        joint = '<joint name="root" type="hinge"/>' if i == 0 else '<joint type="ball"/>'
        bodies += f'<body pos="0 0 {0.1 * (i > 0)}">{joint}{inner}'
    return (
        f"<mujoco><worldbody>{bodies}{'</body>' * links}</worldbody>"
        '<actuator><motor name="pull" joint="root"/></actuator></mujoco>'
    )


class Neighbours(SecureTest):
    """User ada owns the good experiment, bob the other one."""

    def start_fleet(self):
        self.task = None
        self.fleet.start("meta-learner-0", "--max_running", 4)
        self.fleet.start("learner-0")
        self.fleet.threads = 2
        self.actor = self.fleet.start("actor-0")

    def push(self, links, more):
        folder = self.folder / f"bundle-{links}"
        folder.mkdir()
        (folder / "chain.xml").write_text(chain(links))
        (folder / "task.txtpb").write_text(TASK + more)
        said = self.mentorctl("bob", "bundles", "push", folder)
        return next(word for word in said.split() if word.startswith("sha256:")).rstrip(",")

    def rate(self, seconds):
        """Returns outer updates a second of the good experiment."""
        before, since = self.updates("ada", "good"), time.monotonic()
        time.sleep(seconds)
        return (self.updates("ada", "good") - before) / (time.monotonic() - since)

    def begin(self, case):
        """Starts the good experiment alone. It is small and quick, except where both are alike."""
        self.start_fleet()
        own, enough = (BUSY, 0) if case in ("equal", "classes") else (GOOD, 20)
        priority = "high" if case in ("low", "classes") else "normal"
        self.create_experiment("ada", "good", *own, "--priority", priority)
        self.wait_until(lambda: self.updates("ada", "good") > enough, "updates of the good one")

    def endless(self):
        """Returns the settings of an experiment whose resets never end."""
        if self.task is None:
            self.task = self.push(120, 'reset { settle_steps: 100000 condition: "0 > 1" }\n')
        return [*OWN, *sets(f"benchmark.bundle={self.task}")]

    def misbehave(self, case):
        """Begins; what ends it."""
        names = ["bad", "worse"] if case == "two" else ["bad"]
        if case in ("endless", "two"):
            settings = self.endless()
            for name in names:
                self.create_experiment("bob", name, *settings)
        elif case == "failing":
            task = self.push(3, 'reward { name: "r" expression: "1 / (step - 2)" }\n')
            self.create_experiment(
                "bob", "bad", *OWN, *sets(f"benchmark.bundle={task}"), "--retries", 3
            )
        elif case == "hoarding":
            return self.hoard()
        else:
            priority = "low" if case in ("low", "classes") else "normal"
            own = BUSY if case in ("equal", "classes") else LONG
            self.create_experiment("bob", "bad", *own, "--priority", priority)

        def end():
            for name in names:
                if self.look(name)["state"] not in ("STATE_FAILED", "STATE_CANCELLED"):
                    self.mentorctl("bob", "cancel", name)

        return end

    def hoard(self):
        self.fleet.threads = 1
        silent = "actor.result.before_send=*:sleep(3600000)"
        guests = [self.fleet.start(f"actor-{i}", failpoints=silent) for i in range(1, 4)]

        def end():
            for guest in guests:
                guest.kill()

        return end

    def num_holders(self):
        """Returns the number of actors that hold units and have never answered."""
        return sum(
            peer.get("work", 0) > 0 and not peer.get("units")
            for peer in self.peers("viewer", "actors").values()
        )

    def rate_and_time(self, seconds):
        """Returns its rate, and its part of the actors' time: 0 to 1."""
        good = total = 0.0
        before, since = self.updates("ada", "good"), time.monotonic()
        while time.monotonic() < since + seconds:
            time.sleep(1)
            for peer in self.peers("viewer").values():
                for spent in peer.get("time", []):
                    total += spent["share"]
                    good += spent["share"] * (spent["experiment"] == "experiments/good")
        rate = (self.updates("ada", "good") - before) / (time.monotonic() - since)
        return rate, good / total if total > 0 else 0.0

    def measure(self, case, seconds):
        """Returns updates a second alone, beside the other experiment in its first seconds and
        later, and after its end. Also the part of the actors' time beside the other one, later."""
        self.begin(case)
        alone = self.rate(seconds)
        end = self.misbehave(case)
        first = self.rate(seconds)
        later, part = self.rate_and_time(seconds)
        end()
        time.sleep(1)
        return alone, first, later, self.rate(seconds), part

    def part_of_time(self, case, seconds):
        """Returns its part of the actors' time soon after the other experiment began."""
        self.begin(case)
        self.misbehave(case)
        self.wait_until(lambda: self.look("bad")["state"] == "STATE_RUNNING", "the bad one runs")
        self.rate(3)
        return self.rate_and_time(seconds)[1]

    def stop_actor(self):
        """Returns the seconds from SIGTERM to the actor's end."""
        since = time.monotonic()
        self.actor.signal(signal.SIGTERM)
        self.actor.wait(60)
        return time.monotonic() - since


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    print(
        f"{'':48}  alone  first  later  after   first/alone  later/alone  after/alone  part of time"
    )
    for case in arguments.cases or CASES:
        with Neighbours.alone() as trial:
            alone, *others, part = trial.measure(case, arguments.seconds)
            rates = "".join(f"{rate:7.1f}" for rate in (alone, *others))
            ratios = "".join(f"{rate / alone if alone else 0:13.2f}" for rate in others)
            print(f"{CASES[case]:48}{rates}{ratios}{part:14.2f}", flush=True)


if __name__ == "__main__":
    main()
