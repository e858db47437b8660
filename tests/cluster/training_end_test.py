"""When meta-training ends, and which weights are tested then: rule.patience, averaged weights, and
lives that are longer than in training."""

import csv
import shutil

from harness import ClusterTest, sets

# Long enough that patience ends it.
PATIENT = sets(
    "rule.outer_updates=60",
    "rule.patience=4",
    "evaluation.averaged_checkpoints=3",
    "evaluation.baseline=",
    "checkpoint.keep_last=1",
)


def metrics(run):
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TrainingEndTest(ClusterTest):
    def check(self, *assignments, code=2, spec="smoke"):
        return self.run_to_end("mentor", "run", spec, "--check", *sets(*assignments), code=code)

    def test_patience(self):
        run = self.folder / "run"
        whole = self.run_hash(run, *PATIENT)
        rows = metrics(run)
        last = len(rows)
        self.assertLess(last, 60)
        scores = [float(row["best_score"]) for row in rows]
        # A score is that of the weights before the update, so the last four are the patience.
        self.assertEqual(len(set(scores[-4:])), 1)
        self.assertGreater(scores[-4], max(scores[:-4], default=-1))
        said = (run / "report" / "summary.txt").read_text(encoding="utf-8")
        self.assertIn("since the last 4 brought no better score", said)

        # Killed on the way, it ends after the same update.
        killed = self.folder / "killed"
        process = self.start_run(killed, *PATIENT)
        self.wait_for_checkpoints(killed, 1)
        self.wait_until(lambda: self.newest_step(killed) >= 2, "two updates")
        process.kill()
        self.assertEqual(self.run_hash(killed, *PATIENT), whole)
        self.assertEqual(len(metrics(killed)), last)

        # So does a service, which then says that all updates are done.
        _, server = self.start_meta_learner(self.folder / "state")
        self.start_workers(server, 1)
        self.create_experiment(server, "patient", *PATIENT)
        self.wait_for_state(server, "patient", "STATE_SUCCEEDED")
        progress = self.get(server, "patient")["progress"]
        self.assertEqual(progress["outerUpdates"], last)
        self.assertEqual(progress["outerUpdatesTotal"], last)
        fetched = self.folder / "fetched"
        self.run_to_end("mentor", "fetch", "patient", "--server", server, "--out", fetched)
        self.assertEqual(self.hash(fetched), whole)

        # Nothing would follow from there, unless its patience is greater.
        again = ("mentor", "run", "--from", run, "--quiet", "--out", self.folder / "longer",
                 "--set", "rule.outer_updates=61")  # fmt: skip
        self.assertIn("rule.patience: is 4", self.run_to_end(*again, code=2))
        self.run_to_end(*again, "--set", "rule.patience=6")
        self.assertEqual(self.newest_step(self.folder / "longer"), last + 2)

    def test_averaged_weights(self):
        run = self.folder / "run"
        settings = sets(
            "rule.outer_updates=6",
            "evaluation.averaged_checkpoints=3",
            "evaluation.train_goals=false",
            "evaluation.baseline=",
        )
        self.run_spec(run, *settings, "--set", "checkpoint.keep_last=1")
        # They are kept for the average.
        self.assertEqual([int(file.stem) for file in self.checkpoints(run)], [4, 5, 6])

        def lives(folder, method):
            shards = sorted(folder.glob(f"test-{method}-*.binpb"))
            self.assertTrue(shards, (folder, method))
            return [shard.read_bytes() for shard in shards]

        experiment = next(run.glob("experiments/*"))
        own = lives(experiment / "artifacts" / "evaluation", "learned_average")
        evaluate = ("mentor", "evaluate", run, "--seeds", 1, "--baselines", "none", "--quiet")
        said = self.run_to_end(*evaluate, "--weights", "average:3", "--name", "average")
        self.assertIn("learned (average)", said)
        again = lives(experiment / "evaluations" / "average" / "seed-1", "learned_average")
        self.assertEqual([len(shard) for shard in own], [len(shard) - 6 for shard in again])
        # An average of one checkpoint is the last one.
        self.run_to_end(*evaluate, "--weights", "average:1", "--name", "one")
        self.run_to_end(*evaluate, "--weights", "last", "--name", "last")
        mean = self.numbers(experiment / "evaluations" / "one" / "seed-1", "learned_average")
        last = self.numbers(experiment / "evaluations" / "last" / "seed-1", "learned")
        self.assertEqual(mean, last)

        said = self.run_to_end(*evaluate, "--weights", "average:4", code=1)
        self.assertIn("--weights average:4", said)
        self.assertIn("checkpoint.keep_last=4", said)
        said = self.run_to_end(*evaluate, "--weights", "average:none", code=1)
        self.assertIn("for instance average:20", said)
        # One that is gone ends the run with its name.
        self.checkpoints(run)[0].unlink()
        shutil.rmtree(next(run.glob("experiments/*")) / "artifacts" / "evaluation")

    def numbers(self, folder, method):
        """What agents achieved, without the names of method and run."""
        said = []
        for shard in sorted(folder.glob(f"test-{method}-*.binpb")):
            said.append(shard.read_bytes()[-200:])
        self.assertTrue(said, folder)
        return said

    def test_longer_lives(self):
        run = self.folder / "run"
        self.run_spec(run, *sets("rule.outer_updates=2", "evaluation.lifetimes_per_goal=0"))
        evaluate = ("mentor", "evaluate", run, "--seeds", 1, "--baselines", "none", "--quiet")
        said = self.run_to_end(*evaluate, "--iterations", 7, "--check")
        self.assertRegex(said, r"\d+ lifetimes, \d+ environment steps")
        self.assertFalse(list(run.glob("experiments/*/evaluations/*")))
        said = self.run_to_end(*evaluate, "--iterations", 7, "--name", "long")
        self.assertIn("after update 6", said)
        # It is another protocol.
        said = self.run_to_end(*evaluate, "--iterations", 5, "--name", "long", code=1)
        self.assertIn("another protocol", said)
        said = self.run_to_end(*evaluate, "--iterations", 0, code=2)
        self.assertIn("--iterations", said)

    def test_bad_input(self):
        said = self.check("rule.anneal=1.5")
        self.assertIn("rule.option.anneal", said)
        said = self.check("rule.patience=3", spec="navigation_poet")
        self.assertIn("rule.patience", said)
        self.assertIn("has no objective", said)
        said = self.check("rule.patience=3", spec="box_diayn")
        self.assertIn("leave it out", said)
        said = self.check("rule.patience=1", spec="lirpg_hopper")
        self.assertIn("give at least that", said)
        said = self.check("evaluation.averaged_checkpoints=5")
        self.assertIn("evaluation.averaged_checkpoints", said)
        self.assertIn("give at most 4", said)
        self.check("rule.patience=200", "rule.anneal=1", "evaluation.averaged_checkpoints=4",
                   code=0)  # fmt: skip
