"""The intrinsic reward of STN: tanh layers on one step, and a narrow layer without activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Tuple

import numpy as np

from ..fields import GAIN, UNITS, Field
from ..lifetimes import Array, Segment, State
from .base import Context, Network, Shapes, layer_shapes, linear_shapes, register

if TYPE_CHECKING:
    from ..onnx import Graph


@register("bottleneck")
class Bottleneck(Network):
    options = {
        "hidden": UNITS,
        "layers": Field(int, 1, 8),
        "bottleneck": UNITS,
        "output_gain": GAIN,
        "bounded": Field(bool, default=True),
    }

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        names = ("hidden", "bottleneck", "layers")
        hidden, narrow, layers = (context.options[name] for name in names)
        return {
            **layer_shapes("body", context.seen, *[hidden] * layers),
            **linear_shapes("bot.W", "bot.b", hidden, narrow),
            **linear_shapes("out.W", "out.b", narrow, 1),
        }

    def signals(self, segment: Segment, state: State) -> Tuple[Array, State]:
        x = np.concatenate(
            [self.observed(segment, state), segment.array("actions", self.dtype)], -1
        )
        for layer in range(1, int(self.context.options["layers"]) + 1):
            x = np.tanh(self.linear(x, f"body.W{layer}", f"body.b{layer}"))
        x = self.linear(x, "bot.W", "bot.b")
        signals = self.linear(x, "out.W", "out.b").squeeze(-1)
        if self.context.options["bounded"]:
            signals = np.tanh(signals)
        return signals, State([], signals[:, -1].copy())

    def step_graph(self, graph: "Graph") -> str:
        x = graph.concat([graph.observations, graph.actions])
        for layer in range(1, int(self.context.options["layers"]) + 1):
            x = graph.op("Tanh", graph.linear(x, f"body.W{layer}", f"body.b{layer}"))
        signal = graph.linear(graph.linear(x, "bot.W", "bot.b"), "out.W", "out.b")
        return graph.op("Tanh", signal) if self.context.options["bounded"] else signal
