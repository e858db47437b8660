#!/usr/bin/env python3
"""Draws rows 2, 3, 4, 11 and 12 of results/experiments.md from the recorded claims. Rows 2 to 4 are
the paper's figures 1 and 3, with its curves and bands beside ours. Row 11 asks whether later steps
are of use to a signal; its registered difference is printed. Row 12 shows what settings change on
point_reach.

Usage: campaign_figures.py [--claims FILE] [--published FILE] [--out FOLDER]
  --claims FILE      default: results/claims.csv of this clone
  --published FILE   the paper's numbers; default: paper_figures.csv beside the claims of this clone
  --out FOLDER       for rewards.svg, advantages.svg, ml10.svg, ml10_classes.svg, later_steps.svg
                     and settings.svg; default: campaign

Each dot is a meta-seed. The intervals of rows 2 to 4 draw meta-seeds, goals and lifetimes where a
claim has one run, or its line of all runs. All others are 95 % bootstrap intervals that draw
meta-seeds, and differences are paired by meta-seed. Rows 2 to 4 are drawn as far as their runs have
ended. Row 11 or 12 is named and left out while one of its runs has not. Success by class of ML10 is
printed, too. Needs pip install matplotlib.
"""

import argparse
import dataclasses
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs"))
import claims  # noqa: E402
import published as papers  # noqa: E402

NUMBER = "test.learned.seg2"
TIERS = {"v": "V", "m": "M"}
NETWORKS = {"lstm": "LSTM", "whole": "attention", "past": "attention,\npast alone"}
SETTINGS = {
    "rate": "outer learning rate",
    "std": "deviation before training",
    "entropy": "entropy coefficient",
    "target": "target mean of rewards",
    "lifetimes": "lifetimes in an update",
}
UNCHANGED = "point-reach-reward"

# The places of the parts of a life, and the numbers of a claim there.
PARTS = {"seg0": (1, 4), "seg1": (5, 8), "seg2": (9, 12), "det": (14, 14)}
DETERMINISTIC = PARTS["det"][0]
COLOURS = {
    "learned reward": "#0072b2",
    "learned advantage": "#009e73",
    "PPO shaped": "#e69f00",
    "PPO sparse": "#66727f",
}


@dataclasses.dataclass
class Arm:
    """One teacher of a panel: its name in the paper's numbers, its claim, and which numbers."""

    teacher: str
    claim: str
    numbers: str  # "test.learned", for instance


@dataclasses.dataclass
class Panel:
    title: str
    published: tuple  # (figure, benchmark, split) of the paper's numbers
    arms: list


def reward(task):
    return Arm("learned reward", f"{task}-reward", "test.learned")


def advantage(task):
    return Arm("learned advantage", f"{task}-advantage", "test.learned")


def ppo(task, kind):
    return Arm(f"PPO {kind}", f"{task}-ppo", f"test.ppo_{kind}")


def ml10(split):
    """The teachers of ML10; PPO was tested on unseen classes alone."""
    learned = [
        Arm(f"learned {role}", f"ml10-{role}", f"{split}.learned")
        for role in ("reward", "advantage")
    ]
    kinds = ("shaped", "sparse") if split == "test" else ()
    return learned + [Arm(f"PPO {kind}", "ml10-ppo", f"{split}.ppo_{kind}") for kind in kinds]


TASKS = ("reach", "door-close", "button-press")
PANELS = {
    "rewards": [
        Panel(
            task,
            ("1", f"ml1 {task}", "test"),
            [reward(task), ppo(task, "shaped"), ppo(task, "sparse")],
        )
        for task in TASKS
    ],
    "advantages": [
        Panel(task, ("3", f"ml1 {task}", "test"), [advantage(task), reward(task)]) for task in TASKS
    ],
    "ml10": [
        Panel("training classes", ("3", "ml10", "train"), ml10("train")),
        Panel("unseen classes", ("3", "ml10", "test"), ml10("test")),
    ],
}


def interval(values):
    """The mean of the meta-seeds, and the two ends of its interval."""
    values = list(map(float, values))
    return (sum(values) / len(values), *claims.interval(values))


class Missing(Exception):
    """Runs that are not recorded."""


def by_seed(known, name, seeds=None, number=NUMBER):
    """The number of each run of a claim; of the first `seeds` runs."""
    runs = [row for run, row in known.get(name, {}).items() if run != "all"][:seeds]
    missing = [f"{name}-{row['run']}" for row in runs if number not in row["numbers"]]
    if missing or not runs:
        raise Missing(", ".join(missing) or name)
    return np.array([row["numbers"][number][0] for row in runs])


def read_later_steps(known):
    """By tier: the numbers of each network, and of "PPO", which learns from success alone."""
    return {
        tier: {network: by_seed(known, f"later-{tier}-{network}") for network in NETWORKS}
        | {"PPO": by_seed(known, f"later-{tier}-whole", number="test.ppo_sparse.seg2")}
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


def draw_arm(axis, arm, known):
    """The parts of a life: means as lines, intervals as bands, meta-seeds as dots."""
    runs = known.get(arm.claim, {})
    ended = [row["numbers"] for run, row in runs.items() if run != "all" and row["numbers"]]
    if not ended:
        return
    colour = COLOURS[arm.teacher]
    # A claim of one run has no line of all runs.
    whole = ended[0] if len(runs) == 1 else runs.get("all", {"numbers": {}})["numbers"]
    for part, (first, last) in PARTS.items():
        number = f"{arm.numbers}.{part}"
        values = [numbers[number][0] for numbers in ended]
        mean, low, high = whole.get(number) or interval(values)
        middle = (first + last) / 2
        if first == last:
            axis.errorbar(middle, mean, [[mean - low], [high - mean]], fmt="D", color=colour)
        else:
            axis.plot([first, last], [mean, mean], color=colour, linewidth=2)
            axis.fill_between([first, last], low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot([middle] * len(values), values, "o", color=colour, markersize=3, alpha=0.6)


def pieces(curve):
    """The points of a published curve, cut where an episode is missing and at the agent's updates.
    `curve` is {episode: success}."""
    cut = []
    beginnings = {first for first, _ in PARTS.values()}
    for episode, value in sorted((int(episode), value) for episode, value in curve.items()):
        if not cut or episode in beginnings or episode != cut[-1][-1][0] + 1:
            cut.append([])
        cut[-1].append((episode, value))
    return cut


def draw_published(axis, key, published, colour):
    """A curve of the paper, dashed, between dotted ends of its band."""
    curve, *band = (dict(published[column].get(key, {})) for column in published)
    end, *ends = (one.pop("deterministic", None) for one in (curve, *band))
    for piece in pieces(curve):
        axis.plot(*zip(*piece), "--.", color=colour, linewidth=1.2, markersize=3)
    for one in band:
        for piece in pieces(one):
            axis.plot(*zip(*piece), ":", color=colour, linewidth=0.9)
    if end is not None:
        place = DETERMINISTIC + 0.3  # Beside ours.
        axis.plot(place, end, "D", color=colour, fillstyle="none")
        if None not in ends:
            axis.vlines(place, *ends, color=colour, linestyle=":")


def draw_panels(pyplot, panels, known, published):
    """One panel for each task, with the paper's curves dashed and its bands dotted."""
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(3.7 * len(panels), 3.6), layout="constrained"
    )
    labels = {}
    for axis, panel in zip(axes, panels, strict=True):
        for arm in panel.arms:
            colour = COLOURS[arm.teacher]
            labels.setdefault(arm.teacher, pyplot.Line2D([], [], color=colour, linewidth=2))
            draw_arm(axis, arm, known)
            draw_published(axis, (*panel.published, arm.teacher), published, colour)
        axis.set(title=panel.title, xlim=(0.5, 15), ylim=(0, None), xlabel="episode of a life")
        axis.set_xticks([1, 4, 8, 12, DETERMINISTIC], ["1", "4", "8", "12", "without\nnoise"])
        for update in (4.5, 8.5):
            axis.axvline(update, color="C7", linewidth=0.6, linestyle=":")
    axes[0].set_ylabel("success")
    labels["the paper (Meta-World v2)"] = pyplot.Line2D([], [], color="C7", linestyle="--")
    columns = min(len(labels), 2 * len(panels) - 1)  # As many as the figure is wide.
    figure.legend(labels.values(), labels.keys(), loc="outside upper center", ncols=columns)
    return figure


def read_classes(known):
    """Success in the last part of a life, with its interval, by (teacher, split), then by class."""
    read = {}
    for split in ("train", "test"):
        for arm in ml10(split):
            prefix = f"{arm.numbers}.seg2/"
            numbers = known.get(arm.claim, {}).get("1", {"numbers": {}})["numbers"]
            classes = {
                name.removeprefix(prefix).removesuffix("-v3"): value
                for name, value in numbers.items()
                if name.startswith(prefix)
            }
            if classes:
                read[arm.teacher, split] = classes
    if ("learned reward", "test") not in read:
        raise Missing("ml10-reward-1")
    return read


def show_classes(read):
    for split, title in (("train", "training class"), ("test", "unseen class")):
        arms = [arm for arm in COLOURS if (arm, split) in read]
        print(f"| {title} | " + " | ".join(arms) + " |\n|---" + "|---" * len(arms) + "|")
        for name in read[arms[0], split]:
            cells = (f"{read[arm, split][name][0]:.2f}" for arm in arms)
            print(f"| {name} | " + " | ".join(cells) + " |")


def draw_classes(pyplot, read):
    counts = [len(read["learned reward", split]) for split in ("train", "test")]
    figure, axes = pyplot.subplots(
        1, 2, figsize=(11, 3.6), width_ratios=counts, sharey=True, layout="constrained"
    )
    for axis, split in zip(axes, ("train", "test"), strict=True):
        arms = [arm for arm in COLOURS if (arm, split) in read]
        names = list(read["learned reward", split])
        for place, arm in enumerate(arms):
            where = np.arange(len(names)) + 0.2 * (place - (len(arms) - 1) / 2)
            means, lows, highs = np.array([read[arm, split][name] for name in names]).T
            axis.bar(where, means, 0.2, color=COLOURS[arm], label=arm)
            axis.errorbar(where, means, [means - lows, highs - means], fmt="none", ecolor="C7")
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
        axis.set_title("training classes" if split == "train" else "unseen classes")
    axes[0].set_ylabel("success in episodes 9 to 12")
    # The unseen classes have all teachers.
    axes[0].legend(*axes[1].get_legend_handles_labels(), fontsize=8)
    return figure


def draw_later_steps(pyplot, read):
    figure, axes = pyplot.subplots(1, len(read) + 1, figsize=(9, 3), layout="constrained")
    for axis, (tier, values) in zip(axes, read.items()):
        for place, network in enumerate(NETWORKS):
            dots(axis, place, values[network], f"C{place}")
        axis.axhline(values["PPO"].mean(), color="C7", linestyle="--", label="PPO on success alone")
        axis.set(title=f"point_reach {TIERS[tier]}", ylim=(0, 1), xlim=(-0.5, len(NETWORKS) - 0.3))
        axis.set_xticks(range(len(NETWORKS)), NETWORKS.values(), fontsize=8)
    axes[0].set_ylabel("success after two updates")
    axes[0].legend(fontsize=8)
    axes[-1].set_ylabel("difference of success")
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
    parser.add_argument("--published", type=pathlib.Path, default=papers.PAPER)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("campaign"))
    arguments = parser.parse_args()
    try:
        known = claims.read(arguments.claims)
        published = {
            column: papers.paper(arguments.published, column)
            for column in ("success", "low", "high")
        }
    except claims.Mistake as mistake:
        sys.exit(f"campaign_figures.py: {mistake}")

    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    # Text stays text, and the bytes are the same each time.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "campaign"})
    rows = {
        "ml10_classes": (read_classes, show_classes, draw_classes),
        "later_steps": (read_later_steps, show_later_steps, draw_later_steps),
        "settings": (read_settings, lambda read: None, draw_settings),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)

    def save(figure, name):
        figure.savefig(arguments.out / f"{name}.svg", metadata={"Date": None})

    for name, panels in PANELS.items():
        if not any(known.get(arm.claim) for panel in panels for arm in panel.arms):
            print(f"{name}.svg is left out: no claim of it is planned", file=sys.stderr)
            continue
        save(draw_panels(pyplot, panels, known, published), name)
    for name, (read_row, show, draw) in rows.items():
        try:
            read = read_row(known)
        except Missing as missing:
            print(f"{name}.svg is left out: not recorded yet: {missing}", file=sys.stderr)
            continue
        show(read)
        save(draw(pyplot, read), name)


if __name__ == "__main__":
    main()
