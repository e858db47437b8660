"""The discriminator of DIAYN: how well each skill explains an observation."""

from __future__ import annotations

import math
from typing import Any, List

import torch

from .base import Network, register


@register("discriminator")
class Discriminator(Network):
    gives_signals = False

    def _reads(self) -> List[str]:
        return []

    @property
    def skills(self) -> int:
        return int(self.context.options["skills"])

    def log_skills(self, observations: Any) -> torch.Tensor:
        """Returns ln q(z | o), [..., n], of observations [..., D]."""
        x = torch.as_tensor(observations).to(self.dtype)
        return torch.log_softmax(self.three_layers("skills", x), -1)

    def reward(self, reached: Any, skill: int) -> torch.Tensor:
        """Returns the reward [...] of the steps that led to these observations and were made with
        this skill."""
        return self.log_skills(reached)[..., skill] + math.log(self.skills)
