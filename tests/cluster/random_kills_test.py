"""kill -9 of random processes at random moments, seeded: the hash must be that of an undisturbed
run.

MENTOR_FAULT_TRIALS sets the number of trials (default 2), MENTOR_FAULT_SEED the first seed."""

import os
import random
import time
import unittest

from harness import SMOKE, SPECS, ClusterTest, sets

# Outer updates of specs that take a few seconds, so that kills meet an unfinished run. Beside
# smoke, rules with different kinds of state: populations, buffers, tables, lineages. At night
# more_random_kills_test.py tries other rules.
SMOKE_UPDATES = 80
OTHERS = {
    "point_reach_pbt": 240,
    "navigation_poet": 25,
    "maze_mfec": 60,
}


class RandomKills(ClusterTest):
    def other_rules(self, updates_of):
        for name, updates in updates_of.items():
            with self.subTest(spec=name):
                self.trials(name, updates, 1)

    def trials(self, name, updates, count):
        spec = SPECS / f"{name}.txtpb"
        overrides = sets(f"rule.outer_updates={updates}")
        if spec != SMOKE:
            overrides += sets("evaluation.lifetimes_per_goal=0", "checkpoint.every=1")
        want = self.run_hash(self.folder / f"{name}-undisturbed", *overrides, spec=spec)
        first = int(os.environ.get("MENTOR_FAULT_SEED", "1"))
        for seed in range(first, first + count):
            with self.subTest(seed=seed):
                kills = self.trial(seed, want, name, updates, overrides)
                print(f"{name}, seed {seed}: {kills} kills", flush=True)

    def trial(self, seed, want, name, updates, overrides):
        rng = random.Random(seed)
        state = self.folder / f"{name}-{seed}"
        meta_learner, meta_address = self.start_meta_learner(state)
        learner, learner_address = self.start_learner(meta_address)
        processes = {"meta-learner": meta_learner, "learner": learner}
        for i in range(rng.randint(1, 3)):
            processes[f"actor-{i}"] = self.start_actor(learner_address, rng.randint(1, 3))
        starts = {
            "meta-learner": lambda: self.start_meta_learner(state, meta_address)[0],
            "learner": lambda: self.start_learner(meta_address, learner_address)[0],
        }
        id = name.replace("_", "-")
        self.create_experiment(meta_address, id, *overrides, spec=SPECS / f"{name}.txtpb")
        kills = 0
        while kills < 6:
            time.sleep(rng.uniform(0.05, 0.6))
            if self.checkpoints(state) and self.newest_step(state) == updates:
                break
            victim = rng.choice(sorted(processes))
            processes[victim].kill()
            kills += 1
            start = starts.get(victim, lambda: self.start_actor(learner_address, rng.randint(1, 3)))
            processes[victim] = start()
        self.assertGreater(kills, 0, "the run ended before a single kill")
        self.wait_for_state(meta_address, id, "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), want, f"{name}, seed {seed}")
        for process in processes.values():
            process.kill()
        return kills


class RandomKillsTest(RandomKills):
    def test_random_kills(self):
        self.trials("smoke", SMOKE_UPDATES, int(os.environ.get("MENTOR_FAULT_TRIALS", "2")))

    def test_random_kills_of_other_rules(self):
        self.other_rules(OTHERS)


if __name__ == "__main__":
    unittest.main()
