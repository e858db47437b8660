#!/usr/bin/env python3
"""Records tests/data/histories again: a small cluster with everything that the checker reads.
Needed only when events change.

Usage: tests/fault/record_history.py
"""

import json
import pathlib
import shutil
import sys
import time

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent / "cluster"), str(FOLDER.parent / "chaos")]

from chaos_test import User  # noqa: E402
from harness import SPECS, ClusterTest, sets  # noqa: E402

SPEC = sets(
    "rule.lifetimes_per_update=4",
    "rule.shard_lifetimes=2",
    "evaluation.lifetimes_per_goal=0",
    "lifetime.steps_per_iteration=20",
)
# A rule that plans all kinds of rounds, with few lifetimes.
POET = SPECS / "navigation_poet.txtpb"
PLANNED = sets(
    "rule.outer_updates=3",
    "rule.lifetimes_per_update=16",
    "rule.shard_lifetimes=2",
    "rule.population=4",
    "rule.max_active=2",
    "rule.mutate_every=1",
    "rule.transfer_every=2",
    "rule.children=2",
    "rule.mc_low=-100",
    "rule.mc_high=100",
    "rule.reproduce=-100",
    "evaluation.lifetimes_per_goal=0",
)
OUT = FOLDER.parent / "data" / "histories"


def record(case):
    folder = case.folder / "history"
    folder.mkdir()
    env = {"MENTOR_HISTORY": str(folder)}
    state = case.folder / "state"
    user = User(folder)

    def told(verb, *arguments, event="acknowledged"):
        output = case.mentorctl(server, "--output", "json", verb, *arguments)
        answer = json.loads(output.splitlines()[0])
        user.write(event, answer, method=verb)

    meta_learner, server = case.start_meta_learner(state, env=env)
    spec = ["-f", pathlib.Path("experiments/smoke.txtpb")]
    told("create", *spec, "--id", "one", *SPEC, *sets("rule.outer_updates=12"))
    told("create", *spec, "--id", "two", *SPEC, *sets("rule.outer_updates=1000"))
    told("create", "-f", POET, "--id", "planned", *PLANNED)
    case.start("mentorctl", "--server", server, "watch", "one", "two")
    time.sleep(0.3)
    learners = [case.start_learner(server, env=env) for _ in range(2)]
    for _, address in learners:
        case.start_actor(address, 1, env=env)
    case.wait_for_checkpoints_of(state, 2)
    told("pause", "one")
    learners[0][0].kill()
    told("cancel", "two")
    case.wait_for_state(server, "two", "STATE_CANCELLED")
    meta_learner.kill()
    _, server = case.start_meta_learner(state, server, env=env)
    told("resume", "one")
    for name in ("one", "planned"):
        case.wait_for_state(server, name, "STATE_SUCCEEDED")
    for name in ("one", "two", "planned"):
        told("get", name, event="final")
    return folder


class Recorder(ClusterTest):
    def wait_for_checkpoints_of(self, state, count):
        self.wait_until(
            lambda: sum(
                len(list(folder.glob("*.ckpt"))) >= count
                for folder in state.glob("experiments/*/checkpoints")
            )
            == 3,
            "checkpoints",
        )


def main():
    with Recorder.alone() as case:
        folder = record(case)
        for old in OUT.glob("*.jsonl"):
            old.unlink()
        for new in folder.glob("*.jsonl"):
            shutil.copyfile(new, OUT / new.name)


if __name__ == "__main__":
    main()
