"""The signal network of Pappalardo, Ramele and Santos: two encoders, an LSTM over the whole
lifetime, and a head for the mean."""

from __future__ import annotations

from typing import List, Tuple

import torch

from ..lifetimes import Segment, State
from .base import Network, register


@register("lstm")
class Lstm(Network):
    def _reads(self) -> List[str]:
        return ["actions", "log_probs", "prev_done", *self.outcome_names()]

    def initial_state(self, lifetimes: int) -> State:
        state = super().initial_state(lifetimes)
        hidden = int(self.context.options["lstm"])
        state.recurrent += [torch.zeros(lifetimes, hidden, dtype=self.dtype) for _ in range(2)]
        return state

    def signals(self, segment: Segment, state: State) -> Tuple[torch.Tensor, State]:
        side = [torch.exp(segment.tensor("log_probs", torch.float64)).to(self.dtype)]
        side += self.outcomes(segment)
        side.append(2 * segment.tensor("prev_done", self.dtype))
        known = torch.cat(
            [
                segment.tensor("observations", self.dtype),
                segment.tensor("actions", self.dtype),
                torch.stack(side, -1),
            ],
            -1,
        )
        num_side = len(side) + 1  # The last signal is an input, too.
        h, c = state.recurrent
        previous, signals = state.previous, []
        for t in range(known.shape[1]):
            x = torch.cat([known[:, t], previous.unsqueeze(-1)], -1)
            seen = x[:, -num_side:]
            z = torch.cat([torch.relu(self.linear(x, "enc1.W", "enc1.b")), seen], -1)
            z = torch.cat([torch.relu(self.linear(z, "enc2.W", "enc2.b")), seen], -1)
            gates = self.linear(z, "lstm.W_ih", "lstm.b_ih")
            gates = gates + self.linear(h, "lstm.W_hh", "lstm.b_hh")
            i, f, g, o = gates.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            previous = torch.atan(self.three_layers("mean", h).squeeze(-1))
            signals.append(previous)
        return torch.stack(signals, 1), State([h.detach(), c.detach()], previous.detach())
