#!/usr/bin/env python3
"""Draws rows 11 and 12 of docs/experiments.md from the recorded claims. Row 11 asks whether later
steps are of use to a signal; its registered difference is printed. Row 12 shows what settings
change on point_reach.

Usage: campaign_figures.py [--claims FILE] [--out FOLDER]
  --claims FILE   default: docs/data/claims.csv of this clone
  --out FOLDER    for later_steps.svg and settings.svg; default: campaign

Success after two updates on 512 unseen goals; each dot is a meta-seed. Intervals are 95 % bootstrap
intervals that draw meta-seeds; differences are paired by meta-seed. A row whose runs are not all
recorded is named and left out. Needs pip install matplotlib.
"""

import argparse
import pathlib
import sys

import numpy as np

from intervals import interval

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs"))
import claims  # noqa: E402

NUMBER = "test.learned.seg2"
TIERS = {"v": "V", "m": "M"}
NETWORKS = {"lstm": "LSTM", "whole": "attention", "past": "attention,\npast alone"}
SETTINGS = {
    "rate": "outer learning rate",
    "std": "standard deviation at birth",
    "entropy": "entropy coefficient",
    "target": "target mean of rewards",
    "lifetimes": "lifetimes in an update",
}
UNCHANGED = "point-reach-reward"


class Missing(Exception):
    """Runs that are not recorded."""


def by_seed(known, name, seeds=None):
    """The number of each run of a claim; of the first `seeds` runs."""
    runs = [row for run, row in known.get(name, {}).items() if run != "all"][:seeds]
    missing = [f"{name}-{row['run']}" for row in runs if NUMBER not in row["numbers"]]
    if missing or not runs:
        raise Missing(", ".join(missing) or name)
    return np.array([row["numbers"][NUMBER][0] for row in runs])


def read_later_steps(known):
    return {
        tier: {network: by_seed(known, f"later-{tier}-{network}") for network in NETWORKS}
        for tier in TIERS
    }


def read_settings(known):
    read = {}
    for setting in SETTINGS:
        third, triple = (by_seed(known, f"settings-{setting}-{how}") for how in ("third", "triple"))
        read[setting] = [third, by_seed(known, UNCHANGED, len(third)), triple]
    return read


def show_later_steps(read):
    print("| tier | " + " | ".join(" ".join(name.split()) for name in NETWORKS.values()), end="")
    print(" | later steps less past alone |\n|---" + "|---" * (len(NETWORKS) + 1) + "|")
    for tier, values in read.items():
        numbers = [interval(values[network]) for network in NETWORKS]
        numbers.append(interval(values["whole"] - values["past"]))
        cells = ["{:.2f} [{:.2f}, {:.2f}]".format(*each) for each in numbers]
        print(f"| {TIERS[tier]} | " + " | ".join(cells) + " |")


def dots(axis, place, values, colour):
    mean, low, high = interval(values)
    axis.plot([place] * len(values), values, "o", color=colour, markersize=3, alpha=0.5)
    axis.errorbar(place + 0.15, mean, [[mean - low], [high - mean]], fmt="o", color=colour)


def draw_later_steps(pyplot, read):
    figure, axes = pyplot.subplots(1, len(read) + 1, figsize=(9, 3), layout="constrained")
    for axis, (tier, values) in zip(axes, read.items()):
        for place, network in enumerate(NETWORKS):
            dots(axis, place, values[network], f"C{place}")
        axis.set(title=f"point_reach {TIERS[tier]}", ylim=(0, 1), xlim=(-0.5, len(NETWORKS) - 0.3))
        axis.set_xticks(range(len(NETWORKS)), NETWORKS.values(), fontsize=8)
    axes[0].set_ylabel("success after two updates")
    axes[-1].axhline(0, color="C7", linewidth=0.6)
    for place, values in enumerate(read.values()):
        dots(axes[-1], place, values["whole"] - values["past"], "C3")
    axes[-1].set(title="later steps less past alone", xlim=(-0.5, len(read) - 0.3))
    axes[-1].set_xticks(range(len(read)), [TIERS[tier] for tier in read])
    return figure


def draw_settings(pyplot, read):
    figure, axes = pyplot.subplots(
        1, len(read), figsize=(11, 2.8), sharey=True, layout="constrained"
    )
    for axis, (setting, three) in zip(axes, read.items()):
        for place, values in enumerate(three):
            dots(axis, place, values, "C7" if place == 1 else "C0")
        axis.set_title(SETTINGS[setting], fontsize=9)
        axis.set_xticks(range(3), ["a third", "as it is", "three times"], fontsize=8)
        axis.set_xlim(-0.5, 2.7)
    # At the end: a limit keeps later points from widening the axis.
    axes[0].set(ylim=(0, None), ylabel="success after two updates")
    return figure


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--claims", type=pathlib.Path, default=claims.CLAIMS)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("campaign"))
    arguments = parser.parse_args()
    claims.CLAIMS = arguments.claims
    known = claims.read()

    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    # Text stays text, and the bytes are the same each time.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "campaign"})
    rows = {
        "later_steps": (read_later_steps, show_later_steps, draw_later_steps),
        "settings": (read_settings, lambda read: None, draw_settings),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, (read_row, show, draw) in rows.items():
        try:
            read = read_row(known)
        except Missing as missing:
            print(f"{name}.svg is left out: not recorded yet: {missing}", file=sys.stderr)
            continue
        show(read)
        draw(pyplot, read).savefig(arguments.out / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
