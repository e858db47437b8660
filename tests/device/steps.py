"""The steps of run.py. A step gets its Check and a dictionary for what it finds; it fails by
AssertionError and is skipped by unittest.SkipTest. What it prints is kept."""

import contextlib
import dataclasses
import json
import pathlib
import re
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

import harness  # noqa: E402
from harness import ClusterTest, sets  # noqa: E402
from payload import Payload, sanitizer  # noqa: E402

DEVICE_LOST = 6
NO_EVALUATION = sets("evaluation.lifetimes_per_goal=0")
SHARED = sets("rule.outer_updates=3", "rule.shard_lifetimes=1") + NO_EVALUATION
# Hits of the failpoints are counted, and change nothing.
COUNTED = "device.launch=*:sleep(0);device.wait=*:sleep(0)"


@dataclasses.dataclass(frozen=True)
class Check:
    """What is checked, for all steps."""

    payload: Payload
    device: str
    deadline_s: float  # The step ends then.

    @property
    def emulated(self):
        return self.device == "emulated"


class Told(ClusterTest):
    """A cluster that prints what each of its processes said, when all have ended."""

    def setUp(self):
        super().setUp()
        self.started = []
        self.addCleanup(self.tell)

    def start(self, *command, **options):
        self.started.append(super().start(*command, **options))
        return self.started[-1]

    def tell(self):
        for process in self.started:
            print(f"--- {' '.join(process.command)}\n{process.output()}", flush=True)


def cluster(check):
    """A folder and processes of the payload's programs, which end with the block."""
    harness.BIN = check.payload.bin
    return Told.alone()


@dataclasses.dataclass(frozen=True)
class Case:
    spec: str
    settings: tuple
    kernels: str  # That it is for; empty: it has none, and the learner's CPU computes.
    name: str = ""


SMALL_ML1 = (
    "rule.lifetimes_per_update=2",
    "rule.shard_lifetimes=2",
    "lifetime.steps_per_iteration=500",
    "agent.minibatches=4",  # 125 rows, as in the whole spec.
    "agent.epochs=2",
    "rule.option.epochs=2",
)
SMALL_REACH = ("rule.lifetimes_per_update=16", "rule.shard_lifetimes=8", "agent.epochs=4")
# Each kernel that a program chooses by sizes (agents/phase_trainer.h,
# signals/lstm/lstm_engine_phases.h), and work beside it that has none.
CASES = (
    Case("smoke", ("rule.outer_updates=2",), "PPO and LSTM of any size, value network"),
    Case("point_reach", SMALL_REACH, "PPO and LSTM of any size, no value network"),
    Case("ml1_reward", SMALL_ML1, "common PPO sizes on two blocks, LSTM with 4 side inputs"),
    Case("ml1_advantage", SMALL_ML1, "common PPO sizes on one block"),
    Case("hopper", SMALL_ML1, "shared PPO sizes on two blocks"),
    Case(
        "hopper",
        (*SMALL_ML1, "signal.role=ADVANTAGE", "signal.input=SUCCESS_AND_SHAPED"),
        "shared PPO sizes on one block, LSTM with 5 side inputs",
        "hopper as advantage",
    ),
    Case("point_reach_both", SMALL_REACH, "LSTM in both directions"),
    Case("point_reach_es", (), "PPO and LSTM without an outer PPO"),
    Case("point_reach_attention", SMALL_REACH, "PPO beside a signal network on the CPU"),
    Case("point_reach_meta_gradient", SMALL_REACH, ""),
    Case("lirpg_hopper_delayed", ("lifetime.iterations=2",), ""),
    Case("stn_point_mass", (), ""),
)


def lines_of(log):
    """How often each failpoint was hit, by its log."""
    names = [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
    return {name: names.count(name) for name in ("device.launch", "device.wait")}


def counted(log):
    return {"MENTOR_FAILPOINTS": COUNTED, "MENTOR_FAILPOINT_LOG": str(log)}


def compare(check, case, name, one):
    """Runs a spec on both devices at once. Returns a row of the page."""
    flags = [*sets("rule.outer_updates=1"), *sets(*one.settings), *NO_EVALUATION]
    log = case.folder / f"{name}.failpoints"
    folders = {device: case.folder / f"{name}-{device}" for device in ("cpu", check.device)}
    runs = {
        device: case.start(
            *("mentor", "run", one.spec, "--out", folder, "--device", device, "--quiet", *flags),
            env=counted(log) if device == check.device else None,
        )
        for device, folder in folders.items()
    }
    for run in runs.values():
        code = run.wait(check.deadline_s)
        assert code == 0, f"exit status {code}: {' '.join(run.command)}\n{run.output()}"
    hashes = {device: case.hash(folder) for device, folder in folders.items()}
    return {
        "cpu": hashes["cpu"],
        "device": hashes[check.device],
        "same": hashes["cpu"] == hashes[check.device],
        "launches": lines_of(log)["device.launch"],
    }


def bits(check, facts):
    """Eleven specs have the CPU's hash on the device."""
    wrong = []
    facts["specs"] = {}
    with cluster(check) as case:
        for number, one in enumerate(CASES):
            name = one.name or one.spec
            row = facts["specs"][name] = {"kernels": one.kernels, "same": False}
            try:
                row.update(compare(check, case, f"case-{number}", one))
            except AssertionError as error:
                row["error"] = str(error)
            print(name, row, flush=True)
            if not row["same"]:
                wrong.append(name)
    assert not wrong, f"not the CPU's hash: {', '.join(wrong)}"
    # A device is tried at the start, whatever the spec. Kernels of the spec come on top.
    launches = {
        bool(one.kernels): [
            facts["specs"][other.name or other.spec]["launches"]
            for other in CASES
            if bool(other.kernels) == bool(one.kernels)
        ]
        for one in CASES
    }
    assert min(launches[True]) > max(launches[False]), (
        "a spec with kernels launched no more of them than one without: "
        f"{launches[True]} and {launches[False]}"
    )
    facts["summary"] = f"{len(CASES)} of {len(CASES)} specs have the CPU's hash"


def smoke_hash(case, check, flags):
    return case.run_hash(case.folder / "alone", *flags, spec=check.payload.smoke)


def create(case, check, server, flags):
    case.create_experiment(server, "shared", *flags, spec=check.payload.smoke)


def assert_same(case, server, state, expected, facts):
    """Waits for the end of the experiment, and compares its hash."""
    found = case.hash_of(server, state, "shared")
    facts.update(alone=expected, hash=found, same=found == expected)
    assert found == expected, f"the hash is {found}, alone on the CPU {expected}"


def shared(check, facts):
    """A learner on the CPU, one on the device and a meta-learner there share an experiment."""
    with cluster(check) as case:
        expected, state = smoke_hash(case, check, SHARED), case.folder / "state"
        log = case.folder / "meta-learner.failpoints"
        _, server = case.start_meta_learner(state, 0, "--device", check.device, env=counted(log))
        at_start = lines_of(log)["device.launch"]
        learners = {}
        for device in ("cpu", check.device):
            flags = ("--device", device, "--metrics", "127.0.0.1:0")
            learners[device], address = case.start_learner(server, 0, *flags)
            case.start_actor(address)
        case.wait_for_peers(server, "learners", 2)
        create(case, check, server, SHARED)
        assert_same(case, server, state, expected, facts)
        shards = {
            device: int(learner.metric("mentor_learner_shards_total"))
            for device, learner in learners.items()
        }
        facts.update(shards=shards, launches_of_meta_learner=lines_of(log)["device.launch"])
        assert all(shards.values()), f"a learner had no shard: {shards}"
        assert facts["launches_of_meta_learner"] > at_start, "no outer update launched a kernel"
        facts["summary"] = "the same hash; shards: " + ", ".join(
            f"{count} on {device}" for device, count in shards.items()
        )


def hits_at_start(case, check):
    """How often a learner without work reaches each failpoint. Behind them it has work."""
    log = case.folder / "idle.failpoints"
    _, server = case.start_meta_learner(case.folder / "idle")
    learner, _ = case.start_learner(server, 0, "--device", check.device, env=counted(log))
    case.wait_for_peers(server, "learners", 1)
    learner.kill()
    return lines_of(log)


def killed(check, facts):
    """kill -9 of the learner on the device, amid a shard; learners on both go on."""
    with cluster(check) as case:
        expected, state = smoke_hash(case, check, SHARED), case.folder / "state"
        log = case.folder / "doomed.failpoints"
        first = hits_at_start(case, check)["device.launch"] + 10
        _, server = case.start_meta_learner(state)
        create(case, check, server, SHARED)
        # Slow from there on, so that it is killed at work.
        doomed, address = case.start_learner(
            *(server, 0, "--device", check.device),
            env={
                "MENTOR_FAILPOINTS": f"device.launch={first}+:sleep(50)",
                "MENTOR_FAILPOINT_LOG": str(log),
            },
        )
        case.start_actor(address)
        case.wait_until(log.exists, "kernels of the experiment")
        doomed.kill()
        now = case.get(server, "shared")["state"]
        assert now == "STATE_RUNNING", f"the experiment was {now} when its learner was killed"
        for device in ("cpu", check.device):
            case.start_actor(case.start_learner(server, 0, "--device", device)[1])
        assert_same(case, server, state, expected, facts)
    facts["summary"] = "the same hash"


def goes_on(case, check, point, flags, words, facts):
    """The device of the only learner fails at the failpoint `point`. Another one goes on."""
    state, expected = case.folder / "state", smoke_hash(case, check, SHARED)
    _, server = case.start_meta_learner(state)
    create(case, check, server, SHARED)
    failing, address = case.start_learner(
        *(server, 0, "--device", check.device, *flags), env={"MENTOR_FAILPOINTS": point}
    )
    case.start_actor(address)
    facts["exit"] = failing.wait(check.deadline_s)
    output = failing.output()
    assert facts["exit"] == DEVICE_LOST, f"exit status {facts['exit']}:\n{output}"
    assert words in output, f"does not say '{words}':\n{output}"
    case.start_actor(case.start_learner(server)[1])
    assert_same(case, server, state, expected, facts)


def lost(check, facts):
    """A learner whose device fails or hangs ends with exit status 6, and another one goes on."""
    with cluster(check) as case:
        hits = hits_at_start(case, check)
    launch, wait = hits["device.launch"] + 10, hits["device.wait"] + 10
    facts.update(fails={}, hangs={})
    with cluster(check) as case:
        point = f"device.launch={launch}:error(Xid 79)"
        goes_on(case, check, point, (), "launch of a kernel: Xid 79", facts["fails"])
    with cluster(check) as case:
        point, timeout = f"device.wait={wait}:sleep(600000)", ("--device_timeout_s", 5)
        goes_on(case, check, point, timeout, "has not answered for 5 s", facts["hangs"])
    facts["summary"] = "exit status 6 and the same hash after a failure and after a hang"


def memory(check, facts):
    """A run is refused just below the memory that --check says, and goes on just above."""
    flags = [*sets("rule.outer_updates=1", *SMALL_REACH), *NO_EVALUATION]
    run = ("mentor", "run", "point_reach", *flags)
    with cluster(check) as case:
        said = case.run_to_end(*run, "--check")
        found = re.search(r"on a GPU, ([\d.]+) MB and ([\d.]+) MB of its memory", said)
        assert found, f"--check does not say the memory of a GPU in MB:\n{said}"
        needed = float(found[1]) + float(found[2])
        # Both numbers are rounded to 0.1 MB.
        facts.update(needed_mb=needed, below_mb=needed - 0.2, above_mb=needed + 0.2)
        on_device = (*run, "--device", check.device, "--quiet")
        refused = case.run_to_end(
            *(*on_device, "--out", case.folder / "below"),
            *("--device_memory_gb", f"{facts['below_mb'] / 1000:.6f}"),
            code=2,
        )
        assert "of its memory" in refused and "may take" in refused, refused
        above = case.folder / "above"
        case.run_to_end(
            *(*on_device, "--out", above),
            *("--device_memory_gb", f"{facts['above_mb'] / 1000:.6f}"),
        )
        case.run_to_end(*run, "--quiet", "--out", case.folder / "cpu")
        facts.update(hash=case.hash(above), alone=case.hash(case.folder / "cpu"))
        facts["same"] = facts["hash"] == facts["alone"]
        assert facts["same"], f"the hash is {facts['hash']}, on the CPU {facts['alone']}"
    facts["summary"] = f"refused with {needed - 0.2:.1f} MB, done with {needed + 0.2:.1f} MB"


MEASURED = ("ppo", "signal", "lifetime")
SETTLE_S = 15  # For a bench that is interrupted, and says what it has measured.


def measure(case, check, device):
    """Starts tests/bench/run.py on a device, with its peers where that is a GPU."""
    # Whole lifetimes are too slow for the emulation.
    measured = MEASURED[:1] if check.emulated else MEASURED
    rounds = 1 if device == "cpu" or check.emulated else 2
    return case.start(
        *(*check.payload.bench(), *measured, "--rounds", rounds, "--json", "--device", device),
        *(["--no-peers"] if device == "cpu" else []),
    )


def report_of(process, end):
    """The JSON of a bench, at the latest at the time `end`; its progress is printed before."""
    with contextlib.suppress(AssertionError):
        process.wait(max(0, end - time.monotonic()))
    if process.child.poll() is None:
        process.signal(harness.SIGINT)
    process.wait(SETTLE_S)
    found = re.search(r"^\{\n.*", process.output(), re.MULTILINE | re.DOTALL)
    assert found, f"no figures:\n{process.output()}"
    return json.loads(found[0])


def bench(check, facts):
    """Speed of the device with its peers, and of the CPU on other cores at the same time."""
    end = time.monotonic() + check.deadline_s - SETTLE_S - 5
    facts["devices"] = {}
    with cluster(check) as case:
        running = {device: measure(case, check, device) for device in (check.device, "cpu")}
        for device, process in running.items():
            facts["devices"][device] = report_of(process, end)
    for device, report in facts["devices"].items():
        ours = [f"{name}: {why}" for name, why in report["left_out"].items() if "/" not in name]
        assert not ours, f"not measured on {device}: {'; '.join(ours)}"
        assert report["figures"], f"nothing was measured on {device} in time"
    facts["summary"] = ", ".join(
        f"{len(report['figures'])} figures of {device}"
        + (" until the deadline" if report["stopped"] else "")
        for device, report in facts["devices"].items()
    )


TOOLS = ("memcheck", "initcheck", "synccheck", "racecheck")  # The slowest comes last.


def sanitizers(check, facts):
    """compute-sanitizer's tools find nothing in `smoke`, and change no bit of it."""
    if check.emulated:
        raise unittest.SkipTest("needs a GPU")
    program = sanitizer()
    if program is None:
        raise unittest.SkipTest("compute-sanitizer is missing: it comes with the CUDA toolkit")
    flags = [*sets("rule.outer_updates=1"), *NO_EVALUATION]
    with cluster(check) as case:
        expected = smoke_hash(case, check, flags)
        run = ("--device", check.device, "--device_timeout_s", 600, "--quiet", *flags)
        tools = {
            tool: case.start(
                *(program, "--tool", tool, "--error-exitcode", 9, "--print-limit", 20),
                *(check.payload.bin / "mentor", "run", "smoke", "--out", case.folder / tool, *run),
            )
            for tool in TOOLS
        }
        facts["tools"] = {}
        for tool, process in tools.items():
            code = process.wait(check.deadline_s)
            summary = re.findall(r"=+ (.*SUMMARY.*)", process.output())
            facts["tools"][tool] = {"exit": code, "summary": summary}
        bad = [tool for tool, found in facts["tools"].items() if found["exit"] != 0]
        assert not bad, f"{', '.join(bad)} found something, or did not end well"
        for tool in TOOLS:
            found = case.hash(case.folder / tool)
            assert found == expected, f"{tool}: the hash is {found}, on the CPU {expected}"
    facts["summary"] = f"nothing found by {', '.join(TOOLS)}"
