#!/usr/bin/env python3
"""Peer of `ppo --device cuda`: one optimizer step of stacked agents in PyTorch, as a
CUDA graph and without one.

Needs a GPU, and a python3 on PATH with torch 2.11 for CUDA, which Mentor's own folders have not.
It has never run on a GPU. --try runs the step on the CPU, with few agents and without a graph, to
check its arithmetic.

One round: milliseconds by the wall clock of one optimizer step of one agent, without values,
advantages and permutations, which are a small part. Products are in float32 without TF32.
"""

import json
import os
import sys
import time

STACKS = (30, 132, 512, 2048)
OBSERVATION, ACTION, HIDDEN, BATCH = 39, 4, 64, 125
CLIP, RATE, ADAM_EPS, NORM_MAX = 0.2, 3e-4, 1e-5, 0.5
WARM, TIMED = 11, 256


def none(reason):
    print(json.dumps({"none": reason}))
    sys.exit(0)


class Agents:
    """The parameters of all agents in one tensor [S, P], and the minibatch that a step learns
    from."""

    def __init__(self, stack, device):
        self.shapes = []
        for outputs in (ACTION, 1):
            sizes = (OBSERVATION, HIDDEN, HIDDEN, outputs)
            for inputs, width in zip(sizes, sizes[1:]):
                self.shapes += [(inputs, width), (1, width)]
        self.shapes.append((1, ACTION))  # ln sigma
        self.sizes = [rows * columns for rows, columns in self.shapes]
        make = {"device": device}
        self.theta = torch.randn(stack, sum(self.sizes), **make).mul_(0.1).requires_grad_()
        self.m, self.v = torch.zeros_like(self.theta), torch.zeros_like(self.theta)
        self.count = torch.zeros((), **make)
        self.observations = torch.randn(stack, BATCH, OBSERVATION, **make)
        self.actions = torch.randn(stack, BATCH, ACTION, **make)
        self.log_probs = (-0.5 * self.actions**2 - 0.9189385).sum(-1)
        self.advantages = torch.randn(stack, BATCH, **make)
        self.returns = torch.randn(stack, BATCH, **make)

    def loss(self):
        parts = [
            part.view(-1, *shape)
            for part, shape in zip(self.theta.split(self.sizes, dim=1), self.shapes)
        ]

        def forward(at):
            x = torch.tanh(torch.baddbmm(parts[at + 1], self.observations, parts[at]))
            x = torch.tanh(torch.baddbmm(parts[at + 3], x, parts[at + 2]))
            return torch.baddbmm(parts[at + 5], x, parts[at + 4])

        log_std = parts[12]
        z = (self.actions - forward(0)) / log_std.exp()
        log_probs = (-0.5 * z**2 - log_std - 0.9189385).sum(-1)
        mean, std = self.advantages.mean(1, keepdim=True), self.advantages.std(1, keepdim=True)
        advantages = (self.advantages - mean) / (std + 1e-8)
        ratio = (log_probs - self.log_probs).exp()
        clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
        policy = torch.maximum(-advantages * ratio, -advantages * clipped).mean(1)
        value = 0.5 * (forward(6).squeeze(-1) - self.returns).square().mean(1)
        return (policy + 0.5 * value).sum()

    def step(self):
        (gradient,) = torch.autograd.grad(self.loss(), self.theta)
        with torch.no_grad():
            norm = gradient.norm(dim=1, keepdim=True)
            gradient = gradient * (NORM_MAX / (norm + 1e-6)).clamp(max=1)
            self.count += 1
            self.m.mul_(0.9).add_(gradient, alpha=0.1)
            self.v.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            m, v = self.m / (1 - 0.9**self.count), self.v / (1 - 0.999**self.count)
            self.theta -= RATE * m / (v.sqrt() + ADAM_EPS)


def milliseconds(work, synchronise, stack):
    for _ in range(WARM):
        work()
    synchronise()
    start = time.perf_counter()
    for _ in range(TIMED):
        work()
    synchronise()
    return 1e3 * (time.perf_counter() - start) / (TIMED * stack)


def main():
    figures = {}
    for stack in STACKS:
        agents = Agents(stack, "cuda")
        # Capture begins after a warm-up on a stream of its own.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                agents.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            agents.step()
        ms = milliseconds(graph.replay, torch.cuda.synchronize, stack)
        eager = milliseconds(agents.step, torch.cuda.synchronize, stack)
        figures[f"step_s{stack}"] = {"value": ms, "unit": "ms"}
        figures[f"agent_updates_s{stack}"] = {"value": 1e3 / ms, "unit": "1/s"}
        figures[f"step_without_graph_s{stack}"] = {"value": eager, "unit": "ms"}
    print(json.dumps({"figures": figures, "versions": {"torch": torch.__version__}}))


if __name__ == "__main__":
    if (
        not os.environ.get("MENTOR_BENCH_DEVICE", "cpu").startswith("cuda")
        and "--try" not in sys.argv
    ):
        none("is for --device cuda; ppo measures LibTorch on the CPU itself")
    try:
        import torch
    except ImportError as absent:
        none(f"{absent}: put a Python with torch 2.11 for CUDA first on PATH")
    if "--try" in sys.argv:
        few = Agents(2, "cpu")
        before = few.loss().item()
        for _ in range(50):
            few.step()
        print(f"the loss of two agents goes from {before:.4f} to {few.loss().item():.4f}")
        sys.exit(0)
    if not torch.cuda.is_available():
        none("torch finds no GPU: run it where one is, with torch 2.11 for CUDA")
    main()
