#!/usr/bin/env python3
"""Peer of the measurement `lifetime`: the paper's own Python code, CPU seconds of one outer update.

That code is not part of Mentor. It is the GitHub repository
Octavio-Pappalardo/Meta-learning-rewards (files of 8 August 2024, MIT licence). It needs a Python of
its own (about 5 GB), without the PYTHONPATH of other peers. The commands are in
docs/performance.md, "How to repeat it".

No line of that code is changed. It was written for Meta-World 2, so the task is named
door-close-v3. The device is the CPU, and an empty module replaces wandb, to which the code reports.
Ray only spreads lifetimes over processes; it is left out, and so is its cost.

One round is one lifetime of 6000 steps, its meta-advantages, and one epoch of the outer PPO over 30
copies of it. The figures are scaled to an outer update of 30 lifetimes and 12 epochs, the most that
one has. They are the figures of `lifetime`, in CPU seconds of one thread.
"""

import importlib.metadata
import json
import os
import sys
import tempfile
import time
import types

LIFETIMES, EPOCHS = 30, 12
TASK = "door-close-v3"


class Stopwatch:
    """CPU seconds inside the watched methods, by phase. A phase within another one counts for the
    outer one."""

    def __init__(self):
        self.seconds = {}
        self.running = False

    def watch(self, owner, method, phase):
        inner = getattr(owner, method)

        def timed(*arguments, **named):
            if self.running:
                return inner(*arguments, **named)
            self.running = True
            start = time.process_time()
            try:
                return inner(*arguments, **named)
            finally:
                spent = time.process_time() - start
                self.seconds[phase] = self.seconds.get(phase, 0) + spent
                self.running = False

        setattr(owner, method, timed)


def main():
    code = os.path.abspath(sys.argv[1])
    sys.path[:0] = [os.path.join(code, "meta_intrinsic_rewards"), code]
    silent = types.ModuleType("wandb")
    silent.log = lambda *arguments, **named: None
    sys.modules["wandb"] = silent
    import inner_loop
    import inner_loop_utils
    import metaworld
    import outer_loop_config
    import outer_loop_utils
    import torch
    from shared_code import shared_utils

    torch.set_num_threads(1)
    config = outer_loop_config.get_ol_config("ml1")
    config.env_name, config.device = TASK, "cpu"
    network = outer_loop_utils.Outer_loop_reward_agent(
        4,
        39,
        rnn_input_size=config.rnn_input_size,
        rnn_type=config.rnn_type,
        rnn_hidden_state_size=config.rnn_hidden_state_size,
        initial_std=config.initial_std,
    )
    stopwatch = Stopwatch()
    for method in ("rnn_next_state", "get_value", "get_action"):
        stopwatch.watch(outer_loop_utils.Outer_loop_reward_agent, method, "signal")
    stopwatch.watch(inner_loop_utils.PPO_class, "update", "update")
    stopwatch.watch(inner_loop_utils.IL_buffer, "calculate_returns_and_advantages", "update")

    task = metaworld.ML1(TASK, seed=config.seed).train_tasks[0]
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, "weights.pth")
        torch.save(network.state_dict(), weights)
        start = time.process_time()
        lifetime = inner_loop.run_inner_loop((config, "metaworld", weights, "ML1", task))
        lifetime_seconds = time.process_time() - start
    phases = {name: LIFETIMES * seconds for name, seconds in stopwatch.seconds.items()}
    # Simulation, policy, loop, buffers, and setting up a lifetime.
    phases["rollout"] = LIFETIMES * lifetime_seconds - sum(phases.values())

    start = time.process_time()
    statistics = shared_utils.Statistics_tracker()
    statistics.update_statistics(lifetime)
    lifetime.preprocess_data(data_stats=statistics, objective_mean=config.e_rewards_target_mean)
    lifetime.compute_meta_advantages_and_returns_to_go(
        sparse_or_shaped=config.sparse_or_shaped_training_target,
        gamma=config.meta_gamma,
        estimation_method=config.ae["estimation_method"],
        e_lambda=config.ae["bootstrapping_lambda"],
        starting_n=config.ae["starting_n"],
        num_to_average_over=config.ae["num_n_step_estimates"],
        skip_rate=config.ae["skip_rate"],
    )
    advantages = LIFETIMES * (time.process_time() - start)

    buffer = outer_loop_utils.OL_buffer("cpu")
    for _ in range(LIFETIMES):
        buffer.collect_lifetime_data(lifetime)
    buffer.combine_data()
    settings = {name: config.ppo[name] for name in config.ppo if name != "update_epochs"}
    ppo = outer_loop_utils.Outer_loop_TBPTT_PPO(
        torch.optim.Adam(network.parameters(), lr=config.learning_rate, eps=config.adam_eps),
        logging=False,
        update_epochs=1,
        **{**settings, "target_KL": None},
    )
    stopwatch.running = True  # Its methods are the network's, too.
    start = time.process_time()
    ppo.update(network, buffer, dont_consider_last=2000)
    phases["outer"] = advantages + EPOCHS * (time.process_time() - start)

    figures = {f"cpu_{name}": {"value": value, "unit": "s"} for name, value in phases.items()}
    figures["cpu_total"] = {"value": sum(phases.values()), "unit": "s"}
    figures["cpu_of_one_lifetime"] = {"value": lifetime_seconds, "unit": "s"}
    versions = {name: importlib.metadata.version(name) for name in ("torch", "metaworld")}
    print(json.dumps({"figures": figures, "versions": versions}))


if __name__ == "__main__":
    main()
