#!/usr/bin/env python3
"""Checks the programs on a machine with a GPU: bits, faults, memory and speed, in at most 8
minutes. It prints a page, and writes the page, a JSON and the output of each step into a folder.
Exit status: 0 when no step failed, 1 when one did, 2 when nothing could be run.

Needs what tests/device/pack.sh has made, and a Python with torch 2.11 to run it by. For figures of
speed the machine must do nothing else.

Examples:
    python3 tests/device/run.py build/device.tar.xz               on a machine with a GPU
    tar xf device.tar.xz && python3 mentor-device/tests/device/run.py      without the sources
    run.py device.tar.xz --only bits --only shared --device cuda:1
    run.py build/device --device emulated --slower 4              here, without a GPU
"""

import argparse
import contextlib
import dataclasses
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback
import typing
import unittest

import payload
import steps

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    function: typing.Callable
    budget_s: float


PROBE_S = 60  # Whether there is a device, before the steps.
GRACE_S = 20  # For the end of what a late step has started.
# In this order. Their budgets are 8 minutes together.
STEPS = (
    Step("bits", steps.bits, 110),
    Step("shared", steps.shared, 30),
    Step("killed", steps.killed, 35),
    Step("lost", steps.lost, 55),
    Step("memory", steps.memory, 20),
    Step("bench", steps.bench, 140),
    Step("sanitizers", steps.sanitizers, 90),
)


@dataclasses.dataclass
class Outcome:
    result: str
    why: str = ""  # It failed, or was skipped.
    seconds: float = 0
    facts: dict = dataclasses.field(default_factory=dict)


def attempt(step, check, log, answer):
    """Runs a step in a process of its own, which leads a session: what it starts ends with it."""
    os.setsid()
    with open(log, "wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(check.payload.environment())

    def late(*_):
        raise TimeoutError(f"not done in {check.deadline_s:g} s")

    # When the deadline comes, or when the parent is stopped, it ends what it has started.
    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGTERM, late)
    signal.setitimer(signal.ITIMER_REAL, check.deadline_s)
    outcome = Outcome(PASSED)
    try:
        step.function(check, outcome.facts)
    except unittest.SkipTest as reason:
        outcome.result, outcome.why = SKIPPED, str(reason)
    except Exception as error:
        traceback.print_exc()
        outcome.result, outcome.why = FAILED, str(error) or type(error).__name__
    signal.setitimer(signal.ITIMER_REAL, 0)
    answer.send(outcome)


def run_step(step, check, log):
    """Runs a step to its end or its deadline. Nothing that it has started outlives it."""
    fork = multiprocessing.get_context("fork")
    receiver, answer = fork.Pipe(duplex=False)
    child = fork.Process(target=attempt, args=(step, check, log, answer))
    start = time.monotonic()
    child.start()
    answer.close()
    outcome = None
    try:
        if receiver.poll(check.deadline_s + GRACE_S):
            with contextlib.suppress(EOFError):
                outcome = receiver.recv()
    finally:
        if outcome is None:
            child.terminate()
        # Its number is its own until join().
        multiprocessing.connection.wait([child.sentinel], GRACE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.join()
    outcome = outcome or Outcome(FAILED, "its process ended early, or did not end")
    outcome.seconds = round(time.monotonic() - start, 1)
    return outcome


def last_line(text):
    return (text.strip().splitlines() or [""])[-1]


def bits_table(facts):
    yield f"  {'spec':25} {'':9} {'device':12} {'CPU':12} {'launches':>8}  kernels"
    rows = facts["specs"].values()
    for name, row in facts["specs"].items():
        verdict = "same" if row["same"] else "DIFFERENT" if "device" in row else "NOT DONE"
        hashes = [row.get(device, "")[:12] for device in ("device", "cpu")]
        yield (
            f"  {name:25} {verdict:9} {hashes[0]:12} {hashes[1]:12} {row.get('launches', 0):8}  "
            + (row["kernels"] or "none, the CPU computes")
        )
    for error in sorted({last_line(row["error"]) for row in rows if "error" in row}):
        yield f"  not done: {error}"


def bench_table(facts):
    devices = facts.get("devices", {})
    yield f"  {'median':50}" + "".join(f" {device:>12}" for device in devices)
    figures = {device: report["figures"] for device, report in devices.items()}
    for name in sorted({name for known in figures.values() for name in known}):
        values = [known.get(name) for known in figures.values()]
        unit = next(value["unit"] for value in values if value)
        cells = [f"{value['median']:12.4g}" if value else f"{'':12}" for value in values]
        yield f"  {name:50} {' '.join(cells)}  {unit}"
    for device, report in devices.items():
        for name, why in report["left_out"].items():
            yield f"  left out on {device}: {name}: {why}"


def sanitizers_table(facts):
    for tool, found in facts.get("tools", {}).items():
        yield f"  {tool:10} exit status {found['exit']}  {'; '.join(found['summary'])}"


TABLES = {"bits": bits_table, "bench": bench_table, "sanitizers": sanitizers_table}


def page_of(report):
    """One page for people."""
    versions, machine = report["versions"], report["machine"]
    yield f"{versions['mentor']}, commit {versions['commit']}, on {report['device']}"
    yield f"torch {versions['torch']}, Python {versions['python']}, {report['time']}"
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"
    yield from (f"GPU: {gpu}" for gpu in machine["gpus"] or ["none that nvidia-smi sees"])
    for name, step in report["steps"].items():
        if name in TABLES and step["facts"]:
            yield ""
            yield f"{name}:"
            yield from TABLES[name](step["facts"])
    yield ""
    for name, step in report["steps"].items():
        what = step["why"] or step["facts"].get("summary", "")
        first, last = what.partition("\n")[0], last_line(what)
        more = "" if first == last else f" ... {last}"
        yield f"{step['result'].upper():8} {name:11} {step['seconds']:6.1f} s  {first}{more}"
    counts = [step["result"] for step in report["steps"].values()]
    yield ", ".join(f"{counts.count(result)} {result}" for result in (PASSED, FAILED, SKIPPED))


def check_all(chosen, opened, arguments, keep):
    report = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": arguments.device,
        "versions": opened.versions(),
        "machine": payload.machine(),
        "steps": {},
    }
    for step in chosen:
        check = steps.Check(opened, arguments.device, step.budget_s * arguments.slower)
        print(f"{step.name}: at most {check.deadline_s:g} s", file=sys.stderr, flush=True)
        outcome = run_step(step, check, keep / f"{step.name}.log")
        report["steps"][step.name] = dataclasses.asdict(outcome)
        # What a machine that ends early has shown until then.
        report["passed"] = all(one["result"] != FAILED for one in report["steps"].values())
        (keep / "device.json").write_text(json.dumps(report, indent=2) + "\n")
    page = "\n".join(page_of(report))
    (keep / "page.txt").write_text(page + "\n")
    print(page)
    return report["passed"]


def factor(text):
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "payload",
        nargs="?",
        help="what pack.sh has made, an archive or a folder; default: what this program is part of",
    )
    parser.add_argument(
        "--device", default="cuda", help="as of `mentor run`; emulated needs no GPU (default: cuda)"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[step.name for step in STEPS],
        help="run this step; may be repeated",
    )
    parser.add_argument(
        "--keep",
        type=pathlib.Path,
        default=pathlib.Path("device-results"),
        metavar="DIR",
        help="gets page.txt, device.json and STEP.log (default: device-results)",
    )
    parser.add_argument(
        "--slower", type=factor, default=1, metavar="N", help="multiply every deadline by N"
    )
    arguments = parser.parse_args()
    if not (arguments.device == "emulated" or arguments.device.startswith("cuda")):
        parser.error(f"--device {arguments.device}: is not emulated, cuda, cuda:N or cuda:UUID")
    # Ends as by Ctrl-C: what was started ends, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [step for step in STEPS if not arguments.only or step.name in arguments.only]
    keep = arguments.keep.resolve()
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mentor-device-") as scratch:
        tempfile.tempdir = scratch  # Also of the steps.
        try:
            opened = payload.open_payload(arguments.payload, pathlib.Path(scratch))
            limit_s = PROBE_S * arguments.slower
            opened.check_device(arguments.device, pathlib.Path(scratch), limit_s)
        except payload.Unusable as error:
            print(f"run.py: {error}", file=sys.stderr)
            return 2
        return 0 if check_all(chosen, opened, arguments, keep) else 1


if __name__ == "__main__":
    sys.exit(main())
