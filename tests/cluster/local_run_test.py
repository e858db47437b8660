"""`mentor run` as a newcomer meets it: specs by name, every default, and progress during the run.
Also runs that continue from others, and a program installed without its sources."""

import csv
import os
import pathlib
import pty
import re
import shutil
import subprocess
import unittest

from harness import BIN, SMOKE, SPECS, ClusterTest, sets

UPDATES = 40
LONGER = sets(
    f"rule.outer_updates={UPDATES}", "evaluation.goals=1", "evaluation.baseline=PPO_SPARSE"
)


def rows(run):
    with open(run / "metrics.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def steps(run):
    return [int(row["outer_update"]) for row in rows(run)]


def without_times(table):
    return [
        {
            name: value
            for name, value in row.items()
            if "seconds" not in name and "memory" not in name
        }
        for row in table
    ]


class LimitsTest(ClusterTest):
    def test_a_limit_of_the_machine_is_an_error_in_words(self):
        run = (BIN / "mentor", "run", SMOKE, "--out", self.folder / "run", "--quiet")
        done = subprocess.run(
            ["prlimit", "--fsize=0", *run], capture_output=True, text=True, timeout=100
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"^error: .*File too large; raise .* \(ulimit -f\)")

    def test_an_address_that_is_none_names_its_flag(self):
        said = self.run_spec(self.folder / "run", "--metrics", ":", code=2)
        self.assertIn("--metrics: address ':': the host is missing", said)


class SpecTest(ClusterTest):
    def test_ready_specs_have_names(self):
        listed = self.run_to_end("mentor", "run", "--list")
        for spec in SPECS.glob("*.txtpb"):
            self.assertRegex(listed, rf"(?m)^  {spec.stem} +\S")
        by_name = self.run_to_end("mentor", "run", "smoke", "--check")
        by_path = self.run_to_end("mentor", "run", SPECS / "smoke.txtpb", "--check")
        self.assertEqual(by_name, by_path)
        steps = r"meta-training: at most 4 outer updates of ([\d,]+) environment steps, ([\d,]+) in"
        one, all_of_them = re.search(steps, by_name).groups()
        self.assertEqual(4 * int(one.replace(",", "")), int(all_of_them.replace(",", "")))
        wrong = self.run_to_end("mentor", "run", "point_raech", code=2)
        self.assertIn("there is no spec 'point_raech'; did you mean 'point_reach'", wrong)
        wrong = self.run_to_end("mentor", "run", "nothing_like_it", code=2)
        self.assertIn("give a file, or a name of those that come with Mentor: box_diayn", wrong)
        wrong = self.run_to_end("mentor", "run", "deploy/spaces/smoke.txtpb", code=2)
        self.assertIn("'smoke' is one by its name", wrong)
        applied = self.folder / "applied.txtpb"
        applied.write_text('spec { benchmark { name: "point_reach" } }\nweight: 2\n')
        wrong = self.run_to_end("mentor", "run", applied, code=2)
        self.assertIn(f"is an experiment for 'mentorctl apply -f {applied}'", wrong)
        self.assertIn("--from RUN", self.run_to_end("mentor", "run", code=2))

    def test_check_prints_what_reads_again_as_the_same_spec(self):
        text = self.check("point_reach_es")
        self.assertIn('# option { name: "adam_beta1" value: ', text)
        self.assertIn('# option { name: "initial_std" value: ', text)
        whole = self.folder / "whole.txtpb"
        whole.write_text(text)
        self.assertEqual(self.check(whole), text)
        # The hash of the spec names the folder.
        again = self.run_spec(self.folder / "a", *sets("rule.outer_updates=0"), spec="smoke")
        self.assertIn("Run folder", again)
        whole.write_text(self.check("smoke", *sets("rule.outer_updates=0")))
        self.run_spec(self.folder / "a", spec=whole)

    def check(self, spec, *arguments):
        return subprocess.run(
            [BIN / "mentor", "run", spec, "--check", *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def test_success_where_nothing_succeeds_is_warned_of(self):
        said = self.run_to_end("mentor", "run", "hopper", "--check", *sets("signal.input=SUCCESS"))
        warning = "warning: signal.input: is SUCCESS, but Hopper-v5 never reports success"
        self.assertIn(warning, said)
        self.assertNotIn("warning", self.run_to_end("mentor", "run", "hopper", "--check"))
        _, address = self.start_meta_learner(self.folder / "state")
        hopper = SPECS / "hopper.txtpb"
        said = self.mentorctl(address, "validate", "-f", hopper, *sets("signal.input=SUCCESS"))
        self.assertIn(warning, said)
        self.assertIn("is valid", said)
        self.assertNotIn("warning", self.mentorctl(address, "validate", "-f", hopper))


class WhileItRunsTest(ClusterTest):
    def test_the_end_says_what_was_learned(self):
        said = self.run_to_end("mentor", "run", "smoke", "--out", self.folder / "run")
        learned = r"Training     last 4 updates: success \d+ % \(best \d+ %\), return \S+ \(best "
        self.assertRegex(said, learned)
        # Four updates teach nothing, so the next command is the first piece of advice.
        self.assertRegex(said, r"It did not work: agents taught by the learned \w+ succeed in ")
        following = re.search(r"^Next +(mentor run --from .*)$", said, re.MULTILINE)
        self.assertIn(f": {following[1]}\n", said)
        self.assertIn("drawing the report", said)

    def test_a_report_that_cannot_be_written_is_a_failure(self):  # Nightly
        run = self.folder / "run"
        self.run_spec(run)
        (run / "report.html").mkdir()
        said = self.run_to_end("mentor", "run", "smoke", "--out", run, code=1)
        self.assertIn("cannot be written", said)
        self.assertIn(f"Free space, then run: mentor report {run}", said)

    def test_a_terminal_is_redrawn_with_a_curve(self):
        parent, child = pty.openpty()
        run = subprocess.Popen(
            [BIN / "mentor", "run", "smoke", "--no_report", "--out", self.folder / "run", *LONGER],
            stdout=subprocess.DEVNULL,
            stderr=child,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        os.close(child)
        drawn = b""
        while True:
            try:
                piece = os.read(parent, 4096)
            except OSError:  # The other side is closed.
                break
            if not piece:
                break
            drawn += piece
        os.close(parent)
        self.assertEqual(run.wait(60), 0)
        text = drawn.decode()
        self.assertRegex(text, r"last 5 updates: success \d+ % \(best \d+ %\), return ")
        self.assertRegex(text, "[▁▂▃▄▅▆▇█]{2}")
        self.assertIn("\x1b[1A\r", text)  # The cursor goes back to the first of two lines.

    def test_files_grow_and_are_right_after_kill_and_resume(self):
        command = (*LONGER, "--threads", 1)
        undisturbed = self.folder / "undisturbed"
        self.run_spec(undisturbed, *command)
        run = self.folder / "run"
        process = self.start_run(run, *command)
        seen = 0
        while seen < UPDATES // 4:  # Later a quick run may be over before it is killed.
            self.wait_until(
                lambda: (run / "metrics.csv").exists() and len(rows(run)) > seen, "another row"
            )
            process.kill()
            (run / "report.html").write_text("of the part before")
            # As if the kill had hit in the middle of a line.
            with open(run / "metrics.csv", "a", encoding="utf-8") as file:
                file.write("7,12")
            seen = len(rows(run))
            process = self.start_run(run, *command)
        self.assertEqual(process.wait(), 0, process.output())
        self.assertFalse((run / "report.html").exists())
        self.assertEqual(steps(run), list(range(1, 41)))
        self.assertEqual(without_times(rows(run)), without_times(rows(undisturbed)))
        # The report's table has the same rows.
        with open(run / "records" / "training.csv", encoding="utf-8") as file:
            self.assertEqual(without_times(csv.DictReader(file)), without_times(rows(run)))


class FromTest(ClusterTest):
    def test_an_extended_run_is_one_that_was_that_long_from_the_beginning(self):  # Nightly
        longer = sets("rule.outer_updates=7")
        short = self.folder / "short"
        self.run_spec(short)
        whole = self.run_hash(self.folder / "whole", *longer)

        def go_on(source, out, *arguments, code=0):
            words = ("mentor", "run", "--from", source, "--out", out, "--quiet", "--no_report")
            return self.run_to_end(*words, *arguments, code=code)

        go_on(short, self.folder / "extended", *longer)
        self.assertEqual(self.hash(self.folder / "extended"), whole)
        go_on(f"{short}/2", self.folder / "branch", *longer)
        self.assertEqual(self.hash(self.folder / "branch"), whole)
        self.assertEqual(steps(self.folder / "branch"), [3, 4, 5, 6, 7])
        (file,) = [path for path in self.checkpoints(short) if path.stem == "00000003"]
        go_on(file, self.folder / "file", *longer)
        self.assertEqual(self.hash(self.folder / "file"), whole)
        # Other settings also continue from there, to another end.
        go_on(short, self.folder / "slow", *longer, *sets("rule.learning_rate=1e-4"))
        self.assertNotEqual(self.hash(self.folder / "slow"), whole)
        # The same command continues from what exists.
        self.assertIn("(after outer update 7)", go_on(short, self.folder / "extended", *longer))

        # All updates are made, so nothing is left to do in any folder.
        nothing = "nothing to do: 4 of 4 outer updates are made; add --set rule.outer_updates=8"
        self.assertIn(nothing, go_on(short, short, code=2))
        self.assertIn(nothing, go_on(short, self.folder / "none", code=2))
        self.assertIn("nothing changes", go_on(f"{short}/2", short, code=2))
        self.assertIn("is the run to continue from", go_on(short, short, *longer, code=2))
        out = self.folder / "none"
        said = go_on(short, out, *sets("rule.outer_updates=3"), code=2)
        self.assertIn("rule.outer_updates=3: is 3, but the checkpoint has 4 already", said)
        said = go_on(short, out, *sets("signal.lstm=12"), code=2)
        self.assertIn("the checkpoint's state does not fit: signal.lstm: 8 -> 12; leave", said)
        said = go_on(f"{short}/9", out, code=2)
        self.assertIn("no checkpoint after outer update 9; there are: 1, 2, 3, 4", said)
        self.assertIn("nowhere does not exist", go_on(self.folder / "nowhere", out, code=2))
        # `mentor evaluate` takes the same forms.
        said = self.run_to_end("mentor", "evaluate", f"{short}/9", code=2)
        self.assertIn("no checkpoint after outer update 9; there are: 1, 2, 3, 4", said)
        said = self.run_to_end("mentor", "run", "smoke", "--from", short, code=2)
        self.assertIn("not both", said)
        self.assertFalse(out.exists())


class InstalledTest(ClusterTest):
    """A copy of the program in PLACE/bin, without its sources beside it."""

    def setUp(self):
        super().setUp()
        self.program = self.folder / "place" / "bin" / "mentor"
        self.program.parent.mkdir(parents=True)
        shutil.copy(BIN / "mentor", self.program)
        self.share = self.folder / "place" / "share" / "mentor"

    def mentor(self, *arguments, env=None):
        environment = {name: value for name, value in os.environ.items() if "MENTOR_" not in name}
        return subprocess.run(
            [self.program, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**environment, **(env or {})},
        )

    def test_specs_and_models_lie_beside_the_program(self):
        experiments = self.share / "experiments"
        experiments.mkdir(parents=True)
        shutil.copy(SPECS / "smoke.txtpb", experiments / "installed.txtpb")
        self.assertEqual(len(self.mentor("run", "--list").stdout.splitlines()), 2)
        done = self.mentor("run", "installed", "--set", "rule.outer_updates=0", "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(list((self.folder / "runs").glob("installed-*/records/run.json")))
        # The variable comes first.
        env = {"MENTOR_EXPERIMENTS": str(SPECS)}
        self.assertIn("quickstart", self.mentor("run", "--list", env=env).stdout)

        wheels = os.environ["MENTOR_INSTALLED_ASSETS"]
        whole = self.mentor("env", "show", "door-close-v3", env={"MENTOR_ASSETS": wheels})
        self.assertEqual(whole.returncode, 0, whole.stderr)
        # Installed models are used, and a damaged one is noticed.
        models = self.share / "assets" / "metaworld" / "assets"
        models.mkdir(parents=True)
        missing = self.mentor("env", "show", "door-close-v3")
        self.assertNotEqual(missing.returncode, 0)
        self.assertIn(str(models), missing.stderr)
        models.rmdir()
        models.symlink_to(pathlib.Path(wheels) / "metaworld" / "assets")
        self.assertEqual(self.mentor("env", "show", "door-close-v3").stdout, whole.stdout)
        # As in a wheel: PACKAGE/bin, beside the wheels that it depends on.
        shutil.rmtree(self.share)
        wheel = self.folder / "metaworld" / "assets"
        wheel.mkdir(parents=True)
        missing = self.mentor("env", "show", "door-close-v3")
        self.assertIn(str(wheel), missing.stderr)


if __name__ == "__main__":
    unittest.main()
