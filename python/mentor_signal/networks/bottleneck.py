"""The intrinsic reward of STN: tanh layers on one step, and a narrow layer without activation."""

from __future__ import annotations

from typing import Tuple

import torch

from ..lifetimes import Segment, State
from .base import Network, register


@register("bottleneck")
class Bottleneck(Network):
    def signals(self, segment: Segment, state: State) -> Tuple[torch.Tensor, State]:
        x = torch.cat(
            [segment.tensor("observations", self.dtype), segment.tensor("actions", self.dtype)], -1
        )
        for layer in range(1, int(self.context.options["layers"]) + 1):
            x = torch.tanh(self.linear(x, f"body.W{layer}", f"body.b{layer}"))
        x = self.linear(x, "bot.W", "bot.b")
        signals = torch.tanh(self.linear(x, "out.W", "out.b").squeeze(-1))
        return signals, State([], signals[:, -1].detach().clone())
