"""The intrinsic reward of LIRPG: two tanh layers on one step."""

from __future__ import annotations

from typing import List, Tuple

import torch

from ..lifetimes import Segment, State, episode_steps
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
            state.recurrent.append(torch.zeros(lifetimes, dtype=self.dtype))
        return state

    def signals(self, segment: Segment, state: State) -> Tuple[torch.Tensor, State]:
        options, recurrent = self.context.options, []
        inputs = [segment.tensor("observations", self.dtype), segment.tensor("actions", self.dtype)]
        if options["outcome"]:
            inputs += [outcome.unsqueeze(-1) for outcome in self.outcomes(segment)]
        if options["time"]:
            steps, carried = episode_steps(segment.tensor("prev_done"), state.recurrent[0])
            length = max(1, self.context.sizes.episode_steps)
            inputs.append((steps / length).to(self.dtype).unsqueeze(-1))
            recurrent = [carried]
        signals = self.three_layers("sig", torch.cat(inputs, -1)).squeeze(-1)
        if options["bounded"]:
            signals = torch.tanh(signals)
        return signals, State(recurrent, signals[:, -1].detach().clone())
