#!/usr/bin/env python3
"""Measures speed and size in interleaved rounds (docs/performance.md). A round measures everything
once: each measurement, and right after it its peers, which are other implementations of the same
work. Shown are medians and quartiles over the rounds, and how far ahead of a peer ours was in the
same round. Exit status: 1 when a program failed, or when Ctrl-C ended the rounds early.

    deploy/build.sh mentor-bench mentor_python && tests/bench/run.py memory --rounds 1
    deploy/install.sh --peers && tests/bench/run.py --json > bench.json
    tests/bench/run.py env --environments Hopper-v5,reach-v3
"""

import argparse
import ctypes
import json
import os
import pathlib
import platform
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MEASUREMENTS = "env host vector tasks memory ppo signal meta_gradient lifetime".split()
PEERS = {
    "env": {"envpool": "envpool_peer.py"},
    "host": {"gymnasium": "gymnasium_peer.py"},
    "vector": {"envpool": "vector.py --of envpool"},
    "tasks": {
        "metaworld_sync": "vector.py --environments MT10 --of metaworld_sync",
        "metaworld_async": "vector.py --environments MT10 --of metaworld_async",
    },
    "ppo": {"jax": "jax_peer.py"},
}
# These need a PyTorch for GPUs.
GPU_PEERS = {
    "ppo": {"torch_graph": "torch_graph_peer.py"},
    "signal": {"cudnn": "cudnn_peer.py"},
}
CHOOSE = ("env", "host", "vector")  # With their peers, they take --environments.
QUOTED = 400


class LeftOut(Exception):
    """Why a program gives no figures; `failed`: it should have."""

    failed = True


class NotHere(LeftOut):
    failed = False


def die_with_parent():
    """In a child, before its program: however its parent ends, it ends, too."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def python(line):
    file, *arguments = line.split()
    return [sys.executable, str(HERE / file), *arguments]


def programs(arguments):
    """The commands by measurement and peer; peer "" is the measurement itself."""
    ours = shlex.split(arguments.program)
    found = {}
    for name in arguments.measurements or MEASUREMENTS:
        flags = []
        if name in CHOOSE and arguments.environments:
            flags = [f"--environments={arguments.environments}"]
        if name == "vector":
            found[name, ""] = [*python("vector.py"), *flags]
            found[name, "loop"] = [*ours, "loop", *flags]
        elif name == "tasks":
            found[name, ""] = python("vector.py --environments MT10")
        else:
            found[name, ""] = [*ours, name, "--device", arguments.device, *flags]
        peers = dict(PEERS.get(name, {}))
        if arguments.device.startswith("cuda"):
            peers.update(GPU_PEERS.get(name, {}))
        for peer, line in peers.items():
            found[name, peer] = [*python(line), *flags]
    if arguments.no_peers:
        found = {title: command for title, command in found.items() if not title[1]}
    for title, command in arguments.peer:
        found[title] = command
    return found


def figures_of(said):
    """The report of one round: the last line that is a JSON object."""
    end = said.strip()[-QUOTED:] or "nothing"
    for line in reversed(said.splitlines()):
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if isinstance(report, dict):
            break
    else:
        raise LeftOut(f"no line of it is a JSON object; it printed: {end}")
    if isinstance(report.get("none"), str):
        raise NotHere(report["none"])
    figures = report.get("figures")
    for figure in figures.values() if isinstance(figures, dict) and figures else [None]:
        if not (
            isinstance(figure, dict)
            and isinstance(figure.get("value"), (int, float))
            and isinstance(figure.get("unit"), str)
        ):
            raise LeftOut(f"figures: need a number as value and a text as unit; it printed: {end}")
    return report


def one_round(command, device, deadline_s):
    """Runs a program to the end of a round. At its deadline, all that it has started ends."""
    own = [ROOT / "build/python", ROOT / ".deps/peers", *filter(None, [os.getenv("PYTHONPATH")])]
    try:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": ":".join(map(str, own)),
                "MENTOR_BENCH_DEVICE": device,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    except OSError as error:
        raise LeftOut(f"cannot be started: {error}") from None
    try:
        said, _ = child.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        raise LeftOut(f"gave no answer in {deadline_s:g} s (--deadline)") from None
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            child.stdout.close()
    if child.returncode != 0:
        end = said.strip()[-QUOTED:] or "nothing"
        raise LeftOut(f"ended with exit status {child.returncode}; it printed: {end}")
    return figures_of(said)


class Results:
    def __init__(self):
        self.figures = {}  # Unit and values by "MEASUREMENT/NAME", "... PEER", "... ahead of PEER".
        self.versions, self.left_out = {}, {}
        self.rounds = []
        self.stopped = self.failed = False

    def add(self, name, value, unit):
        self.figures.setdefault(name, {"unit": unit, "values": []})["values"].append(value)

    def add_report(self, name, peer, report, ours):
        """`ours`: the figures of the measurement in the same round, for its peers."""
        for figure, said in report["figures"].items():
            value, unit = said["value"], said["unit"]
            own = ours.get(figure, {}) if peer else {}
            if own and own["unit"] != unit:
                raise LeftOut(f"figures.{figure}: is in '{unit}', ours is in '{own['unit']}'")
            self.add(f"{name}/{figure} {peer}".strip(), value, unit)
            if own and unit != "ratio" and value and own["value"]:
                # A greater rate is better; all else is better when less.
                ahead = own["value"] / value if unit.endswith("/s") else value / own["value"]
                self.add(f"{name}/{figure} ahead of {peer}", ahead, "ratio")

    def measure(self, found, arguments):
        for number in range(arguments.rounds):
            ours, facts, start = {}, {"load_before": os.getloadavg()[0]}, time.monotonic()
            facts["clock_mhz"] = statistics.fmean(map(float, processor("cpu MHz")) or [0])
            for (name, peer), command in found.items():
                title = f"{name}/{peer}".rstrip("/")
                if title in self.left_out:
                    continue
                tell(f"round {number + 1} of {arguments.rounds}: {title}")
                try:
                    report = one_round(command, arguments.device, arguments.deadline)
                    self.add_report(name, peer, report, ours.get(name, {}))
                except LeftOut as why:
                    tell(f"{title} is left out: {why}")
                    self.left_out[title] = str(why)
                    self.failed |= why.failed
                    continue
                self.versions[title] = report.get("versions", {})
                if not peer:
                    ours[name] = report["figures"]
            facts.update(load_after=os.getloadavg()[0], seconds=time.monotonic() - start)
            self.rounds.append(facts)

    def summary(self):
        for figure in self.figures.values():
            values = figure["values"]
            many = len(values) > 1
            cuts = statistics.quantiles(values, method="inclusive") if many else values * 3
            figure["low"], figure["median"], figure["high"] = cuts
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "cpu": (processor("model name") or [platform.processor()])[0],
            "cores": os.cpu_count(),
            "versions": self.versions,
            "rounds": self.rounds,
            "stopped": self.stopped,
            "left_out": self.left_out,
            "figures": dict(sorted(self.figures.items())),
        }


def processor(fact):
    return re.findall(rf"{fact}\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())


def tell(line):
    print(line, file=sys.stderr, flush=True)


def print_table(summary):
    print(f"{summary['cpu']}, {summary['cores']} cores")
    for title, versions in summary["versions"].items():
        print(f"{title}: " + ", ".join(f"{name} {said}" for name, said in versions.items()))
    for facts in summary["rounds"]:
        print("round of {seconds:.0f} s: load {load_before:.2f}".format(**facts), end=" before, ")
        print("{load_after:.2f} after; {clock_mhz:.0f} MHz".format(**facts))
    print(f"{'':58} {'median':>10}  {'quartiles':>10}")
    for name, one in summary["figures"].items():
        spread = f"{one['low']:10.4g} .. {one['high']:<10.4g}"
        print(f"{name:58} {one['median']:10.4g}  {spread} {one['unit']}")
    for title, why in summary["left_out"].items():
        print(f"left out: {title}: {why}")


def peer_flag(text):
    title, _, command = text.partition("=")
    name, _, peer = title.partition("/")
    if name not in MEASUREMENTS or not peer or not command:
        raise argparse.ArgumentTypeError(f"'{text}': give MEASUREMENT/NAME=COMMAND")
    return (name, peer), shlex.split(command)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "measurements", nargs="*", metavar="NAME", help="default: all: " + ", ".join(MEASUREMENTS)
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--environments", help=f"for {', '.join(CHOOSE)}: only these, with commas between them"
    )
    parser.add_argument("--device", default="cpu", help="for ppo, signal, lifetime and their peers")
    parser.add_argument("--json", action="store_true", help="also every value of every round")
    parser.add_argument("--no-peers", action="store_true", help="measure Mentor alone")
    parser.add_argument(
        "--peer", action="append", default=[], type=peer_flag, metavar="MEASUREMENT/NAME=COMMAND"
    )
    parser.add_argument(
        "--deadline", type=float, default=900, metavar="S", help="of a program in a round"
    )
    program = shlex.quote(str(ROOT / "build/tests/mentor-bench"))
    parser.add_argument("--program", default=program, help="mentor-bench (default: of build)")
    arguments = parser.parse_intermixed_args()
    if unknown := set(arguments.measurements) - set(MEASUREMENTS):
        parser.error(f"{', '.join(sorted(unknown))}: is none of {', '.join(MEASUREMENTS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = Results()
    try:
        results.measure(programs(arguments), arguments)
    except KeyboardInterrupt:
        results.stopped = True
    summary = results.summary()
    print_table(summary) if not arguments.json else print(json.dumps(summary, indent=2))
    return 1 if results.stopped or results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
