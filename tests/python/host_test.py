"""mentor_env: hosts in Python, the adapter of Gymnasium's environments, their states. Needs what
deploy/install.sh --hosts installs; without it the tests are skipped."""

import importlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = 2**100 + 5


def setUpModule():
    global np, mentor_env, adapter, states, Host, HostFailed, VARIABLES
    folder = tempfile.mkdtemp(prefix="mentor-test-")
    unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
    here = str(pathlib.Path(__file__).parent)
    sys.path.insert(0, here)
    path = [*importlib.import_module("gym_host").path_of(folder), here]
    VARIABLES = {"PYTHONPATH": os.pathsep.join(path), "MUJOCO_GL": "disable"}
    os.environ["MUJOCO_GL"] = "disable"
    sys.path[:0] = path
    np = importlib.import_module("numpy")
    mentor_env = importlib.import_module("mentor_env")
    adapter = importlib.import_module("mentor_env.gymnasium_adapter")
    states = importlib.import_module("mentor_env.states")
    importlib.import_module("toy_worlds")
    driver = importlib.import_module("host_driver")
    Host, HostFailed = driver.Host, driver.HostFailed


def make(**options):
    return adapter.GymnasiumEnvironment(options)


def actions(size, count=100):
    return np.random.default_rng(0).uniform(-1, 1, (count, size)).astype("f4")


class ServingTest(unittest.TestCase):
    def host(self, options=(), *command):
        command = command or (ROOT / "docs" / "examples" / "host.py",)
        host = Host([sys.executable, *map(str, command)], dict(options), VARIABLES)
        self.addCleanup(host.process.kill)
        return host

    def test_the_example_lives_and_goes_on_elsewhere(self):
        first, second = self.host(), self.host()
        self.assertEqual(first.facts.observation_size, 3)
        self.assertTrue((first.reset(SEED) == second.reset(SEED)).all())
        self.assertFalse((first.reset(SEED + 1) == second.observation).all())
        first.reset(SEED)
        for t, action in enumerate(actions(1, 20)):
            if t == 11:
                state = second.save()
                self.assertEqual(second.close(), 0)
                second = self.host()
                self.assertTrue((second.restore(state) == first.observation).all())
            mine, other = first.step(action), second.step(action)
            self.assertTrue((mine[0] == other[0]).all())
            self.assertEqual(mine[1:], other[1:])
        self.assertEqual(first.close(), 0)

    def test_the_examples_are_short(self):
        text = (ROOT / "docs" / "examples" / "host.py").read_text()
        self.assertLessEqual(len(text.splitlines()), 60)

    def test_refusals_and_failures_are_told(self):
        with self.assertRaisesRegex(HostFailed, "options of block: force, above 0"):
            self.host({"forse": "1"})
        host = self.host()
        with self.assertRaisesRegex(HostFailed, "struct.error|error: unpack requires"):
            host.restore(b"no state")
        with self.assertRaisesRegex(HostFailed, "NotImplementedError|id is missing"):
            self.host({}, "-m", "mentor_env")

    def test_what_an_operator_allows(self):
        command = ["-m", "mentor_env", "--import", "toy_worlds", "--only", "Toy-*"]
        host = self.host({"id": "Toy-v0"}, *command)
        self.assertEqual(host.facts.observation_size, 5)
        with self.assertRaisesRegex(HostFailed, r"this simulator serves Toy-\*"):
            self.host({"id": "CartPole-v1"}, *command)

    def test_a_host_ends_when_its_actor_is_gone(self):
        host = self.host()
        host.socket.close()
        self.assertEqual(host.process.wait(20), 0)

    def test_a_host_by_hand_says_what_starts_it(self):
        for command in (["-m", "mentor_env"], [str(ROOT / "docs" / "examples" / "host.py")]):
            done = subprocess.run(
                [sys.executable, *command],
                env={**os.environ, **VARIABLES},
                capture_output=True,
                text=True,
            )
            self.assertEqual(done.returncode, 1)
            self.assertIn("a simulator is started by an actor", done.stderr)

    def test_what_a_command_names_and_is_not_there(self):
        def run(*words):
            return subprocess.run(
                [sys.executable, *words],
                env={**os.environ, **VARIABLES},
                capture_output=True,
                text=True,
                timeout=100,
            )

        for words, complaint in (
            (["--import", "no_such_world"], "no module 'no_such_world'.*env PYTHONPATH=FOLDER"),
            (["json.no_such:World"], "no module 'json.no_such'"),
            (["toy_worlds:Nothing"], "toy_worlds has no class or function Nothing"),
            (["toy_worlds"], "give MODULE:NAME"),
        ):
            with self.subTest(words):
                done = run("-m", "mentor_env", *words)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertRegex(done.stderr, complaint)
                self.assertNotIn("Traceback", done.stderr)
        code = "import runpy, sys; sys.modules['gymnasium'] = None; sys.argv[1:] = []; "
        done = run("-c", code + "runpy.run_module('mentor_env', run_name='__main__')")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "^mentor_env needs the Python module gymnasium.*pip install")

    def test_outcomes_of_a_wrong_type(self):
        from mentor_env import serving
        from mentor_env.v1 import environment_host_pb2 as wire

        class Told(mentor_env.Environment):
            facts = mentor_env.Facts(name="x", observation_size=1, action_size=1, episode_steps=3)
            told = {}

            def reset(self, seed):
                return [1.0]

            def step(self, action):
                return mentor_env.Step(**{"observation": [1.0], "reward": 0.0, **self.told})

        server = serving._Server(lambda options: Told(), None)
        server._environment = Told()
        descriptor = os.memfd_create("x")
        os.ftruncate(descriptor, 64)
        layout = wire.AttachMemory(bytes=64, action=0, observation=8, reward=16, flags=24)
        server._arrays = serving._Arrays(layout, descriptor, Told.facts)
        for name in ("success", "terminated", "truncated"):
            for value in ("False", float("nan"), 0.01, None, [True]):
                Told.told = {name: value}
                with self.subTest(name, value=value):
                    reply = server._safely(server._step)
                    self.assertIn(f"{name} is ".encode(), reply)
                    self.assertIn(b"give True or False, or 0 or 1", reply)
            for value in (True, np.False_, 1.0, 0):
                Told.told = {name: value}
                self.assertEqual(server._safely(server._step), serving._DONE)
        Told.told = {"reward": "1.0"}
        self.assertIn(b"reward is '1.0', of type str", server._safely(server._step))

    def test_an_observation_of_another_size(self):
        class Small(mentor_env.Environment):
            facts = mentor_env.Facts(name="x", observation_size=2, action_size=1, episode_steps=3)

            def reset(self, seed):
                return [1.0]

            def step(self, action):
                return mentor_env.Step([1.0, 2.0], 0.0)

        from mentor_env import serving
        from mentor_env.v1 import environment_host_pb2 as wire

        server = serving._Server(lambda options: Small(), None)
        server._environment = Small()
        descriptor = os.memfd_create("x")
        os.ftruncate(descriptor, 64)
        server._arrays = serving._Arrays(
            wire.AttachMemory(bytes=64, action=0, observation=8, reward=24, flags=32),
            descriptor,
            Small.facts,
        )
        request = wire.HostRequest(reset=wire.ResetEpisode(seed=bytes(16)))
        reply = server._safely(lambda: server._answer(request))
        self.assertIn(b"the facts say (2,)", reply)


class AdapterTest(unittest.TestCase):
    def test_boxes_of_several_bounds_and_dicts(self):
        toy = make(id="Toy-v0", kwargs='{"start": 2}', success="info:far")
        self.assertEqual(toy.facts.observation_size, 2 + 2 + 1)
        self.assertEqual((toy.facts.action_low, toy.facts.action_high), (-1, 1))
        first = toy.reset(1)
        self.assertEqual(first.shape, (5,))
        # -1 to 1 of both actions map to -1 to 1 and 0 to 10.
        step = toy.step(np.array([0.5, -1], "f4"))
        self.assertAlmostEqual(step.reward, 2.5, 2)
        self.assertTrue(step.success)
        step = toy.step(np.array([0, 1], "f4"))
        self.assertAlmostEqual(float(toy._env.unwrapped.sum[1]), 12, 2)
        # Some keys, in the order given.
        some = make(id="Toy-v0", observation="step,sum", start="2")
        self.assertEqual(some.facts.observation_size, 3)
        self.assertEqual(some.reset(1)[0], 0)
        self.assertAlmostEqual(some.reset(1)[1], 2, 2)

    def test_what_is_no_action_or_observation_is_refused(self):
        from gymnasium import spaces

        def box(low, high, kind="f4"):
            return spaces.Box(np.array(low, kind), np.array(high, kind), dtype=kind)

        # Whole numbers are rounded to the nearest, also where bounds differ.
        whole = adapter._Actions(box([0, 0], [10, 10], "i8"), False)
        np.testing.assert_array_equal(whole.take(np.array([9.6, 4.4], "f4")), [10, 4])
        several = adapter._Actions(box([0, -5], [10, 5], "i8"), False)
        np.testing.assert_array_equal(several.take(np.array([0.92, -0.88], "f4")), [10, -4])
        for low, high in (([-1, -np.inf], [1, np.inf]), ([0, -np.inf], [np.inf, np.inf])):
            with self.assertRaisesRegex(
                mentor_env.Refused, "wrap the environment so that all have bounds"
            ):
                adapter._Actions(box(low, high), False)
        with self.assertRaisesRegex(mentor_env.Refused, "without a number"):
            adapter._Actions(box([], []), False)
        with self.assertRaisesRegex(mentor_env.Refused, "its observations are Sequence.*wrap"):
            adapter._observer(spaces.Sequence(box([0], [1])), "")

    def test_successes(self):
        action = np.array([0.6, 1], "f4")

        def successes(rule):
            toy = make(id="Toy-v0", success=rule)
            toy.reset(1)
            return [toy.step(action).success for _ in range(6)]

        self.assertEqual(successes("auto"), [False] * 6)
        self.assertEqual(successes("never"), [False] * 6)
        self.assertEqual(successes("info:far"), [False] + [True] * 5)
        self.assertEqual(successes("terminated"), [False] * 5 + [True])
        self.assertEqual(successes("return:5.5"), [False, False, False, True, True, True])
        self.assertFalse(make(id="Toy-v0", success="never").facts.has_success)

    def told(self, info=None, rule="auto", terminated=False, truncated=False):
        toy = make(id="Toy-v0", success=rule)
        toy.reset(1)
        inner = toy._env.unwrapped
        inner.step = lambda action: (inner.observe(), 0.0, terminated, truncated, info or {})
        return toy.step(np.zeros(2, "f4"))

    def test_success_is_a_bool_or_0_or_1(self):
        for yes in (True, 1, 1.0, np.True_, np.int8(1), np.float32(1), np.array(1.0)):
            self.assertIs(self.told({"is_success": yes}).success, True, repr(yes))
            self.assertIs(self.told({"far": yes}, "info:far").success, True, repr(yes))
        for no in (False, 0, 0.0, -0.0, np.False_, np.uint8(0), np.float64(0), None):
            self.assertIs(self.told({"is_success": no}).success, False, repr(no))
            self.assertIs(self.told({"far": no}, "info:far").success, False, repr(no))
        wrong = ("False", "", b"1", float("nan"), -1, 2, 0.01, np.float32(0.5), [], {}, [True])
        for value in (*wrong, np.array([True]), np.inf, 1j, object()):
            for key, rule in (("is_success", "auto"), ("success", "auto"), ("far", "info:far")):
                with self.subTest(repr(value), key=key):
                    words = rf"(?s)info\['{key}'\] is .*, of type {type(value).__name__}; give True"
                    with self.assertRaisesRegex(TypeError, words + f".*success=info:{key}>=0.5"):
                        self.told({key: value}, rule)

    def test_none_leaves_the_word_to_the_next_key(self):
        self.assertTrue(self.told({"is_success": None, "success": True}).success)
        self.assertFalse(self.told({"is_success": False, "success": True}).success)
        self.assertFalse(self.told({"is_success": None, "success": None}).success)

    def test_shares_of_success(self):
        for value, succeeds in ((0.5, True), (0.49, False), (np.float32(1), True), (None, False)):
            self.assertIs(self.told({"share": value}, "info:share>=0.5").success, succeeds)
        self.assertFalse(self.told({}, "info:share>=0.5").success)
        for value in ("0.7", [0.7], float("nan")):
            with self.subTest(value), self.assertRaisesRegex((TypeError, ValueError), "'share'"):
                self.told({"share": value}, "info:share>=0.5")

    def test_ends_are_bools_or_0_or_1(self):
        self.assertEqual(self.told(terminated=np.True_, truncated=0)[3:], (True, False))
        for name in ("terminated", "truncated"):
            for value in ("False", None, float("nan"), 0.3, [False]):
                with self.subTest(value), self.assertRaisesRegex(TypeError, f"{name} is "):
                    self.told(**{name: value})

    def test_choices(self):
        chances = make(id="Chances-v0")
        self.assertTrue(chances.facts.discrete_actions)
        self.assertEqual(chances.facts.action_size, 3)
        chances.reset(1)
        self.assertEqual(
            chances.step(np.array([0, 0.5, 0.5], "f4")).reward, 6
        )  # The first of equals.

    def test_a_reset_as_gym_had_it(self):
        # Two numbers, which would pass for an observation and its info.
        old = make(id="Toy-v0")
        old._env.unwrapped.reset = lambda seed=None, options=None: np.zeros(2)
        with self.assertRaisesRegex(TypeError, r"reset gives a ndarray.*\(observation, info\)"):
            old.reset(1)

    def test_the_limit_of_steps(self):
        self.assertEqual(make(id="Toy-v0").facts.episode_steps, 30)
        short = make(id="Toy-v0", episode_steps="4")
        self.assertEqual(short.facts.episode_steps, 4)
        short.reset(1)
        cut = [short.step(np.zeros(2, "f4")).truncated for _ in range(4)]
        self.assertEqual(cut, [False, False, False, True])

    def test_options_that_are_wrong(self):
        for options, complaint in (
            ({}, "id is missing"),
            ({"id": "Nowhere-v0"}, "id: "),
            ({"id": "os:Toy-v0"}, "leave out the module"),
            ({"id": "Toy-v0", "nonsense": "1"}, "gymnasium.make"),
            ({"id": "Toy-v0", "success": "maybe"}, "success is 'maybe'; give auto"),
            ({"id": "Toy-v0", "success": "return:x"}, "success is 'return:x'"),
            ({"id": "Toy-v0", "success": "return:nan"}, "'nan' is no finite number"),
            ({"id": "Toy-v0", "success": "info:far>=x"}, "'x' is no finite number"),
            ({"id": "Toy-v0", "observation": "sum,nose"}, "nose; there are"),
            ({"id": "Chances-v0", "observation": "sum"}, "are no Dict"),
            ({"id": "Toy-v0", "saves": "perhaps"}, "give one of auto, attributes, never"),
            ({"id": "Toy-v0", "episode_steps": "0"}, "at least 1"),
            ({"id": "Toy-v0", "independent_episodes": "1"}, "give true or false"),
            ({"id": "Toy-v0", "kwargs": "["}, "kwargs is no JSON"),
            ({"id": "Toy-v0", "kwargs": "[]"}, "no JSON object"),
        ):
            with self.subTest(options), self.assertRaisesRegex(mentor_env.Refused, complaint):
                make(**options)

    def test_generators_of_the_process_are_seeded(self):
        for source in ("own", "numpy", "python"):
            with self.subTest(source):
                first = make(id="Chances-v0", source=source)
                one = [first.reset(5)[0], first.step(np.zeros(3, "f4")).observation[0]]
                first.reset(6)
                self.assertNotEqual(first.step(np.zeros(3, "f4")).observation[0], one[1])
                second = make(id="Chances-v0", source=source)
                self.assertEqual(
                    [second.reset(5)[0], second.step(np.zeros(3, "f4")).observation[0]], one
                )

    def test_facts_depend_on_what_a_result_depends_on(self):
        digest = make(id="Toy-v0").facts.digest
        self.assertEqual(make(id="Toy-v0").facts.digest, digest)
        for options in ({"start": "1"}, {"success": "never"}, {"saves": "attributes"}):
            self.assertNotEqual(make(id="Toy-v0", **options).facts.digest, digest)

    def test_facts_name_wrappers_that_outlive_a_reset(self):
        name = make(id="Normalized-v0").facts.name
        self.assertIn("Normalized-v0 [not reset: NormalizeObservation] (", name)
        self.assertNotIn("not reset", make(id="Chances-v0").facts.name)

    def test_facts_depend_on_a_module_of_ones_own(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        own = folder / "own_world.py"
        own.write_text(
            "import gymnasium, toy_worlds\n"
            "class Own(toy_worlds.Toy): pass\n"
            "gymnasium.register('Own-v0', Own, max_episode_steps=5)\n"
        )
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        importlib.import_module("own_world")
        facts = make(id="Own-v0").facts
        self.assertRegex(facts.name, r"own_world [0-9a-f]{12}")
        self.assertEqual(make(id="Own-v0").facts, facts)
        own.write_text(own.read_text() + "# Changed.\n")
        self.assertNotEqual(make(id="Own-v0").facts.digest, facts.digest)


class SavingTest(unittest.TestCase):
    def check(self, steps=60, **options):
        """Plays the same episodes in one object, and in two that take turns through a state at
        every third step. Returns how many ended."""

        def live(one, two):
            lived, ends = [list(one.reset(SEED))], 0
            for t, action in enumerate(actions(one.facts.action_size, steps)):
                if t % 3 == 2 and two is not None:
                    state = one.save()
                    np.random.seed(t)
                    random.seed(t)
                    self.assertTrue((two.restore(state) == one._last).all())
                    self.assertEqual(two.save(), state)
                    one, two = two, one
                step = one.step(action)
                lived.append([list(step.observation), *step[1:]])
                if step.terminated or step.truncated:
                    ends += 1
                    lived.append(list(one.reset(t)))
            return lived, ends

        alone = make(**options)
        self.assertTrue(alone.facts.saves_state)
        lived, ends = live(alone, None)
        self.assertEqual(live(make(**options), make(**options)), (lived, ends))
        return ends

    def test_mujoco(self):
        for name in ("Hopper-v5", "Ant-v5", "FetchReach-v4", "FetchPush-v4"):
            with self.subTest(name):
                self.assertGreater(self.check(id=name, steps=150), 0)

    def test_attributes(self):
        self.assertFalse(make(id="CartPole-v1").facts.saves_state)
        self.assertGreater(self.check(id="CartPole-v1", saves="attributes"), 0)
        for source in ("own", "numpy", "python"):
            self.check(id="Chances-v0", saves="attributes", source=source)
        self.check(id="Toy-v0", saves="attributes", success="return:3")

    def test_a_state_goes_to_another_process(self):
        def host():
            command = [sys.executable, "-m", "mentor_env"]
            made = Host(command, {"id": "Hopper-v5"}, VARIABLES)
            self.addCleanup(made.process.kill)
            return made

        first = host()
        first.reset(SEED)
        for action in actions(3, 7):
            first.step(action)
        second = host()
        self.assertTrue((second.restore(first.save()) == first.observation).all())
        for action in actions(3, 7):
            mine, other = first.step(action), second.step(action)
            self.assertTrue((mine[0] == other[0]).all())
            self.assertEqual(mine[1:], other[1:])
        self.assertEqual(first.save(), second.save())

    def test_plain_data_comes_back(self):
        data = {
            "none": None,
            "numbers": [1, 2.5, -0.0, float("inf"), 2**200],
            "tuple": (1, "two", b"three"),
            "array": np.arange(6, dtype="f4").reshape(2, 3),
            "scalar": np.float32(0.1),
            "map": {3: "x", "y": (4,)},
        }
        back = states.load(states.dump(data))
        self.assertEqual(states.dump(back), states.dump(data))
        self.assertEqual(back["tuple"], data["tuple"])
        self.assertEqual(back["map"], data["map"])
        self.assertEqual(back["array"].dtype, np.dtype("f4"))
        self.assertEqual(str(back["numbers"][2]), "-0.0")
        for kind in ("PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"):
            generator = np.random.Generator(getattr(np.random, kind)(3))
            generator.random()
            again = states.load(states.dump(generator))
            self.assertEqual(again.random(), generator.random())
        for old in (random.Random(3), np.random.RandomState(3)):
            old.random()
            self.assertEqual(states.load(states.dump(old)).random(), old.random())

    def test_what_is_not_plain_is_not_saved(self):
        for value in (object(), open, np.array([None]), {1: object()}, [lambda: 0]):
            self.assertFalse(states.is_plain(value))

    def test_bad_states_are_errors(self):
        hopper = make(id="Hopper-v5")
        hopper.reset(1)
        state = hopper.save()
        for bad in (b"", b"[]", state[:-10], b'{"generator":["system",{}]}', b'{"own":1}'):
            with self.subTest(bad[:20]), self.assertRaises(Exception):
                hopper.restore(bad)
        with self.assertRaisesRegex(ValueError, "shape|model"):
            hopper.restore(make_reset("Walker2d-v5").save())


def make_reset(name):
    made = make(id=name)
    made.reset(1)
    return made


if __name__ == "__main__":
    unittest.main()
