#!/usr/bin/env python3
"""Submits an experiment, shows its progress, and plots its learning curve.

Usage: submit_watch_plot.py [--server HOST:PORT] [--spec FILE] [--set PATH=VALUE]... [--metric NAME]
[--out FILE] Default: point_reach with 10 outer updates on a meta-learner of this machine. The
curve goes to learning_curve.svg, its numbers to learning_curve.csv. FILE may also end in .png or
.pdf (matplotlib).

Needs a running service (docs/tutorial.md, "A service") and the client: pip install
'./python[plot]'.
"""

import argparse
import csv
import pathlib
import sys

from mentor_client import Client, ExperimentEnded, MentorError

SPEC = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "point_reach.txtpb"


def show(experiment):
    progress = experiment.progress
    left = f", {progress.seconds_left:.0f} s left" if progress.seconds_left >= 0 else ""
    doing = experiment.activity or experiment.state.lower()
    updates = f"{progress.outer_updates} of {progress.outer_updates_total}"
    line = f"{experiment.id}: {doing}, update {updates}{left}"
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="", flush=True)
    else:
        print(line, flush=True)


def write_table(path, name, series):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["outer_update", name])
        writer.writerows(zip(series.steps, series.mean))


def draw(path, title, name, series):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(series.steps, series.mean, marker="." if len(series.steps) < 60 else None)
    if any(count > 1 for count in series.count):
        axes.fill_between(series.steps, series.min, series.max, alpha=0.2)
    axes.set(title=title, xlabel="outer update", ylabel=name)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", help="default: MENTOR_SERVER, else 127.0.0.1:50052")
    parser.add_argument("--spec", default=SPEC, type=pathlib.Path)
    parser.add_argument(
        "--set", action="append", metavar="PATH=VALUE", help="default: rule.outer_updates=10"
    )
    parser.add_argument("--metric", default="meta_return")
    parser.add_argument("--out", default="learning_curve.svg", type=pathlib.Path)
    parser.add_argument(
        "--timeout", type=float, default=3600, help="seconds; the experiment goes on afterwards"
    )
    arguments = parser.parse_args()

    with Client(arguments.server) as client:
        experiment = client.create(
            arguments.spec, overrides=arguments.set or ["rule.outer_updates=10"]
        )
        try:
            experiment.wait(timeout=arguments.timeout, on_progress=show)
        # Failed or cancelled: the values so far can still be drawn.
        except ExperimentEnded as ended:
            print(f"\n{ended}", file=sys.stderr)
        metrics = experiment.metrics([arguments.metric])
    print()
    if arguments.metric not in metrics:
        print(f"{experiment.name} has recorded no '{arguments.metric}'", file=sys.stderr)
        return 1
    series = metrics[arguments.metric]
    table = arguments.out.with_suffix(".csv")
    write_table(table, arguments.metric, series)
    print(f"numbers: {table}")
    try:
        draw(arguments.out, experiment.display_name or experiment.id, arguments.metric, series)
    except ImportError:
        print(f"no {arguments.out}: pip install matplotlib, and call again", file=sys.stderr)
        return 1
    print(f"curve: {arguments.out}")
    return 0 if experiment.state == "SUCCEEDED" else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MentorError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nthe experiment goes on; `mentorctl list` shows it")
