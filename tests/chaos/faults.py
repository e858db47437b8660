"""The faults of a cluster and its experiments from which a seed chooses: functions of a trial
(chaos_test.py)."""

import signal
import time

FAULTS = []  # (how often, function)
# Failpoints whose errors a process must survive; at others a process is only killed. An error
# during start ends a process by design, and a dropped message is missed only after a minute.
SURVIVED = (
    "store.",
    "api.",
    "rpc.stream.open",
    "rpc.chunk.corrupt",
    "rpc.heartbeat.skip",
    "actor.unit.step",
)
ONLY_KILLS = {"store.migrate.step", "store.start.scan"}
NEVER = {"store.commit.forgotten"}  # It makes the store lie.
# Experiments that users add: to cancel, of a higher class, to clone.
CANCELLED_KINDS, URGENT_KIND, CLONED_KINDS = ("long", "wide"), "reptile", ("long", "blind")
ADDED_KINDS = (*CANCELLED_KINDS, URGENT_KIND, *CLONED_KINDS)
ERRORS = ("error(EIO)", "error(ENOSPC)", "sleep(300)")


def fault(weight=1):
    def add(function):
        FAULTS.append((weight, function))
        return function

    return add


def choose(trial):
    """Returns a fault that this trial can have."""
    functions = [(weight, function) for weight, function in FAULTS if applies(trial, function)]
    weights = [weight for weight, _ in functions]
    return trial.rng.choices([function for _, function in functions], weights)[0]


def applies(trial, function):
    wants = function.__name__
    if wants == "full_disk":
        return trial.fleet.has_small_disk
    if wants == "certificates_renewed":
        return trial.fleet.certificates is not None
    if wants == "clock_jump":
        return trial.fleet.clock is not None
    if wants.startswith("database"):
        return trial.server is not None
    if wants in ("slow_link", "half_open", "cut_links"):
        return any(trial.fleet.proxies.values())
    return True


# Processes.


@fault(2)
def kill(trial):
    trial.fleet.replace(trial.fleet.victim())


@fault()
def terminate(trial):
    trial.fleet.replace(trial.fleet.victim(), signal.SIGTERM)


@fault()
def kill_two(trial):
    for kind in trial.rng.sample(["meta-learner", "learner", "actor"], 2):
        trial.fleet.replace(trial.fleet.victim([kind]))


@fault()
def rolling_restart(trial):
    kind = trial.rng.choice(["learner", "actor"])
    for name in sorted(trial.fleet.processes):
        if name.startswith(kind):
            trial.fleet.replace(name, signal.SIGTERM)


@fault()
def stop_for_a_while(trial):
    """The stop is sometimes longer than the silence after which a peer counts as dead."""
    process = trial.fleet.processes[trial.fleet.victim()]
    process.signal(signal.SIGSTOP)
    time.sleep(trial.rng.choice([0.2, 1, 6.5]))
    process.signal(signal.SIGCONT)


@fault(2)
def failpoint(trial):
    """Starts a process again with one of its failpoints armed."""
    name = trial.fleet.victim()
    point = trial.rng.choice(
        [point for point in trial.fleet.failpoints_of(name) if point not in NEVER]
    )
    errs = point.startswith(SURVIVED) and point not in ONLY_KILLS
    action = trial.rng.choice(("kill", *ERRORS)) if errs else "kill"
    trial.note(f"{name}: {point}, {action}")
    trial.fleet.replace(name, signal.SIGTERM, f"{point}={trial.rng.randint(1, 20)}:{action}")


@fault()
def sick_actor(trial):
    """For a while, an actor that makes errors or keeps its units."""
    learner = trial.fleet.victim(["learner"])
    sickness = trial.rng.choice(
        ["actor.unit.step=*:error(sick)", "actor.result.before_send=*:sleep(3600000)"]
    )
    address = trial.fleet.addresses[learner]
    guest = trial.fleet.guest("mentor-actor", "--learner", address, sickness)
    time.sleep(trial.rng.uniform(0.5, 3))
    guest.kill()


@fault()
def sick_learner(trial):
    """A learner that sends heartbeats and takes shards, but never works."""
    guest = trial.fleet.guest(
        "mentor-learner",
        "--meta_learner",
        trial.fleet.server,
        "learner.segment.before_send=*:sleep(3600000)",
    )
    time.sleep(trial.rng.uniform(0.5, 2))
    guest.kill()


@fault()
def little_memory(trial):
    """For a while, a learner that can hold one small shard at most."""
    name = trial.fleet.victim(["learner"])
    trial.fleet.replace(name, signal.SIGTERM, more=["--memory_gb", 0.2])
    time.sleep(trial.rng.uniform(0.5, 3))
    trial.fleet.replace(name, signal.SIGTERM)


# Connections.


def links(trial):
    proxies = [proxy for _, proxy in sorted(trial.fleet.proxies.items()) if proxy]
    return trial.rng.sample(proxies, trial.rng.randint(1, len(proxies)))


@fault()
def slow_link(trial):
    for proxy in links(trial):
        proxy.delay_s = trial.rng.choice([0, 0.05, 0.3])
        proxy.bytes_per_s = trial.rng.choice([0, 20_000, 200_000])
    time.sleep(trial.rng.uniform(0.5, 2))
    trial.fleet.heal()


@fault()
def half_open(trial):
    for proxy in links(trial):
        proxy.stalled = {trial.rng.choice(["up", "down"])}
    time.sleep(trial.rng.choice([0.5, 2, 6.5]))
    trial.fleet.heal()


@fault()
def cut_links(trial):
    for proxy in links(trial):
        proxy.refuses = trial.rng.random() < 0.5
        proxy.cut()
    time.sleep(trial.rng.uniform(0, 1))
    trial.fleet.heal()


@fault()
def certificates_renewed(trial):
    """Existing connections stay; new ones show the new pair."""
    trial.fleet.renew_certificates()
    if any(trial.fleet.proxies.values()):
        cut_links(trial)


# What the meta-learner stands on.


@fault()
def full_disk(trial):
    trial.fleet.fill_disk(trial.rng.uniform(0.3, 2))


@fault()
def clock_jump(trial):
    # No certificate of today is valid yet on an earlier day.
    days = trial.rng.choice([0, 0, 30] if trial.fleet.certificates else [-2, 0, 30])
    trial.fleet.clock.write_text(f"{days:+}d")


@fault(2)
def database_connections_cut(trial):
    trial.server.cut(trial.database)


@fault()
def database_restarted(trial):
    trial.server.stop()
    time.sleep(trial.rng.uniform(0, 2))
    trial.server.start()


# Users.


@fault()
def pause(trial):
    name = trial.pick("STATE_RUNNING", "STATE_QUEUED")
    if name:
        trial.ask("pause", name)


@fault()
def resume(trial):
    name = trial.pick("STATE_PAUSED")
    if name:
        trial.ask("resume", name)


@fault()
def cancel_a_copy(trial):
    name = f"copy-{len(trial.kinds)}"
    trial.create(name, trial.rng.choice(CANCELLED_KINDS))
    time.sleep(trial.rng.uniform(0, 0.5))
    if trial.ask("cancel", name):
        # The work may also end before the call arrives.
        trial.wanted[name] = {"STATE_CANCELLED", "STATE_SUCCEEDED"}


@fault()
def urgent(trial):
    """An experiment of a higher class takes another one's place."""
    trial.create(f"urgent-{len(trial.kinds)}", URGENT_KIND, "--priority", "high")


@fault()
def clone(trial):
    """A clone ends as its source does, from whichever checkpoint it begins."""
    sources = [name for name in sorted(trial.kinds) if trial.kinds[name] in CLONED_KINDS]
    source = trial.rng.choice(sources) if sources else None
    name = f"clone-{len(trial.kinds)}"
    if source and trial.ask("clone", source, "--id", name):
        trial.kinds[name], trial.wanted[name] = trial.kinds[source], {"STATE_SUCCEEDED"}
