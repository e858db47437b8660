"""The same spec and seed give the same hash, whatever happens on the way (docs/architecture.md,
exactness)."""

import contextlib
import shutil
import sqlite3
import unittest

from harness import SIGINT, ClusterTest, sets

# Enough updates that a fault always meets an unfinished run.
UPDATES = 40
LONGER = sets(f"rule.outer_updates={UPDATES}")


class Exactness(ClusterTest):
    def undisturbed_hash(self):
        """That of one actor with one thread."""
        return self.hash_alone(*LONGER, "--threads", 1)

    def check(self, run):
        self.assertEqual(self.hash(run), self.undisturbed_hash())

    def check_unfinished(self, run):
        """Checks that the fault came before the last outer update."""
        self.assertLess(self.newest_step(run), UPDATES)


class ExactnessTest(Exactness):
    def test_actors_and_threads(self):
        for actors, threads in ((2, 2), (3, 1), (1, 3)):
            run = self.folder / f"run-{actors}-{threads}"
            self.run_spec(run, *LONGER, "--actors", actors, "--threads", threads)
            self.check(run)

    def test_another_seed_gives_another_hash(self):
        other = self.run_hash(self.folder / "run", *LONGER, *sets("seed=4711"))
        self.assertNotEqual(other, self.undisturbed_hash())

    def steps_recorded(self, run):
        with contextlib.closing(sqlite3.connect(run / "mentor.db")) as database:
            rows = database.execute("SELECT DISTINCT step FROM points ORDER BY step")
            return [step for (step,) in rows]

    def test_results_of_updates_that_died_between_file_and_row(self):
        """Their checkpoints exist and their metrics do not, so they are made again."""
        run = self.folder / "run"
        for failpoint, code in (
            ("store.commit.before_db=1:kill", -9),
            ("store.commit.in_db=3:kill", -9),
            ("store.commit.before_db=5:error(EIO)", 0),
        ):
            self.run_spec(run, *LONGER, env={"MENTOR_FAILPOINTS": failpoint}, code=code)
        self.check(run)
        self.assertEqual(self.steps_recorded(run), list(range(1, UPDATES + 1)))

    def test_one_process_interrupted_and_killed(self):
        run = self.folder / "run"
        process = self.start_run(run, *LONGER)
        self.wait_for_checkpoints(run, 1)
        process.signal(SIGINT)
        self.assertEqual(process.wait(), 130, process.output())
        done = self.newest_step(run)
        self.assertLess(done, UPDATES)
        process = self.start_run(run, *LONGER)
        self.wait_until(lambda: self.newest_step(run) > done, "one more checkpoint")
        process.kill()
        self.run_spec(run, *LONGER)
        self.check(run)

    def interrupted(self):
        """Returns a run that was killed before its last outer update, with all its checkpoints."""
        run = self.folder / "run"
        process = self.start_run(run, *LONGER, *sets("checkpoint.keep_last=0"))
        self.wait_for_checkpoints(run, 3)
        process.kill()
        self.check_unfinished(run)
        return run

    def test_resumed_from_any_checkpoint(self):
        run = self.interrupted()
        steps = len(self.checkpoints(run))
        # Resumes from the seed, from the first checkpoints and from the newest.
        for keep in sorted({0, 1, 2, steps - 1, steps}):
            copy = self.folder / f"copy-{keep}"
            shutil.copytree(run, copy)
            for newer in self.checkpoints(copy)[keep:]:
                newer.unlink()
            self.run_spec(copy, *LONGER, *sets("checkpoint.keep_last=0"))
            self.check(copy)

    def test_corrupt_checkpoint_is_named_and_the_one_before_it_is_used(self):
        run = self.interrupted()
        newest = self.checkpoints(run)[-1]
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 1
        newest.write_bytes(data)
        output = self.run_spec(run, *LONGER, *sets("checkpoint.keep_last=0"))
        self.assertIn(newest.name, output)
        self.assertIn("another one is used", output)
        self.assertTrue((newest.parent / "corrupt").exists())
        self.check(run)

    def test_another_machine_may_not_go_on(self):
        run = self.interrupted()
        fingerprint = next(run.glob("experiments/*/fingerprint"))
        own = fingerprint.read_text()
        fingerprint.write_text("of another machine")
        output = self.run_spec(run, *LONGER, code=1)
        self.assertIn("of another machine", output)
        # The run continues on its first machine.
        fingerprint.write_text(own)
        self.run_spec(run, *LONGER)
        self.check(run)


class FleetTest(Exactness):  # Nightly
    """One process dies in each test. In service_test.py and tests/chaos all of them die."""

    def test_separate_processes_started_in_reverse_order(self):
        state = self.folder / "state"
        # Starting once finds the ports. Then the actor starts first and waits for its learner, and
        # so on.
        meta_learner, meta_address = self.start_meta_learner(state)
        learner, learner_address = self.start_learner(meta_address)
        meta_learner.kill()
        learner.kill()
        self.start_actor(learner_address, 2)
        self.start_actor(learner_address, 1)
        self.start_learner(meta_address, learner_address)
        self.start_meta_learner(state, meta_address)
        self.create_experiment(meta_address, "smoke", *LONGER, "--wait")
        self.check(state)

    def cluster(self):
        state = self.folder / "state"
        meta_learner, meta_address = self.start_meta_learner(state)
        learner, learner_address, actors = self.start_workers(meta_address, 1, 1)
        self.create_experiment(meta_address, "smoke", *LONGER)
        return state, meta_learner, meta_address, learner, learner_address, actors

    def finish(self, state, meta_address):
        self.wait_for_state(meta_address, "smoke", "STATE_SUCCEEDED")
        self.check(state)

    def test_actor_killed(self):
        state, _, meta_address, _, learner_address, actors = self.cluster()
        self.wait_for_checkpoints(state, 1)
        actors[0].kill()
        self.check_unfinished(state)
        self.finish(state, meta_address)

    def test_all_actors_killed_and_new_ones_started(self):
        state, _, meta_address, _, learner_address, actors = self.cluster()
        self.wait_for_checkpoints(state, 1)
        for actor in actors:
            actor.kill()
        self.check_unfinished(state)
        self.start_actor(learner_address, 2)
        self.finish(state, meta_address)

    def test_learner_killed_and_started_again(self):
        state, _, meta_address, learner, learner_address, _ = self.cluster()
        self.wait_for_checkpoints(state, 1)
        learner.kill()
        self.check_unfinished(state)
        self.start_learner(meta_address, learner_address)
        self.finish(state, meta_address)

    def test_meta_learner_killed_and_started_again(self):
        state, meta_learner, meta_address, _, _, _ = self.cluster()
        self.wait_for_checkpoints(state, 2)
        meta_learner.kill()
        self.check_unfinished(state)
        self.start_meta_learner(state, meta_address)
        self.finish(state, meta_address)


if __name__ == "__main__":
    unittest.main()
