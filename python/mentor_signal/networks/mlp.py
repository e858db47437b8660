"""The intrinsic reward of LIRPG: two tanh layers on one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Tuple

import numpy as np

from ..fields import FLAG, GAIN, OFF, STD, UNITS
from ..lifetimes import Array, Segment, State, episode_steps
from .base import Context, Network, Shapes, layer_shapes, register

if TYPE_CHECKING:
    from ..onnx import Graph


@register("mlp")
class Mlp(Network):
    options = {
        "hidden": UNITS,
        "output_gain": GAIN,
        "bounded": FLAG,
        "outcome": FLAG,
        "time": FLAG,
        "density": OFF,
        "initial_std": STD,
        "normalize_observations": OFF,
    }

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        options, hidden = context.options, context.options["hidden"]
        inputs = context.seen + bool(options["time"])
        inputs += context.outcomes if options["outcome"] else 0
        shapes = layer_shapes("sig", inputs, hidden, hidden, 1)
        if options["density"]:
            shapes.update(layer_shapes("critic", inputs, hidden, hidden, 1), log_std=(1,))
        return shapes

    def _reads(self) -> List[str]:
        options = self.context.options
        names = ["actions"]
        if options["outcome"]:
            names += self.outcome_names()
        return names + (["prev_done"] if options["time"] else [])

    def initial_state(self, lifetimes: int) -> State:
        state = super().initial_state(lifetimes)
        if self.context.options["time"]:
            state.recurrent.append(np.zeros(lifetimes, self.dtype))
        return state

    def signals(self, segment: Segment, state: State) -> Tuple[Array, State]:
        options, recurrent = self.context.options, []
        inputs = [self.observed(segment, state), segment.array("actions", self.dtype)]
        if options["outcome"]:
            inputs += [outcome[..., None] for outcome in self.outcomes(segment)]
        if options["time"]:
            steps, carried = episode_steps(segment.array("prev_done"), state.recurrent[0])
            length = max(1, self.context.sizes.episode_steps)
            inputs.append((steps / length).astype(self.dtype)[..., None])
            recurrent = [carried]
        signals = self.three_layers("sig", np.concatenate(inputs, -1)).squeeze(-1)
        if options["bounded"]:
            signals = np.tanh(signals)
        return signals, State(recurrent, signals[:, -1].copy())

    def step_graph(self, graph: "Graph") -> str:
        options = self.context.options
        inputs = [graph.observations, graph.actions]
        if options["outcome"]:
            inputs += graph.outcomes(self)
        if options["time"]:
            goes_on = graph.op("Sub", graph.number(1), graph.input("prev_done"))
            steps = graph.op("Mul", graph.state("episode_steps", 1), goes_on)
            graph.carry(episode_steps=graph.op("Add", steps, graph.number(1)))
            length = max(1, self.context.sizes.episode_steps)
            inputs.append(graph.op("Div", steps, graph.number(length)))
        signal = graph.three_layers("sig", graph.concat(inputs))
        return graph.op("Tanh", signal) if options["bounded"] else signal
