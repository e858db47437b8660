"""The learned loss of evolved policy gradients: two convolutions over an agent's last steps. Every
row of a minibatch sees their mean over time beside its own step. The loss is to be differentiated
in the policy, so it needs PyTorch, which it loads when it is first used."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Dict, List

from ..errors import SignalError, explained
from ..fields import Field
from ..lifetimes import Array
from .base import Context, Network, Shapes, linear_shapes, register

if TYPE_CHECKING:
    import torch

STRIDE_1, STRIDE_2 = 5, 2
KERNEL_1, KERNEL_2 = 6, 4


@dataclasses.dataclass
class LossInputs:
    """The last N steps of S agents, rows oldest first, as `loss` reads them.

    observations  [S, N, D]
    actions       [S, N, A]: one-hot, or unclipped
    rewards       [S, N]
    dones         [S, N]: 1 where the episode ended with the step
    policy        [S, N, p]: of the policy that is to learn, with its graph: mean and log-std of a
                  Gaussian, or probabilities
    rows          [S, B] int64, of N: the steps whose mean the loss is
    context       [S, c]: numbers of the agent that only the loss reads; may be left out if c is 0
    """

    observations: Any
    actions: Any
    rewards: Any
    dones: Any
    policy: Any
    rows: Any
    context: Any = None


def pytorch() -> Any:
    """Returns the module torch."""
    try:
        import torch
    except ModuleNotFoundError as error:
        said = explained(error, "signal-loss", "torch")
        raise SignalError("torch", f"a learned loss is differentiated by PyTorch. {said}") from None
    return torch


@register("loss_conv")
class LossConv(Network):
    gives_signals = False
    used_by = "loss"
    roles = ("LOSS",)
    options = {
        **dict.fromkeys(("conv1", "conv2", "trajectory", "loss"), Field(int, 1, 1024)),
        "context": Field(int, 0, 256),
        "buffer": Field(int, KERNEL_1 + STRIDE_1 * (KERNEL_2 - 1), 65536),
    }

    @classmethod
    def shapes(cls, context: Context) -> Shapes:
        names = ("conv1", "conv2", "trajectory", "loss", "context")
        conv1, conv2, trajectory, loss, agent = (context.options[name] for name in names)
        policy = context.sizes.action * (1 if context.sizes.discrete_actions else 2)
        features = context.seen + 2 + policy + agent
        return {
            "conv1.W": (conv1, features, KERNEL_1),
            "conv1.b": (conv1,),
            "conv2.W": (conv2, conv1, KERNEL_2),
            "conv2.b": (conv2,),
            **linear_shapes("traj.W", "traj.b", conv2, trajectory),
            **linear_shapes("loss1.W", "loss1.b", features + trajectory, loss),
            **linear_shapes("loss2.W", "loss2.b", loss, 1),
        }

    def _reads(self) -> List[str]:
        return []

    def value(self, inputs: LossInputs) -> Array:
        """Returns the loss of each agent, [S], as numbers without a graph."""
        with pytorch().no_grad():
            value: Array = self.loss(inputs).numpy()
        return value

    def loss(self, inputs: LossInputs) -> "torch.Tensor":
        """Returns the loss of each agent, [S]; differentiable in policy and context."""
        library = pytorch()
        weights = {name: library.as_tensor(weight) for name, weight in self.weights.items()}
        kind = next(iter(weights.values())).dtype

        def tensor(name: str) -> "torch.Tensor":
            value: "torch.Tensor" = library.as_tensor(getattr(inputs, name)).to(kind)
            return value

        observations = tensor("observations")
        steps, wanted = observations.shape[1], int(self.context.options["buffer"])
        if steps != wanted:
            raise SignalError(
                "inputs.observations",
                f"has {steps} steps; the loss sees the last {wanted}, with zeros before the "
                "agent's first",
            )
        context = (
            observations.new_zeros(observations.shape[0], 0)
            if inputs.context is None
            else tensor("context")
        )
        step = library.cat(
            [
                observations,
                tensor("actions"),
                tensor("rewards").unsqueeze(2),
                tensor("dones").unsqueeze(2),
                tensor("policy"),
            ],
            2,
        )
        rows = library.as_tensor(inputs.rows).to(library.int64).unsqueeze(2)
        loss: "torch.Tensor" = _loss(weights, step, library.tanh(context).unsqueeze(1), rows)
        return loss


def _loss(
    weights: "Dict[str, torch.Tensor]",
    step: "torch.Tensor",
    context: "torch.Tensor",
    rows: "torch.Tensor",
) -> Any:
    """Returns the loss of each agent from its steps [S, N, ...], the numbers [S, 1, c] that only
    the loss reads, and its rows [S, B, 1]."""
    library = pytorch()
    functions = library.nn.functional

    def with_context(x: "torch.Tensor", numbers: "torch.Tensor") -> Any:
        return library.cat([x, numbers.expand(-1, x.shape[1], -1)], 2)

    def linear(x: Any, name: str) -> Any:
        return functions.linear(x, weights[f"{name}.W"], weights[f"{name}.b"])

    def conv(x: Any, name: str, stride: int) -> Any:
        y = functions.conv1d(x, weights[f"{name}.W"], weights[f"{name}.b"], stride)
        return functions.leaky_relu(y, 0.2)

    x = with_context(step, context.detach()).transpose(1, 2)
    x = conv(conv(x, "conv1", STRIDE_1), "conv2", STRIDE_2)
    trajectory = linear(x.mean(2), "traj").unsqueeze(1)
    row = with_context(step.gather(1, rows.expand(-1, -1, step.shape[2])), context)
    row = library.cat([row, trajectory.expand(-1, row.shape[1], -1)], 2)
    row = functions.leaky_relu(linear(row, "loss1"), 0.2)
    return linear(row, "loss2").mean(1).squeeze(1)
