"""The intrinsic reward of STN: tanh layers on one step, and a narrow layer without activation."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..lifetimes import Array, Segment, State
from .base import Network, register


@register("bottleneck")
class Bottleneck(Network):
    def signals(self, segment: Segment, state: State) -> Tuple[Array, State]:
        x = np.concatenate(
            [self.observed(segment, state), segment.array("actions", self.dtype)], -1
        )
        for layer in range(1, int(self.context.options["layers"]) + 1):
            x = np.tanh(self.linear(x, f"body.W{layer}", f"body.b{layer}"))
        x = self.linear(x, "bot.W", "bot.b")
        signals = self.linear(x, "out.W", "out.b").squeeze(-1)
        if self.context.options.get("bounded", True):
            signals = np.tanh(signals)
        return signals, State([], signals[:, -1].copy())
