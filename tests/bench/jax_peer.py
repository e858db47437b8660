#!/usr/bin/env python3
"""Peer of the measurement `ppo`: the same PPO update of stacked agents in JAX, vmap over the agents
and scan over the optimizer steps, compiled once. For a GPU it needs a Python with JAX for it.

One round: milliseconds of one optimizer step of one agent, with values, advantages and
permutations, as in `ppo`. On the CPU this is the time of one core, on a GPU the wall
clock; compilation is left out. Matrix products are in float32.
"""

import json
import os
import sys
import time

ON_GPU = os.environ.get("MENTOR_BENCH_DEVICE", "cpu").startswith("cuda")
if not ON_GPU:
    os.environ["JAX_PLATFORMS"] = "cpu"
    one_thread = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = one_thread
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

STACKS = (30, 132, 512, 2048) if ON_GPU else (1, 5, 15, 30)
OBSERVATION, ACTION, HIDDEN = 39, 4, 64
STEPS, MINIBATCHES, EPOCHS = 2000, 16, 16
BATCH = STEPS // MINIBATCHES
GAMMA, LAMBDA, CLIP, RATE, ADAM_EPS, NORM_MAX = 0.99, 0.95, 0.2, 3e-4, 1e-5, 0.5
LOG_2PI_HALF = 0.9189385


def new_agent(key):
    def network(key, outputs):
        sizes = (OBSERVATION, HIDDEN, HIDDEN, outputs)
        keys = jax.random.split(key, 3)
        return [
            (jax.random.normal(k, (i, o)) / jnp.sqrt(i), jnp.zeros(o))
            for k, i, o in zip(keys, sizes, sizes[1:])
        ]

    policy, value = jax.random.split(key)
    return {
        "policy": network(policy, ACTION),
        "value": network(value, 1),
        "log_std": jnp.zeros(ACTION),
    }


def forward(network, x):
    for weight, bias in network[:-1]:
        x = jnp.tanh(x @ weight + bias)
    weight, bias = network[-1]
    return x @ weight + bias


def loss(agent, rows):
    z = (rows["actions"] - forward(agent["policy"], rows["observations"])) / jnp.exp(
        agent["log_std"]
    )
    log_probs = (-0.5 * z**2 - agent["log_std"] - LOG_2PI_HALF).sum(-1)
    advantage = rows["advantages"]
    advantage = (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-8)
    ratio = jnp.exp(log_probs - rows["log_probs"])
    clipped = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
    policy_loss = jnp.maximum(-advantage * ratio, -advantage * clipped).mean()
    values = forward(agent["value"], rows["observations"])[:, 0]
    return policy_loss + 0.5 * 0.5 * ((values - rows["returns"]) ** 2).mean()


def generalised_advantages(rewards, values, last_value, ended):
    """`ended`: only the last step of the segment ends an episode."""
    next_values = jnp.append(values[1:], last_value * (1 - ended))
    deltas = rewards + GAMMA * next_values - values

    def back(carry, delta):
        carry = delta + GAMMA * LAMBDA * carry
        return carry, carry

    return jax.lax.scan(back, 0.0, deltas, reverse=True)[1]


def optimizer_step(carry, rows):
    agent, m, v, t = carry
    gradient = jax.grad(loss)(agent, rows)
    norm = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(gradient)))
    scale = jnp.minimum(1.0, NORM_MAX / (norm + 1e-6))
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g * scale, m, gradient)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * (g * scale) ** 2, v, gradient)
    agent = jax.tree.map(
        lambda p, m, v: p
        - RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + ADAM_EPS),
        agent,
        m,
        v,
    )
    return (agent, m, v, t), None


def update(agent, segment, key):
    """One agent's PPO update; vmap applies it to all agents."""
    values = forward(agent["value"], segment["observations"])[:, 0]
    last_value = forward(agent["value"], segment["next_observation"])[0]
    advantages = generalised_advantages(segment["rewards"], values, last_value, ended=1.0)
    rows = {
        "observations": segment["observations"],
        "actions": segment["actions"],
        "log_probs": segment["log_probs"],
        "advantages": advantages,
        "returns": advantages + values,
    }
    zeros = jax.tree.map(jnp.zeros_like, agent)

    def epoch(carry, key):
        order = jax.random.permutation(key, STEPS).reshape(MINIBATCHES, BATCH)
        return jax.lax.scan(
            lambda carry, at: optimizer_step(carry, jax.tree.map(lambda x: x[at], rows)),
            carry,
            order,
        )

    carry, _ = jax.lax.scan(epoch, (agent, zeros, zeros, 0), jax.random.split(key, EPOCHS))
    return carry[0]


def step_ms(stack):
    def all_agents(key):
        agents = jax.vmap(new_agent)(jax.random.split(key, stack))
        actions = jax.random.normal(key, (stack, STEPS, ACTION))
        return agents, {
            "observations": jax.random.normal(key, (stack, STEPS, OBSERVATION)),
            "next_observation": jax.random.normal(key, (stack, OBSERVATION)),
            "actions": actions,
            "log_probs": (-0.5 * actions**2 - LOG_2PI_HALF).sum(-1),
            "rewards": jax.random.normal(key, (stack, STEPS)),
        }

    agents, segment = jax.block_until_ready(jax.jit(all_agents)(jax.random.key(1)))
    keys = jax.random.split(jax.random.key(2), stack)
    compiled = jax.jit(jax.vmap(update)).lower(agents, segment, keys).compile()
    jax.block_until_ready(compiled(agents, segment, keys))  # Warm-up.
    clock = time.perf_counter if ON_GPU else time.process_time
    start = clock()
    after = jax.block_until_ready(compiled(agents, segment, keys))
    seconds = clock() - start
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(after))
    return 1e3 * seconds / (EPOCHS * MINIBATCHES * stack)


def main():
    figures = {}
    for stack in STACKS:
        ms = step_ms(stack)
        figures[f"step_s{stack}"] = {"value": ms, "unit": "ms"}
        if ON_GPU:
            figures[f"agent_updates_s{stack}"] = {"value": 1e3 / ms, "unit": "1/s"}
    print(json.dumps({"figures": figures, "versions": {"jax": jax.__version__}}))


if __name__ == "__main__":
    try:
        import jax
        import jax.numpy as jnp
    except ImportError as missing:
        print(json.dumps({"none": f"{missing}: run deploy/install.sh --peers"}))
        sys.exit(0)
    if ON_GPU and jax.default_backend() != "gpu":
        print(json.dumps({"none": "this JAX has no GPU"}))
        sys.exit(0)
    jax.config.update("jax_default_matmul_precision", "float32")
    main()
