"""What all signal networks share. A network is one file that derives from Network and registers
itself under its name in Mentor."""

from __future__ import annotations

import dataclasses
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    FrozenSet,
    List,
    Mapping,
    Tuple,
    Type,
)

import numpy as np

from ..errors import SignalError
from ..fields import Table
from ..lifetimes import Array, Segment, State

if TYPE_CHECKING:
    from ..onnx import Graph

Weights = Dict[str, Array]
Shapes = Dict[str, Tuple[int, ...]]


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

    @property
    def seen(self) -> int:
        """Numbers of an observation and an action."""
        return self.sizes.observation + self.sizes.action


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """How the steps of an episode attend to each other: weights[i, j] is the share of step j in
    what step i sees. `first_step` is the episode's first one in the segment."""

    name: str
    lifetime: int
    first_step: int
    weights: Array


class Network:
    """Weights by name, and what they compute. `reads` names the parts of a Segment that the network
    needs beside the observations. A network that is not `causal` gives a step's signal only when
    the segment is complete."""

    name: ClassVar[str]
    roles: ClassVar[Tuple[str, ...]] = ("REWARD", "ADVANTAGE")
    options: ClassVar[Table]
    causal: ClassVar[bool] = True
    gives_signals: ClassVar[bool] = True
    # The method of Signal that serves a network without signals.
    used_by: ClassVar[str] = "run"

    def __init__(self, context: Context, weights: Weights):
        self.context = context
        self.weights = weights
        self.reads: FrozenSet[str] = frozenset(self._reads())

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        """Returns the names and shapes of the weights."""
        raise NotImplementedError

    def _reads(self) -> List[str]:
        return ["actions"]

    @property
    def dtype(self) -> "np.dtype[Any]":
        return next(iter(self.weights.values())).dtype

    def initial_state(self, lifetimes: int) -> State:
        return State([], np.zeros(lifetimes, self.dtype))

    def signals(self, segment: Segment, state: State) -> Tuple[Array, State]:
        """Returns the signals [S, T] and the state after the segment. It leaves `state` as it
        is."""
        raise SignalError("network", f"'{self.name}' gives no signals")

    def explain(self, segment: Segment, state: State) -> List[AttentionMap]:
        """Returns the maps of all episodes, or of their parts inside the segment."""
        raise SignalError("network", f"'{self.name}' attends to no steps; 'attention' does")

    def step_graph(self, graph: "Graph") -> str:
        """Adds signals() of one step to an ONNX graph, and returns the name of the signal."""
        raise SignalError(
            "network",
            f"'{self.name}' gives no signal step by step, so it has no ONNX graph of a step",
        )

    # --- Pieces.

    def observed(self, segment: Segment, state: State) -> Array:
        """Returns what the network sees of the observations, [S, T, D]. All networks that give
        signals see them through this function. `state` is that before the segment."""
        return segment.array("observations", self.dtype)

    def linear(self, x: Array, weight: str, bias: str) -> Array:
        matrix = self.weights[weight]
        # In one product of two matrices: NumPy makes one for every matrix of a stack.
        y = x.reshape(-1, x.shape[-1]) @ matrix.T
        y += self.weights[bias]
        return y.reshape(*x.shape[:-1], len(matrix))

    def three_layers(self, name: str, x: Array) -> Array:
        """Two tanh layers and a linear one."""
        x = np.tanh(self.linear(x, f"{name}.W1", f"{name}.b1"))
        x = np.tanh(self.linear(x, f"{name}.W2", f"{name}.b2"))
        return self.linear(x, f"{name}.W3", f"{name}.b3")

    def outcome_names(self) -> List[str]:
        return {"SUCCESS": ["success_signals"], "SHAPED": ["shaped_rewards"]}.get(
            self.context.input, ["success_signals", "shaped_rewards"]
        )

    def outcomes(self, segment: Segment) -> List[Array]:
        """Returns three times the success signal, the shaped reward, or both, each [S, T]."""
        factor = {"success_signals": 3, "shaped_rewards": 1}
        return [factor[name] * segment.array(name, self.dtype) for name in self.outcome_names()]


def linear_shapes(weight: str, bias: str, inputs: int, outputs: int) -> Shapes:
    return {weight: (outputs, inputs), bias: (outputs,)}


def layer_shapes(name: str, *sizes: int) -> Shapes:
    """Returns those of the layers NAME.W1, NAME.W2, ... from the first size to the last."""
    shapes: Shapes = {}
    for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), 1):
        shapes.update(linear_shapes(f"{name}.W{number}", f"{name}.b{number}", inputs, outputs))
    return shapes


def sigmoid(x: Array) -> Array:
    y: Array = 0.5 + 0.5 * np.tanh(0.5 * x)  # exp(-x) can overflow.
    return y


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


def network_named(name: str) -> Type[Network]:
    kind = _NETWORKS.get(name)
    if kind is None:
        raise SignalError(
            "network",
            f"'{name}' is unknown to this version of mentor_signal, which knows "
            f"{', '.join(networks())}; install the version that the export names",
        )
    return kind
