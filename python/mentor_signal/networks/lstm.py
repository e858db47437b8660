"""The signal network of Pappalardo, Ramele and Santos: two encoders, an LSTM over the whole
lifetime, and a head for the mean."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np

from ..lifetimes import Array, Segment, State
from .base import Network, register, sigmoid


@register("lstm")
class Lstm(Network):
    def _reads(self) -> List[str]:
        return ["actions", "log_probs", "prev_done", *self.outcome_names()]

    def initial_state(self, lifetimes: int) -> State:
        state = super().initial_state(lifetimes)
        hidden = int(self.context.options["lstm"])
        state.recurrent += [np.zeros((lifetimes, hidden), self.dtype) for _ in range(2)]
        return state

    def signals(self, segment: Segment, state: State) -> Tuple[Array, State]:
        side = [np.exp(segment.array("log_probs", np.float64)).astype(self.dtype)]
        side += self.outcomes(segment)
        side.append(2 * segment.array("prev_done", self.dtype))
        known = np.concatenate(
            [
                self.observed(segment, state),
                segment.array("actions", self.dtype),
                np.stack(side, -1),
            ],
            -1,
        )
        num_side = len(side) + 1  # The last signal is an input, too.
        h, c = state.recurrent
        previous, signals = state.previous, np.empty(known.shape[:2], self.dtype)
        for t in range(known.shape[1]):
            x = np.concatenate([known[:, t], previous[:, None]], -1)
            seen = x[:, -num_side:]
            z = np.concatenate([np.maximum(self.linear(x, "enc1.W", "enc1.b"), 0), seen], -1)
            z = np.concatenate([np.maximum(self.linear(z, "enc2.W", "enc2.b"), 0), seen], -1)
            gates = self.linear(z, "lstm.W_ih", "lstm.b_ih")
            gates += self.linear(h, "lstm.W_hh", "lstm.b_hh")
            # The part of tanh is the third.
            hidden = h.shape[1]
            i_and_f, o = sigmoid(gates[:, : 2 * hidden]), sigmoid(gates[:, 3 * hidden :])
            g = np.tanh(gates[:, 2 * hidden : 3 * hidden])
            c = i_and_f[:, hidden:] * c + i_and_f[:, :hidden] * g
            h = o * np.tanh(c)
            previous = np.arctan(self.three_layers("mean", h)[:, 0])
            signals[:, t] = previous
        return signals, State([h, c], previous)
