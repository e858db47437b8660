"""Fleets of Mentor's programs, whatever they run in: what tests ask of each, and the processes of
one service on this machine.

A back end is a Service that says how mentorctl reaches it. Processes on loopback: ClusterTest
(harness.py), by name Fleet; over TLS with tokens: secure.py. Containers of Compose, pods of
Kubernetes and nodes in network namespaces: tests/containers/. Jobs of Slurm: tests/slurm/."""

import json
import signal
import time

DEADLINE_S = 240


def wait_until(condition, what, deadline_s=DEADLINE_S, every_s=0):
    """Looks again and again, after `every_s` or as often as looks are quick. Returns the first true
    value of the condition."""
    now = time.monotonic()
    end = now + deadline_s
    while not (value := condition()):
        before, now = now, time.monotonic()
        if now > end:
            raise AssertionError(f"not in {deadline_s} s: {what}")
        # A look that starts a program must not take a core from those that it waits for.
        time.sleep(every_s or min(max(0.02, 4 * (now - before)), 0.2))
        now = time.monotonic()
    return value


class Service:
    """What a unittest.TestCase asks of a service. `server` is the addresses of its meta-learners,
    or a user where a back end has users. A back end has mentorctl() and answer()."""

    wait_until = staticmethod(wait_until)

    def flags_of(self, server):
        """Flags with which mentorctl finds the service."""
        return ["--server", server]

    def mentorctl(self, server, *arguments, code=0):
        """Runs mentorctl, which must end with `code`; returns all that it says."""
        raise NotImplementedError

    def answer(self, server, *arguments):
        """The same without words for people beside its output."""
        return self.mentorctl(server, *arguments)

    def get(self, server, name):
        answer = self.answer(server, "get", name, "--output", "json")
        self.assertTrue(answer.startswith("{"), answer)
        return json.loads(answer)

    def updates(self, server, name):
        """Returns the outer updates that an experiment has made."""
        return int(self.get(server, name).get("progress", {}).get("outerUpdates", 0))

    def peers(self, server, kind=""):
        """Returns what is known of learners, actors or both, by name."""
        lines = self.answer(server, "peers", "--output", "json").splitlines()
        peers = [json.loads(line) for line in lines if line.startswith("{")]
        return {peer["name"]: peer for peer in peers if peer["name"].startswith(kind)}

    def wait_for_peers(self, server, kind, count):
        self.wait_until(lambda: len(self.peers(server, kind)) >= count, f"{count} {kind}")

    def is_reachable(self, server):
        try:
            self.mentorctl(server, "list")
            return True
        except AssertionError:
            return False

    def reached(self, server, name, *states):
        """True if an experiment is in one of these states. It must not have ended in another."""
        now = self.get(server, name)["state"]
        if now in {"STATE_FAILED", "STATE_CANCELLED"} - {*states}:
            self.fail(self.mentorctl(server, "get", name))
        return now in states

    def wait_for_state(self, server, name, *states, deadline_s=DEADLINE_S):
        self.wait_until(
            lambda: self.reached(server, name, *states), f"{name} in {states}", deadline_s
        )


class Fleet:
    """Processes of one service on this machine by name: meta-learner-0, learner-0, actor-0. Each
    may be started again, at its address. An actor's home is the first learner or as in `homes`."""

    threads = 1  # How many an actor has.

    def __init__(self, test, state):
        self.test, self.state = test, state
        self.processes, self.addresses, self.homes, self.ended = {}, {}, {}, []

    @property
    def server(self):
        """The addresses of all meta-learners, for clients and learners."""
        return ",".join(
            address for name, address in self.addresses.items() if name.startswith("meta-learner")
        )

    # What differs between fleets.

    def flags(self, name):
        """Flags of each start."""
        return []

    def environment(self, name, failpoints):
        return {"MENTOR_FAILPOINTS": failpoints}

    def route(self, name, servers):
        """Where a process finds its servers."""
        return servers

    def start(self, name, *more, failpoints="", **environment):
        """Starts a process, at its address if it had one; returns it."""
        port = self.addresses.get(name, 0)
        flags = [*self.flags(name), *more]
        env = {**self.environment(name, failpoints), **environment}
        if name.startswith("meta-learner"):
            started = self.test.start_meta_learner(self.state, port, *flags, env=env)
        elif name.startswith("learner"):
            server = self.route(name, self.server)
            started = self.test.start_learner(server, port, *flags, env=env)
        else:
            home = self.route(name, self.addresses[self.homes.get(name, "learner-0")])
            started = self.test.start_actor(home, self.threads, *flags, env=env), None
        self.processes[name], address = started
        if address:
            self.addresses[name] = address
        return self.processes[name]

    def end(self, name, number=signal.SIGKILL):
        """Ends a process, unless it has ended; returns its exit status."""
        process = self.processes[name]
        if process.child.poll() is None:
            process.signal(number)
        self.ended.append(process)
        return process.wait(60)

    def kill(self, name):
        """kill -9; the process must have been running."""
        self.processes[name].kill()
        self.ended.append(self.processes[name])

    def output(self):
        return "\n".join(process.output() for process in [*self.ended, *self.processes.values()])
