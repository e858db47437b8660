"""The signal network of Pappalardo, Ramele and Santos: two encoders, an LSTM over the whole
lifetime, and a head for the mean. `lstm_both` has a second LSTM that runs backward."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Tuple

import numpy as np

from ..fields import OFF, STD, UNITS
from ..lifetimes import Array, Segment, State
from .base import Context, Network, Shapes, layer_shapes, linear_shapes, register, sigmoid

if TYPE_CHECKING:
    from ..onnx import Graph


@register("lstm")
class Lstm(Network):
    seen_states = 1  # States of LSTMs that the heads read.
    options = {
        **dict.fromkeys(("enc1", "enc2", "lstm", "heads", "critic"), UNITS),
        "initial_std": STD,
        "normalize_observations": OFF,
    }

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        hidden, heads, critic = (context.options[name] for name in ("lstm", "heads", "critic"))
        seen = cls.seen_states * hidden
        return {
            **cls._trunk_shapes("", context),
            **layer_shapes("mean", seen, heads, heads, 1),
            **layer_shapes("logstd", seen, heads, 1),
            **layer_shapes("critic", seen, critic, 1),
        }

    @staticmethod
    def _trunk_shapes(prefix: str, context: Context) -> Shapes:
        """Returns those of encoders and LSTM."""
        side = context.outcomes + 3  # Density, outcomes, prev_done, the last signal.
        enc1, enc2, hidden = (context.options[name] for name in ("enc1", "enc2", "lstm"))
        shapes = {
            **linear_shapes("enc1.W", "enc1.b", context.seen + side, enc1),
            **linear_shapes("enc2.W", "enc2.b", enc1 + side, enc2),
            **linear_shapes("lstm.W_ih", "lstm.b_ih", enc2 + side, 4 * hidden),
            **linear_shapes("lstm.W_hh", "lstm.b_hh", hidden, 4 * hidden),
        }
        return {prefix + name: shape for name, shape in shapes.items()}

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
        later = self._later(segment, known)
        h, c = state.recurrent
        previous, signals = state.previous, np.empty(known.shape[:2], self.dtype)
        for t in range(known.shape[1]):
            h, c = self._cell("", known[:, t], previous, h, c)
            previous = np.arctan(self.three_layers("mean", self._seen(later, t, h))[:, 0])
            signals[:, t] = previous
        return signals, State([h, c], previous)

    def _later(self, segment: Segment, known: Array) -> Array:
        """Returns the states of an LSTM that runs backward, [S, T, H]; here there is none."""
        return known[..., :0]

    def _seen(self, later: Array, t: int, h: Array) -> Array:
        return h

    def _cell(
        self, prefix: str, known: Array, last: Array, h: Array, c: Array
    ) -> Tuple[Array, Array]:
        """Returns h and c after a step with the input [known, last]."""
        x = np.concatenate([known, last[:, None]], -1)
        seen = x[:, -(self.context.outcomes + 3) :]
        for layer in (prefix + "enc1", prefix + "enc2"):
            x = np.concatenate(
                [np.maximum(self.linear(x, f"{layer}.W", f"{layer}.b"), 0), seen], -1
            )
        gates = self.linear(x, f"{prefix}lstm.W_ih", f"{prefix}lstm.b_ih")
        gates += self.linear(h, f"{prefix}lstm.W_hh", f"{prefix}lstm.b_hh")
        # The part of tanh is the third.
        hidden = h.shape[1]
        i_and_f, o = sigmoid(gates[:, : 2 * hidden]), sigmoid(gates[:, 3 * hidden :])
        g = np.tanh(gates[:, 2 * hidden : 3 * hidden])
        c = i_and_f[:, hidden:] * c + i_and_f[:, :hidden] * g
        return o * np.tanh(c), c

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


@register("lstm_both")
class LstmBoth(Lstm):
    causal = False
    seen_states = 2

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        return {**super().shapes(context), **cls._trunk_shapes("later.", context)}

    def _later(self, segment: Segment, known: Array) -> Array:
        """The LSTM begins anew at the last step of each episode and of the segment. There its last
        input is 2, and else 0."""
        ends = np.ones(known.shape[:2], bool)
        ends[:, :-1] = segment.array("prev_done")[:, 1:] != 0
        h = np.zeros((len(known), int(self.context.options["lstm"])), self.dtype)
        c, states = h, np.empty((*known.shape[:2], h.shape[1]), self.dtype)
        for t in reversed(range(known.shape[1])):
            goes_on = ~ends[:, t, None]
            last = 2 * ends[:, t].astype(self.dtype)
            h, c = self._cell("later.", known[:, t], last, h * goes_on, c * goes_on)
            states[:, t] = h
        return states

    def _seen(self, later: Array, t: int, h: Array) -> Array:
        return np.concatenate([later[:, t], h], -1)

    def step_graph(self, graph: "Graph") -> str:
        return Network.step_graph(self, graph)
