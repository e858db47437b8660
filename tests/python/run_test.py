"""`import mentor` trains what `mentor run` trains: the same hash, whatever interrupts it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "cluster")]
import mentor  # noqa: E402
from mentor.runs.child import Child  # noqa: E402
from mentor.runs.follow import Table, Update  # noqa: E402
from mentor.runs.show import Curve  # noqa: E402
from harness import BIN, SLOWLY, ClusterTest, sets  # noqa: E402

SMOKE_HASH = "d1a7c6fe6b1acab55829c50fd142d569ef684ee5a8d54b3e179317d3d697cb9d"
UPDATES = 40
LONG = {"rule.outer_updates": UPDATES, "evaluation.goals": 1}
DEADLINE_S = 120
# A program of a user. It says when it saw three updates, and in the end which ones it saw.
PROGRAM = """
import threading, time, mentor
seen = []
def tell():
    while len(seen) < 3:
        time.sleep(0.01)
    print("three", flush=True)
threading.Thread(target=tell, daemon=True).start()
try:  # Ctrl-C cannot come in the middle of an append.
    mentor.run("smoke", {overrides!r}, out={out!r}, progress=False, on_update=seen.append)
finally:
    print(*(update.step for update in seen), flush=True)
"""


def setUpModule():
    # A report takes ten times as long as these runs; one test draws some.
    os.environ.update(MENTOR_BIN_DIR=str(BIN), MENTOR_PYTHON="no-python")


def slowly():
    """Runs that begin meanwhile do not end before they are stopped."""
    return unittest.mock.patch.dict(os.environ, SLOWLY)


class Waiting(ClusterTest):
    def until(self, holds, what):
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            self.assertLess(time.monotonic(), deadline, f"{what}: not in {DEADLINE_S} s")
            time.sleep(0.02)


class RunTest(Waiting):
    def test_a_run_has_the_hash_and_the_folder_of_the_command_line(self):
        seen = []
        run = mentor.run(
            "smoke", out=self.folder / "a", on_update=lambda update: seen.append(update)
        )
        self.assertEqual(run.hash(), SMOKE_HASH)
        self.assertEqual([update.step for update in seen], [1, 2, 3, 4])
        self.assertAlmostEqual(seen[0].metrics["meta_return"], 65.84, places=2)
        self.assertEqual(list(run.metrics["meta_return"])[0], seen[0].metrics["meta_return"])
        self.assertIn(SMOKE_HASH, run.summary)
        named = subprocess.run(
            [BIN / "mentor", "run", "smoke", "--check", *sets("seed=2")],
            capture_output=True,
            text=True,
        ).stderr
        self.assertIn(f"run folder: {mentor.spec('smoke', seed=2).run_folder}\n", named)
        # A finished run has nothing left to tell.
        again = mentor.run("smoke", out=self.folder / "a", on_update=lambda update: self.fail())
        self.assertEqual(again.hash(), SMOKE_HASH)

    def test_results_are_those_of_the_programs(self):  # Nightly
        os.environ["MENTOR_PYTHON"] = sys.executable
        self.addCleanup(os.environ.__setitem__, "MENTOR_PYTHON", "no-python")
        run = mentor.run("smoke", out=self.folder / "a", progress=False)
        self.assertTrue((run.folder / "report.html").is_file())
        opened = mentor.Run(run.folder)
        self.assertEqual(opened.spec, mentor.Run(run.folder).spec)
        self.assertIn("<iframe", opened.report()._repr_html_())
        self.assertTrue(opened.report().path.is_file())
        self.assertIn("<svg", opened.plot("meta_return")._repr_html_())
        # As for `mentor run`, success is that of the last segment.
        for curve in (opened.plot(), opened.plot("success")):
            self.assertEqual(curve.metric, "seg2")
            self.assertEqual(curve.values, [float(one) for one in opened.metrics["seg2"]])
            self.assertTrue(repr(curve).startswith("success after 2 updates of an agent (seg2): "))
        with self.assertRaisesRegex(KeyError, "this run has .*meta_return"):
            opened.plot("nothing")
        table = opened.evaluate(seeds=1, baselines=["none"])
        self.assertIn("learned", list(table["method"]))
        signal_folder = opened.export(self.folder / "signal", no_check=True)
        card = json.loads((signal_folder / "config.json").read_text())
        self.assertEqual(card["network"]["name"], "lstm")
        with self.assertRaisesRegex(mentor.ProgramError, "^seeds"):
            opened.evaluate(seeds="x")
        with self.assertRaisesRegex(FileNotFoundError, "is no folder of a run"):
            mentor.Run(self.folder)

    def test_updates_arrive_once_over_a_stop_and_a_resume(self):
        seen = []

        def stop_at_3(update):
            seen.append(update.step)
            return mentor.STOP if update.step == 3 else None

        def follow(on_update):
            return mentor.run("smoke", LONG, out=self.folder / "a", on_update=on_update)

        with slowly():
            stopped = follow(stop_at_3)
        self.assertLess(len(seen), UPDATES)
        self.assertEqual(len(stopped.metrics["meta_return"]), len(seen))
        stopped = follow(lambda update: seen.append(update.step))
        self.assertEqual(seen, list(range(1, UPDATES + 1)))
        whole = mentor.run("smoke", LONG, out=self.folder / "b", progress=False)
        self.assertEqual(stopped.hash(), whole.hash())

    def test_an_exception_in_a_callback_stops_the_run(self):
        def fail(update):
            raise ZeroDivisionError("of the user")

        with slowly(), self.assertRaisesRegex(ZeroDivisionError, "of the user"):
            mentor.run("smoke", LONG, out=self.folder / "a", on_update=fail, progress=False)
        made = len(mentor.Run(self.folder / "a").metrics["meta_return"])
        self.assertLess(made, UPDATES)

    def test_a_program_that_others_end_is_no_finished_run(self):  # Nightly
        def end_with(*numbers):
            left = list(numbers)

            def end(update):
                for pid in pathlib.Path("/proc").glob("[0-9]*"):
                    try:
                        name, _, rest = (pid / "stat").read_text().rpartition(")")
                    except OSError:  # It has ended.
                        continue
                    if name.endswith("(mentor") and int(rest.split()[1]) == os.getpid():
                        while left:
                            os.kill(int(pid.name), left.pop())
                            time.sleep(0.3 if left else 0)  # Two at once would be one.

            return end

        for numbers, words in (
            ([signal.SIGKILL], "ended by signal 9 .*memory.*the same call continues"),
            ([signal.SIGTERM], "somebody else stopped the run; the same call continues"),
            # Ended at once.
            ([signal.SIGTERM] * 2, "somebody else stopped the run; the same call continues"),
        ):
            with self.subTest(numbers), slowly(), self.assertRaisesRegex(mentor.RunError, words):
                mentor.run(
                    "smoke",
                    LONG,
                    out=self.folder / "a",
                    on_update=end_with(*numbers),
                    progress=False,
                )

    def test_two_runs_at_once_in_threads(self):  # Nightly
        runs = {}

        def train(seed):
            runs[seed] = mentor.run("smoke", {"seed": seed}, out=self.folder / str(seed))

        threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        self.assertEqual(runs[1].hash(), SMOKE_HASH)
        self.assertNotEqual(runs[2].hash(), SMOKE_HASH)

    def test_failures_say_what_the_program_says(self):  # Nightly
        with self.assertRaisesRegex(mentor.RunError, "cannot make folder") as failed:
            mentor.run("smoke", out="/proc/nothing", progress=False)
        self.assertNotIn("PosixPath", str(failed.exception))
        with self.assertRaisesRegex(ValueError, "^threads: is 0; give an integer from 1"):
            mentor.run("smoke", out=self.folder / "a", threads=0)
        with self.assertRaisesRegex(mentor.RunError, "^device[^\n]*$"):
            mentor.run("smoke", out=self.folder / "a", device="abacus")
        with self.assertRaisesRegex(TypeError, "on_update"):
            mentor.run("smoke", out=self.folder / "a", on_update=3)
        file = self.folder / "file"
        file.write_text("x", encoding="utf-8")
        for out in (file, self.folder / ("a" * 300)):
            with self.assertRaisesRegex(OSError, "^out: .*; give another$"):
                mentor.run("smoke", out=out)
        for out in (5, "a\0b", ""):
            with self.assertRaisesRegex(TypeError, "^out: is .*give the path of a folder"):
                mentor.run("smoke", out=out)
        with self.assertRaises(mentor.SpecError):
            mentor.run("smoke", {"seed": "x"}, out=self.folder / "a")
        self.assertFalse((self.folder / "a").exists())
        os.environ["MENTOR_BIN_DIR"] = str(self.folder)
        self.addCleanup(os.environ.__setitem__, "MENTOR_BIN_DIR", str(BIN))
        with self.assertRaisesRegex(mentor.ProgramError, "MENTOR_BIN_DIR is .* no program"):
            mentor.run("smoke")


class InterruptedTest(Waiting):
    def begin(self, out):
        """Starts a user's program and returns it when it saw three updates."""
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(overrides=LONG, out=str(out))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **SLOWLY, "PYTHONPATH": str(ROOT / "python")},
        )
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        self.assertEqual(program.stdout.readline().strip(), "three")
        return program

    def check_resumes(self, out, first):
        rest = []
        run = mentor.run("smoke", LONG, out=out, on_update=lambda update: rest.append(update.step))
        self.assertGreater(len(rest), 0)
        if first is not None:
            self.assertEqual(first + rest, list(range(1, UPDATES + 1)))
        whole = mentor.run("smoke", LONG, out=self.folder / "whole", progress=False)
        self.assertEqual(run.hash(), whole.hash())

    def test_ctrl_c_stops_at_a_checkpoint_and_the_next_call_goes_on(self):
        program = self.begin(self.folder / "a")
        program.send_signal(signal.SIGINT)
        late = threading.Timer(DEADLINE_S, program.kill)
        late.start()
        self.addCleanup(late.cancel)
        # communicate() would lose what readline() has read ahead.
        said, failed = program.stdout.read(), program.stderr.read()
        program.wait()
        self.assertNotEqual(program.returncode, 0)
        self.assertIn("KeyboardInterrupt", failed)
        self.check_resumes(self.folder / "a", [*map(int, said.split())])

    def test_kill_9_leaves_no_orphan_and_a_run_that_goes_on(self):
        program = self.begin(self.folder / "a")
        children = pathlib.Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text()
        self.assertRegex(children, r"^\d+ $")
        child = pathlib.Path("/proc") / children.strip()
        self.assertIn(b"mentor\0run", (child / "cmdline").read_bytes())
        program.kill()
        program.wait(DEADLINE_S)

        def has_ended():
            try:  # A zombie waits for the machine's first process.
                return (child / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            except (FileNotFoundError, ProcessLookupError):
                return True

        self.until(has_ended, "the end of the child")
        self.check_resumes(self.folder / "a", None)


class SpecTest(ClusterTest):
    def test_one_spec_from_every_form(self):
        written = {
            "a.yaml": "base: smoke\nseed: 2\nagent: {gamma: 0.5}\n",
            "a.txtpb": "base: 'smoke' seed: 2 agent { gamma: 0.5 }",
        }
        for name, text in written.items():
            (self.folder / name).write_text(text)
        fields = {"seed": 2, "agent": {"gamma": 0.5}}
        first = mentor.spec("smoke", **fields)
        for same in (
            mentor.spec({"base": "smoke", **fields}),
            mentor.spec({"base": self.folder / "a.yaml"}),
            *(mentor.spec(self.folder / name) for name in written),
            *(mentor.spec(text) for text in written.values()),
            mentor.spec("smoke").override({"agent.gamma": 0.5}, seed=2),
            mentor.spec(first.text),
            mentor.spec(first),
        ):
            self.assertEqual(same, first)
            self.assertEqual(same.run_folder.rsplit("-", 1)[1], first.run_folder.rsplit("-", 1)[1])
        self.assertIn("gamma: 0.5", first.text)
        self.assertEqual(len({first, mentor.spec("smoke")}), 2)
        with self.assertRaisesRegex(AttributeError, "override"):
            first.text = ""

    def test_the_example_in_yaml_is_the_ready_spec(self):
        example = mentor.spec(ROOT / "docs/examples/point_reach.yaml")
        self.assertEqual(example, mentor.spec("point_reach"))
        self.assertEqual(example.run_folder, mentor.spec("point_reach").run_folder)

    def test_errors_name_fields(self):
        def fields(*arguments, **changes):
            with self.assertRaises(mentor.SpecError) as raised:
                mentor.spec(*arguments, **changes)
            return [violation.field for violation in raised.exception.violations]

        self.assertEqual(fields("smoke", agent={"gama": 1}), ["agent.gama"])
        self.assertEqual(fields("smoke", agent={"gamma": 7}, seed=1), ["agent.gamma"])
        self.assertEqual(fields("smoke", seed="2"), ["seed"])
        self.assertEqual(fields("smoke", seed=None), ["seed"])
        self.assertEqual(fields("smoke", seed=10**30), ["seed"])
        wrappers = [{"name": "sparse_reward"}, {"name": "sparse_rewart"}]
        benchmark = {"name": "point_reach", "wrapper": wrappers}
        self.assertEqual(fields({"benchmark": benchmark}), ["benchmark.wrapper[1].name"])
        self.assertEqual(fields("base: smoke\nagent:\n  gama: 1\n"), ["line 3"])
        with self.assertRaisesRegex(mentor.SpecError, "did you mean 'smoke'") as unknown:
            mentor.spec("smok")
        self.assertRegex(str(unknown.exception), "^there is no spec")
        with self.assertRaisesRegex(mentor.SpecError, "there is no spec './--help'"):
            mentor.spec("--help")
        deep = {}
        for _ in range(5000):
            deep = {"agent": deep}
        with self.assertRaisesRegex(mentor.SpecError, "nested"):
            mentor.spec(deep)
        with self.assertRaises(TypeError):
            mentor.spec(3)

    def test_paths_and_a_second_base_are_told_apart(self):
        ready = mentor.spec("smoke")
        for make, field in (
            (lambda: mentor.spec("smoke", **{"rule.outer_updates": 3}), "rule.outer_updates"),
            (lambda: mentor.spec("smoke", base="point_reach"), "base"),
            (lambda: ready.override(base="point_reach"), "base"),
        ):
            with self.subTest(field), self.assertRaises(mentor.SpecError) as caught:
                make()
            self.assertEqual([one.field for one in caught.exception.violations], [field])

    def test_experiments_may_be_yaml(self):
        file = self.folder / "first.yaml"
        file.write_text("labels: {team: a}\nspec: {base: smoke, agent: {gamma: 7}}\n")
        done = subprocess.run([BIN / "mentor", "run", file], capture_output=True, text=True)
        self.assertIn("is an experiment for 'mentorctl apply -f", done.stderr)


class CurveTest(unittest.TestCase):
    def test_numbers_that_are_not_finite_are_left_out(self):
        values = [1.0, float("inf"), -1e308, float("nan"), 1e308, float("-inf"), 0.0]
        updates = [Update(i, {"meta_return": value}) for i, value in enumerate(values)]
        curve = Curve("meta_return", updates)
        self.assertEqual(curve.values, [1.0, -1e308, 1e308, 0.0])
        self.assertEqual(len(curve.blocks()), 4)
        self.assertIn("<svg", curve._repr_html_())


class ChildTest(unittest.TestCase):
    def test_problems_of_the_program_are_shown(self):
        lines = ["09:00:00.000 info    all is well", "09:00:00.000 error   the disk is full a=1"]
        lines += ["warning: old", "an error of others"]
        said = " ".join(f"'{line}'" for line in lines)
        shown = []
        with Child(["/bin/sh", "-c", f"printf '%s\\n' {said} >&2"], shown.append) as child:
            self.assertEqual(child.wait(DEADLINE_S), 0)
        self.assertEqual(shown, lines[1:3])

    def test_a_problem_that_cannot_be_shown_stops_nothing(self):
        def warn(line):
            raise OSError(28, "no space left on the device")

        much = "echo 'warning: the disk is full' >&2; head -c 300000 /dev/zero | tr '\\0' '\\n' >&2"
        with Child(["/bin/sh", "-c", much], warn) as child:
            self.assertEqual(child.wait(DEADLINE_S), 0)


class TableTest(ClusterTest):
    def test_half_lines_new_columns_and_empty_cells(self):
        table = Table(self.folder / "metrics.csv")
        self.assertEqual(table.read(), [])
        table.file.write_text("outer_update,a\n1,2\n2,")
        self.assertEqual([update.step for update in table.read()], [1])
        with open(table.file, "a") as file:
            file.write("3\n")
        self.assertEqual([update.metrics for update in table.read()], [{"a": 3.0}])
        anew = self.folder / "anew"
        anew.write_text("outer_update,a,b\n1,2,\n2,3,\n3,,nan\n")
        anew.replace(table.file)
        self.assertEqual([update.step for update in table.read()], [3])
        self.assertEqual(table.columns()["a"][:2], [2.0, 3.0])
        self.assertTrue(re.match("nan", str(table.columns()["b"][2])))


if __name__ == "__main__":
    unittest.main()
