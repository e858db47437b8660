"""What all signal networks share. A network is one file that derives from Network and registers
itself under its name in Mentor."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, ClassVar, Dict, FrozenSet, List, Mapping, Tuple, Type

import torch
import torch.nn.functional as F

from ..errors import SignalError
from ..lifetimes import Segment, State

Weights = Dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The settings for which a network was trained."""

    observation: int
    action: int
    episode_steps: int
    steps_per_iteration: int
    discrete_actions: bool
    independent_episodes: bool


@dataclasses.dataclass(frozen=True)
class Context:
    """Everything that defines a network beside its weights."""

    sizes: Sizes
    role: str
    input: str
    options: Mapping[str, Any]

    @property
    def outcomes(self) -> int:
        return 2 if self.input == "SUCCESS_AND_SHAPED" else 1


class Network:
    """Weights by name, and what they compute. `reads` names the parts of a Segment that the network
    needs beside the observations. A network that is not `causal` gives a step's signal only when
    the segment is complete."""

    name: ClassVar[str]
    causal: ClassVar[bool] = True
    gives_signals: ClassVar[bool] = True

    def __init__(self, context: Context, weights: Weights):
        self.context = context
        self.weights = weights
        self.reads: FrozenSet[str] = frozenset(self._reads())

    def _reads(self) -> List[str]:
        return ["actions"]

    @property
    def dtype(self) -> torch.dtype:
        return next(iter(self.weights.values())).dtype

    def initial_state(self, lifetimes: int) -> State:
        return State([], torch.zeros(lifetimes, dtype=self.dtype))

    def signals(self, segment: Segment, state: State) -> Tuple[torch.Tensor, State]:
        """Returns the signals [S, T] and the state after the segment; differentiable in the
        weights."""
        raise SignalError("network", f"'{self.name}' gives no signals")

    # --- Pieces.

    def linear(self, x: torch.Tensor, weight: str, bias: str) -> torch.Tensor:
        return F.linear(x, self.weights[weight], self.weights[bias])

    def three_layers(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Two tanh layers and a linear one."""
        x = torch.tanh(self.linear(x, f"{name}.W1", f"{name}.b1"))
        x = torch.tanh(self.linear(x, f"{name}.W2", f"{name}.b2"))
        return self.linear(x, f"{name}.W3", f"{name}.b3")

    def outcome_names(self) -> List[str]:
        return {"SUCCESS": ["success_signals"], "SHAPED": ["shaped_rewards"]}.get(
            self.context.input, ["success_signals", "shaped_rewards"]
        )

    def outcomes(self, segment: Segment) -> List[torch.Tensor]:
        """Returns three times the success signal, the shaped reward, or both, each [S, T]."""
        factor = {"success_signals": 3, "shaped_rewards": 1}
        return [factor[name] * segment.tensor(name).to(self.dtype) for name in self.outcome_names()]


_NETWORKS: Dict[str, Type[Network]] = {}


def register(name: str) -> Callable[[Type[Network]], Type[Network]]:
    def add(network: Type[Network]) -> Type[Network]:
        network.name = name
        _NETWORKS[name] = network
        return network

    return add


def networks() -> Dict[str, Type[Network]]:
    """Returns the registered networks, by name."""
    return dict(sorted(_NETWORKS.items()))


def make(name: str, context: Context, weights: Weights) -> Network:
    kind = _NETWORKS.get(name)
    if kind is None:
        raise SignalError(
            "network",
            f"'{name}' is unknown to this version of mentor_signal, which knows "
            f"{', '.join(networks())}; install the version that the export names",
        )
    return kind(context, weights)
