"""The signal of SAIR and MetaIRN. Every step of an episode attends to all its steps inside the
segment, later ones too unless `past_only`."""

from __future__ import annotations

import math
from typing import List, Optional, Tuple

import numpy as np

from ..errors import SignalError
from ..fields import FLAG, GAIN, OFF, REMEDY, STD, UNITS, UNITS_OR_NONE, Field
from ..lifetimes import Array, Segment, State, episode_steps
from .base import (
    AttentionMap,
    Context,
    Network,
    Shapes,
    layer_shapes,
    linear_shapes,
    register,
)

# As in Mentor.
SCALED_REWARD_MAX = 10.0


@register("attention")
class Attention(Network):
    causal = False
    options = {
        "width": UNITS,
        "encoder_hidden": UNITS_OR_NONE,
        "heads": UNITS,
        "blocks": Field(int, 1, 16),
        "mlp_hidden": UNITS_OR_NONE,
        "residual_mlp": FLAG,
        "head_hidden": UNITS_OR_NONE,
        "output_gain": GAIN,
        "bounded": FLAG,
        "past_only": OFF,
        "signal_sees_reward": FLAG,
        "scale_reward": FLAG,
        "time": FLAG,
        "density": OFF,
        "initial_std": STD,
        "normalize_observations": OFF,
    }

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        options = context.options
        heads, width = options["heads"], options["width"]
        if width % heads:
            raise SignalError(
                "network.options.heads",
                f"are {heads} in config.json, and do not divide the width {width}; {REMEDY}",
            )
        inputs = context.seen + bool(options["time"])
        inputs += context.outcomes if options["signal_sees_reward"] else 0

        def mlp(name: str, first: int, hidden: str, last: int) -> Shapes:
            units = [options[hidden]] if options[hidden] else []
            return layer_shapes(name, first, *units, last)

        shapes = mlp("enc", inputs, "encoder_hidden", width)
        index = 0
        for _ in range(options["blocks"]):
            name = f"blk.{index}"
            for part in "qkvo":
                parts = (f"{name}.{part}.W", f"{name}.{part}.b")
                shapes.update(linear_shapes(*parts, width, width))
            shapes.update({f"{name}.ln.g": (width,), f"{name}.ln.b": (width,)})
            index += 1
            if options["mlp_hidden"]:
                name = f"blk.{index}"
                shapes.update(mlp(name, width, "mlp_hidden", width))
                if options["residual_mlp"]:
                    shapes.update({f"{name}.ln.g": (width,), f"{name}.ln.b": (width,)})
                index += 1
        # With a density the head also gives its logarithm of the deviation, and a value.
        outputs = 3 if options["density"] else 1
        return {**shapes, **mlp("head", width, "head_hidden", outputs)}

    def _reads(self) -> List[str]:
        names = ["actions", "prev_done"]
        return names + (self.outcome_names() if self.context.options["signal_sees_reward"] else [])

    def initial_state(self, lifetimes: int) -> State:
        state = super().initial_state(lifetimes)
        state.recurrent += [
            # Steps into the episode; then number, mean and sum of squared deviations of the rewards
            # so far.
            np.zeros(lifetimes, self.dtype),
            # and of the rewards so far: number, mean, sum of squared deviations.
            np.zeros((lifetimes, 3, self.context.outcomes), self.dtype),
        ]
        return state

    def signals(self, segment: Segment, state: State) -> Tuple[Array, State]:
        return self._run(segment, state, None)

    def explain(self, segment: Segment, state: State) -> List[AttentionMap]:
        maps: List[AttentionMap] = []
        self._run(segment, state, maps)
        return maps

    def _run(
        self, segment: Segment, state: State, maps: Optional[List[AttentionMap]]
    ) -> Tuple[Array, State]:
        """Signals and state after the segment; adds its maps where a list is given."""
        options = self.context.options
        inputs, state = self._inputs(segment, state)
        starts = segment.array("prev_done") != 0
        h = self._mlp("enc", inputs, 2 if options["encoder_hidden"] else 1, end=False)
        index = 0
        for block in range(int(options["blocks"])):
            h = self._attend(f"blk.{index}", h, starts, block, maps)
            index += 1
            if options["mlp_hidden"]:
                y = self._mlp(f"blk.{index}", h, 2, end=True)
                h = self._norm(f"blk.{index}", h + y) if options["residual_mlp"] else y
                index += 1
        head = self._mlp("head", h, 2 if options["head_hidden"] else 1, end=False)
        signals = head[..., 0]
        if options["bounded"]:
            signals = np.tanh(signals)
        return signals, State(state.recurrent, signals[:, -1].copy())

    def _inputs(self, segment: Segment, state: State) -> Tuple[Array, State]:
        options = self.context.options
        count, statistics = state.recurrent
        inputs = [self.observed(segment, state), segment.array("actions", self.dtype)]
        if options["signal_sees_reward"]:
            rewards = np.stack(
                [segment.array(name, np.float64) for name in self.outcome_names()], -1
            )
            if options["scale_reward"]:
                rewards, statistics = self._scaled(rewards, statistics)
            inputs.append(rewards.astype(self.dtype))
        steps, count = episode_steps(segment.array("prev_done"), count)
        if options["time"]:
            length = max(1, self.context.sizes.episode_steps)
            inputs.append((steps / length).astype(self.dtype)[..., None])
        return np.concatenate(inputs, -1), State([count, statistics], state.previous)

    def _scaled(self, rewards: Array, statistics: Array) -> Tuple[Array, Array]:
        """Divides by the standard deviation of all that each agent has had, this segment included;
        with past_only of what it has had up to each step."""
        number, mean, squares = statistics.astype(np.float64).transpose(1, 0, 2)
        new = rewards.shape[1]
        new_mean = rewards.mean(1)
        new_squares = np.square(rewards - new_mean[:, None]).sum(1)
        total, delta = number + new, new_mean - mean
        all_squares = squares + new_squares + np.square(delta) * number * new / total
        kept = np.stack([total, mean + delta * new / total, all_squares], 1)
        variance = (all_squares / total)[:, None]
        if self._past_only:
            deviations = rewards - mean[:, None]
            numbers = number[:, None] + np.arange(1, new + 1)[:, None]
            sums = np.square(deviations).cumsum(1) - np.square(deviations.cumsum(1)) / numbers
            variance = np.maximum((squares[:, None] + sums) / numbers, 0)
        scaled = rewards / np.sqrt(variance + 1e-8)
        return np.clip(scaled, -SCALED_REWARD_MAX, SCALED_REWARD_MAX), kept.astype(statistics.dtype)

    @property
    def _past_only(self) -> bool:
        return bool(self.context.options["past_only"])

    def _mlp(self, name: str, x: Array, layers: int, end: bool) -> Array:
        for layer in range(1, layers + 1):
            x = self.linear(x, f"{name}.W{layer}", f"{name}.b{layer}")
            if end or layer < layers:
                x = np.maximum(x, 0)
        return x

    def _norm(self, name: str, x: Array) -> Array:
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-5)
        y: Array = x * self.weights[f"{name}.ln.g"] + self.weights[f"{name}.ln.b"]
        return y

    def _attend(
        self, name: str, h: Array, starts: Array, block: int, maps: Optional[List[AttentionMap]]
    ) -> Array:
        lifetimes, steps, width = h.shape
        heads = int(self.context.options["heads"])

        def of_heads(part: str) -> Array:
            y = self.linear(h, f"{name}.{part}.W", f"{name}.{part}.b")
            return y.reshape(lifetimes, steps, heads, width // heads).transpose(0, 2, 1, 3)

        q, k, v = of_heads("q"), of_heads("k"), of_heads("v")
        q = q / h.dtype.type(math.sqrt(width // heads))
        mixed = np.empty_like(h)
        for lifetime in range(lifetimes):
            borders = [t for t in range(steps) if t == 0 or bool(starts[lifetime, t])] + [steps]
            for first, last in zip(borders, borders[1:]):
                episode = (lifetime, slice(None), slice(first, last))
                scores = q[episode] @ k[episode].transpose(0, 2, 1)
                if self._past_only:
                    scores += np.triu(np.full_like(scores[0], -np.inf), 1)
                shares = np.exp(scores - scores.max(-1, keepdims=True))
                shares /= shares.sum(-1, keepdims=True)
                if maps is not None:
                    maps += [
                        AttentionMap(f"block {block}, head {head}", lifetime, first, shares[head])
                        for head in range(heads)
                    ]
                attended = (shares @ v[episode]).transpose(1, 0, 2)
                mixed[lifetime, first:last] = attended.reshape(last - first, width)
        return self._norm(name, h + self.linear(mixed, f"{name}.o.W", f"{name}.o.b"))
