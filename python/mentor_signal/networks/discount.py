"""The meta-gradient of gamma and lambda: the generalised advantage of the task's reward with a
learned gamma and lambda."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np

from ..fields import FLAG, Field
from ..lifetimes import Array, Segment, State
from .base import Context, Network, Shapes, register, sigmoid


@register("discount")
class Discount(Network):
    causal = False
    roles = ("ADVANTAGE",)
    # The critics of its agents have these.
    options = {
        "gamma": Field(float, 0, 1),
        "lambda": Field(float, 0, 1),
        "critic_sees": FLAG,
        "policy_sees": FLAG,
        "embedding": Field(int, 1, 256),
    }

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        return {"logit_gamma": (1,), "logit_lambda": (1,)}

    def _reads(self) -> List[str]:
        return ["prev_done", "last_done", "values", "last_values", *self.outcome_names()]

    @property
    def gamma(self) -> float:
        return float(sigmoid(self.weights["logit_gamma"].astype(np.float64)).item())

    @property
    def lambda_(self) -> float:
        return float(sigmoid(self.weights["logit_lambda"].astype(np.float64)).item())

    def signals(self, segment: Segment, state: State) -> Tuple[Array, State]:
        gamma, lambda_ = self.gamma, self.lambda_
        rewards = np.sum([segment.array(name, np.float64) for name in self.outcome_names()], axis=0)
        values = segment.array("values", np.float64)
        starts = segment.array("prev_done", np.float64)
        next_value = segment.array("last_values", np.float64)
        goes_on = 1 - segment.array("last_done", np.float64)
        cut = final = None
        if segment.truncated is not None:
            cut = segment.array("truncated") != 0
            final = segment.array("final_values", np.float64)
        advantage = np.zeros_like(next_value)
        signals = np.empty(rewards.shape, self.dtype)
        for t in reversed(range(rewards.shape[1])):
            following = rewards[:, t] + gamma * goes_on * next_value - values[:, t]
            following = following + gamma * lambda_ * goes_on * advantage
            if cut is not None and final is not None:
                # A limit cut the episode short: the value of what would have followed.
                ended = rewards[:, t] + gamma * final[:, t] - values[:, t]
                following = np.where(cut[:, t], ended, following)
            signals[:, t] = advantage = following
            next_value, goes_on = values[:, t], 1 - starts[:, t]
        return signals, State([], signals[:, -1].copy())
