"""kill -9 of random processes at random moments, seeded: the hash must be that of an undisturbed
run.

MENTOR_FAULT_TRIALS sets the number of trials (default 2), MENTOR_FAULT_SEED the first seed."""

import os
import random
import time
import unittest

from harness import SPECS, ClusterTest

SMOKE = SPECS / "smoke.txtpb"
UPDATES = 80  # A few seconds, so that kills meet a run that is not over.
OVERRIDES = ("--set", f"rule.outer_updates={UPDATES}")


class RandomKillsTest(ClusterTest):
    def test_random_kills(self):
        undisturbed = self.folder / "undisturbed"
        self.run_to_end("mentor", "run", SMOKE, "--out", undisturbed, "--quiet", *OVERRIDES)
        want = self.hash(undisturbed)
        first = int(os.environ.get("MENTOR_FAULT_SEED", "1"))
        for seed in range(first, first + int(os.environ.get("MENTOR_FAULT_TRIALS", "2"))):
            with self.subTest(seed=seed):
                kills = self.trial(seed, want)
                print(f"seed {seed}: {kills} kills", flush=True)

    def trial(self, seed, want):
        rng = random.Random(seed)
        state = self.folder / f"state-{seed}"
        meta_learner, meta_address = self.start_meta_learner(state)
        learner, learner_address = self.start_learner(meta_address)
        processes = {"meta-learner": meta_learner, "learner": learner}
        for i in range(rng.randint(1, 3)):
            processes[f"actor-{i}"] = self.start_actor(learner_address, rng.randint(1, 3))
        starts = {
            "meta-learner": lambda: self.start_meta_learner(state, meta_address.rsplit(":", 1)[1])[
                0
            ],
            "learner": lambda: self.start_learner(meta_address, learner_address.rsplit(":", 1)[1])[
                0
            ],
        }
        self.mentorctl(meta_address, "create", "-f", SMOKE, "--id", "smoke", *OVERRIDES)
        kills = 0
        while kills < 6:
            time.sleep(rng.uniform(0.05, 0.6))
            done = self.checkpoints(state)
            if done and int(done[-1].stem) == UPDATES:
                break
            victim = rng.choice(sorted(processes))
            processes[victim].kill()
            kills += 1
            start = starts.get(victim, lambda: self.start_actor(learner_address, rng.randint(1, 3)))
            processes[victim] = start()
        self.assertGreater(kills, 0, "the run ended before a single kill")
        self.wait_for_state(meta_address, "smoke", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), want, f"seed {seed}")
        for process in processes.values():
            process.kill()
        return kills


if __name__ == "__main__":
    unittest.main()
