"""The drift of LPO: what a step of the policy costs, of its ratio and its advantage."""

from __future__ import annotations

from typing import Any, List

import numpy as np

from ..fields import FLAG, UNITS, Field
from ..lifetimes import Array, as_array
from .base import Context, Network, Shapes, register

INPUTS = 8


@register("drift")
class Drift(Network):
    gives_signals = False
    used_by = "drift"
    roles = ("REWARD",)
    options = {"hidden": UNITS, "xi": Field(float, 1e-12, 1), "from_ppo": FLAG}

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        hidden = context.options["hidden"]
        return {"drift.W1": (hidden, INPUTS), "drift.W2": (1, hidden)}

    def _reads(self) -> List[str]:
        return []

    def drift(self, log_ratio: Any, advantages: Any, clip: float) -> Array:
        """Returns the drift of steps, in the shape of both."""
        log = as_array(log_ratio, "log_ratio").astype(self.dtype, copy=False)
        advantages = as_array(advantages, "advantages").astype(self.dtype, copy=False)
        ratio = np.exp(log)
        moved = 1 - ratio
        inputs = np.stack(
            [
                *(moved, moved**2, moved * advantages, moved**2 * advantages),
                *(log, log**2, log * advantages, log**2 * advantages),
            ],
            -1,
        )
        hidden = np.tanh(inputs @ self.weights["drift.W1"].T)
        drift = (hidden @ self.weights["drift.W2"].T)[..., 0]
        drift -= self.dtype.type(self.context.options["xi"])
        if self.context.options["from_ppo"]:
            drift += np.maximum((ratio - np.clip(ratio, 1 - clip, 1 + clip)) * advantages, 0)
        drifts: Array = np.maximum(drift, 0)
        return drifts
