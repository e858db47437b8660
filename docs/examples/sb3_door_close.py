#!/usr/bin/env python3
"""Teaches Stable-Baselines3's PPO on the Python Meta-World package with an exported reward and with
the task's own rewards. Prints one table of success rates by the number of updates.

Usage: sb3_door_close.py --signal DIR [DIR ...] [--environment NAME] [--seeds N] [--goals N]
[--teachers LIST] [--out FILE]
  --signal DIR        what `mentor export` wrote, of a run on ML1 of that environment. The groups of
                      agents take several signals in turn
  --environment NAME  Meta-World's name; default: door-close-v3
  --seeds N           groups of agents, each with a fresh agent for every goal; default: 3
  --goals N           of the 50 goals that meta-training never saw, the first ones; default: 10
  --teachers LIST     of learned, rollouts, shaped, sparse; default: learned,shaped,sparse
  --out FILE          every lifetime as a line of a CSV file, written as they end

  learned    PPO whose environment gives the learned reward (LearnedVecReward)
  rollouts   the same reward, shown to the network by whole rollouts as in Mentor (TaughtPPO)
  shaped     PPO on Meta-World's reward
  sparse     PPO on the sparse success signal that the network sees

Each agent has the hyperparameters, the length of life and the goals of Mentor's evaluation. Needs
pip install './python[signal,sb3]' metaworld.
"""

import argparse
import csv
import itertools
import os
import sys

import metaworld
import numpy as np
import torch
from stable_baselines3 import PPO

import mentor_signal
from mentor_signal.sb3 import TaughtPPO
from intervals import interval
from students import live

TEACHERS = ("learned", "rollouts", "shaped", "sparse")


def make_environment(classes, task, steps):
    environment = classes[task.env_name]()
    environment.set_task(task)
    environment.max_path_length = steps
    return environment


def show(lives, iterations):
    """Prints means with 95 % intervals over lifetimes, and the range by seed of the last one."""
    heads = [f"after {part} update{'' if part == 1 else 's'}" for part in range(iterations)]
    print("| taught by | lifetimes | " + " | ".join(heads) + " | by seed |")
    print("|---|---|" + "---|" * (iterations + 1))
    for teacher, by_seed in lives.items():
        rates = np.array(by_seed)  # [seeds, goals, iterations]
        together = rates.reshape(-1, iterations)
        cells = ["{:.2f} [{:.2f}, {:.2f}]".format(*interval(part)) for part in together.T]
        last = rates[:, :, -1].mean(1)
        cells.append(f"{last.min():.2f} to {last.max():.2f}")
        print(f"| {teacher} | {len(together)} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--signal", required=True, nargs="+")
    parser.add_argument("--environment", default="door-close-v3")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--goals", type=int, default=10)
    parser.add_argument("--teachers", default="learned,shaped,sparse")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    teachers = arguments.teachers.split(",")
    if unknown := set(teachers) - set(TEACHERS):
        parser.error(f"--teachers: unknown {', '.join(sorted(unknown))}; known: {TEACHERS}")
    torch.set_num_threads(1)
    if len(arguments.signal) > arguments.seeds:
        parser.error("--signal: has more signals than groups of agents; raise --seeds")
    signals = [mentor_signal.load(signal, check=True) for signal in arguments.signal]
    benchmark = metaworld.ML1(arguments.environment, seed=1)
    tasks = benchmark.test_tasks[: arguments.goals]
    lengths = {
        (signal.facts["sizes"]["iterations"], signal.sizes.episode_steps) for signal in signals
    }
    if len(lengths) > 1:
        parser.error("--signal: lives of these signals differ in length; take them one by one")
    iterations, steps = lengths.pop()
    # By teacher and seed, the success rates of lifetimes by iteration.
    lives = {teacher: [[] for _ in range(arguments.seeds)] for teacher in teachers}
    with open(arguments.out or os.devnull, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["teacher", "seed", "goal", *(f"seg{part}" for part in range(iterations))])
        for seed, (goal, task), teacher in itertools.product(
            range(arguments.seeds), enumerate(tasks), teachers
        ):
            signal = signals[seed % len(signals)]
            rates = live(
                TaughtPPO if teacher == "rollouts" else PPO,
                {**signal.student(), "seed": seed * len(tasks) + goal},
                teacher,
                signal,
                lambda: make_environment(benchmark.test_classes, task, steps),
                iterations,
            )
            lives[teacher][seed].append(rates)
            writer.writerow([teacher, seed, goal, *rates])
            file.flush()
            print(f"seed {seed}, goal {goal}, {teacher}: {rates}", file=sys.stderr, flush=True)
    show(lives, iterations)


if __name__ == "__main__":
    main()
