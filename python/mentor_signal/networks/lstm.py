"""The signal network of Pappalardo, Ramele and Santos: two encoders, an LSTM over the whole
lifetime, and a head for the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Tuple

import numpy as np

from ..lifetimes import Array, Segment, State
from .base import Context, Network, Shapes, layer_shapes, linear_shapes, register, sigmoid

if TYPE_CHECKING:
    from ..onnx import Graph


@register("lstm")
class Lstm(Network):
    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        side = context.outcomes + 3  # Density, outcomes, prev_done, the last signal.
        sizes = (context.count(name) for name in ("enc1", "enc2", "lstm", "heads", "critic"))
        enc1, enc2, hidden, heads, critic = sizes
        return {
            **linear_shapes("enc1.W", "enc1.b", context.seen + side, enc1),
            **linear_shapes("enc2.W", "enc2.b", enc1 + side, enc2),
            **linear_shapes("lstm.W_ih", "lstm.b_ih", enc2 + side, 4 * hidden),
            **linear_shapes("lstm.W_hh", "lstm.b_hh", hidden, 4 * hidden),
            **layer_shapes("mean", hidden, heads, heads, 1),
            **layer_shapes("logstd", hidden, heads, 1),
            **layer_shapes("critic", hidden, critic, 1),
        }

    def _reads(self) -> List[str]:
        return ["actions", "log_probs", "prev_done", *self.outcome_names()]

    def initial_state(self, lifetimes: int) -> State:
        state = super().initial_state(lifetimes)
        hidden = int(self.context.options["lstm"])
        state.recurrent += [np.zeros((lifetimes, hidden), self.dtype) for _ in range(2)]
        return state

    def signals(self, segment: Segment, state: State) -> Tuple[Array, State]:
        side = [np.exp(segment.array("log_probs", np.float64)).astype(self.dtype)]
        side += self.outcomes(segment)
        side.append(2 * segment.array("prev_done", self.dtype))
        known = np.concatenate(
            [
                self.observed(segment, state),
                segment.array("actions", self.dtype),
                np.stack(side, -1),
            ],
            -1,
        )
        num_side = len(side) + 1  # The last signal is an input, too.
        h, c = state.recurrent
        previous, signals = state.previous, np.empty(known.shape[:2], self.dtype)
        for t in range(known.shape[1]):
            x = np.concatenate([known[:, t], previous[:, None]], -1)
            seen = x[:, -num_side:]
            z = np.concatenate([np.maximum(self.linear(x, "enc1.W", "enc1.b"), 0), seen], -1)
            z = np.concatenate([np.maximum(self.linear(z, "enc2.W", "enc2.b"), 0), seen], -1)
            gates = self.linear(z, "lstm.W_ih", "lstm.b_ih")
            gates += self.linear(h, "lstm.W_hh", "lstm.b_hh")
            # The part of tanh is the third.
            hidden = h.shape[1]
            i_and_f, o = sigmoid(gates[:, : 2 * hidden]), sigmoid(gates[:, 3 * hidden :])
            g = np.tanh(gates[:, 2 * hidden : 3 * hidden])
            c = i_and_f[:, hidden:] * c + i_and_f[:, :hidden] * g
            h = o * np.tanh(c)
            previous = np.arctan(self.three_layers("mean", h)[:, 0])
            signals[:, t] = previous
        return signals, State([h, c], previous)

    def step_graph(self, graph: "Graph") -> str:
        width = len(self.weights["lstm.W_hh"][0])
        h, c, previous = (
            graph.state(name, numbers)
            for name, numbers in (("h", width), ("c", width), ("previous", 1))
        )
        side = [graph.op("Exp", graph.input("log_probs")), *graph.outcomes(self)]
        side.append(graph.op("Mul", graph.input("prev_done"), graph.number(2)))
        side.append(previous)
        seen = graph.concat(side)
        z = graph.concat([graph.observations, graph.actions, seen])
        for layer in ("enc1", "enc2"):
            z = graph.concat([graph.op("Relu", graph.linear(z, f"{layer}.W", f"{layer}.b")), seen])
        gates = graph.op(
            "Add",
            graph.linear(z, "lstm.W_ih", "lstm.b_ih"),
            graph.linear(h, "lstm.W_hh", "lstm.b_hh"),
        )
        i, f, g, o = graph.split(gates, 4)
        kept = graph.op("Mul", graph.op("Sigmoid", f), c)
        new = graph.op("Mul", graph.op("Sigmoid", i), graph.op("Tanh", g))
        c = graph.op("Add", kept, new)
        h = graph.op("Mul", graph.op("Sigmoid", o), graph.op("Tanh", c))
        signal = graph.op("Atan", graph.three_layers("mean", h))
        graph.carry(h=h, c=c, previous=signal)
        return signal
