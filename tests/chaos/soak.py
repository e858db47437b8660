#!/usr/bin/env python3
"""A soak: hours of small experiments, created, watched, read and deleted one after another, on a
real cluster without faults. Every few seconds it reads the memory, file descriptors and threads of
each process and the disk of the state. Growth of more than a hundredth an hour after the warm-up is
a leak, and the exit status is 1.

    tests/chaos/soak.py --hours 8 --csv runs/soak.csv
    tests/chaos/soak.py --hours 0.2          # a first look: twelve minutes

By hand; growth of a hundredth an hour shows within an hour at the earliest.
"""

import argparse
import csv
import pathlib
import statistics
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

from harness import ClusterTest, sets  # noqa: E402

WARM_UP = 0.25  # Share of the whole time.
SAMPLE_S = 5
SIDE_BY_SIDE = 3
# A few pages are not a leak.
SLACK = {"memory_kb": 2048, "descriptors": 4, "threads": 2, "disk_kb": 2048}


def status(pid):
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        fields[name] = value.split()
    return {
        "memory_kb": int(fields["RssAnon"][0]),
        "descriptors": len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(fields["Threads"][0]),
    }


def disk_kb(folder):
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks
        except FileNotFoundError:  # Deleted meanwhile.
            continue
    return total // 2


def growth(samples):
    """Growth from the first third to the last, by their medians: in units, and in parts of the
    first."""
    third = max(1, len(samples) // 3)
    first = statistics.median(samples[:third])
    last = statistics.median(samples[-third:])
    return last - first, (last - first) / max(first, 1)


class Soak(ClusterTest):
    hours = 0.2
    csv = None

    def runTest(self):
        state = self.folder / "state"
        meta_learner, server = self.start_meta_learner(state, 0, "--max_running", 2)
        processes = {"meta-learner": meta_learner}
        for i in range(2):
            processes[f"learner-{i}"], address = self.start_learner(server)
            processes[f"actor-{i}"] = self.start_actor(address)
        series = {}
        begin = time.monotonic()
        end = begin + self.hours * 3600
        next_sample = begin
        done, running = 0, []
        while time.monotonic() < end:
            while len(running) < SIDE_BY_SIDE:
                name = f"soak-{done + len(running)}"
                overrides = sets("rule.outer_updates=5", f"seed={done + len(running)}")
                self.create_experiment(server, name, *overrides)
                running.append(name)
            name = running.pop(0)
            self.mentorctl(server, "wait", name, "--for", "SUCCEEDED")
            self.mentorctl(server, "metrics", name)
            self.mentorctl(server, "list")
            self.mentorctl(server, "delete", name)
            done += 1
            if time.monotonic() < next_sample:
                continue
            next_sample += SAMPLE_S
            now = time.monotonic() - begin
            for process, child in processes.items():
                for what, value in status(child.child.pid).items():
                    series.setdefault((process, what), []).append((now, value))
            series.setdefault(("state", "disk_kb"), []).append((now, disk_kb(state)))
        self.report(series, done)

    def report(self, series, done):
        if self.csv:
            with open(self.csv, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["process", "what", "seconds", "value"])
                for (process, what), samples in series.items():
                    writer.writerows((process, what, f"{t:.0f}", value) for t, value in samples)
        hours = self.hours * (1 - WARM_UP) * 2 / 3  # Hours between the middles of the two thirds.
        print(f"{done} experiments in {self.hours:g} hours; after the warm-up:")
        leaks = []
        for (process, what), samples in series.items():
            kept = [value for t, value in samples if t > self.hours * 3600 * WARM_UP]
            units, part = growth(kept)
            an_hour = 100 * part / hours
            leak = units > SLACK[what] and an_hour > 1
            print(
                f"{process:14} {what:12} {statistics.median(kept):10.0f}"
                f" {units:+9.0f} {an_hour:+8.2f} % an hour{'  LEAK' if leak else ''}"
            )
            if leak:
                leaks.append(f"{process} {what}")
        self.assertEqual(leaks, [])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=0.2)
    parser.add_argument("--csv", help="where to keep the samples")
    arguments = parser.parse_args()
    if arguments.hours * 3600 < 10 * SAMPLE_S:
        parser.error("--hours: too short for a sample or two; 0.05 at least")
    Soak.hours, Soak.csv = arguments.hours, arguments.csv
    result = unittest.TextTestRunner().run(Soak())
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
