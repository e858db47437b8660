"""One step of a signal as ONNX, in onnxruntime: the numbers that Mentor recorded, and those of
mentor_signal for networks and settings that the zoo has not. Skipped where deploy/install.sh
--signal was not run."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import signal_modules
from package import ROOT, SOURCE

ZOO = ROOT / "zoo"


def setUpModule():
    global export, np, onnxruntime, signals
    signal_modules.make_importable((*signal_modules.WITHOUT_TORCH, "onnx", "onnxruntime"))
    import numpy as np
    import onnxruntime
    import mentor_signal as signals
    import mentor_signal.onnx as export


class Runner:
    """What a program in another language does: it feeds each step with the state of the last."""

    def __init__(self, model, lifetimes):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.kinds = {
            one.name: np.float64 if "double" in one.type else np.float32
            for one in self.session.get_inputs()
        }
        self.state = {
            one.name: np.zeros((lifetimes, one.shape[1]), self.kinds[one.name])
            for one in self.session.get_inputs()
            if one.name.startswith("state_")
        }

    def step(self, **inputs):
        fed = {name: array for name, array in inputs.items() if name in self.kinds}
        names = [one.name for one in self.session.get_outputs()]
        outputs = dict(zip(names, self.session.run(None, {**fed, **self.state})))
        self.state = {name: outputs[f"next_{name}"] for name in self.state}
        return outputs["signal"][:, 0]

    def segment(self, segment):
        """Signals [S, T]."""
        parts = {
            name: np.asarray(part, np.float32)
            for name, part in vars(segment).items()
            if name in self.kinds
        }
        return np.stack(
            [
                self.step(**{name: _column(part[:, t]) for name, part in parts.items()})
                for t in range(segment.steps)
            ],
            1,
        )


def _column(part):
    return part if part.ndim == 2 else part[:, None]


def facts_of(network, options, **more):
    sizes = {"observation": 3, "action": 2, "episode_steps": 4, "steps_per_iteration": 9}
    sizes.update(discrete_actions=False, independent_episodes=True)
    facts = {"network": {"name": network, "options": options}, "sizes": sizes, "role": "REWARD"}
    facts.update(input="SUCCESS_AND_SHAPED", reward={"scale": 0.5}, trained={}, **more)
    return facts


LSTM = {"enc1": 5, "enc2": 6, "lstm": 7, "heads": 4, "critic": 3}
MLP = {"hidden": 6, "outcome": True, "time": True, "bounded": True}
OTHERS = {
    "lstm": ("lstm", LSTM),
    "lstm_normalised": ("lstm", {**LSTM, "normalize_observations": True}),
    "mlp": ("mlp", MLP),
    "mlp_of_an_observation": (
        "mlp",
        {**MLP, "outcome": False, "time": False, "bounded": False, "density": True},
    ),
    "bottleneck": ("bottleneck", {"hidden": 5, "bottleneck": 2, "layers": 3, "bounded": True}),
    "bottleneck_unbounded": (
        "bottleneck",
        {"hidden": 5, "bottleneck": 2, "layers": 1, "bounded": False},
    ),
}


def made(name):
    """A signal with weights by chance."""
    network, options = OTHERS[name]
    facts = facts_of(network, options)
    kind = signals.networks()[network]
    empty = signals.Signal(facts, {"none": np.zeros(1, np.float32)})
    random = np.random.default_rng(1)
    weights = {
        key: random.normal(size=shape).astype(np.float32)
        for key, shape in kind.shapes(empty.network.context).items()
    }
    return signals.Signal(facts, weights)


class OnnxTest(unittest.TestCase):
    def near(self, got, want):
        self.assertEqual(got.shape, want.shape)
        self.assertLess(np.abs(got - want).max(), 1e-6)

    def test_the_numbers_are_mentors(self):
        for name in ("point-reach-reward", "point-reach-advantage"):
            with self.subTest(name):
                runner = Runner(export.step_model(name).SerializeToString(), 1)
                for segment, wanted in signals.recorded(name):
                    self.assertGreater(np.std(wanted), 0.01)
                    self.near(runner.segment(segment), wanted)

    def test_other_networks_and_settings_are_those_of_numpy(self):
        random = np.random.default_rng(2)
        lifetimes = 3
        for name in OTHERS:
            with self.subTest(name):
                signal = made(name)
                runner = Runner(export.step_model(signal).SerializeToString(), lifetimes)
                state = signal.initial_state(lifetimes)
                for number in range(12):
                    parts = {
                        "observations": 100 * random.normal(size=(lifetimes, 1, 3)),
                        "actions": random.normal(size=(lifetimes, 1, 2)),
                        "log_probs": random.normal(size=(lifetimes, 1)),
                        "shaped_rewards": random.normal(size=(lifetimes, 1)),
                        "success_signals": random.normal(size=(lifetimes, 1)),
                        "prev_done": np.full((lifetimes, 1), float(number in (4, 8))),
                    }
                    if not signal.normalises:
                        parts["observations"] /= 100
                    # Both begin with the same numbers of single precision.
                    parts = {key: part.astype(np.float32) for key, part in parts.items()}
                    segment = signals.Segment(**parts)
                    wanted, state = signal.run(segment, state)
                    got = runner.segment(segment)
                    scale = max(1.0, np.abs(wanted).max())
                    self.near(got / scale, wanted / scale)

    def test_only_what_the_network_reads_is_asked_for(self):
        runner = Runner(export.step_model(made("bottleneck")).SerializeToString(), 1)
        self.assertEqual(set(runner.kinds), {"observations", "actions"})
        runner = Runner(export.step_model(made("lstm_normalised")).SerializeToString(), 1)
        lived = {name for name, kind in runner.kinds.items() if kind is np.float64}
        self.assertEqual(lived, {f"state_lived_{part}" for part in ("count", "mean", "squares")})

    def test_a_network_without_steps_is_refused(self):
        with self.assertRaisesRegex(signals.SignalError, "'attention' gives no signal step by"):
            export.step_model("point-reach-attention")

    def test_the_program_writes_the_same_bytes_again(self):
        path = ":".join(str(part) for part in (SOURCE, *sys.path) if part)
        with tempfile.TemporaryDirectory(prefix="mentor-onnx-") as folder:

            def written(name, code=0, path=path, file="signal.onnx"):
                out = pathlib.Path(folder) / file
                done = subprocess.run(
                    [sys.executable, "-B", "-m", "mentor_signal.onnx", name, out],
                    env={"PYTHONPATH": path},
                    capture_output=True,
                    text=True,
                    timeout=300,
                )
                self.assertEqual(done.returncode, code, done.stderr)
                return done.stderr if code else out.read_bytes()

            first = written("point-reach-reward")
            self.assertEqual(first, written("point-reach-reward"))
            self.assertIn("is neither a folder nor", written("point-rich", code=1))
            said = written("point-reach-reward", code=1, file="none/signal.onnx")
            self.assertRegex(said, "^FILE: .*none/signal.onnx cannot be written: .*; name a file")
            (pathlib.Path(folder) / "onnx.py").write_text("raise ModuleNotFoundError(name='onnx')")
            said = written("point-reach-reward", code=1, path=f"{folder}:{path}")
            self.assertRegex(said, r"^mentor_signal needs the Python module onnx, .*\[onnx\].*\n$")


if __name__ == "__main__":
    unittest.main()
