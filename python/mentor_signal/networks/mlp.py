"""The intrinsic reward of LIRPG: two tanh layers on one step."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np

from ..lifetimes import Array, Segment, State, episode_steps
from .base import Network, register


@register("mlp")
class Mlp(Network):
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
