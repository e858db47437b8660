"""The learned loss of evolved policy gradients: two convolutions over an agent's last steps. Every
row of a minibatch sees their mean over time beside its own step."""

from __future__ import annotations

import dataclasses
from typing import Any, List

import torch
import torch.nn.functional as F

from ..errors import SignalError
from .base import Network, register

STRIDE_1, STRIDE_2 = 5, 2


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


@register("loss_conv")
class LossConv(Network):
    gives_signals = False

    def _reads(self) -> List[str]:
        return []

    def zeros(self) -> LossInputs:
        """The weights of one agent, by shape."""
        sizes, steps = self.context.sizes, int(self.context.options["buffer"])
        policy = sizes.action * (1 if sizes.discrete_actions else 2)
        return LossInputs(
            observations=torch.zeros(1, steps, sizes.observation),
            actions=torch.zeros(1, steps, sizes.action),
            rewards=torch.zeros(1, steps),
            dones=torch.zeros(1, steps),
            policy=torch.zeros(1, steps, policy),
            rows=torch.zeros(1, 1, dtype=torch.int64),
            context=torch.zeros(1, int(self.context.options["context"])),
        )

    def loss(self, inputs: LossInputs) -> torch.Tensor:
        """Returns the loss of each agent, [S]; differentiable in policy and context."""

        def tensor(name: str) -> torch.Tensor:
            return torch.as_tensor(getattr(inputs, name)).to(self.dtype)

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
        context = torch.tanh(context).unsqueeze(1)
        step = torch.cat(
            [
                observations,
                tensor("actions"),
                tensor("rewards").unsqueeze(2),
                tensor("dones").unsqueeze(2),
                tensor("policy"),
            ],
            2,
        )

        def with_context(x: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, numbers.expand(-1, x.shape[1], -1)], 2)

        x = with_context(step, context.detach()).transpose(1, 2)
        x = F.leaky_relu(
            F.conv1d(x, self.weights["conv1.W"], self.weights["conv1.b"], STRIDE_1), 0.2
        )
        x = F.leaky_relu(
            F.conv1d(x, self.weights["conv2.W"], self.weights["conv2.b"], STRIDE_2), 0.2
        )
        trajectory = self.linear(x.mean(2), "traj.W", "traj.b").unsqueeze(1)
        rows = torch.as_tensor(inputs.rows).to(torch.int64).unsqueeze(2)
        row = with_context(step.gather(1, rows.expand(-1, -1, step.shape[2])), context)
        row = torch.cat([row, trajectory.expand(-1, row.shape[1], -1)], 2)
        row = F.leaky_relu(self.linear(row, "loss1.W", "loss1.b"), 0.2)
        return self.linear(row, "loss2.W", "loss2.b").mean(1).squeeze(1)
