"""kill -9 of random processes at random moments, seeded: the hash must be that of an undisturbed
run.

MENTOR_FAULT_TRIALS sets the number of trials (default 2), MENTOR_FAULT_SEED the first seed."""

import os
import random
import time
import unittest

from harness import ClusterTest, sets

UPDATES = 80  # A few seconds, so that kills meet a run that is not over.
OVERRIDES = sets(f"rule.outer_updates={UPDATES}")


class RandomKillsTest(ClusterTest):
    def test_random_kills(self):
        want = self.run_hash(self.folder / "undisturbed", *OVERRIDES)
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
            "meta-learner": lambda: self.start_meta_learner(state, meta_address)[0],
            "learner": lambda: self.start_learner(meta_address, learner_address)[0],
        }
        self.create_experiment(meta_address, "smoke", *OVERRIDES)
        kills = 0
        while kills < 6:
            time.sleep(rng.uniform(0.05, 0.6))
            if self.checkpoints(state) and self.newest_step(state) == UPDATES:
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
