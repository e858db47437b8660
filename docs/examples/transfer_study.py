#!/usr/bin/env python3
"""Does a learned reward teach, or does it only fit the agents that it was learned with? This
program teaches students of other widths, learning rates, minibatches and algorithms by it on
point_reach. The task's own rewards teach the same students. It writes a table, a CSV file and one
figure of success rates.

Usage: transfer_study.py --signal DIR... [--lifetimes N] [--iterations N] [--students LIST]
[--out FOLDER]
  --signal DIR...   what `mentor export` wrote, of runs of point_reach_reward; lifetimes take turns
  --lifetimes N     of each student and teacher, each with a goal and a seed of its own; default: 48
  --iterations N    length of a life; default: that of the agents that the signal taught
  --students LIST   some of the table's names, with commas between; default: all
  --out FOLDER      writes transfer.csv, a line for each lifetime, and transfer.svg there
  --draw            only draws transfer.svg again, from FOLDER/transfer.csv

Example: transfer_study.py --signal point-reach-reward --lifetimes 16 --out study

A student differs from Mentor's own agents only in what its name says; `as taught` has all their
settings. Needs pip install './python[signal,sb3]' matplotlib.
"""

import argparse
import csv
import itertools
import pathlib
import sys

import numpy as np
import torch
from stable_baselines3 import A2C, PPO, SAC

import mentor_signal
from mentor_signal.sb3 import TaughtPPO
from point_reach import PointReach
from intervals import interval
from students import live

TEACHERS = ("learned", "shaped", "sparse")


def width(units):
    return {"pi": [units, units], "vf": [units, units]}


def students(signal):
    """Returns an algorithm and its keyword arguments by name."""
    own = signal.student()
    steps, rate = own["n_steps"], own["learning_rate"]

    def ppo(**changes):
        return PPO, {**own, **changes}

    def units(number):
        return ppo(policy_kwargs={**own["policy_kwargs"], "net_arch": width(number)})

    like = {name: own[name] for name in ("learning_rate", "gamma", "policy_kwargs")}
    sac = {"net_arch": [64, 64]}
    return {
        "as taught": ppo(),
        "as taught; whole rollouts": (TaughtPPO, own),
        "4 units": units(4),
        "64 units": units(64),
        "256 units": units(256),
        "learning rate / 10": ppo(learning_rate=rate / 10),
        "learning rate / 3": ppo(learning_rate=rate / 3),
        "learning rate x 3": ppo(learning_rate=rate * 3),
        "1 minibatch": ppo(batch_size=steps),
        "10 minibatches": ppo(batch_size=steps // 10),
        "update twice as often": ppo(n_steps=steps // 2),
        "PPO as the library has it": (PPO, {"n_steps": steps, "batch_size": steps // 2}),
        "A2C": (A2C, {**like, "n_steps": 10, "gae_lambda": own["gae_lambda"]}),
        "SAC": (
            SAC,
            {
                "learning_rate": 3e-3,
                "gamma": own["gamma"],
                "learning_starts": steps // 2,
                "batch_size": 64,
                "policy_kwargs": sac,
            },
        ),
    }


def study(signals, chosen, arguments, path):
    """Lives all lives, and writes one line of the CSV file as each ends."""
    iterations = arguments.iterations or signals[0].facts["sizes"]["iterations"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        parts = [f"seg{part}" for part in range(iterations)]
        writer.writerow(["student", "teacher", "lifetime", *parts])
        for number in range(arguments.lifetimes):
            signal = signals[number % len(signals)]

            def make():  # The number decides the goal and the seed.
                return PointReach(number, episode_steps=signal.sizes.episode_steps)

            for name, (algorithm, own) in students(signal).items():
                # TaughtPPO differs only in how the signal teaches it, so the task's rewards are
                # left out.
                for teacher in TEACHERS[:1] if algorithm is TaughtPPO else TEACHERS:
                    if name in chosen:
                        own = {**own, "seed": number}
                        rates = live(algorithm, own, teacher, signal, make, iterations)
                        writer.writerow([name, teacher, number, *rates])
                        file.flush()
            print(f"lifetime {number + 1} of {arguments.lifetimes}", file=sys.stderr, flush=True)


def summary(path):
    """By student and teacher, (mean, low, high) of success in the last iteration."""
    cells = {}
    with open(path, newline="", encoding="utf-8") as file:
        for student, teacher, _, *rates in itertools.islice(csv.reader(file), 1, None):
            cells.setdefault(student, {}).setdefault(teacher, []).append(float(rates[-1]))
    return {
        student: {teacher: interval(values) for teacher, values in by_teacher.items()}
        for student, by_teacher in cells.items()
    }


def show(results):
    print("| student | " + " | ".join(TEACHERS) + " |")
    print("|---" * (len(TEACHERS) + 1) + "|")
    for student, by_teacher in results.items():
        cells = [
            "{:.2f} [{:.2f}, {:.2f}]".format(*by_teacher[teacher]) if teacher in by_teacher else ""
            for teacher in TEACHERS
        ]
        print(f"| {student} | " + " | ".join(cells) + " |")


def draw(results, path):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    # Text stays text, and the bytes are the same each time.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "transfer"})
    figure, axes = pyplot.subplots(figsize=(7, 0.4 * len(results) + 1.2), layout="constrained")
    for index, (teacher, marker) in enumerate(zip(TEACHERS, "osD")):
        shown = [place for place, each in enumerate(results.values()) if teacher in each]
        values = [each[teacher] for each in results.values() if teacher in each]
        mean, low, high = np.array(values).T
        axes.errorbar(
            mean,
            np.array(shown) + 0.22 * (index - 1),
            xerr=[mean - low, high - mean],
            fmt=marker,
            markersize=4.5,
            linewidth=1.2,
            label=f"{teacher} reward",
        )
    axes.set(
        yticks=range(len(results)),
        yticklabels=results,
        ylim=(len(results) - 0.5, -0.5),
        xlim=(0, 1),
        xlabel="success rate in the last iteration, mean and 95 % interval",
    )
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--signal", nargs="+", default=[])
    parser.add_argument("--lifetimes", type=int, default=48)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--students")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("transfer"))
    parser.add_argument("--draw", action="store_true")
    arguments = parser.parse_args()
    table = arguments.out / "transfer.csv"
    if not arguments.draw:
        if not arguments.signal:
            parser.error("--signal: name at least one folder that `mentor export` wrote")
        torch.set_num_threads(1)
        signals = [mentor_signal.load(folder, check=True) for folder in arguments.signal]
        known = list(students(signals[0]))
        chosen = arguments.students.split(",") if arguments.students else known
        if unknown := set(chosen) - set(known):
            parser.error(f"--students: unknown {', '.join(sorted(unknown))}; known: {known}")
        arguments.out.mkdir(parents=True, exist_ok=True)
        study(signals, chosen, arguments, table)
    results = summary(table)
    show(results)
    draw(results, table.with_suffix(".svg"))
    print(f"{table}, {table.with_suffix('.svg')}", file=sys.stderr)


if __name__ == "__main__":
    main()
