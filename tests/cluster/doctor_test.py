"""`mentor doctor` names what is wrong with worlds in which nothing is learned, and finds nothing
where something is."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from harness import BIN, ROOT, ClusterTest

sys.path.insert(0, str(ROOT / "tests" / "python"))
import gym_host  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
PAGE = ROOT / "docs/it_does_not_learn.md"
FOUND, USAGE = 3, 2
DEADLINE_S = 400
SPEC = """
base: "point_reach"
clear: "benchmark"
benchmark {{
  name: "single" environment: "host"
  option {{ name: "host" value: "field" }}
  option {{ name: "id" value: "Field-v0" }}
  option {{ name: "independent_episodes" value: "true" }}
  {options}
}}
lifetime {{ iterations: {iterations} steps_per_iteration: 50 }}
agent {{ learning_rate: {rate} }}
evaluation {{ goals: 1 }}
"""


class DoctorTest(ClusterTest):
    def doctor(self, *words):
        return subprocess.run(
            [BIN / "mentor", "doctor", "--quiet", *words],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    def problems(self, rate="0.02", iterations=4, steps=30_000, **options):
        lines = "\n".join(
            f'option {{ name: "{name}" value: "{value}" }}' for name, value in options.items()
        )
        spec = self.folder / "field.txtpb"
        spec.write_text(SPEC.format(options=lines, rate=rate, iterations=iterations))
        path = os.pathsep.join([*gym_host.path_of(self.folder / "packages"), str(HERE)])
        host = f"field=env PYTHONPATH={path} {sys.executable} -m mentor_env --import unlearnable"
        done = self.doctor(spec, "--simulator", host, "--steps", str(steps), "--json")
        self.assertIn(done.returncode, (0, FOUND), done.stderr)
        found = json.loads(done.stdout)["findings"]
        names = [finding["id"] for finding in found if finding["problem"]]
        self.assertEqual(done.returncode, FOUND if names else 0)
        return names, [finding["id"] for finding in found if not finding["problem"]], done.stdout

    def test_nothing_is_wrong_where_agents_learn(self):  # Nightly
        names, notes, said = self.problems()
        self.assertEqual((names, notes), ([], []), said)

    def test_success_is_impossible(self):  # Nightly
        names, _, said = self.problems(radius=1e-9)
        self.assertEqual(names, ["success-impossible"], said)

    def test_success_is_too_rare(self):  # Nightly
        _, notes, said = self.problems(radius=0.05)
        self.assertEqual(notes, ["success-too-rare"], said)

    def test_the_reward_has_the_wrong_sign(self):  # Nightly
        names, _, said = self.problems(sign=-1)
        self.assertEqual(names, ["reward-against-success"], said)

    def test_the_lifetime_is_too_short(self):
        names, _, said = self.problems(rate="3e-4", iterations=3)
        self.assertEqual(names, ["lifetime-too-short"], said)

    def test_success_that_does_not_move_is_a_problem_at_every_budget(self):  # Nightly
        # The reward pays for each step, wherever it leads, so the return creeps up.
        for steps in (20_000, 100_000):  # The second is the default of such simulators.
            with self.subTest(steps=steps):
                names, _, said = self.problems(iterations=3, steps=steps, drift=1)
                shutil.rmtree(self.folder / "packages")
                self.assertEqual(names, ["success-does-not-move"], said)
                self.assertIn("success does not move in this lifetime", said)
                self.assertEqual(json.loads(said)["shaped"]["success"], "does not move")

    def test_observations_have_unlike_scales(self):  # Nightly
        # A third of the steps tries agents with normalised observations.
        names, _, said = self.problems(pascal=101_300, steps=60_000)
        self.assertEqual(names, ["observations-unlike-scales"], said)

    def test_a_ready_spec_learns_and_numbers_come_again(self):  # Nightly
        first, second = self.doctor("point_reach"), self.doctor("point_reach", "--threads", "5")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(first.stdout, second.stdout)
        self.assertIn("Nothing was found", first.stdout)
        self.assertIn("Next         mentor run point_reach\n", first.stdout)
        third = self.doctor("point_reach", "--set", "agent.epochs=9", "--set", "display_name='a b'")
        self.assertIn("--set agent.epochs=9 --set 'display_name=", third.stdout)

    def test_agents_that_diverge_are_a_finding(self):
        done = self.doctor("point_reach", "--set", "agent.learning_rate=10")
        self.assertEqual(done.returncode, FOUND, done.stderr)
        self.assertIn("PROBLEM agents-diverge", done.stdout)

    def test_a_wrong_spec_is_refused_by_field(self):
        done = self.doctor("point_reach", "--set", "agent.gamma=2")
        self.assertEqual(done.returncode, USAGE)
        self.assertIn("--set agent.gamma=2", done.stderr)

    def test_a_run_says_whether_it_learned_as_its_report_does(self):  # Nightly
        run = self.folder / "run"
        said = self.run_spec(run, report=True)
        done = self.doctor(run)
        self.assertIn(done.returncode, (0, FOUND), done.stderr)
        asked = json.loads(self.doctor(run, "--json").stdout)
        self.assertIn(asked["sentence"], done.stdout)
        self.assertIn(asked["sentence"], said)
        self.assertEqual(done.returncode, FOUND if asked["answer"] == "nothing" else 0)
        self.assertIn("evaluation", asked)
        for step in asked["next"]:
            self.assertIn(f"{step['text']}:\n  {step['command']}\n", done.stdout)
            self.assertIn(f"{step['text']}: {step['command']}\n", said)
            self.assertIn(f"\n| {re.split('[,:]', step['text'])[0]}", PAGE.read_text())
        # What it advises can be done.
        more = next(step for step in asked["next"] if "outer_updates" in step["command"])
        self.assertRegex(more["text"], r"^More updates, 200 in place of \d+$")
        self.run_to_end(*more["command"].split(), "--check")
        refused = self.doctor(run, "--set", "seed=2")
        self.assertEqual(refused.returncode, USAGE)
        self.assertIn("is a run, which the doctor only reads", refused.stderr)
