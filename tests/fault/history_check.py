#!/usr/bin/env python3
"""Merges what the processes of a cluster recorded with MENTOR_HISTORY (common/history.h). It proves
that nothing was used twice, lost, taken from a dead assignment or seen in another order.

Usage: tests/fault/history_check.py FOLDER_OR_FILE...

Prints FILE:LINE: RULE: what is wrong, for each finding; exit status 1 when there is one. The rules:

    file        lines are whole and numbered without a gap; only the last of a process may be torn
    assigned    what is received, answered or accepted was assigned before; accepted, also sent
    once        a unit, a segment and a shard are accepted once and consumed once
    order       units, segments and outer updates come in order and without a gap
    complete    what is consumed was accepted, what is committed was consumed
    equal       equal work has equal hashes, whoever does it and however often; equal states have
                equal plans
    planned     of a rule that plans its rounds, each is lived as it was planned: its lifetimes with
                their variants, chances and tasks
    fenced      nothing is used of an assignment that was taken back; numbers of fences rise
    leader      nothing is written by one whose store another has taken
    revision    a revision is committed once, in order and without a gap; states change as they may
    kept        what was answered with OK is in the store, then and at the end
    cancelled   a cancelled experiment has no outer update afterwards
    watch       a watch sees each revision of its experiments, once and in order
"""

import argparse
import collections
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from history_rules import Findings, Shards, Units  # noqa: E402
from history_store import Store, Updates  # noqa: E402


def read_file(path, findings):
    """The events of one process."""
    text = path.read_text(errors="replace")
    lines = text.split("\n")
    lines.pop()  # The last line is empty, or torn by a kill.
    events = []
    for number, line in enumerate(lines, 1):
        where = {"where": f"{path.name}:{number}"}
        try:
            event = json.loads(line)
        except ValueError:
            findings.add(where, "file", f"is no event: {line[:80]}")
            continue
        event.update(where)
        findings.need(event["n"] == number, event, "file", f"is event {event['n']}, not {number}")
        if events and event["t"] < events[-1]["t"]:
            findings.add(event, "file", "is older than the line before it")
        events.append(event)
    return events


def read(paths, findings):
    """Returns all events in the order of their time, which is the order of causes on one
    machine."""
    files = []
    for path in map(pathlib.Path, paths):
        files += sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    events = [event for path in files for event in read_file(path, findings)]
    return sorted(events, key=lambda event: event["t"])


def dispatch(events, findings):
    units = Units(findings)
    shards = Shards(findings, units)
    store = Store(findings)
    updates = Updates(findings, shards, store)
    for event in events:
        kind = event["event"]
        if kind == "serves":
            (units if event["border"] == "actors" else shards).serves(event)
        elif "unit" in event or (kind == "consumed" and "unit_shard" in event):
            units.handle(event)
        elif "shard" in event:
            shards.handle(event)
            if kind == "consumed":
                updates.rounds.on_consumed(event)
        elif kind == "planned":
            updates.rounds.on_planned(event)
        elif kind in ("resumed", "updating", "updated"):
            getattr(updates, "on_" + kind)(event)
        else:
            handler = getattr(store, "on_" + kind, None)
            if findings.need(handler, event, "file", f"'{kind}' is no event that is known"):
                handler(event)
    store.finish()
    return units, shards, updates, store


def check(paths):
    """Returns the findings, and how much was checked."""
    findings = Findings()
    events = read(paths, findings)
    findings.need(events, None, "file", "is empty")
    dispatch(events, findings)
    counts = collections.Counter(event["event"] for event in events)
    return findings, counts


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+")
    findings, counts = check(parser.parse_args().paths)
    for finding in findings:
        print(finding)
    print(f"{sum(counts.values())} events, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
