#!/usr/bin/env python3
"""What does a learned reward add for an agent that sees rewards ahead? This program compares the
runs of row 10 of results/experiments.md on Umbrella Length: claims metairn-C with the learned
reward, and metairn-plain-C without. It prints the registered numbers and draws three figures.

Usage: umbrella_figures.py [--runs FOLDER] [--attention RUN] [--out FOLDER]
  --runs FOLDER    as `mentor reproduce` fills it: metairn-5-1, metairn-plain-5-1, ...; default:
                   reproduced
  --attention RUN  whose attention is drawn at five checkpoints; default: FOLDER/metairn-10-1. A
                   run of a service needs `mentor fetch --all_checkpoints`
  --out FOLDER     for runs.csv, signal.csv, success.svg, signal.svg and attention.svg; default:
                   umbrella

Example: mentor reproduce metairn-2 metairn-plain-2; umbrella_figures.py --attention
reproduced/metairn-2-1

An agent has learned when the mean success of six outer updates is 0.95. An agent that has not at
the end of its run counts with the run's episodes. The recorded lifetime of `mentor export` shows
what the reward says: a new agent, whose first actions are right or wrong by chance.

Needs `mentor` on the PATH, and pip install './python[signal]' matplotlib.
"""

import argparse
import csv
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

import mentor_signal
from intervals import interval

UPDATE_EPISODES = 32
WINDOW, BOUND = 6, 0.95
CHECKPOINTS = (10, 20, 40, 80, 120)
ARMS = {"metairn-plain": "task's reward alone", "metairn": "and learned reward"}


def success_of(run):
    """Success by outer update."""
    path = run / "metrics.csv"
    if not path.exists():
        sys.exit(f"{path} is missing: `mentor reproduce {run.name}` makes the run")
    with path.open(newline="", encoding="utf-8") as file:
        return np.array([float(row["success"]) for row in csv.DictReader(file)])


def episodes_until(success):
    """Returns the episodes until the agent has learned, and whether it has."""
    means = np.convolve(success, np.full(WINDOW, 1 / WINDOW), "valid")
    reached = np.flatnonzero(means >= BOUND - 1e-9)
    updates = reached[0] + WINDOW if len(reached) else len(success)
    return int(updates) * UPDATE_EPISODES, len(reached) > 0


def after_right_and_wrong(recorded):
    """Mean signal by step of the episodes whose first action was right, and of the others."""
    signals, right = [], []
    for segment, numbers in recorded:
        length = 1 + int(np.flatnonzero(segment.prev_done[0, 1:])[0])
        signals.append(numbers[0].reshape(-1, length))
        right.append(segment.shaped_rewards[0].reshape(-1, length)[:, -1] > 0)
    signals, right = np.concatenate(signals), np.concatenate(right)
    return signals[right].mean(0), signals[~right].mean(0)


def has_spike(right, wrong):
    """True if the first step is where the reward tells right from wrong best, the right way
    round."""
    difference = right - wrong
    return bool(difference[0] > 0 and np.abs(difference).argmax() == 0)


def export(run, out, *arguments):
    done = subprocess.run(
        ["mentor", "export", run, "--out", out, *arguments], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr.strip())
    return out


def read_runs(folder):
    """Success by outer update of each run, by length, arm and seed."""
    runs = {}
    for run in folder.iterdir():
        if found := re.fullmatch(r"(metairn|metairn-plain)-(\d+)-(\d+)", run.name):
            arm, length, seed = found[1], int(found[2]), int(found[3])
            runs.setdefault(length, {}).setdefault(arm, {})[seed] = success_of(run)
    for length, arms in runs.items():
        if len({frozenset(arms.get(arm, ())) for arm in ARMS}) > 1:
            seeds = {arm: sorted(arms.get(arm, ())) for arm in ARMS}
            sys.exit(f"{folder}: length {length} has the seeds {seeds}; run the missing ones")
        updates = {f"{arm}-{length}-{n}": len(arms[arm][n]) for arm in ARMS for n in arms[arm]}
        if short := [run for run, made in updates.items() if made < max(updates.values())]:
            sys.exit(f"{folder}: not ended: `mentor reproduce {' '.join(short)}` continues")
    return dict(sorted(runs.items()))


def read_signals(folder, runs):
    """Signal by step after right and wrong first actions, by length and seed."""
    signals = {}
    with tempfile.TemporaryDirectory(prefix="umbrella-") as out:
        for length, arms in runs.items():
            for seed in sorted(arms["metairn"]):
                name = f"metairn-{length}-{seed}"
                recorded = mentor_signal.recorded(export(folder / name, f"{out}/{name}"))
                signals.setdefault(length, {})[seed] = after_right_and_wrong(recorded)
    return signals


def read_attention(run):
    """What steps attend to at the checkpoints, on the same episodes: the mean over them."""
    maps = {}
    with tempfile.TemporaryDirectory(prefix="umbrella-") as out:
        segment, _ = mentor_signal.recorded(export(run, f"{out}/last"))[0]
        for step in CHECKPOINTS:
            signal = mentor_signal.load(export(f"{run}/{step}", f"{out}/{step}", "--no_check"))
            of_episodes = signal.explain(segment, signal.initial_state(1), shown=True)
            maps[step] = np.mean([each.weights for each in of_episodes], 0)
    return maps


def write(out, runs, signals):
    with open(out / "runs.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["length", "arm", "seed", "episodes", "learned", "success_over_the_run"])
        for length, arms in runs.items():
            for arm, seeds in arms.items():
                for seed, success in sorted(seeds.items()):
                    episodes, learned = episodes_until(success)
                    mean = f"{success.mean():.5f}"
                    table.writerow([length, arm, seed, episodes, int(learned), mean])
    with open(out / "signal.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["length", "seed", "step", "after_right", "after_wrong"])
        for length, seeds in signals.items():
            for seed, both in seeds.items():
                for step, (right, wrong) in enumerate(zip(*both)):
                    table.writerow([length, seed, step, f"{right:.6f}", f"{wrong:.6f}"])


def show(runs, signals):
    names = " | ".join(f"{name}: learned, episodes" for name in ARMS.values())
    print(f"| C | {names} | difference | spike |\n|---|---|---|---|---|")
    for length, arms in runs.items():
        cells, episodes = [], {}
        for arm in ARMS:
            both = [episodes_until(arms[arm][seed]) for seed in sorted(arms[arm])]
            episodes[arm] = np.array([each[0] for each in both])
            cells.append(
                f"{sum(each[1] for each in both)} of {len(both)}, {episodes[arm].mean():.0f}"
            )
        mean, low, high = interval(episodes["metairn"] - episodes["metairn-plain"])
        spikes = [has_spike(*both) for both in signals[length].values()]
        cells += [f"{mean:+.0f} [{low:+.0f}, {high:+.0f}]", f"{sum(spikes)} of {len(spikes)}"]
        print(f"| {length} | " + " | ".join(cells) + " |")


def draw(out, runs, signals, maps):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    # Text stays text, and the bytes are the same each time.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "umbrella"})

    def panels(number):
        return pyplot.subplots(
            1, number, figsize=(2.4 * number + 0.6, 2.8), squeeze=False, layout="constrained"
        )

    def save(figure, name):
        figure.savefig(out / name, metadata={"Date": None})
        pyplot.close(figure)

    figure, axes = panels(len(runs))
    for axis, (length, arms) in zip(axes[0], runs.items()):
        for (arm, name), colour in zip(ARMS.items(), ("C7", "C0")):
            curves = np.array(list(arms[arm].values()))
            mean, low, high = np.array([interval(column) for column in curves.T]).T
            episodes = UPDATE_EPISODES * np.arange(1, len(mean) + 1)
            axis.plot(episodes, mean, colour, linewidth=1.2, label=name)
            axis.fill_between(episodes, low, high, color=colour, alpha=0.25, linewidth=0)
        axis.set(title=f"C = {length}", xlabel="episodes", xscale="log", ylim=(0.4, 1.02))
    axes[0][0].set_ylabel("success")
    axes[0][-1].legend(loc="lower right", fontsize=7, frameon=False)
    save(figure, "success.svg")

    figure, axes = panels(len(runs))
    for axis, (length, seeds) in zip(axes[0], signals.items()):
        differences = np.array([right - wrong for right, wrong in seeds.values()])
        axis.axhline(0, color="C7", linewidth=0.6)
        axis.plot(differences.T, "C0", linewidth=0.6, alpha=0.5)
        axis.plot(differences.mean(0), "C3.-", linewidth=1.2, markersize=4)
        axis.set(title=f"C = {length}", xlabel="step of the episode")
    axes[0][0].set_ylabel("learned reward,\nright less wrong first action")
    save(figure, "signal.svg")

    figure, axes = panels(len(maps))
    for axis, (step, weights) in zip(axes[0], maps.items()):
        image = axis.imshow(weights, cmap="Blues", vmin=0, vmax=np.max(list(maps.values())))
        axis.set(title=f"after update {step}", xlabel="step looked at")
    axes[0][0].set_ylabel("step that asks")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share")
    save(figure, "attention.svg")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("reproduced"))
    parser.add_argument("--attention", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("umbrella"))
    arguments = parser.parse_args()
    if not shutil.which("mentor"):
        parser.error("the program mentor is not on the PATH: add the folder that has it")
    runs = read_runs(arguments.runs) if arguments.runs.is_dir() else None
    if not runs:
        parser.error(
            f"--runs: {arguments.runs} has no runs; `mentor reproduce metairn-2` makes some"
        )
    maps = read_attention(arguments.attention or arguments.runs / "metairn-10-1")
    signals = read_signals(arguments.runs, runs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write(arguments.out, runs, signals)
    show(runs, signals)
    draw(arguments.out, runs, signals, maps)


if __name__ == "__main__":
    main()
