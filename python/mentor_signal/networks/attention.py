"""The signal of SAIR and MetaIRN. Every step of an episode attends to all its steps inside the
segment, later ones too."""

from __future__ import annotations

import math
from typing import List, Tuple

import torch
import torch.nn.functional as F

from ..lifetimes import Segment, State, episode_steps
from .base import Network, register

# As in Mentor.
SCALED_REWARD_MAX = 10.0


@register("attention")
class Attention(Network):
    causal = False

    def _reads(self) -> List[str]:
        names = ["actions", "prev_done"]
        return names + (self.outcome_names() if self.context.options["signal_sees_reward"] else [])

    def initial_state(self, lifetimes: int) -> State:
        state = super().initial_state(lifetimes)
        state.recurrent += [
            # Steps into the episode; then number, mean and sum of squared deviations of the rewards
            # so far.
            torch.zeros(lifetimes, dtype=self.dtype),
            # and of the rewards so far: number, mean, sum of squared deviations.
            torch.zeros(lifetimes, 3, self.context.outcomes, dtype=self.dtype),
        ]
        return state

    def signals(self, segment: Segment, state: State) -> Tuple[torch.Tensor, State]:
        options = self.context.options
        inputs, state = self._inputs(segment, state)
        starts = segment.tensor("prev_done") != 0
        h = self._mlp("enc", inputs, 2 if options["encoder_hidden"] else 1, end=False)
        index = 0
        for _ in range(int(options["blocks"])):
            h = self._attend(f"blk.{index}", h, starts)
            index += 1
            if options["mlp_hidden"]:
                y = self._mlp(f"blk.{index}", h, 2, end=True)
                h = self._norm(f"blk.{index}", h + y) if options["residual_mlp"] else y
                index += 1
        head = self._mlp("head", h, 2 if options["head_hidden"] else 1, end=False)
        signals = head[..., 0]
        if options["bounded"]:
            signals = torch.tanh(signals)
        return signals, State(state.recurrent, signals[:, -1].detach().clone())

    def _inputs(self, segment: Segment, state: State) -> Tuple[torch.Tensor, State]:
        options = self.context.options
        count, statistics = state.recurrent
        inputs = [segment.tensor("observations", self.dtype), segment.tensor("actions", self.dtype)]
        if options["signal_sees_reward"]:
            rewards = torch.stack(
                [segment.tensor(name, torch.float64) for name in self.outcome_names()], -1
            )
            if options["scale_reward"]:
                rewards, statistics = self._scaled(rewards, statistics)
            inputs.append(rewards.to(self.dtype))
        steps, count = episode_steps(segment.tensor("prev_done"), count)
        if options["time"]:
            length = max(1, self.context.sizes.episode_steps)
            inputs.append((steps / length).to(self.dtype).unsqueeze(-1))
        return torch.cat(inputs, -1), State([count, statistics], state.previous)

    @staticmethod
    def _scaled(
        rewards: torch.Tensor, statistics: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Divides by the standard deviation of all that each agent has had, this segment
        included."""
        number, mean, squares = statistics.to(torch.float64).unbind(1)
        new = rewards.shape[1]
        new_mean = rewards.mean(1)
        new_squares = (rewards - new_mean.unsqueeze(1)).square().sum(1)
        total, delta = number + new, new_mean - mean
        all_squares = squares + new_squares + delta.square() * number * new / total
        kept = torch.stack([total, mean + delta * new / total, all_squares], 1)
        scaled = rewards / (all_squares / total + 1e-8).sqrt().unsqueeze(1)
        return scaled.clamp(-SCALED_REWARD_MAX, SCALED_REWARD_MAX), kept.to(statistics.dtype)

    def _mlp(self, name: str, x: torch.Tensor, layers: int, end: bool) -> torch.Tensor:
        for layer in range(1, layers + 1):
            x = self.linear(x, f"{name}.W{layer}", f"{name}.b{layer}")
            if end or layer < layers:
                x = torch.relu(x)
        return x

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(
            x, (x.shape[-1],), self.weights[f"{name}.ln.g"], self.weights[f"{name}.ln.b"], 1e-5
        )

    def _attend(self, name: str, h: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        lifetimes, steps, width = h.shape
        heads = int(self.context.options["heads"])
        parts = []
        for lifetime in range(lifetimes):
            borders = [t for t in range(steps) if t == 0 or bool(starts[lifetime, t])] + [steps]
            for first, last in zip(borders, borders[1:]):
                episode = h[lifetime, first:last]

                def of_heads(part: str, episode: torch.Tensor = episode) -> torch.Tensor:
                    y = self.linear(episode, f"{name}.{part}.W", f"{name}.{part}.b")
                    return y.reshape(len(episode), heads, width // heads).transpose(0, 1)

                q, k, v = of_heads("q"), of_heads("k"), of_heads("v")
                scores = q @ k.transpose(1, 2) / math.sqrt(width // heads)
                mixed = torch.softmax(scores, -1) @ v
                parts.append(mixed.transpose(0, 1).reshape(len(episode), width))
        mixed = torch.cat(parts).reshape(lifetimes, steps, width)
        return self._norm(name, h + self.linear(mixed, f"{name}.o.W", f"{name}.o.b"))
