"""mentor-sweep: a study finds the same, whatever ended the program before. Every trial is one
experiment, and a wrong study is refused as a whole."""

import importlib
import os
import re
import pathlib
import signal
import subprocess
import sys
import unittest

import studies

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))
import hosts_test  # noqa: E402
import postgres  # noqa: E402
from harness import BIN, SMOKE, ClusterTest  # noqa: E402

STUDY = """
name: rates
spec: SPEC
set:
  rule.outer_updates: 4
  evaluation.goals: 2
  evaluation.baseline: PPO_SPARSE
parameters:
  rule.learning_rate: {low: 1e-4, high: 1e-1, log: true}
  rule.epochs: {type: int, low: 1, high: 4}
  agent.gamma: {choices: [0.8, 0.9]}
objective: {metric: shaped_return, at: {mean: 2}}
trials: 5
seeds: [1, 2]
sampler: {startup_trials: 2}
pruner: {name: hyperband, min_updates: 1}
labels: {team: a, stage: x}
class: high
"""
CREATE = "mentor_client.client:Client.create"


def setUpModule():
    global mentor_client
    studies.Programs.CLIENT = studies.require()
    import mentor_client


class SweepTest(studies.Programs, ClusterTest):
    def setUp(self):
        super().setUp()
        self.study = self.folder / "study.yaml"
        self.write()

    def write(self, *replacements, text=STUDY):
        for old, new in replacements:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.study.write_text(text.replace("SPEC", str(SMOKE)))

    def service(self, name="state", threads=2):
        """threads: 0: nobody works yet."""
        _, address = self.start_meta_learner(self.folder / name)
        if threads:
            self.start_workers(address, threads)
        return address

    def sweep(self, *arguments, **options):
        return self.program("sweep", self.study, *arguments, **options)

    def trials(self, storage=None):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.load_study(
            storage=storage or f"sqlite:///{self.folder}/rates.db", study_name="rates"
        )
        return study.trials

    def found(self, **options):
        """The results that do not depend on time."""
        return [
            (one.number, one.state.name, one.params, one.value, one.intermediate_values)
            for one in self.trials(**options)
        ]

    def experiments(self, address):
        with mentor_client.Client(address) as client:
            return {one.id: one for one in client.list(page_size=1000)}

    def test_a_study_killed_anywhere_finds_the_same(self):  # Nightly
        here = self.service("here")
        self.sweep("--server", here)
        wanted = self.found()
        self.assertEqual(len(wanted), 5)
        states = {state for _, state, *_ in wanted}
        self.assertLessEqual(states, {"COMPLETE", "PRUNED"})
        self.assertIn("COMPLETE", states)
        (self.folder / "rates.db").unlink()

        there, killed = self.service("there"), 0
        for method, place, number in (
            (CREATE, "before", 1),
            (CREATE, "after", 1),
            ("optuna.study:Study.ask", "after", 1),
            ("optuna.trial:Trial.suggest_int", "after", 1),
            ("optuna.trial:Trial.report", "after", 2),
            ("optuna.study:Study.tell", "before", 1),
            ("optuna.study:Study.tell", "after", 2),
            ("mentor_client.client:Client.cancel", "before", 1),
        ):
            with self.subTest(f"{place} {method} {number}"):
                child = self.begin(
                    "sweep", self.study, "--server", there, kill=(method, place, number)
                )
                output, _ = child.communicate(timeout=400)
                # The pruner decides whether anything is cancelled.
                self.assertIn(child.returncode, (-9, 0), output)
                killed += child.returncode == -9
        self.assertGreaterEqual(killed, 7)
        self.sweep("--server", there)
        self.assertEqual(self.found(), wanted)
        made = self.experiments(there)
        self.assertEqual(
            sorted(made),
            sorted(f"rates-t{trial:04d}-s{seed}" for trial in range(5) for seed in (1, 2)),
        )
        self.assertEqual(sorted(made), sorted(self.experiments(here)))
        for id, experiment in made.items():
            self.assertTrue(experiment.is_final, id)
            self.assertEqual(experiment.labels["trial"], str(int(id[7:11])))
            self.assertEqual(
                (experiment.labels["team"], experiment.labels["sweep"]), ("a", "rates")
            )
            self.assertEqual(experiment.proto.priority, 3)

    def test_an_interruption_that_comes_upon_a_finaliser(self):
        code = """
import os, signal, sys
from mentor_client import command
def interrupt(finalised):
    os.kill(os.getpid(), signal.SIGINT)  # Python ignores what is raised here.
Finalised = type("Finalised", (), {"__del__": interrupt})
def action():
    Finalised()
    command.check_interrupted()
    return 0
sys.exit(command.run("program", action))
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=100,
            env=self.environment(),
        )
        self.assertEqual(done.returncode, 130, done.stderr)
        self.assertIn("Exception ignored", done.stderr)
        self.assertIn("the same command continues", done.stderr)

    def test_what_is_behind_is_cancelled(self):  # Nightly
        address = self.service()
        # Long after the first look for pruned trials.
        self.write(
            ("rule.outer_updates: 4", "rule.outer_updates: 300"),
            ("  rule.learning_rate: {low: 1e-4, high: 1e-1, log: true}\n", ""),
            ("  rule.epochs: {type: int, low: 1, high: 4}\n", ""),
            ("trials: 5", "trials: 8"),
            ("seeds: [1, 2]", "parallel: 4\nseeds: 1"),
            ("name: hyperband, min_updates: 1", "name: hyperband, min_updates: 20, factor: 10"),
        )
        child = self.begin("sweep", self.study, "--server", address)
        lines = []
        while not any("pruned after outer update" in line for line in lines):
            lines.append(child.stdout.readline())
            self.assertTrue(lines[-1], lines)
        self.assertIn("at work already", self.sweep("--server", address, code=5))
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=100)
        self.assertEqual(child.returncode, 130, output)
        self.assertIn("the same command continues", output)
        pruned = [one for one in self.trials() if one.state.name == "PRUNED"]
        self.assertTrue(pruned)
        for one in pruned:
            id = f"rates-t{one.number:04d}-s1"
            with mentor_client.Client(address) as client:
                experiment = client.get(id)
                if not experiment.is_final:
                    experiment.wait(("CANCELLED",), timeout=60)
                self.assertEqual(experiment.state, "CANCELLED")
                self.assertEqual(experiment.error.message, "pruned by study rates")
        self.assertIn("experiments cancelled", self.sweep("--cancel", "--server", address))
        with mentor_client.Client(address) as client:
            for one in self.experiments(address).values():
                if not one.is_final:
                    client.get(one.id).wait(("CANCELLED",), timeout=60)

    def test_an_evaluation_is_sought_and_confirmed_on_fresh_seeds(self):  # Nightly
        address = self.service()
        self.write(
            (
                "objective: {metric: shaped_return, at: {mean: 2}}",
                "objective: {evaluation: return}",
            ),
            (
                "pruner: {name: hyperband, min_updates: 1}",
                "confirm: {seeds: [11, 12]}\nparallel: 3",
            ),
            ("trials: 5", "trials: 3"),
        )
        said = self.sweep("--server", address, "--plots", "plots")
        best = max(self.trials(), key=lambda one: one.value)
        self.assertIn("fresh seeds: trial", said)
        self.assertRegex(said, r"difference -?[\d.e-]+, standard error [\d.e-]+, 2 fresh seeds")
        made = self.experiments(address)
        self.assertEqual(len(made), 3 * 2 + 2 * 2)
        with mentor_client.Client(address) as client:
            values = {}
            for seed in (1, 2):
                (result,) = [
                    one
                    for one in client.evaluation(f"rates-t{best.number:04d}-s{seed}")
                    if (one.split, one.method) == ("test", "learned")
                ]
                values[str(seed)] = result.numbers["return"]
        self.assertEqual(best.user_attrs["mentor.by_seed"], values)
        self.assertAlmostEqual(best.value, sum(values.values()) / 2)
        for name in ("history", "importance", "parallel"):
            self.assertTrue(
                (self.folder / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
            )
        self.assertIn("3 complete", self.sweep("--show"))

        # A deleted one is made again.
        (gone, *_) = sorted({one for one in made if not re.match(r"rates-t\d+-s", one)})
        with mentor_client.Client(address) as client:
            client.delete(gone)
        self.assertIn("fresh seeds: trial", self.sweep("--server", address))
        self.assertEqual(sorted(self.experiments(address)), sorted(made))

        # Another study of the same name does not take over foreign experiments.
        (self.folder / "rates.db").unlink()
        said = self.sweep("--server", address, code=5)
        self.assertIn("is not of this study", said)
        self.assertIn("mentorctl list --label sweep=rates", said)

    def test_a_grid_tries_every_combination_once(self):  # Nightly
        import csv

        address = self.service()
        self.write(
            ("spec: SPEC", "spec: SPEC\nsampler: grid"),
            ("{low: 1e-4, high: 1e-1, log: true}", "{choices: [1e-3, 1e-2]}"),
            ("  rule.epochs: {type: int, low: 1, high: 4}\n", ""),
            ("trials: 5\n", ""),
            ("sampler: {startup_trials: 2}\npruner: {name: hyperband, min_updates: 1}\n", ""),
        )
        said = self.sweep("--dry_run", "--server", address)
        self.assertIn("4 trials of 4 outer updates, 4 at once, seeds 1, 2", said)
        self.assertEqual(self.experiments(address), {})
        child = self.begin("sweep", self.study, "--server", address, kill=(CREATE, "after", 3))
        child.communicate(timeout=400)
        self.assertEqual(len(self.experiments(address)), 3)
        self.assertIn("4 complete", self.sweep("--server", address))
        tried = {tuple(one.params.values()) for one in self.trials()}
        self.assertEqual(
            tried, {(rate, gamma) for rate in ("1e-3", "1e-2") for gamma in (0.8, 0.9)}
        )
        made = self.experiments(address)
        self.assertEqual(
            sorted(made), [f"rates-t{trial:04d}-s{seed}" for trial in range(4) for seed in (1, 2)]
        )
        said = self.sweep("--server", address)  # Again: nothing is missing.
        self.assertNotIn("begins", said)
        said = self.sweep("--show", "--metric", "seg0", "--csv", "all.csv", "--server", address)
        self.assertRegex(said, r"TRIAL +VALUE +STD ERROR +seg0 +rule.learning_rate +agent.gamma\n")
        self.assertEqual(len(said.splitlines()), 2 + 4)
        with open(self.folder / "all.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["state"] for row in rows], ["complete"] * 4)
        with mentor_client.Client(address) as client:
            for row in rows:
                values, segments = [], []
                for seed in (1, 2):
                    name = f"rates-t{int(row['trial']):04d}-s{seed}"
                    metrics = client.metrics(name, ["shaped_return", "seg0"])
                    values.append(sum(metrics["shaped_return"].mean[-2:]) / 2)
                    segments.append(sum(metrics["seg0"].mean[-2:]) / 2)
                    self.assertAlmostEqual(float(row[f"seed {seed}"]), values[-1])
                self.assertAlmostEqual(float(row["value"]), sum(values) / 2)
                self.assertAlmostEqual(float(row["seg0"]), sum(segments) / 2)

    def test_without_a_service(self):
        self.assertIn("--local brings one", self.sweep("--server", "127.0.0.1:1", "--dry-run"))
        said = self.sweep("--server", "127.0.0.1:1", code=6)
        self.assertIn("mentor-meta-learner --state state", said)
        path = {"PATH": f"{BIN}:/usr/bin:/bin"}
        self.write(("trials: 5", "trials: 2"), ("seeds: [1, 2]", "seeds: 1"))
        said = self.sweep("--local", **path)
        self.assertIn("2 complete", said)
        said = self.sweep("--local", "--best", "1", **path)
        self.assertNotIn("begins", said)
        self.assertIn("--local needs", self.sweep("--local", PATH="/usr/bin:/bin", code=5))
        self.write(("trials: 5", "trials: 2"), ("seeds: [1, 2]", "seeds: 2"))
        self.assertIn("began with other values of seeds", self.sweep("--local", code=5, **path))

    @unittest.skipIf(postgres.programs() is None, "postgresql is not installed")
    def test_the_storage_may_be_postgresql(self):  # Nightly
        server = postgres.PostgresServer()
        self.addCleanup(server.close)
        storage = server.address(server.new_database()).replace("postgresql", "postgresql+psycopg2")
        self.write(("trials: 5", f"storage: {storage}\ntrials: 3"))
        address = self.service()
        child = self.begin("sweep", self.study, "--server", address)
        while "trial 0 begins" not in (line := child.stdout.readline()):
            self.assertTrue(line)
        child.send_signal(signal.SIGSTOP)
        # On whatever machine.
        self.assertIn("at work already", self.sweep("--server", address, code=5))
        child.kill()
        child.wait(10)
        self.sweep("--server", address)
        self.assertEqual(len(self.found(storage=storage)), 3)
        self.assertEqual(len(self.experiments(address)), 6)

    def test_a_service_of_its_own_that_loses_a_program(self):  # Nightly
        self.write(("rule.outer_updates: 4", "rule.outer_updates: 5000"))
        path = {"PATH": f"{BIN}:/usr/bin:/bin"}
        child = self.begin("sweep", self.study, "--local", **path)
        while "trial 0 begins" not in (line := child.stdout.readline()):
            self.assertTrue(line)
        children = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        (actor,) = [
            int(pid)
            for pid in children
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "mentor-actor"
        ]
        os.kill(actor, signal.SIGKILL)
        said, _ = child.communicate(timeout=100)
        self.assertEqual(child.returncode, 5, said)
        self.assertIn("mentor-actor of the service here has ended (signal 9)", said)

    def test_a_service_of_its_own_offers_hosts(self):
        host = f"block={BIN.parent / 'tests' / 'example_host'}"
        spec = self.folder / "hosted.txtpb"
        spec.write_text(hosts_test.of_host("block"))
        spec = hosts_test.HostsTest.with_facts(self, spec, host)
        self.write(("SPEC", str(spec)), ("trials: 5", "trials: 1"), ("seeds: [1, 2]", "seeds: 1"))
        path = {"PATH": f"{BIN}:/usr/bin:/bin"}
        said = self.sweep("--local", code=2, **path)
        self.assertIn("environment is of simulator 'block'; give --simulator block='COMMAND'", said)
        said = self.sweep("--simulator", host, code=2, **path)
        self.assertIn("--simulator goes with --local", said)
        self.assertIn("1 complete", self.sweep("--local", "--host", host, **path))

    def test_what_no_experiment_reports_is_refused_before_the_first_trial(self):  # Nightly
        address = self.service(threads=0)
        metric, pruner = "{metric: shaped_return, at: {mean: 2}}", "name: hyperband"
        for objective, compared, wanted in (
            (
                "{metric: shaped_retrun}",
                "",
                "objective.metric is 'shaped_retrun', which the experiments do not report; did you "
                "mean 'shaped_return'?",
            ),
            # Other rules have it; other specs have more inner iterations, methods, splits.
            ("{metric: success}", "", "objective.metric is 'success', which"),
            ("{metric: seg7}", "", "objective.metric is 'seg7', which"),
            ("{metric: shaped_return/point_reach}", "", "did you mean 'shaped_return'?"),
            ("{evaluation: last}", ", metric: met_return", "did you mean 'meta_return'?"),
            (
                "{evaluation: last, method: lerned}",
                ", metric: meta_return",
                "did you mean 'evaluation/test/learned/last'?",
            ),
            ("{evaluation: seg7}", ", metric: meta_return", "learned/seg7', which"),
            ("{evaluation: last, method: ppo_shaped}", ", metric: meta_return", "ppo_shaped/last'"),
            ("{evaluation: last, split: tets}", ", metric: meta_return", "'evaluation/tets/"),
        ):
            with self.subTest(objective):
                self.write((metric, objective), (pruner, pruner + compared))
                for arguments in (("--dry_run",), ()):
                    said = self.sweep("--server", address, *arguments, code=2)
                    self.assertIn(wanted, said)
        self.assertFalse((self.folder / "rates.db").exists())
        self.assertEqual(self.experiments(address), {})
        # The last study needs no running service: it starts its own, and leaves nothing behind.
        path = {"PATH": f"{BIN}:/usr/bin:/bin"}
        self.assertIn("'evaluation/tets/", self.sweep("--dry_run", "--local", code=2, **path))
        self.write()
        self.assertIn("service accepts it", self.sweep("--dry_run", "--local", **path))
        self.assertFalse((self.folder / "rates.service").exists())

    def test_a_metric_that_nobody_has(self):  # Nightly
        address = self.service(threads=0)
        # This metric belongs to the rule that another setting asks for.
        self.write(("metric: shaped_return", "metric: outer_grad_norm"))
        child = self.begin("sweep", self.study, "--server", address)
        while "trial 0 begins" not in (line := child.stdout.readline()):
            self.assertTrue(line)
        self.wait_until(lambda: len(self.experiments(address)) == 2, "the experiments of a trial")
        child.kill()
        child.wait(10)
        (begun,) = self.trials()
        # Corrected under the same name, with the present settings and experiments.
        self.write(("trials: 5", "trials: 1"))
        self.start_workers(address, 2)
        said = self.sweep("--server", address)
        self.assertIn("trial 0 goes on", said)
        (ended,) = self.trials()
        self.assertEqual((ended.state.name, ended.params), ("COMPLETE", begun.params))
        self.assertEqual(sorted(self.experiments(address)), ["rates-t0000-s1", "rates-t0000-s2"])
        self.write(("metric: shaped_return", "metric: meta_return"), ("trials: 5", "trials: 2"))
        said = self.sweep("--server", address, code=5)
        self.assertIn("began with other values of objective; give it another name", said)

    def test_what_is_sought_may_be_corrected_while_nothing_was_found(self):
        from mentor_client.sweep.study import Study
        from mentor_client.sweep.study_file import read_study

        storage = f"storage: sqlite:///{self.folder}/NAME.db\ntrials: 5"
        metric = "objective: {metric: shaped_return, at: {mean: 2}}"
        pruner = "pruner: {name: hyperband, min_updates: 1}"

        def begin(name, objective=metric, **other):
            self.write(
                ("name: rates", f"name: {name}"),
                ("trials: 5", storage.replace("NAME", name)),
                (metric, objective),
                (pruner, other.get("pruner", pruner)),
                ("seeds: [1, 2]", other.get("seeds", "seeds: [1, 2]")),
            )
            return Study(read_study(self.study), None, print).study

        def refused(name, what, *arguments, **other):
            with self.assertRaisesRegex(
                mentor_client.MentorError, f"other values of {what}; .*while no trial has a value"
            ):
                begin(name, *arguments, **other)

        states = importlib.import_module("optuna").trial.TrialState
        last = "objective: {metric: shaped_return}"
        evaluation = {
            "objective": "objective: {evaluation: last}",
            "pruner": "pruner: {name: hyperband, metric: shaped_return}",
        }
        study = begin("a")
        study.tell(study.ask(), state=states.FAIL)
        trial = study.ask()
        uid = study.user_attrs["mentor.uid"]
        self.assertEqual(begin("a", last).user_attrs["mentor.uid"], uid)
        refused("a", "objective", "objective: {metric: shaped_return, direction: minimise}")
        refused("a", "objective, seeds", seeds="seeds: [1]")
        trial.report(1.0, 1)
        begin("a", last)
        refused("a", "objective")
        # Values that the pruner has seen are not values of an evaluation.
        begin("a", **evaluation)
        study.tell(trial, 1.0)
        begin("a", **evaluation)
        refused("a", "objective", last)
        self.assertEqual(begin("a", **evaluation).user_attrs["mentor.uid"], uid)

    def test_a_storage_that_is_damaged(self):
        (self.folder / "rates.db").write_bytes(b"no database" * 1000)
        said = self.sweep("--show", code=1)
        self.assertIn("file is not a database", said)
        self.assertNotIn("Traceback", said)

    def refused(self, text, *parts):
        """The messages of a dry run for a wrong study; no service is needed."""
        self.study.write_bytes(text if isinstance(text, bytes) else text.encode())
        said = self.sweep("--dry_run", "--server", "127.0.0.1:1", code=2)
        for part in (*parts, "INVALID_FIELD"):
            self.assertIn(part, said)
        for other in ("Traceback", "Warning", "codec", "Errno", "token"):
            self.assertNotIn(other, said)

    def test_files_that_cannot_be_looked_through(self):  # Nightly
        for text, part in (
            ("set: &x {a: *x}", "set.a contains itself; write values"),
            ("a: 1\nset: &x {<<: *x}", "set.<< contains itself; write values"),
            ("? &k [*k]\n: 1", "is not YAML"),
            ("trials: " + "[" * 3000, "trials has more than 8 levels; remove brackets"),
            ("[" * 3000, "the file has more than 8 levels"),
            (
                "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 3000)),
                "a7 has more than 8 levels",
            ),
            (
                "a0: &a0 [1]\n"
                + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 30)}]\n" for i in range(1, 7)),
                "is one of more than 100000 values; leave some out",
            ),
            ("name: 2024-99-99", "has a value that cannot be read"),
            ("trials: !!bool perhaps", "leave out words that begin with !!"),
            ("trials: 3\nset:\n\ta: 1", "line 3 has a tab between its words; write spaces"),
            ("trials: 3\nname: caf\xe9".encode("latin-1"), "not UTF-8 text in line 2; save it"),
        ):
            with self.subTest(text[:40]):
                self.refused(text, part)
        self.study = self.folder
        self.assertIn("is a folder; give the file of a study", self.sweep(code=2))
        self.study = self.folder / "none.yaml"
        said = self.sweep(code=2)
        self.assertIn("No such file or directory; give the file of a study", said)
        self.assertNotIn("Errno", said)

    def test_bounds_that_optuna_cannot_draw_between(self):
        self.refused(
            f"""
spec: {SMOKE}
parameters:
  rule.learning_rate: {{low: -1e308, high: 1e308}}
  rule.epochs: {{type: int, low: 1, high: 1e17}}
  agent.clip: {{low: 0, high: 1, step: 1e-300}}
objective: {{metric: seg2}}
trials: 3
""",
            "parameters.rule.learning_rate.low is -1e+308; give a number from -1e+300 to 1e+300",
            "parameters.rule.learning_rate.high is 1e+308; give a number from",
            "parameters.rule.epochs.high is 1e+17; give a number from -9.0072e+15 to 9.0072e+15",
            "parameters.agent.clip.step is 1e-300, too small from low to high; give more, or",
        )

    def test_a_grid_that_cannot_be(self):
        self.refused(
            f"""
spec: {SMOKE}
sampler: {{name: grid, seed: 3, startup_trials: 2}}
parameters:
  rule.learning_rate: {{low: 1e-3, high: 1e-2}}
  agent.gamma: {{choices: [0.8, 0.9]}}
objective: {{metric: seg2}}
""",
            "parameters.rule.learning_rate has no list; a grid needs choices: [...]",
            "sampler.seed goes with tpe: a grid tries every combination; leave it out",
            "sampler.startup_trials goes with tpe",
        )
        self.refused(
            f"""
spec: {SMOKE}
sampler: grid
parameters:
  agent.gamma: {{choices: [0.8, 0.9]}}
objective: {{metric: seg2}}
trials: 3
""",
            "trials is 3; give a whole number from 1 to 2",
        )
        # Seeds alone are a grid of one combination.
        self.study.write_text(
            f"spec: {SMOKE}\nsampler: grid\nobjective: {{metric: seg2}}\nseeds: 5\n"
        )
        said = self.sweep("--dry_run", "--server", "127.0.0.1:1")
        self.assertIn("1 trials, 1 at once, seeds 1, 2, 3, 4, 5", said)

    def test_fields_that_would_have_no_effect(self):  # Nightly
        (self.folder / "file").touch()
        self.write(
            ("rule.outer_updates: 4", "rule.outer_updates: 4\n  rule.option.epochs: 2"),
            ("evaluation.goals: 2", "evaluation.goals: 2\n  agent.gamma: 0.9"),
            ("class: high", "storage: sqlite:///file/new/study.db"),
        )
        self.refused(
            self.study.read_text(),
            "parameters.agent.gamma stands in set, too; remove one of the two",
            "parameters.rule.epochs stands in set, too",
            "storage is 'sqlite:///file/new/study.db', and its folder cannot be made in",
        )
        evaluation = ("objective: {metric: shaped_return, at: {mean: 2}}", "objective: SOUGHT")
        pruner = "pruner: {name: hyperband, min_updates: 1}"
        sought = ("SOUGHT", "{evaluation: return}")
        self.write(evaluation, sought, (pruner, "pruner: {min_updates: 2}"))
        self.refused(self.study.read_text(), "pruner.metric is missing")
        for given, name in (("pruner: {metric: shaped_return}", "hyperband"), ("", "none")):
            self.write(
                evaluation, sought, (pruner, given), ("class: high", "storage: sqlite:///new/a.db")
            )
            said = self.sweep("--dry_run", "--server", "127.0.0.1:1")
            self.assertIn(f"pruner {name};", said)
            self.assertIn(f"the folder {self.folder / 'new'} does not exist; the study", said)
            self.assertFalse((self.folder / "new").exists())

    def test_what_only_the_service_can_say(self):  # Nightly
        _, address = self.start_meta_learner(self.folder / "state")
        for old, new, part in (
            ("evaluation.goals", "evaluation.goal", "set.evaluation.goal EvaluationSpec has no"),
            ("goals: 2", "goals: much", "set.evaluation.goals is 'much'; give"),
            ("SPEC", "smok", "spec spec there is no spec 'smok'; did you mean 'smoke'?"),
            ("{mean: 2}", "{mean: 5}", "objective.at is mean: 5, and the spec makes 4 outer up"),
            ("min_updates: 1", "min_updates: 9", "pruner.min_updates is 9, and the spec makes 4"),
            ("agent.gamma", "agent.gama", "parameters.agent.gama with agent.gama=0.8: --set"),
            ("rule.epochs", "rule.epoch", "parameters.rule.epoch with rule.epoch=1:"),
        ):
            with self.subTest(new):
                self.write((old, new))
                self.assertIn(part, self.sweep("--dry_run", "--server", address, code=2))
        searched = "parameters:\n  rule.outer_updates: {type: int, low: 5, high: 9}"
        four, mean = ("  rule.outer_updates: 4\n", ""), ("{mean: 2}", "{mean: 5}")
        self.write(four, mean, ("parameters:", searched))
        self.assertIn("accepts it", self.sweep("--dry_run", "--server", address))

    def test_everything_wrong_is_said_at_once(self):
        self.study.write_text(
            """
spec: nothing.txtpb
parameters:
  rule.learning_rate: {low: 1e-1, high: 1e-4, log: yes please}
  rule.epochs: {type: int, low: 1.5, high: 4}
  agent.gamma: {choices: [0.8], low: 0.1}
  agent.clip: 3
objective: {metric: seg2, evaluation: last, at: sometime, direction: up}
trials: none
parralel: 3
seeds: [1, 1]
class: urgent
labels: {trial: "3"}
storage: mysql://x
pruner: {name: hyperbend}
sampler: {startup_trials: 0}
"""
        )
        said = self.sweep("--dry_run", code=2)
        for part in (
            "spec is 'nothing.txtpb', and there is no such file",
            "parameters.rule.learning_rate.log is 'yes please'; give true or false",
            "parameters.rule.learning_rate.high is 0.0001; give more than low, 0.1",
            "parameters.rule.epochs.low is 1.5; give a whole number",
            "parameters.agent.gamma.choices is [0.8]; give a list of two or more",
            "parameters.agent.gamma.low does not go with choices",
            "parameters.agent.clip is 3; give fields",
            "objective.metric and objective.evaluation exclude each other",
            "objective.direction is 'up'; give one of maximise, minimise",
            "objective.at",
            "trials is 'none'; give a whole number from 1 to",
            "parralel is not known; did you mean 'parallel'?",
            "seeds is [1, 1]; give a list of different seeds",
            "class is 'urgent'; give one of low, normal, high",
            "labels.trial is written by mentor-sweep",
            "storage is 'mysql://x'; give sqlite:///",
            "pruner.name is 'hyperbend'; give one of hyperband, median, none",
            "sampler.startup_trials is 0; give a whole number from 1",
        ):
            self.assertIn(part, said)
        self.study.write_text(
            f"""
name: {'a' * 40}
spec: {SMOKE}
set: {{seed: 4}}
parameters:
  rule.epochs: {{type: int, low: 1, high: 4, step: 0.5}}
  rule.learning_rate: {{low: 1{'0' * 400}, high: 1e-1}}
  rule.learning_rate: {{low: 1e-3, high: 1e-2}}
  agent.epochs: {{choices: [1, 1.0]}}
  agent.clip: {{low: 0.1, high: 0.3, step: 0.2}}
  agent.gamma: {{low: 0.8, high: 0.9, step: 1}}
objective: {{metric: seg2}}
trials: 3
trials: 4
seeds: [{2**64 - 1}]
confirm: {{seeds: [{2**64}]}}
storage: "sqlite:///:memory:"
"""
        )
        said = self.sweep("--dry_run", code=2)
        for part in (
            "name is too long: experiments would be called as",
            "set.seed is not set here",
            "parameters.rule.epochs.step is 0.5; give a whole number above 0",
            "parameters.rule.learning_rate stands there twice",
            "agent.epochs.choices is [1, 1.0]; give values that differ",
            "agent.gamma.step is 1, more than from low to high; give a smaller one",
            "  trials stands there twice",
            "confirm.seeds is [18446744073709551616]; give a list of different seeds (0 to",
            "storage is 'sqlite:///:memory:'; give sqlite:///",
        ):
            self.assertIn(part, said)
        self.assertNotIn("agent.clip.step", said)
        self.assertIn(
            "--best: is '0'; give a whole number from 1 on", self.sweep("--best=0", code=2)
        )
        self.study.write_text("a: [")
        self.assertIn("is not YAML", self.sweep(code=2))
        self.study.write_text("- a")
        self.assertIn("give fields", self.sweep(code=2))
        self.study.write_text("")
        self.assertIn("the file is empty; give fields", self.sweep(code=2))
        self.write()
        said = self.sweep("--show", code=5, libraries=False)
        self.assertIn("pip install './python[sweep]'", said)
        self.assertIn("examples:", self.program("sweep", "--help"))


if __name__ == "__main__":
    unittest.main()
