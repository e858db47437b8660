"""An experiment of a service as a run folder on this machine: the folder works like that of a
run."""

import csv
import fcntl

from harness import SIGINT, SLOWLY, SPECS, ClusterTest, sets

POINT_MASS = SPECS / "stn_point_mass.txtpb"


class FetchTest(ClusterTest):
    def setUp(self):
        super().setUp()
        _, self.address = self.start_meta_learner(self.folder / "state")

    def fetch(self, name, out, *arguments, code=0):
        return self.run_to_end(
            "mentor",
            "fetch",
            name,
            "--server",
            self.address,
            "--out",
            out,
            "--quiet",
            *arguments,
            code=code,
        )

    def write_records(self, run):
        """A report without its drawing, which needs nothing of the run but its records."""
        said = self.run_to_end("mentor", "report", run, env={"MENTOR_PYTHON": "no-python"}, code=2)
        self.assertIn("there is no program no-python", said)
        self.assertTrue((run / "records" / "run.json").exists())

    def test_a_fetched_run_is_the_run(self):
        self.start_workers(self.address, 2)
        self.create_experiment(self.address, "one", "--wait")
        here, there = self.folder / "here", self.folder / "there"
        self.assertIn("SUCCEEDED, outer update 4 of 4", self.fetch("one", there))
        self.assertEqual(self.hash(there), self.run_hash(here, report=True))
        self.run_to_end("mentor", "report", there)
        evaluation = (here / "report" / "evaluation.csv").read_bytes()
        self.assertEqual((there / "report" / "evaluation.csv").read_bytes(), evaluation)
        self.assertEqual(self.curve(there), self.curve(here))
        tables = [(run / "metrics.csv").read_text().splitlines() for run in (there, here)]
        self.assertEqual(tables[0][0], tables[1][0])
        self.assertEqual(len(tables[0]), 1 + 4)
        # It teaches new agents, and no table shows it beside itself.
        more = [
            "--tasks",
            "train",
            "--seeds",
            "1",
            "--lifetimes",
            "1",
            "--baselines",
            "none",
            "--quiet",
        ]
        self.run_to_end("mentor", "evaluate", there, *more)
        said = self.run_to_end("mentor", "report", here, there, code=2)
        self.assertIn("would count as two meta-seeds", said)

        # Neither an older copy nor another folder is overwritten by accident.
        self.assertIn("--replace", self.fetch("one", there, code=5))
        self.assertIn("holds another run", self.fetch("one", here, "--replace", code=5))
        self.fetch("one", self.folder, "--replace", code=3)
        evaluated = {
            path.name: path.read_bytes() for path in there.glob("experiments/*/evaluations/*/*/*")
        }
        self.assertTrue(evaluated)
        self.fetch("one", there, "--replace", "--all_checkpoints")
        self.assertEqual(
            {
                path.name: path.read_bytes()
                for path in there.glob("experiments/*/evaluations/*/*/*")
            },
            evaluated,
        )
        self.assertEqual(len(self.checkpoints(there)), len(self.checkpoints(self.folder / "state")))
        self.assertEqual(self.hash(there), self.hash(here))
        self.assertEqual(list(self.folder.glob("*.part")), [])
        self.assertIn("no experiment", self.fetch("two", self.folder / "two", code=3))
        self.assertFalse((self.folder / "two").exists())

    def test_a_table_shows_it_beside_another_run(self):  # Nightly
        self.start_workers(self.address, 2)
        self.create_experiment(self.address, "one", "--wait")
        there, other = self.folder / "there", self.folder / "other"
        self.fetch("one", there)
        self.run_hash(other, *sets("seed=2"))
        self.run_to_end("mentor", "report", other, there, "--out", self.folder / "both")
        self.assertTrue((self.folder / "both" / "comparison.html").exists())

    def test_what_agents_achieve_beside_their_signal(self):  # Nightly
        """Small, so that an episode crosses the border of two inner iterations (50 steps, episodes
        of 20)."""
        settings = sets(
            "lifetime.iterations=6",
            "lifetime.steps_per_iteration=50",
            "rule.outer_updates=6",
            "rule.lifetimes_per_update=3",
            "rule.shard_lifetimes=3",
            "checkpoint.every=1",
            "evaluation.baseline=PPO_SHAPED",
        )
        self.start_workers(self.address, 2)
        self.create_experiment(self.address, "one", *settings, "--wait", spec=POINT_MASS)
        here, there = self.folder / "here", self.folder / "there"
        self.fetch("one", there)
        self.assertEqual(self.hash(there), self.run_hash(here, *settings, spec=POINT_MASS))
        tables = []
        for run in (here, there):
            said = self.run_to_end("mentor", "report", run, "--last_episodes", 4)
            self.assertIn("Over the last 4 episodes of an agent, after 300 environment steps", said)
            tables.append((run / "report" / "last_episodes.csv").read_text())
        self.assertEqual(*tables)
        rows = list(csv.DictReader(tables[0].splitlines()))
        # An agent's iteration has two collections: after 600 steps, and at the end of PPO.
        self.assertEqual(
            [(row["agents"], row["env steps"], row["number"]) for row in rows],
            [
                ("agents beside their signal", "600", "3"),
                ("agents beside their signal", "300", "3"),
                ("learned", "600", "1"),
                ("PPO shaped", "300", "1"),
            ],
        )
        self.assertEqual({row["episodes of each"] for row in rows}, {"4"})

        other = self.folder / "other"
        self.run_hash(other)
        self.assertIn(
            "no episodes of agents that learned beside their signal",
            self.run_to_end("mentor", "report", other, "--last_episodes", 4, code=2),
        )

    def test_a_checkpoint_of_another_experiment_is_refused(self):
        self.start_workers(self.address, 2)
        for seed, name in enumerate(("one", "two")):
            self.create_experiment(self.address, name, *sets(f"seed={seed}"), "--wait")
        newest = sorted((self.folder / "state").glob("experiments/*/checkpoints/00000004.ckpt"))
        first, second = (file.read_bytes() for file in newest)
        newest[0].write_bytes(second)
        newest[1].write_bytes(first)
        for name in ("one", "two"):
            out = self.folder / name
            said = self.fetch(name, out, code=1)
            self.assertIn("is damaged, or of another experiment or outer update", said)
            self.assertFalse(out.exists())
        # The folders of the service have no hash either.
        said = self.run_to_end("mentor", "hash", self.folder / "state")
        self.assertEqual(said.count("it belongs to experiment"), 2)
        self.assertEqual(said.count("error: the newest checkpoint is damaged"), 2)

    def curve(self, run):
        """Returns the values that do not depend on time, by outer update."""
        with open(run / "records" / "training.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 4)
        return [
            {
                name: value
                for name, value in row.items()
                if not name.endswith(("_seconds", "_bytes"))
            }
            for row in rows
        ]

    def test_what_is_at_work_or_never_began(self):  # Nightly
        self.create_experiment(self.address, "young", *sets("rule.outer_updates=100000"))
        self.assertRegex(
            self.fetch("young", self.folder / "young"), "(QUEUED|RUNNING), outer update 0 of 100000"
        )
        self.start_workers(self.address, 2, env=SLOWLY)
        self.wait_for_checkpoints(self.folder / "state", 2)
        self.assertIn("RUNNING", self.fetch("young", self.folder / "at_work"))
        self.hash(self.folder / "at_work")
        # A report takes longer than all else here.
        self.run_to_end("mentor", "report", self.folder / "at_work")
        self.mentorctl(self.address, "cancel", "young")
        self.mentorctl(self.address, "wait", "young", code=7)
        self.assertIn("CANCELLED", self.fetch("young", self.folder / "ended"))
        self.write_records(self.folder / "ended")

    def test_killed_anywhere_it_goes_on(self):
        self.start_workers(self.address, 2)
        self.create_experiment(self.address, "one", "--wait")
        out = self.folder / "out"
        for point in ("fetch.file=1:kill", "fetch.file=9:kill", "fetch.before_rename=1:kill"):
            with self.subTest(point=point):
                process = self.start(
                    "mentor",
                    "fetch",
                    "one",
                    "--server",
                    self.address,
                    "--out",
                    out,
                    env={"MENTOR_FAILPOINTS": point},
                )
                self.assertEqual(process.wait(), -9, process.output())
                self.assertFalse(out.exists(), "half a run")
        self.fetch("one", out)
        self.write_records(out)
        self.assertEqual(len(self.curve(out)), 4)
        # The fetch is killed while it replaces an older copy: the older copy comes back.
        (next(out.glob("experiments/*")) / "evaluations" / "mine").mkdir(parents=True)
        process = self.start(
            "mentor",
            "fetch",
            "one",
            "--server",
            self.address,
            "--out",
            out,
            "--replace",
            env={"MENTOR_FAILPOINTS": "fetch.between_renames=1:kill"},
        )
        self.assertEqual(process.wait(), -9, process.output())
        self.fetch("one", out, code=5)
        self.fetch("one", out, "--replace")
        self.assertTrue(list(out.glob("experiments/*/evaluations/mine")))
        self.assertEqual(
            [path.name for path in self.folder.iterdir() if path.name.startswith("out")], ["out"]
        )

    def test_two_of_one_folder_do_not_mix(self):
        self.create_experiment(self.address, "one")
        out, parts = self.folder / "run", self.folder / "run.part"
        parts.mkdir()
        with (parts / "LOCK").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            said = self.fetch("one", out, code=5)
        self.assertIn("run.part/LOCK is in use by another process", said)
        self.assertFalse(out.exists())
        self.fetch("one", out)
        self.assertFalse(parts.exists())
        # A failure leaves nothing where nothing was received.
        self.fetch("none", self.folder / "other", code=3)
        self.assertEqual(list(self.folder.glob("*.part")), [])

    def test_a_signal_ends_it(self):
        process = self.start(
            "mentor",
            "fetch",
            "one",
            "--server",
            "127.0.0.1:1",
            "--timeout",
            "60",
            "--out",
            self.folder / "out",
        )
        process.wait_for("waiting for the server")
        process.signal(SIGINT)
        self.assertEqual(process.wait(), 130, process.output())
        self.assertIn("run the same command to continue", process.output())
