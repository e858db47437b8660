"""Runs Mentor's real binaries for tests: free ports, deadlines on every wait, and everything
stopped and removed at the end."""

import contextlib
import functools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
import urllib.request

from fleet import DEADLINE_S, Service

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("MENTOR_BIN_DIR", ROOT / "build" / "bin"))
SPECS = ROOT / "experiments"
SMOKE = SPECS / "smoke.txtpb"
# For actors of experiments that go on while a test looks: most of the time they sleep.
SLOWLY = {"MENTOR_FAILPOINTS": "actor.unit.received=*:sleep(10)"}


def sets(*assignments):
    """Returns flags that change fields of a spec, like "seed=1"."""
    return [word for assignment in assignments for word in ("--set", assignment)]


class Process:
    """A child process whose output is kept. It is killed at the end of the test if it still
    runs."""

    def __init__(self, *command, env=None):
        self.command = [str(word) for word in command]
        self.lines = []
        self._changed = threading.Condition()
        self.child = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=ROOT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.child.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.lines.append(None)  # The end.
            self._changed.notify_all()

    def output(self):
        with self._changed:
            return "\n".join(line for line in self.lines if line is not None)

    def wait_for(self, pattern, deadline_s=60):
        """Waits for the pattern in the output, and returns the first match."""

        def match():
            for line in self.lines:
                found = line is not None and re.search(pattern, line)
                if found:
                    return found
            return None

        with self._changed:
            self._changed.wait_for(lambda: match() or None in self.lines, deadline_s)
            found = match()
        if not found:
            raise AssertionError(
                f"{self.command[0]} did not say '{pattern}' in {deadline_s} s:\n{self.output()}"
            )
        return found

    def wait(self, deadline_s=DEADLINE_S):
        try:
            code = self.child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.command} runs after {deadline_s} s:\n{self.output()}"
            ) from None
        self._reader.join(10)
        return code

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        """kill -9; the process must have been running."""
        if self.child.poll() is not None:
            raise AssertionError(
                f"{self.command} had ended before it could be killed:\n{self.output()}"
            )
        self.child.kill()
        self.child.wait(10)

    def stop(self, deadline_s=20):
        """SIGTERM, and no word if it does not help; close() follows."""
        self.child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(deadline_s)

    def metric(self, name):
        """Returns a value of the process's page of metrics; it needs --metrics."""
        address = self.wait_for(r"^metrics on (\S+)").group(1)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            text = page.read().decode()
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE).group(1))

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait(10)
        self._reader.join(10)
        self.child.stdout.close()


def kept_port(test):
    """A port that no other process gets until the test ends. The test's own may listen there, one
    after the other: a socket that is bound and does not listen shares it (SO_REUSEADDR).
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    test.addCleanup(kept.close)
    return kept.getsockname()[1]


class ClusterTest(Service, unittest.TestCase):
    """A test with its own folder and processes."""

    bin = None  # A folder of programs in place of BIN.

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        # Caches that later runs keep must not be shared with other programs, but the script of
        # reports takes a second to make.
        cache = self.folder / "xdg-cache" / "mentor"
        cache.mkdir(parents=True)
        for script in pathlib.Path.home().glob(".cache/mentor/vega-*.js"):
            (cache / script.name).symlink_to(script)

    @classmethod
    @contextlib.contextmanager
    def alone(cls):
        """Makes a test's folder and processes for several tests to share."""
        case = cls()
        case.setUp()
        try:
            yield case
        finally:
            case.doCleanups()

    def start(self, binary, *arguments, env=None, before=None):
        """Starts a program, in a shell after the command `before` if given."""
        own = {"XDG_CACHE_HOME": str(self.folder / "xdg-cache")}
        shell = ("bash", "-c", f'{before}; exec "$@"', "bash") if before else ()
        program = (self.bin or BIN) / binary
        process = Process(*shell, program, *arguments, env={**own, **(env or {})})
        self.addCleanup(process.close)
        return process

    def run_to_end(self, binary, *arguments, code=0, env=None, deadline_s=DEADLINE_S):
        process = self.start(binary, *arguments, env=env)
        got = process.wait(deadline_s)
        self.assertEqual(got, code, f"{process.command}:\n{process.output()}")
        return process.output()

    def start_run(self, out, *arguments, spec=SMOKE, env=None):
        """Starts `mentor run` of an experiment in one process, which draws no report."""
        flags = ("--quiet", "--no_report")
        return self.start("mentor", "run", spec, "--out", out, *flags, *arguments, env=env)

    def run_spec(self, out, *arguments, spec=SMOKE, report=False, **options):
        """The same to its end. A report takes ten times as long as the shortest run."""
        flags = ("--quiet",) if report else ("--quiet", "--no_report")
        return self.run_to_end("mentor", "run", spec, "--out", out, *flags, *arguments, **options)

    def run_hash(self, out, *arguments, **options):
        """The same; returns the hash that it says at its end."""
        said = self.run_spec(out, *arguments, **options)
        return re.search(r"^Hash +([0-9a-f]{64}) ", said, re.MULTILINE).group(1)

    @staticmethod
    @functools.cache
    def hash_alone(*flags, spec=SMOKE):
        """Returns the hash of a run in one process, made once for all tests of this program."""
        with ClusterTest.alone() as case:
            return case.run_hash(case.folder / "run", *flags, spec=spec)

    def hash(self, run):
        value = self.run_to_end("mentor", "hash", run).strip()
        self.assertRegex(value, "^[0-9a-f]{64}$")
        return value

    def checkpoints(self, run):
        """Returns the files of the only experiment, by outer step."""
        return sorted(pathlib.Path(run).glob("experiments/*/checkpoints/*.ckpt"))

    def newest_step(self, run):
        """Returns the outer updates of the newest checkpoint."""
        return int(self.checkpoints(run)[-1].stem)

    def wait_for_checkpoints(self, run, count):
        self.wait_until(
            lambda: len(self.checkpoints(run)) >= count, f"{count} checkpoints in {run}"
        )

    # Separate processes. Each start returns the address; `port` is a number, or the address of an
    # earlier process.

    def start_meta_learner(self, state, port=0, *arguments, **options):
        if "--disk_reserve_mb" not in arguments:  # By itself it keeps more.
            arguments += ("--disk_reserve_mb", 1)
        flags = ("--state", state, *arguments)
        return self._listen(port, "mentor-meta-learner", *flags, **options)

    def start_learner(self, meta_learner, port=0, *arguments, **options):
        flags = ("--meta_learner", meta_learner, *arguments)
        return self._listen(port, "mentor-learner", *flags, **options)

    def _listen(self, port, *command, **options):
        port = str(port).rsplit(":", 1)[-1]
        if port == "0":
            port = kept_port(self)
        process = self.start(*command, "--listen", f"127.0.0.1:{port}", **options)
        return process, process.wait_for(r"listening on (\S+)").group(1)

    def start_actor(self, learner, threads=1, *arguments, env=None):
        return self.start(
            "mentor-actor", "--learner", learner, "--threads", threads, *arguments, env=env
        )

    def start_workers(self, meta_learner, *threads, env=None):
        """Starts a learner and actors with these numbers of threads, and with `env` where given;
        returns them and the learner's address."""
        learner, address = self.start_learner(meta_learner)
        actors = [self.start_actor(address, count, env=env) for count in threads]
        return learner, address, actors

    def start_service(self, *arguments, threads=1, env=None):
        """Starts a meta-learner, and unless `threads` is 0 a learner and an actor, with `env`.
        Returns the meta-learner and its address."""
        started, address = self.start_meta_learner(self.folder / "state", 0, *arguments)
        if threads:
            self.start_workers(address, threads, env=env)
        return started, address

    def mentorctl(self, server, *arguments, code=0, deadline_s=DEADLINE_S):
        return self.run_to_end(
            "mentorctl", *self.flags_of(server), *arguments, code=code, deadline_s=deadline_s
        )

    def create_experiment(self, server, id, *arguments, spec=SMOKE, code=0):
        return self.mentorctl(server, "create", "-f", spec, "--id", id, *arguments, code=code)

    def answer(self, server, *arguments):
        done = subprocess.run(
            [BIN / "mentorctl", *map(str, self.flags_of(server)), *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def hash_of(self, server, state, name):
        """Waits for the end of an experiment; returns the hash of its folder in the state."""
        self.wait_for_state(server, name, "STATE_SUCCEEDED")
        return self.hash(state / "experiments" / self.get(server, name)["uid"])


SIGINT = signal.SIGINT
SIGTERM = signal.SIGTERM
