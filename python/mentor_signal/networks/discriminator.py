"""The discriminator of DIAYN: how well each skill explains an observation."""

from __future__ import annotations

import math
from typing import Any, List

import numpy as np

from ..fields import UNITS, Field
from ..lifetimes import Array, as_array
from .base import Context, Network, Shapes, layer_shapes, register


@register("discriminator")
class Discriminator(Network):
    gives_signals = False
    used_by = "skill_reward"
    roles = ("REWARD",)
    options = {"skills": Field(int, 2, 1000), "hidden": UNITS}

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        hidden, skills = context.options["hidden"], context.options["skills"]
        return layer_shapes("skills", context.sizes.observation, hidden, hidden, skills)

    def _reads(self) -> List[str]:
        return []

    @property
    def skills(self) -> int:
        return int(self.context.options["skills"])

    def log_skills(self, observations: Any) -> Array:
        """Returns ln q(z | o), [..., n], of observations [..., D]."""
        x = as_array(observations, "observations").astype(self.dtype, copy=False)
        x = self.three_layers("skills", x)
        x = x - x.max(-1, keepdims=True)
        log_skills: Array = x - np.log(np.exp(x).sum(-1, keepdims=True))
        return log_skills

    def reward(self, reached: Any, skill: int) -> Array:
        """Returns the reward [...] of the steps that led to these observations and were made with
        this skill."""
        rewards: Array = self.log_skills(reached)[..., skill] + math.log(self.skills)
        return rewards
