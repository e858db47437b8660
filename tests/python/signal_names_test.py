"""Signals by name: of the zoo, of folders, and of repositories of the Hugging Face Hub, which a
server on loopback plays. Skipped where deploy/install.sh --signal was not run."""

import json
import os
import pathlib
import pickle
import shutil
import tempfile
import unittest
import warnings
from unittest import mock

import hub_server
import signal_modules
from package import ROOT

from harness import ClusterTest

ZOO = ROOT / "zoo"
NAME = "point-reach-reward"
FILES = ["README.md", "config.json", "model.safetensors", "signal_check.safetensors"]


def setUpModule():
    global gymnasium, np, point_reach, safetensors, signals
    signal_modules.make_importable(signal_modules.WITHOUT_TORCH)
    signal_modules.add_examples()
    import gymnasium
    import numpy as np
    import point_reach
    import safetensors.numpy
    import mentor_signal as signals


class FolderTest(unittest.TestCase):
    def folder(self):
        made = tempfile.TemporaryDirectory(prefix="mentor-signal-")
        self.addCleanup(made.cleanup)
        return pathlib.Path(made.name)

    def copy(self):
        copy = self.folder() / "signal"
        shutil.copytree(ZOO / NAME, copy)
        return copy

    def refused(self, says, name, **arguments):
        with self.assertRaisesRegex(signals.SignalError, says):
            signals.load(name, **arguments)


class NamesTest(FolderTest):
    def test_the_zoo_is_known_by_name(self):
        self.assertIn(NAME, signals.zoo())
        for name in signals.zoo():
            with self.subTest(name):
                self.assertEqual(signals.load(name).folder, ZOO / name)
        self.assertEqual(signals.load(f"zoo:{NAME}").folder, ZOO / NAME)
        self.assertEqual(signals.compare(NAME), signals.compare(ZOO / NAME))

    def test_a_name_that_does_not_exist_lists_the_nearest(self):
        for name in ("point_reach_reward", "point-reach-rewrd", "zoo:Point-Reach-Reward"):
            self.refused(rf"signal: '{name}' is neither .* which has {NAME}", name)
        self.refused("signal: is empty; give a name or the path of a folder", "")
        self.refused("which has door-close-advantage, door-close-reward", "xyz")
        self.refused("signals/reach has no config.json", "signals/reach")
        with mock.patch.dict(os.environ, {"MENTOR_ZOO": str(self.folder())}):
            self.refused("and .* has none", NAME)

    def test_a_folder_has_the_say_before_the_zoo(self):
        here = self.folder()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(here)
        (here / NAME).mkdir()
        self.refused(f"{NAME} has no config.json", NAME)
        signals.load(f"zoo:{NAME}")

    def test_environments_take_names(self):
        env = signals.LearnedReward(point_reach.PointReach(), NAME, log_prob=lambda *_: -1.0)
        env.reset(seed=1)
        _, reward, *_ = env.step(np.ones(2, np.float32))
        self.assertTrue(np.isfinite(reward))
        with self.assertRaisesRegex(signals.SignalError, "env.action_space: is Discrete"):
            signals.LearnedReward(gymnasium.make("CartPole-v1"), NAME)
        wide = gymnasium.wrappers.TransformObservation(
            point_reach.PointReach(), None, gymnasium.spaces.Box(-1, 1, (5,))
        )
        with self.assertRaisesRegex(signals.SignalError, "env.observation_space: "):
            signals.LearnedReward(wide, NAME)

    def test_students_of_stable_baselines_take_names(self):
        signal_modules.make_importable()
        import mentor_signal.sb3 as taught
        from stable_baselines3.common.vec_env import DummyVecEnv

        envs = DummyVecEnv([point_reach.PointReach])
        self.assertIsInstance(signals.LearnedReward(envs, NAME), taught.LearnedVecReward)
        taught.LearnedVecReward(envs, NAME)
        model = taught.TaughtPPO("MlpPolicy", envs, "point-reach-advantage", device="cpu")
        self.assertEqual(model.signal.role, "ADVANTAGE")

    def test_earlier_exports_are_read(self):
        old = self.copy()
        facts = json.loads((old / "config.json").read_text())
        facts["weights"]["file"] = "signal.safetensors"
        (old / "config.json").unlink()
        (old / "signal.json").write_text(json.dumps(facts))
        (old / "model.safetensors").rename(old / "signal.safetensors")
        signal = signals.load(old, check=True)
        with self.assertRaisesRegex(signals.SignalError, "export. of this version"):
            signal.save_pretrained(self.folder())

    def test_a_signal_is_saved_as_it_was(self):
        out = signals.load(NAME).save_pretrained(self.folder() / "mine")
        self.assertEqual(sorted(path.name for path in out.iterdir()), FILES)
        for file in FILES:
            self.assertEqual((out / file).read_bytes(), (ZOO / NAME / file).read_bytes())
        self.assertEqual(signals.Signal.from_pretrained(out).folder, out)


class HostileTest(FolderTest):
    """What a stranger may have put into a folder."""

    def with_facts(self, *path, value):
        copy = self.copy()
        facts = json.loads((copy / "config.json").read_text())
        part = facts
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        (copy / "config.json").write_text(json.dumps(facts))
        return copy

    def with_weights(self, **changes):
        copy = self.copy()
        weights = safetensors.numpy.load_file(copy / "model.safetensors")
        data = safetensors.numpy.save({**weights, **changes})
        return self.with_data(copy, data)

    def with_data(self, copy, data):
        facts = json.loads((copy / "config.json").read_text())
        facts["weights"]["sha256"] = signal_modules.sha256(data)
        (copy / "config.json").write_text(json.dumps(facts))
        (copy / "model.safetensors").write_bytes(data)
        return copy

    def test_a_network_that_the_weights_are_not_those_of(self):
        for path, value, says in (
            # No computation reads these sizes of an LSTM; its weights tell them.
            (("network", "options", "enc1"), 29, r"'enc1.W' has shape .28, 10., and not .29, 10."),
            (("network", "options", "lstm"), 10**9, "options.lstm: is 1000000000, and no whole"),
            (("network", "options", "lstm"), "32", "options.lstm: is '32', and no whole"),
            (("network", "options", "lstm"), True, "options.lstm: is True, and no whole"),
            (("network", "name"), "lstm_both", "weights: are not those of network 'lstm_both'"),
            (("network", "name"), "transformer", "network: 'transformer' is unknown"),
            (("sizes", "observation"), 5, r"'enc1.W' has shape .28, 10., and not .28, 11."),
            (("sizes", "observation"), 10**12, "sizes.observation: is 1000000000000, and no"),
            (("input",), "SUCCESS_AND_SHAPED", "weights: are not those of network 'lstm'"),
            (("format",), 99, "format: is 99"),
        ):
            with self.subTest(path, value=value):
                self.refused(says, self.with_facts(*path, value=value))

    def test_a_field_of_another_kind_or_range_is_named(self):
        for field, value, says in (
            ("reward.signal", float("nan"), "is nan, and no number from 0 to 1000"),
            ("reward.signal", "one", "is 'one', and no number"),
            ("reward.scale", 0, "is 0, and no number above 0"),
            ("reward.scale", float("inf"), "is inf, and no number"),
            ("reward.task_reward", "shapedx", "is 'shapedx', and none of shaped, success"),
            ("role", "LOSS", "is 'LOSS', and none of REWARD, ADVANTAGE"),
            ("role", [], r"is \[\], and none of"),
            ("weights.parameters", 14004, "are 14004 numbers in .*, and 14003 in .*safetensors"),
            ("columns", [], r"is \[\], and no list of objects"),
            ("columns", [{"name": "observations", "size": 4}], "are 4 numbers in .*, and 10 in"),
            ("agent", {}, "hidden_units: is missing"),
            ("agent.gamma", 1.6, "is 1.6, and no number from 0 to 1"),
            ("agent.learning_rate", -1, "is -1, and no number"),
            ("agent.clip", "x", "is 'x', and no number above 0"),
            ("agent.epochs", 1e9, "is 1000000000.0, and no whole number from 1 to 10000"),
            ("agent.minibatches", 0, "is 0, and no whole number from 1"),
            ("agent.optimizer", "ADAMx", "is 'ADAMx', and none of ADAM, SGD"),
            ("network.options", {}, "enc1: is missing"),
            ("network.options.critc", 32, "is unknown, and the nearest known one is 'critic'"),
            ("network.options.normalize_observations", "true", "is 'true', and neither true nor"),
            ("check", {}, "file: is missing"),
        ):
            with self.subTest(field, value=value):
                self.refused(
                    rf"^{field}[.:] ?(?=.* in .*config.json){says}.*; get it anew",
                    self.with_facts(*field.split("."), value=value),
                )

    def test_normalised_observations_are_of_format_2_and_seen_in_the_recording(self):
        option = ("network", "options", "normalize_observations")
        said = "^network.options.normalize_observations: is true "
        mixed = self.with_facts(*option, value=True)
        self.refused(f"{said}and format is 1 in .*config.json, but format 2, and no other", mixed)
        self.refused("is false and format is 2", self.with_facts("format", value=2))
        facts = json.loads((mixed / "config.json").read_text())
        (mixed / "config.json").write_text(json.dumps({**facts, "format": 2}))
        self.assertTrue(signals.load(mixed).normalises)
        self.refused(f"{said}.*recorded lifetime are not normalised", mixed, check=True)

    def test_options_that_older_exports_lack_have_their_defaults(self):
        facts = json.loads((ZOO / "point-reach-attention" / "config.json").read_text())
        options = facts["network"]["options"]
        for name in ("past_only", "normalize_observations"):
            self.assertFalse(options.pop(name))
        copy = self.folder() / "signal"
        shutil.copytree(ZOO / "point-reach-attention", copy)
        (copy / "config.json").write_text(json.dumps(facts))
        signal = signals.load(copy, check=True)
        self.assertEqual(signal.facts["network"]["options"], options)

    def test_weights_of_another_name_or_type(self):
        weights = safetensors.numpy.load_file(ZOO / NAME / "model.safetensors")
        wide = weights["enc1.b"].astype(np.float64)
        self.refused("'enc1.b' has the type float64", self.with_weights(**{"enc1.b": wide}))
        self.refused("it has no 'more'", self.with_weights(more=wide))

    def test_a_number_above_single_precision_is_an_error_and_no_warning(self):
        space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
        huge = gymnasium.wrappers.TransformObservation(
            point_reach.PointReach(), lambda _observation: np.full(4, 1e300), space
        )
        env = signals.LearnedReward(huge, NAME, log_prob=lambda *_: -1.0)
        env.reset(seed=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with self.assertRaisesRegex(signals.SignalError, "observation: .* is not finite"):
                env.step(np.ones(2, np.float32))

    def test_layers_without_number(self):
        options = {"hidden": 1, "bottleneck": 1, "layers": 10**9, "bounded": True}
        network = {"name": "bottleneck", "options": options}
        self.refused("options.layers: is 1000000000", self.with_facts("network", value=network))

    def test_files_that_are_too_large_are_not_read(self):
        copy = self.copy()
        os.truncate(copy / "model.safetensors", 1 << 40)
        self.refused("weights.file: .* is no file of at most 11.* bytes", copy)
        copy = self.copy()
        os.truncate(copy / "config.json", 1 << 40)
        self.refused("config.json is no file of at most 16777216 bytes", copy)

    def test_pickles_are_not_loaded(self):
        class Trap:
            def __reduce__(self):
                return (os.mkdir, (str(trap),))

        trap = self.folder() / "trap"
        for protocol in (2, 4, 5):
            data = pickle.dumps(Trap(), protocol)
            self.refused("weights: '.*' is a pickle", self.with_data(self.copy(), data))
        copy = self.copy()
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
        self.refused("'pytorch_model.bin' is a pickle, which can run any code", copy)
        copy = self.copy()
        (copy / "agent.pkl").touch()
        self.refused(f"{copy} is refused: 'agent.pkl' is a pickle", copy)
        self.assertFalse(trap.exists())

    def test_another_format(self):
        copy = self.folder()
        (copy / "config.json").write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
        self.refused("format: is missing: .* describes no signal of Mentor", copy)


class HubTest(FolderTest):
    """A repository of the Hub."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="mentor-hub-")
        cls.addClassCleanup(folder.cleanup)
        cls.hub = cls.enterClassContext(hub_server.serving())
        cls.environment = {
            "HF_ENDPOINT": cls.hub.url,
            "HF_HOME": folder.name,
            "HF_TOKEN": "hf_of_a_test",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
        }
        # The library reads them once, when it is loaded.
        cls.enterClassContext(mock.patch.dict(os.environ, cls.environment))
        signal_modules.make_importable(("huggingface_hub",))
        import huggingface_hub.constants

        cls.library = huggingface_hub
        assert huggingface_hub.constants.ENDPOINT == cls.hub.url

    def setUp(self):
        files = {file: (ZOO / NAME / file).read_bytes() for file in FILES}
        self.hub.repositories = {"someone/reach": files}
        self.hub.sizes = {}
        self.hub.told.clear()

    def test_a_repository_is_loaded_and_kept(self):
        signal = signals.load("hf://someone/reach", check=True)
        self.assertEqual(signal.facts, signals.load(NAME).facts)
        self.assertIn(self.hub.commit_of("someone/reach"), str(signal.folder))
        self.hub.told.clear()
        again = signals.Signal.from_pretrained("someone/reach")
        self.assertEqual(again.folder, signal.folder)
        self.assertEqual([told for told in self.hub.told if told.startswith("GET /someone")], [])

    def test_a_revision_is_what_it_was(self):
        before = self.hub.commit_of("someone/reach")
        signals.load(f"hf://someone/reach@{before}")
        self.hub.repositories["someone/reach"]["README.md"] += b"\nmore\n"
        self.refused("cannot be read: RevisionNotFound", f"hf://someone/reach@{'0' * 40}")
        self.refused("cannot be read: RevisionNotFound", f"hf://someone/reach@{before}")

    def test_without_a_connection_it_is_what_was_fetched(self):
        fetched = signals.load("hf://someone/reach").folder
        with mock.patch.object(self.library.HfApi, "model_info", side_effect=OSError("no route")):
            self.refused("cannot be reached, and was not fetched before", "hf://someone/other")
            self.assertEqual(signals.load("hf://someone/reach").folder, fetched)
            commit = self.hub.commit_of("someone/reach")
            self.assertEqual(signals.load(f"hf://someone/reach@{commit}").folder, fetched)

    def test_a_signal_is_pushed_and_comes_back(self):
        url = signals.load(NAME).push_to_hub("me/mine", private=True)
        self.assertTrue(url.startswith(f"{self.hub.url}/me/mine/commit/"))
        self.assertEqual(sorted(self.hub.repositories["me/mine"]), FILES)
        signals.load("hf://me/mine", check=True)
        with mock.patch.object(self.library.HfApi, "create_repo", side_effect=OSError("refused")):
            with self.assertRaisesRegex(signals.SignalError, "repo_id: 'me/mine' was not written"):
                signals.load(NAME).push_to_hub("me/mine")

    def test_the_card_is_one_of_the_hub(self):
        for name in signals.zoo():
            card = self.library.ModelCard.load(ZOO / name / "README.md")
            self.assertEqual(card.data.library_name, "mentor")
            self.assertEqual(card.data.license, "apache-2.0")
            self.assertIn("mentor", card.data.tags)
            facts = json.loads((ZOO / name / "config.json").read_text())
            teacher = {"last": "learned", "best": "learned (best)"}[facts["weights"]["which"]]
            means = [
                row["iterations"][-1]["mean"]
                for row in facts["evaluation"]
                if row["teacher"] == teacher and not row["environment"]
            ]
            told = [result.metric_value for result in card.data.eval_results]
            self.assertTrue(means)
            np.testing.assert_allclose(told, means, atol=1e-4)
            self.assertEqual({one.metric_type for one in card.data.eval_results}, {"success_rate"})

    def test_nothing_of_a_hostile_repository_is_fetched(self):
        files = self.hub.repositories["someone/reach"]
        for change, sizes, says in (
            ({"config.json": None}, {}, "has no config.json"),
            ({"model.safetensors": None}, {}, "has no model.safetensors"),
            ({"agent.pkl": b"\x80\x04."}, {}, "someone/reach is refused: 'agent.pkl' is a pickle"),
            ({}, {"model.safetensors": 1 << 40}, "a model.safetensors of 1099511627776 bytes"),
            ({}, {"config.json": None}, "a config.json of None bytes"),
        ):
            with self.subTest(says):
                changed = {**files, **change}
                self.hub.repositories["someone/reach"] = {
                    name: data for name, data in changed.items() if data is not None
                }
                self.hub.sizes = sizes
                self.hub.told.clear()
                self.refused(says, "hf://someone/reach")
                self.assertEqual(len(self.hub.told), 1)

    def test_a_repository_that_does_not_exist(self):
        self.refused("hf://no/where cannot be read: .*NotFound", "hf://no/where")
        for name in ("hf://where", "hf://a/b/c", "hf://a/../b"):
            self.refused("give hf://OWNER/NAME", name)
        self.refused("hf://../b cannot be read: HFValidationError", "hf://../b")

    def test_the_file_of_a_strangers_config_is_checked_as_any(self):
        files = self.hub.repositories["someone/reach"]
        facts = json.loads(files["config.json"])
        facts["weights"]["file"] = "../../../etc/passwd"
        files["config.json"] = json.dumps(facts).encode()
        self.refused("weights.file: is '../../../etc/passwd'", "hf://someone/reach")

    def test_without_the_library_the_error_names_it(self):
        with mock.patch.dict("sys.modules", {"huggingface_hub": None}):
            self.refused("pip install './python\\[hub\\]'", "hf://someone/reach")


class CommandTest(ClusterTest):
    def test_evaluate_takes_names_and_folders(self):
        for subject in (f"zoo:{NAME}", ZOO / NAME):
            said = self.run_to_end(
                "mentor", "evaluate", subject, "--check", "--results", self.folder / "results"
            )
            self.assertRegex(said, "[0-9]+ lifetimes, [0-9,]+ environment steps")
            self.assertNotIn("Shorter", said)
        many = ("mentor", "evaluate", f"zoo:{NAME}", "--check", "--lifetimes", 1000)
        self.assertRegex(self.run_to_end(*many), "--seeds 1 --lifetimes 1: [0-9,]+ environment st")
        said = self.run_to_end("mentor", "evaluate", "zoo:point-reach-rewrd", code=2)
        self.assertIn(f"did you mean '{NAME}'", said)
        said = self.run_to_end("mentor", "evaluate", NAME, code=2)
        self.assertIn(f"{NAME}: there is no such folder; did you mean zoo:{NAME}?", said)
        export = ("mentor", "export", f"zoo:{NAME}", "--out", self.folder / "signal")
        self.assertIn("is an export already", self.run_to_end(*export, code=2))


if __name__ == "__main__":
    unittest.main()
