#!/usr/bin/env python3
"""Teaches Stable-Baselines3's PPO on the Python Meta-World package by an exported reward, beside
the task's own rewards: one table of success rates by how often the agent has learned.

Usage: sb3_door_close.py --signal DIR [--environment NAME] [--seeds N] [--goals N] [--teachers
LIST] [--out FILE]
  --signal DIR        what `mentor export` wrote, of a run on ML1 of that environment
  --environment NAME  Meta-World's name; default: door-close-v3
  --seeds N           seeds of the agents, 0 to N - 1; default: 3
  --goals N           of the 50 goals that meta-training never saw, the first ones; default: 10
  --teachers LIST     of learned, rollouts, shaped, sparse; default: learned,shaped,sparse
  --out FILE          every lifetime as a line of a CSV file

  learned    PPO whose environment gives the learned reward (LearnedVecReward)
  rollouts   the same reward, shown to the network by whole rollouts as in Mentor (TaughtPPO)
  shaped     PPO on Meta-World's reward
  sparse     PPO on the sparse success signal that the network sees

Each agent has the hyperparameters, the length of life and the goals of Mentor's evaluation. Needs
pip install './deploy/python[signal,sb3]' metaworld.
"""

import argparse
import csv
import sys

import gymnasium
import metaworld
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

import mentor_signal
from mentor_signal.sb3 import LearnedVecReward, TaughtPPO

TEACHERS = ("learned", "rollouts", "shaped", "sparse")


class SparseReward(gymnasium.Wrapper):
    """The success signal as the reward; it knows each episode's end by the limit of steps."""

    def __init__(self, env, episode_steps):
        super().__init__(env)
        self.signal = mentor_signal.SuccessSignal(1, episode_steps)
        self.begins = True

    def reset(self, **arguments):
        self.begins = True
        return self.env.reset(**arguments)

    def step(self, action):
        observation, _, terminated, truncated, info = self.env.step(action)
        success = bool(info.get("success", False))
        reward = float(self.signal.step([self.begins], [success])[0])
        self.begins = False
        return observation, reward, terminated, truncated, info


class Life(BaseCallback):
    """Counts episodes that succeed, by iteration, and ends the life before the last update."""

    def __init__(self, iterations, steps):
        super().__init__()
        self.iterations, self.steps = iterations, steps
        self.successes = [[] for _ in range(iterations)]
        self.succeeded = False

    def _on_step(self):
        iteration = (self.n_calls - 1) // self.steps
        self.succeeded |= bool(self.locals["infos"][0].get("success", False))
        if self.locals["dones"][0]:
            self.successes[iteration].append(self.succeeded)
            self.succeeded = False
        return self.n_calls < self.iterations * self.steps


def make_environment(classes, task, steps):
    environment = classes[task.env_name]()
    environment.set_task(task)
    environment.max_path_length = steps
    return environment


def live(teacher, signal, classes, task, seed):
    """Success rates of one agent's episodes by iteration."""
    sizes = signal.facts["sizes"]
    steps, iterations = sizes["steps_per_iteration"], sizes["iterations"]

    def environment():
        made = make_environment(classes, task, sizes["episode_steps"])
        return SparseReward(made, sizes["episode_steps"]) if teacher == "sparse" else made

    venv = DummyVecEnv([environment])
    arguments = {**signal.student(), "seed": seed, "device": "cpu"}
    if teacher == "rollouts":
        model = TaughtPPO("MlpPolicy", venv, signal, **arguments)
    elif teacher == "learned":
        taught = LearnedVecReward(venv, signal)
        model = PPO("MlpPolicy", taught, **arguments)
        taught.attach(model)
    else:
        model = PPO("MlpPolicy", venv, **arguments)
    life = Life(iterations, steps)
    model.learn(iterations * steps, callback=life)
    venv.close()
    return [float(np.mean(rates)) for rates in life.successes]


def interval(values):
    """Mean, and its 95 % bootstrap interval."""
    values, random = np.asarray(values), np.random.default_rng(0)
    means = values[random.integers(0, len(values), (10_000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--signal", required=True)
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
    signal = mentor_signal.load(arguments.signal, check=True)
    benchmark = metaworld.ML1(arguments.environment, seed=1)
    tasks = benchmark.test_tasks[: arguments.goals]
    lives = {teacher: [] for teacher in teachers}
    rows = []
    for seed in range(arguments.seeds):
        for goal, task in enumerate(tasks):
            for teacher in teachers:
                rates = live(teacher, signal, benchmark.test_classes, task, seed)
                lives[teacher].append(rates)
                rows.append([teacher, seed, goal, *rates])
                print(f"seed {seed}, goal {goal}, {teacher}: {rates}", file=sys.stderr, flush=True)
    parts = range(len(rows[0]) - 3)
    heads = [f" after {part} update{'' if part == 1 else 's'} |" for part in parts]
    print("| taught by | lifetimes |" + "".join(heads))
    print("|---|---|" + "---|" * len(parts))
    for teacher in teachers:
        cells = [interval([rates[part] for rates in lives[teacher]]) for part in parts]
        print(f"| {teacher} | {len(lives[teacher])} | " + " | ".join(cells) + " |")
    if arguments.out:
        with open(arguments.out, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["teacher", "seed", "goal", *(f"seg{part}" for part in parts)])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
