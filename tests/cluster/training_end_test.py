"""When meta-training ends, and which weights are tested then: rule.patience, averaged weights, and
lives that are longer than in training."""

import csv

from harness import ClusterTest, sets

# Long enough that patience ends it.
PATIENT = sets(
    "rule.outer_updates=60",
    "rule.patience=4",
    "evaluation.averaged_checkpoints=3",
    "evaluation.baseline=",
    "checkpoint.keep_last=1",
)


def fields(message):
    """Yields the length-delimited fields of a protobuf message: number and bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            varint()
        elif tag & 7 == 5:
            at += 4
        else:
            size = varint()
            yield tag >> 3, message[at : at + size]
            at += size


def lives(folder, method):
    """The lifetimes of a method in an evaluation's folder, byte by byte."""
    found = []
    for shard in sorted(folder.glob(f"test-{method}-*.binpb")):
        found += [value for number, value in fields(shard.read_bytes()) if number == 4]
    return found


def metrics(run):
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TrainingEndTest(ClusterTest):
    def check(self, *assignments, code=2, spec="smoke"):
        return self.run_to_end("mentor", "run", spec, "--check", *sets(*assignments), code=code)

    def test_patience(self):  # Nightly
        run = self.folder / "run"
        whole = self.run_hash(run, *PATIENT, report=True)
        rows = metrics(run)
        last = len(rows)
        self.assertLess(last, 60)
        scores = [float(row["best_score"]) for row in rows]
        # The best round, and four without a better score.
        self.assertEqual(len(set(scores[-5:])), 1)
        self.assertGreater(scores[-5], max(scores[:-5], default=-1))
        said = (run / "report.html").read_text(encoding="utf-8")
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
        _, server = self.start_service()
        self.create_experiment(server, "patient", *PATIENT)
        self.wait_for_state(server, "patient", "STATE_SUCCEEDED")
        progress = self.get(server, "patient")["progress"]
        self.assertEqual(progress["outerUpdates"], last)
        self.assertEqual(progress["outerUpdatesTotal"], last)
        fetched = self.folder / "fetched"
        self.run_to_end("mentor", "fetch", "patient", "--server", server, "--out", fetched)
        self.assertEqual(self.hash(fetched), whole)

        # Nothing would follow from there, unless its patience is greater.
        again = ("mentor", "run", "--from", run, "--quiet", "--no_report")
        again += ("--out", self.folder / "longer")
        self.assertIn("nothing to do: rule.patience", self.run_to_end(*again, code=2))
        again += ("--set", "rule.outer_updates=61")
        self.assertIn("rule.patience: is 4", self.run_to_end(*again, code=2))
        self.run_to_end(*again, "--set", "rule.patience=6")
        self.assertGreaterEqual(self.newest_step(self.folder / "longer"), last + 2)

        # The average has what the run made, here and in the command that the run names.
        said = self.run_to_end("mentor", "evaluate", run, "--seeds", 1, "--quiet")
        self.assertIn("learned (average)", said)
        self.run_to_end("mentor", "evaluate", fetched, "--seeds", 1, "--quiet")

    def test_averaged_weights(self):  # Nightly
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

        experiment = next(run.glob("experiments/*"))
        evaluate = ("mentor", "evaluate", run, "--seeds", 1, "--baselines", "none", "--quiet")

        def again(weights, method):
            name = weights.replace(":", "-")
            said = self.run_to_end(*evaluate, "--weights", weights, "--name", name)
            self.assertIn("learned (average)" if "average" in method else "learned ", said)
            return lives(experiment / "evaluations" / name / "seed-1", method)

        own = lives(experiment / "artifacts" / "evaluation", "learned_average")
        self.assertEqual(again("average:3", "learned_average"), own)
        # An average of one checkpoint is the last one, and that of three is not.
        last = again("last", "learned")
        self.assertEqual(again("average:1", "learned_average"), last)
        self.assertNotEqual(last, own)

        # Another number of checkpoints is another evaluation.
        same = (*evaluate, "--weights", "average:2", "--name", "average-3", "--check")
        self.assertIn("averaged checkpoints", self.run_to_end(*same, code=1))
        self.run_to_end(*evaluate, "--weights", "average:2")
        self.assertTrue(list(run.glob("experiments/*/evaluations/test-u6-average2")))
        self.assertNotIn("Next", self.run_to_end(*same[:-3], "--check"))
        self.run_to_end("mentor", "report", run)
        self.assertIn("means of other numbers", (run / "report.html").read_text(encoding="utf-8"))
        # A clone has the checkpoint that it began from, and its own.
        clone = ("mentor", "run", "--quiet", "--no_report", "--out", self.folder / "clone")
        clone += ("--from",)
        self.run_to_end(*clone, f"{run}/4")
        said = self.run_to_end(*clone, f"{run}/5", "--set", "seed=2", code=2)
        self.assertIn("evaluation.averaged_checkpoints: is 3", said)

        said = self.run_to_end(*evaluate, "--weights", "average:4", code=1)
        self.assertIn("--weights average:4", said)
        self.assertIn("checkpoint.keep_last=4", said)
        said = self.run_to_end(*evaluate, "--weights", "average:none", code=2)
        self.assertIn("for instance average:20", said)

    def test_students_with_other_settings(self):
        run = self.folder / "run"
        self.run_spec(run, *sets("rule.outer_updates=1", "evaluation.lifetimes_per_goal=0"))
        evaluate = ("mentor", "evaluate", run, "--seeds", 1, "--baselines", "ppo_shaped", "--quiet")
        said = self.run_to_end(*evaluate, "--set", "agent.clip=1", "--set", "agent.epochs=3")
        self.assertIn("test with agent.clip=1 agent.epochs=3, 1 seed of agents", said)
        self.run_to_end("mentor", "report", run)
        page = (run / "report.html").read_text(encoding="utf-8")
        self.assertIn("test with agent.clip=1 agent.epochs=3", page)
        said = self.run_to_end(*evaluate, "--set", "rule.learning_rate=1", code=2)
        self.assertIn("rule.learning_rate: is no setting of an agent (agent.KEY)", said)

    def test_longer_lives(self):  # Nightly
        run = self.folder / "run"
        self.run_spec(run, *sets("rule.outer_updates=2", "evaluation.lifetimes_per_goal=0"))
        evaluate = ("mentor", "evaluate", run, "--seeds", 1, "--baselines", "none", "--quiet")
        said = self.run_to_end(*evaluate, "--iterations", 7, "--check")
        self.assertRegex(said, r"\d+ lifetimes, [\d,]+ environment steps")
        self.assertFalse(list(run.glob("experiments/*/evaluations/*")))
        said = self.run_to_end(*evaluate, "--iterations", 7, "--name", "long")
        self.assertIn("after 6 updates", said)
        self.run_to_end("mentor", "report", run)
        page = (run / "report.html").read_text(encoding="utf-8")
        self.assertIn("evaluations of lives of another length", page)
        # It is another protocol.
        said = self.run_to_end(*evaluate, "--iterations", 5, "--name", "long", code=1)
        self.assertIn("another protocol", said)
        said = self.run_to_end(*evaluate, "--iterations", 0, code=2)
        self.assertIn("--iterations", said)

    def test_bad_input(self):
        said = self.check("rule.anneal=1.5")
        self.assertIn("rule.anneal=1.5", said)
        said = self.check("rule.patience=3", spec="navigation_poet")
        self.assertIn("rule.patience", said)
        self.assertIn("has no objective", said)
        said = self.check("evaluation.averaged_checkpoints=2", spec="navigation_poet")
        self.assertIn("evaluation.averaged_checkpoints", said)
        said = self.check("rule.patience=3", spec="box_diayn")
        self.assertIn("leave it out", said)
        said = self.check("rule.patience=1", spec="lirpg_hopper")
        self.assertIn("give at least that", said)
        said = self.check("evaluation.averaged_checkpoints=5")
        self.assertIn("evaluation.averaged_checkpoints", said)
        self.assertIn("give at most 4", said)
        self.check("rule.patience=200", "rule.anneal=1", "evaluation.averaged_checkpoints=4",
                   code=0)  # fmt: skip
