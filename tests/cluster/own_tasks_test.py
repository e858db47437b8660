"""Tasks of a user, by the command line. A folder with a model and task.txtpb is checked, shown and
drawn. It trains in one process, and in a service whose actors are killed and lose their caches.
So does a bundle with the discriminator of another run."""

import csv
import json
import pathlib
import re
import shutil
import subprocess
import unittest

from harness import ClusterTest, sets

BUNDLES = pathlib.Path(__file__).resolve().parents[2] / "deploy/bundles"
UPDATES = 6
RUN = sets(
    "benchmark.name=single",
    "benchmark.environment=mjcf",
    "lifetime.steps_per_iteration=150",
    "evaluation.goals=1",
    "evaluation.lifetimes_per_goal=2",
    f"rule.outer_updates={UPDATES}",
)


class CommandsTest(ClusterTest):
    def bundle(self, name="reacher"):
        folder = self.folder / name
        shutil.copytree(BUNDLES / name, folder)
        return folder

    def test_check_says_what_is_kept(self):
        folder = self.bundle()
        said = self.run_to_end("mentor", "env", "check", folder)
        self.assertNotIn("BROKEN", said)
        self.assertEqual(said.count("kept"), 7, said)
        self.assertIn("steps a second", said)
        said = self.run_to_end(
            "mentor", "env", "check", folder, "--json", "--wrapper", "time_feature"
        )
        report = json.loads(said)
        self.assertTrue(report["kept"])
        states = {one["state"] for one in report["promises"] if one["complaints"] == []}
        self.assertIn("kept", states)
        self.assertGreater(report["steps_per_second"], 1000)

    def test_check_says_what_is_broken(self):
        folder = self.bundle()
        task = folder / "task.txtpb"
        task.write_text(
            task.read_text() + 'reward { name: "late" expression: "1 / (step - 30)" }\n'
        )
        said = self.run_to_end("mentor", "env", "check", folder, code=1)
        self.assertIn("BROKEN        sizes, finite numbers", said)
        self.assertIn("reward 'late' of the bundle: a division by zero", said)
        self.assertIn("in step 30", said)

    def test_a_step_without_a_result_ends_its_episode_on_request(self):  # Nightly
        folder = self.bundle()
        task = folder / "task.txtpb"
        rare = "abs(action[0]) < 0.001 ? 1 / (step - step) : 0"
        task.write_text(task.read_text() + f'reward {{ name: "rare" expression: "{rare}" }}\n')

        def spec(name, wrapper):
            path = self.folder / f"{name}.yaml"
            path.write_text(
                "base: point_reach\n"
                f"benchmark: {{name: single, environment: mjcf{wrapper}}}\n"
                "lifetime: {iterations: 2, steps_per_iteration: 150}\n"
                "rule: {outer_updates: 3, lifetimes_per_update: 8, shard_lifetimes: 8}\n"
                "evaluation: {lifetimes_per_goal: 0}\n"
            )
            return path, "--bundle", folder

        bare = spec("bare", "")
        said = self.run_to_end(
            *("mentor", "run", *bare, "--no_report", "--out", self.folder / "bare"), code=1
        )
        self.assertIn('end episodes there by benchmark.wrapper { name: "failed_step" }', said)
        self.assertRegex(said, r"unit \S+ failed 1 times")  # Not again on the only actor.
        ended = spec("ended", ", wrapper: [{name: failed_step}]")
        hashes = set()
        for actors in (1, 3):
            out = self.folder / f"ended_{actors}"
            words = (*ended[1:], "--actors", actors, "--threads", 1)
            hashes.add(self.run_hash(out, *words, spec=ended[0]))
        self.assertEqual(len(hashes), 1)
        with (out / "metrics.csv").open() as file:
            counts = [float(row["failed_steps"]) for row in csv.DictReader(file)]
        self.assertGreater(sum(counts), 0)

    def test_what_is_wrong_with_a_task_is_said_at_once(self):
        folder = self.bundle()
        task = folder / "task.txtpb"
        task.write_text(
            task.read_text().replace('name: "tip"', 'name: "tipp"').replace("joint1", "join1")
        )
        said = self.run_to_end("mentor", "env", "check", folder, code=2)
        self.assertIn("unknown name 'tip'", said)
        self.assertIn("did you mean 'joint1'", said)
        said = self.run_to_end("mentor", "env", "show", task, code=2)
        self.assertIn("task.txtpb' is no folder; give the one with task.txtpb", said)
        (folder / "reacher.xml").write_text("<mujoco><worldbody><geom/></worldbody></mujoco>")
        said = self.run_to_end("mentor", "env", "show", folder, code=2)
        self.assertIn("model 'reacher.xml'", said)

    def test_show_and_render(self):
        folder = self.bundle()
        said = self.run_to_end("mentor", "env", "show", folder)
        self.assertIn("Bring the tip of a two-link arm to a target.", said)
        self.assertIn("reward_dist: -dist(tip, goal)", said)
        self.assertIn("10 numbers", said)
        out = self.folder / "task.png"
        said = self.run_to_end("mentor", "env", "render", folder, "--out", out, "--frames", 2)
        self.assertIn("random policy", said)
        self.assertTrue(out.read_bytes().startswith(b"\x89PNG"))

    def test_examples_are_put_together(self):
        subprocess.run(
            [BUNDLES / "assemble.py", "reach", self.folder / "reach"], check=True, timeout=60
        )
        said = self.run_to_end("mentor", "env", "check", self.folder / "reach")
        self.assertNotIn("BROKEN", said)


class TrainingTest(ClusterTest):
    def test_an_exported_signal_is_evaluated_with_its_bundle(self):  # Nightly
        bundle = BUNDLES / "inverted_pendulum"
        run, signal = self.folder / "run", self.folder / "signal"
        self.run_spec(run, *RUN, *sets("rule.outer_updates=1"), "--bundle", bundle)
        said = self.run_to_end("mentor", "export", run, "--out", signal)
        self.assertIn(f"mentor evaluate {signal} --bundle DIR", said)
        evaluate = [
            *("mentor", "evaluate", "--signal", signal, "--results", self.folder / "results"),
            *("--seeds", 1, "--lifetimes", 1, "--baselines", "none"),
        ]
        said = self.run_to_end(*evaluate, code=2)
        self.assertIn("give its folder with --bundle", said)
        said = self.run_to_end(*evaluate, "--bundle", BUNDLES / "nowhere", code=2)
        self.assertIn("--bundle", said)
        self.assertIn("1 lifetimes", self.run_to_end(*evaluate, "--bundle", bundle))
        render = ["mentor", "env", "render", "--policy", run, "--frames", 1, "--out"]
        said = self.run_to_end(*render, self.folder / "other.png", BUNDLES / "reacher")
        self.assertIn("live in another bundle, which is drawn", said)
        said = self.run_to_end(*render, self.folder / "own.png", bundle)
        self.assertNotIn("another bundle", said)

    def test_one_hash_wherever_it_runs(self):
        bundle = BUNDLES / "inverted_pendulum"
        alone = self.run_hash(self.folder / "alone", *RUN, "--bundle", bundle)
        again = self.run_hash(
            self.folder / "again", *RUN, "--bundle", bundle, "--actors", 2, "--threads", 2
        )
        self.assertEqual(again, alone)

        state = self.folder / "state"
        _, address = self.start_meta_learner(state)
        said = self.mentorctl(address, "bundles", "push", bundle)
        name = re.search("sha256:[0-9a-f]{64}", said).group()
        caches = [self.folder / "cache-0", self.folder / "cache-1"]
        learner, learner_address = self.start_learner(address, 0, "--metrics", "127.0.0.1:0")
        actors = [self.start_actor(learner_address, 1, "--bundle_cache", cache) for cache in caches]
        self.create_experiment(address, "own", *RUN, *sets(f"benchmark.bundle={name}"))
        self.wait_for_checkpoints(state, 1)
        actors[0].kill()
        shutil.rmtree(caches[0], ignore_errors=True)
        self.start_actor(learner_address, 1, "--bundle_cache", caches[0])
        actors[1].kill()
        self.wait_for_state(address, "own", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), alone)
        self.assertEqual(learner.metric('mentor_bundle_fetches_total{code="OK"}'), 1)
        size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
        self.assertEqual(learner.metric("mentor_bundle_fetched_bytes_total"), size)

    def test_tasks_of_a_trained_discriminator(self):  # Nightly
        skills, run = self.folder / "skills", self.folder / "diayn"
        small = sets("rule.outer_updates=5", "lifetime.iterations=5")
        self.run_spec(run, *small, spec="box_diayn")
        said = self.run_to_end("mentor", "export", run, "--discriminator", skills)
        self.assertIn(f"mentor run random_rewards_maml --bundle {skills}", said)
        self.assertEqual([file.name for file in skills.iterdir()], ["discriminator.safetensors"])
        train = sets("rule.outer_updates=1", "evaluation.lifetimes_per_goal=0")
        spec = "random_rewards_maml"
        random = self.run_hash(self.folder / "random", *train, spec=spec)
        trained = self.run_hash(self.folder / "trained", *train, "--bundle", skills, spec=spec)
        self.assertNotEqual(trained, random)
        again = self.run_hash(
            self.folder / "again", *train, "--bundle", skills, "--actors", 2, spec=spec
        )
        self.assertEqual(again, trained)
        said = self.run_to_end(
            *("mentor", "run", spec, *sets("benchmark.wrapper[0].classes=5")),
            *("--bundle", skills, "--out", self.folder / "five"),
            code=2,
        )
        self.assertIn("classes: is 5, but the discriminator tells 6 skills; set 6", said)

        _, address = self.start_meta_learner(self.folder / "state")
        name = re.search("sha256:[0-9a-f]{64}", self.mentorctl(address, "bundles", "push", skills))
        bundle = f"benchmark.wrapper[0].bundle={name.group()}"
        self.create_experiment(address, "skills", *train, *sets(bundle), spec=spec)
        self.start_workers(address, 1)
        self.wait_for_state(address, "skills", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(self.folder / "state"), trained)

    def test_an_experiment_waits_for_a_damaged_bundle(self):  # Nightly
        bundle = BUNDLES / "inverted_pendulum"
        state = self.folder / "state"
        server, address = self.start_meta_learner(state)
        said = self.mentorctl(address, "bundles", "push", bundle)
        name = re.search("sha256:[0-9a-f]{64}", said).group()
        self.create_experiment(address, "own", *RUN, *sets(f"benchmark.bundle={name}"))
        server.kill()
        model = state / "bundles" / name.removeprefix("sha256:") / "inverted_pendulum.xml"
        model.write_text("<mujoco/>")
        self.start_meta_learner(state, address)
        sentence = "push it again"
        self.wait_until(lambda: sentence in self.mentorctl(address, "get", "own"), sentence)
        self.assertEqual(self.get(address, "own")["state"], "STATE_RUNNING")
        self.mentorctl(address, "bundles", "push", bundle)
        self.start_workers(address, 1)
        self.wait_for_state(address, "own", "STATE_SUCCEEDED")


if __name__ == "__main__":
    unittest.main()
