"""The meta-gradient of gamma and lambda: the generalised advantage of the task's reward with a
learned gamma and lambda."""

from __future__ import annotations

from typing import List, Tuple

import torch

from ..lifetimes import Segment, State
from .base import Network, register


@register("discount")
class Discount(Network):
    causal = False

    def _reads(self) -> List[str]:
        return ["prev_done", "last_done", "values", "last_values", *self.outcome_names()]

    @property
    def gamma(self) -> float:
        return float(torch.sigmoid(self.weights["logit_gamma"].to(torch.float64)))

    @property
    def lambda_(self) -> float:
        return float(torch.sigmoid(self.weights["logit_lambda"].to(torch.float64)))

    def signals(self, segment: Segment, state: State) -> Tuple[torch.Tensor, State]:
        gamma = torch.sigmoid(self.weights["logit_gamma"].to(torch.float64))
        lambda_ = torch.sigmoid(self.weights["logit_lambda"].to(torch.float64))
        rewards = torch.stack(
            [segment.tensor(name, torch.float64) for name in self.outcome_names()]
        ).sum(0)
        values = segment.tensor("values", torch.float64)
        starts = segment.tensor("prev_done", torch.float64)
        next_value = segment.tensor("last_values", torch.float64)
        goes_on = 1 - segment.tensor("last_done", torch.float64)
        cut = final = None
        if segment.truncated is not None:
            cut = segment.tensor("truncated") != 0
            final = segment.tensor("final_values", torch.float64)
        advantage, advantages = torch.zeros_like(next_value), []
        for t in reversed(range(rewards.shape[1])):
            following = rewards[:, t] + gamma * goes_on * next_value - values[:, t]
            following = following + gamma * lambda_ * goes_on * advantage
            if cut is not None and final is not None:
                # A limit cut the episode short: the value of what would have followed.
                ended = rewards[:, t] + gamma * final[:, t] - values[:, t]
                following = torch.where(cut[:, t], ended, following)
            advantage = following
            advantages.append(advantage)
            next_value, goes_on = values[:, t], 1 - starts[:, t]
        signals = torch.stack(advantages[::-1], 1).to(self.dtype)
        return signals, State([], signals[:, -1].detach().clone())
