"""python -m mentor_signal.onnx NAME FILE: writes one step of a signal network as an ONNX graph, for
programs in any language. The state is among the inputs and outputs: zeros at a lifetime's birth,
then what the step before gave. All are float32 [lifetimes, numbers], but for `lived_...`, the scale
of observations of networks that normalise them, which is float64.

    observations     as the environment gives them
    actions          as the policy drew them, before clipping; of discrete actions one-hot
    log_probs, success_signals, shaped_rewards, prev_done
                     of a Segment, those that the network reads
    state_NAME       state before the step; the output next_state_NAME is the state after it
    signal           output: the signal of the step

Exit status: 0, or 1 when the signal has no such graph."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from typing import Any, Dict, List

import numpy as np

from .errors import SignalError, explained
from .lifetimes import Array
from .names import Path
from .networks.base import Network
from .normaliser import SHOWN_MAX, SQUARE_FLOOR
from .signal import Signal, signal_of

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ModuleNotFoundError as error:
    said = explained(error, "onnx", "onnx")
    if __name__ == "__main__":
        sys.exit(said)
    raise ModuleNotFoundError(said, name=error.name) from None

# Runtimes of the last years read these.
OPSET, IR_VERSION = 17, 8


class Graph:
    """The graph of one step, as a network builds it. Values are named by strings."""

    def __init__(self, signal: Signal):
        self._signal = signal
        self._nodes: List[Any] = []
        self._inputs: Dict[str, Any] = {}
        self._outputs: Dict[str, Any] = {}
        self._constants: Dict[str, Any] = {}
        self.observations = self.input("observations", signal.sizes.observation)
        self.actions = self.input("actions", signal.sizes.action)
        if signal.normalises:
            self.observations = self._normalised(self.observations)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operation of one output."""
        output = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def split(self, x: str, parts: int) -> List[str]:
        """Returns equal parts of the numbers of x."""
        outputs = [f"Split_{len(self._nodes)}_{part}" for part in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], outputs, axis=1))
        return outputs

    def concat(self, parts: List[str]) -> str:
        return self.op("Concat", *parts, axis=1)

    def number(self, value: float, dtype: Any = np.float32) -> str:
        return self._constant(f"{np.dtype(dtype).name}_{value!r}", np.array(value, dtype))

    def linear(self, x: str, weight: str, bias: str) -> str:
        weights = self._signal.network.weights
        parts = [self._constant(name, weights[name].astype(np.float32)) for name in (weight, bias)]
        return self.op("Gemm", x, *parts, transB=1)

    def three_layers(self, name: str, x: str) -> str:
        """As Network.three_layers."""
        for layer in (1, 2):
            x = self.op("Tanh", self.linear(x, f"{name}.W{layer}", f"{name}.b{layer}"))
        return self.linear(x, f"{name}.W3", f"{name}.b3")

    def outcomes(self, network: Network) -> List[str]:
        """As Network.outcomes, of rewards as the environment gives them."""
        factors = {"success_signals": 3.0, "shaped_rewards": self._signal.reward.scale}
        return [
            self.op("Mul", self.input(name), self.number(factors[name]))
            for name in network.outcome_names()
        ]

    def input(self, name: str, numbers: int = 1) -> str:
        self._inputs[name] = _value(name, numbers, np.float32)
        return name

    def state(self, name: str, numbers: int, dtype: Any = np.float32) -> str:
        """Returns what carry() gave in the step before."""
        self._inputs[f"state_{name}"] = _value(f"state_{name}", numbers, dtype)
        self._outputs[f"next_state_{name}"] = _value(f"next_state_{name}", numbers, dtype)
        return f"state_{name}"

    def carry(self, **values: str) -> None:
        for name, value in values.items():
            self._nodes.append(helper.make_node("Identity", [value], [f"next_state_{name}"]))

    def model(self, signal: str) -> Any:
        self._nodes.append(helper.make_node("Identity", [signal], ["signal"]))
        outputs = [_value("signal", 1, np.float32), *self._outputs.values()]
        # What no node reads would be asked for in vain.
        read = {name for node in self._nodes for name in node.input}
        inputs = [value for name, value in self._inputs.items() if name in read]
        graph = helper.make_graph(
            self._nodes, "step", inputs, outputs, list(self._constants.values())
        )
        facts = self._signal.facts
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="mentor",
            producer_version=str(facts.get("mentor")),
            doc_string=__doc__.partition("\n\n")[2].rpartition("\n\n")[0],
        )
        kept = ("network", "role", "input", "sizes", "reward", "trained")
        helper.set_model_props(model, {name: json.dumps(facts[name]) for name in kept})
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constant(self, name: str, array: Array) -> str:
        self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def _normalised(self, observations: str) -> str:
        """ObservationNormaliser.show of one step."""
        wide, size = np.float64, self._signal.sizes.observation
        count = self.state("lived_count", 1, wide)
        mean, squares = (self.state(f"lived_{name}", size, wide) for name in ("mean", "squares"))
        x = self.op("Cast", observations, to=TensorProto.DOUBLE)
        after = self.op("Add", count, self.number(1, wide))
        difference = self.op("Sub", x, mean)
        squared = self.op("Mul", difference, difference)
        added = self.op("Mul", squared, self.op("Div", count, after))
        squares = self.op("Add", squares, added)
        mean = self.op("Add", mean, self.op("Div", difference, after))
        self.carry(lived_count=after, lived_mean=mean, lived_squares=squares)
        square = self.op("Add", self.op("Div", squares, after), self.op("Mul", mean, mean))
        scale = self.op("Sqrt", self.op("Add", square, self.number(SQUARE_FLOOR, wide)))
        shown = self.op("Div", observations, self.op("Cast", scale, to=TensorProto.FLOAT))
        return self.op("Clip", shown, self.number(-SHOWN_MAX), self.number(SHOWN_MAX))


def _value(name: str, numbers: int, dtype: Any) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, ["lifetimes", numbers])


def step_model(signal: "Signal | Path") -> Any:
    """Returns the onnx.ModelProto of one step."""
    loaded = signal_of(signal)
    graph = Graph(loaded)
    return graph.model(loaded.network.step_graph(graph))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mentor_signal.onnx",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="of a signal, as mentor_signal.load takes it")
    parser.add_argument("file", metavar="FILE", type=pathlib.Path, help="to write")
    arguments = parser.parse_args()
    try:
        content = step_model(arguments.name).SerializeToString(deterministic=True)
        arguments.file.write_bytes(content)
    except SignalError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"FILE: {arguments.file} cannot be written: {error.strerror}; name a file in a folder "
            "that exists and is yours",
            file=sys.stderr,
        )
        return 1
    print(f"{arguments.file}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
