"""mentor.run(..., env=MyEnv): an environment of Gymnasium from anywhere, with no simulator to name.
Needs what deploy/install.sh --hosts installs; without it the tests are skipped."""

import importlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "cluster")]
import mentor  # noqa: E402
from harness import BIN, ClusterTest  # noqa: E402

DEADLINE_S = 300
SMALL = {
    "rule.lifetimes_per_update": 4,
    "rule.shard_lifetimes": 4,
    "evaluation.goals": 1,
    "evaluation.lifetimes_per_goal": 2,
    "benchmark.episode_steps": 10,
}
POINT = """
import gymnasium
import numpy as np
from gymnasium import spaces

FAR = 0.4

class Point(gymnasium.Env):
    observation_space = spaces.Box(-np.inf, np.inf, (2,))
    action_space = spaces.Box(-1.0, 1.0, (2,))

    def __init__(self, size=1.0):
        self.size = size

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.count = self.np_random.uniform(-self.size, self.size, 2), 0
        return self.look(), {}

    def look(self):
        return self.at.astype(np.float32)

    def step(self, action):
        self.at, self.count = self.at + 0.1 * action, self.count + 1
        away = float(np.abs(self.at).sum())
        return self.look(), -away, False, False, {"success": away < FAR}
"""
# Says when it saw two updates, and in the end the hash.
SCRIPT = (
    POINT
    + """
if __name__ == "__main__":
    import sys
    import mentor

    def tell(update):
        if update.step == 2:
            print("two", flush=True)

    changes = {**%r, "rule.outer_updates": int(sys.argv[2])}
    run = mentor.run("point_reach", changes, env=Point, out=sys.argv[1], on_update=tell,
                     actors=int(sys.argv[3]), progress=False)
    print(run.hash())
"""
    % SMALL
)


def setUpModule():
    folder = tempfile.mkdtemp(prefix="mentor-test-")
    unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    path = importlib.import_module("gym_host").path_of(folder)
    sys.path[1:1] = path
    # A report takes longer than all of these runs.
    os.environ.update(MENTOR_BIN_DIR=str(BIN), MENTOR_PYTHON="no-python")
    os.environ["PYTHONPATH"] = os.pathsep.join([*path, str(ROOT / "python")])


def cell(text, name="<cell 1>"):
    """Runs a text as a cell of a notebook does: its classes have no module that can be imported."""
    names = {"__name__": "__main__"}
    exec(compile(text, name, "exec"), names)
    return names


class OwnTest(ClusterTest):
    def script(self, text, *arguments):
        file = self.folder / "script.py"
        file.write_text(text)
        program = subprocess.Popen(
            [sys.executable, file, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        return program

    def said(self, program):
        out, err = program.communicate(timeout=DEADLINE_S)
        return out.split()[-1] if program.returncode == 0 else err

    def run_of(self, env, updates=1, **options):
        changes = {**SMALL, "rule.outer_updates": updates, **options.pop("changes", {})}
        out = options.pop("out", self.folder / "a")
        return mentor.run("point_reach", changes, env=env, out=out, progress=False, **options)


class RunTest(OwnTest):
    def test_a_class_of_a_script_goes_on_after_kill_9_with_the_same_bits(self):  # Nightly
        program = self.script(SCRIPT, self.folder / "a", 12, 1)
        self.assertEqual(program.stdout.readline(), "two\n")
        program.kill()
        program.wait(DEADLINE_S)
        moved = SCRIPT.replace("FAR = 0.4", "# Lines that move are no change.\n\nFAR = 0.4")
        first = self.said(self.again(moved, self.folder / "a", 12, 1))
        self.assertRegex(first, "^[0-9a-f]{64}$")
        self.assertEqual(self.said(self.script(SCRIPT, self.folder / "b", 12, 2)), first)
        changed = SCRIPT.replace("FAR = 0.4", "FAR = 0.5")
        self.assertIn("RunError", self.said(self.script(changed, self.folder / "a", 12, 1)))

    def again(self, *arguments):
        """Starts the script when the program before has left its folder."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            program = self.script(*arguments)
            if "RunError" not in (said := self.said(program)):
                program.communicate = lambda **_: (said, "")
                return program
            self.assertIn("LOCK", said)
            self.assertLess(time.monotonic(), deadline)

    def test_a_factory_and_what_comes_after_the_run(self):  # Nightly
        point = cell(POINT)["Point"]
        make = lambda: point(size=0.5)
        run = self.run_of(make)
        kept = run.folder / "environment"
        self.assertIn(str(kept / "pickle"), run.summary)
        kept.rename(run.folder / "environment.part")  # As if it was killed meanwhile.
        self.run_of(make)
        self.assertEqual(list(run.folder.glob("environment*")), [kept])
        self.assertNotIn("warning", run.summary)
        self.assertIn('"own/environment', run.spec.text)
        later = mentor.Run(run.folder)
        os.environ["MENTOR_PYTHON"] = sys.executable
        self.addCleanup(os.environ.__setitem__, "MENTOR_PYTHON", "no-python")
        self.assertIn(
            "learned", list(later.evaluate(seeds=1, lifetimes=2, baselines=["none"])["method"])
        )
        self.assertTrue(later.report().path.is_file())
        self.assertTrue((later.export(self.folder / "signal") / "config.json").is_file())
        # The same call with another factory is another run.
        with self.assertRaisesRegex(mentor.RunError, "a"):
            self.run_of(lambda: point(size=0.6))

    def test_a_class_of_a_module_is_named_and_simulators_are_remembered(self):  # Nightly
        (self.folder / "own_point.py").write_text(POINT)
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))
        module = importlib.import_module("own_point")
        run = self.run_of(module.Point, changes={"benchmark.wrapper": ["failed_step"]})
        self.assertIn("--make own_point:Point", run.summary)
        self.assertIn("failed_step", run.spec.text)
        gym = mentor.runs.own_environment.simulators_of(run.folder)["own"]
        spec = re.sub("host: .own.", "host: 'gym'", run.spec.text).replace('"own"', '"gym"')
        named = mentor.run(spec, out=self.folder / "b", simulators={"gym": gym}, progress=False)
        self.assertEqual(named.hash(), run.hash())
        named.export(self.folder / "signal", no_check=True)


class DigestTest(OwnTest):
    def test_it_sees_what_a_class_is_and_not_where_it_stands(self):
        source = importlib.import_module("mentor_env.source")
        text = (
            POINT + "    kinds = {'a', 'b', 'c', 'd'}\n    def far(self): return {'x', 'y', 'z'}\n"
        )
        first = source.digest(cell(text)["Point"])
        self.assertEqual(source.digest(cell("\n\n" + text, "<cell 2>")["Point"]), first)
        point = cell(text)["Point"]
        point.action_space.sample()
        self.assertEqual(source.digest(point), first)
        for old, new in (("0.4", "0.5"), ("0.1 *", "0.2 *"), ("(2,)", "(3,)"), ("'d'", "'e'")):
            changed = source.digest(cell(text.replace(old, new))["Point"])
            self.assertNotEqual(changed, first, (old, new))
        code = f"exec({text!r})\nfrom mentor_env.source import digest\nprint(digest(Point))"
        for seed in "12":
            other = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            )
            self.assertEqual(other.stdout.strip(), first)


class ErrorTest(OwnTest):
    def refused(self, kind, words, old="", new="", env=None, **options):
        env = env or cell(POINT.replace(old, new))["Point"]
        with self.subTest(words), self.assertRaisesRegex(kind, words):
            self.run_of(env, **options)
        self.assertFalse((self.folder / "a").exists())

    def test_a_trial_tells_before_anything_begins(self):
        try:
            self.run_of(cell(POINT.replace("self.at + 0.1", "self.aat + 0.1"))["Point"])
        except AttributeError as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
        self.assertEqual((frame.filename, frame.name), ("<cell 1>", "step"))
        self.assertFalse((self.folder / "a").exists())
        words = r"has the shape \(2,\), and the environment's observation_space says \(3,\)"
        self.refused(ValueError, words, "(2,))\n    action", "(3,))\n    action")
        self.refused(ValueError, "reward nan, which is not finite", "-away, F", "np.nan, F")
        numbers = "return self.at * np.nan, -"
        self.refused(ValueError, "^step 1 .*observation .nan", "return self.look(), -", numbers)
        numbers = "return self.look() * [1, 1e300], -"
        words = "^step 1 .*not finite in 32 bits.*override .*'failed_step'"
        self.refused(ValueError, words, "return self.look(), -", numbers)
        self.refused(TypeError, "reset gives a ndarray", "return self.look(), {}", "return self.at")
        self.refused(TypeError, "Point.action_space is", "    action_space", "    actions")
        limit = "no limit of steps.*benchmark.episode_steps': 100"
        self.refused(ValueError, limit, changes={"benchmark.episode_steps": ""})
        point = cell(POINT)["Point"]
        self.refused(TypeError, "env is <.*give a class .* such as Point", env=point())
        self.refused(TypeError, r"lambda: gymnasium.make\(.CartPole-v1.\)", env="CartPole-v1")
        self.refused(TypeError, "makes int 3, which is no gymnasium.Env", env=lambda: 3)
        lock = threading.Lock()
        self.refused(TypeError, "env: cannot be sent", env=lambda: (lock, point())[1])
        sys.modules["cloudpickle"] = None
        self.addCleanup(sys.modules.pop, "cloudpickle")
        self.refused(ModuleNotFoundError, r"cloudpickle, which .*pip install", env=point)

    def test_a_slip_in_an_option_is_named(self):
        for option, value, said in (
            ("sucess", "never", "'sucess' is no option, .* Point; did you mean 'success'"),
            ("wrapper", ["failed_stp"], "wrapper 'failed_stp'; did you mean 'failed_step'"),
            ("success", "often", "success is 'often'.*{'benchmark.success': ...}"),
        ):
            self.refused(ValueError, said, changes={f"benchmark.{option}": value})
        space = "action_space = spaces.MultiDiscrete([2, 3])\n    old"
        self.refused(ValueError, "so that they are Box or Discrete$", "action_space", space)

    def test_an_episode_that_is_another_one_the_second_time_is_told(self):  # Nightly
        own = importlib.import_module("mentor_env.own")
        options = {"id": "own/Point", "episode_steps": "10"}
        for old, new, said in (
            ("", "", "^$"),
            ("self.np_random.uniform", "np.random.uniform", "^$"),  # Seeded, too.
            ("self.np_random.uniform", "np.random.default_rng().uniform", "at the reset: "),
            (
                "-away, F",
                "-np.random.default_rng().random(), F",
                "outcome differs at step 1",
            ),
        ):
            trial = own.try_out(cell(POINT.replace(old, new))["Point"], options)
            with self.subTest(new):
                self.assertRegex(trial.differs, said)
        with self.assertWarnsRegex(UserWarning, "own/Point: the same episode is another one"):
            with self.assertRaises(mentor.SpecError):
                text = POINT.replace("self.np_random", "np.random.default_rng()")
                self.run_of(cell(text)["Point"], changes={"seed": "x"})

    def test_an_exception_in_the_run_comes_first_with_its_line(self):
        late = "        if self.count > 0 and self.bad(): 1 / 0\n        away ="
        text = POINT.replace("        away =", late)
        text += (
            "\n    def bad(self):\n        import os\n        return 'PARENT' not in os.environ\n"
        )
        file = self.folder / "cell.py"
        file.write_text(text)
        os.environ["PARENT"] = "1"  # Simulators do not get it.
        self.addCleanup(os.environ.pop, "PARENT")
        with self.assertRaises(mentor.RunError) as caught:
            self.run_of(cell(text, str(file))["Point"])
        lines = str(caught.exception).splitlines()
        self.assertEqual(lines[0], "ZeroDivisionError: division by zero")
        self.assertRegex(lines[1], rf'^  File "{file}", line \d+, in step$')
        self.assertEqual(lines[2], "    if self.count > 0 and self.bad(): 1 / 0")
        self.assertRegex(lines[3], "in a simulator of the run .*the same call continues")
        self.assertEqual(len(lines), 4)

    def test_a_run_without_success_says_so(self):  # Nightly
        text = POINT.replace('{"success": away < FAR}', "{}")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = self.run_of(cell(text)["Point"])
        self.assertIn("neither success nor is_success", "".join(str(one.message) for one in caught))
        self.assertRegex(run.summary, 'no step reported success.*"success": True.*"is_success"')


class PageTest(OwnTest):
    def test_the_example_of_the_page(self):
        page = (ROOT / "docs/python.md").read_text()
        text = re.search(r"## Your environment\n.*?```python\n(.*?)```", page, re.DOTALL)[1]
        small = repr({**SMALL, "rule.outer_updates": 1})
        text = re.sub("changes = .*", f"changes = {small}", text)
        os.chdir(self.folder)
        self.addCleanup(os.chdir, ROOT)
        out = self.said(self.script(text))
        self.assertIn("signals/boat", out)


if __name__ == "__main__":
    unittest.main()
