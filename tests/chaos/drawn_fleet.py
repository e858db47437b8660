"""The processes of a chaos trial. A seed draws how many there are, what lies between them and where
the meta-learner keeps its state."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

from fleet import Fleet  # noqa: E402
from harness import BIN  # noqa: E402
from proxy import Loop, Proxy  # noqa: E402

# With PostgreSQL there may be several, one of which leads.
META_LEARNERS = (1, 3)
EXIT_IN_USE = 4  # Another one leads.
FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
# Size of the meta-learner's reserve, and the least room that a small disk has beside its
# experiments. The disk has room again with twice the reserve and twice a checkpoint.
RESERVE_MB, SPARE_MB = 4, 48


def small_disk(folder, room_bytes):
    """Makes a file system with `room_bytes` and little more, or returns False."""
    folder.mkdir()
    if os.geteuid() != 0:
        return False
    size = room_bytes + SPARE_MB * 2**20
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


class DrawnFleet(Fleet):
    """Half of the links go through a proxy. room_bytes() is the most that the experiments need of a
    disk."""

    def __init__(self, test, rng, folder, database, room_bytes):
        super().__init__(test, folder / "state")
        self.rng, self.database, self.history = rng, database, folder / "history"
        folder.mkdir()
        self.history.mkdir()
        self.has_small_disk = rng.random() < 0.25 and small_disk(self.state, room_bytes())
        if self.has_small_disk:
            test.addCleanup(subprocess.run, ["umount", "-l", self.state], check=False)
        self.clock = None
        if FAKETIME.exists() and rng.random() < 0.25:
            self.clock = folder / "clock"
            self.clock.write_text("+0")
        self.certificates = folder / "certificates" if rng.random() < 0.25 else None
        if self.certificates:
            self.renew_certificates()
        self.max_running = 4 if test.kills else rng.choice([2, 4, 4])
        self.check_every = rng.choice([1, 10, 1000])
        self.armed = set()  # Processes that a failpoint may end.
        self.loop, self.proxies = Loop(), {}
        test.addCleanup(self.loop.close)
        number = rng.randint(*META_LEARNERS) if database else 1
        self.meta_learners = [f"meta-learner-{i}" for i in range(number)]
        for meta_learner in self.meta_learners:
            self.start(meta_learner)
        learners = [f"learner-{i}" for i in range(rng.randint(2, 3))]
        for learner in learners:
            self.start(learner)
        # Each learner has an actor; the others choose.
        homes = learners + [rng.choice(learners) for _ in range(rng.randint(0, 2))]
        self.homes = {f"actor-{i}": home for i, home in enumerate(homes)}
        for actor in self.homes:
            self.start(actor)

    def renew_certificates(self):
        """Makes new pairs of the same authority, as an operator does."""
        self.test.run_to_end("mentorctl", "certs", "init", self.certificates)

    def pair(self, role):
        """Files for mutual TLS by the names of their flags."""
        files = {"ca": "ca.crt", "cert": f"{role}.crt", "key": f"{role}.key"}
        return {f"tls_{name}": self.certificates / file for name, file in files.items()}

    def tls(self, role):
        if not self.certificates:
            return []
        return [word for name, file in self.pair(role).items() for word in (f"--{name}", file)]

    def user_environment(self):
        """For users' clients."""
        if not self.certificates:
            return {}
        return {f"MENTOR_{name.upper()}": str(file) for name, file in self.pair("operator").items()}

    def environment(self, name, failpoints):
        environment = {"MENTOR_HISTORY": str(self.history), "MENTOR_FAILPOINTS": failpoints}
        if name.startswith("meta-learner") and self.clock:
            environment |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return environment

    def route(self, name, targets):
        """Where a client finds its servers: at their addresses, or at proxies before them."""
        found = []
        for number, target in enumerate(targets.split(",")):
            link = (name, number)
            if link not in self.proxies:
                proxied = self.rng.random() < 0.5
                self.proxies[link] = Proxy(self.loop, target) if proxied else None
            found.append(self.proxies[link].address if self.proxies[link] else target)
        return ",".join(found)

    def flags(self, name):
        flags = self.tls(name.rsplit("-", 1)[0])
        if name.startswith("meta-learner"):
            flags += ["--max_running", self.max_running, "--disk_reserve_mb", RESERVE_MB]
            flags += ["--check_every", self.check_every]
            if self.database:
                flags += ["--database", self.database]
            if len(self.meta_learners) > 1:
                flags += ["--standby"]
        return flags

    @property
    def threads(self):
        return self.rng.randint(1, 2)

    def guest(self, binary, flag, server, failpoints):
        """A sick process that is not one of the fleet and leaves again."""
        env = self.environment(binary, failpoints)
        arguments = ["--listen", "127.0.0.1:0"] if binary == "mentor-learner" else []
        arguments += self.tls(binary.removeprefix("mentor-"))
        return self.test.start(binary, flag, server, *arguments, env=env)

    def victim(self, kinds=("meta-learner", "learner", "actor")):
        kind = self.rng.choice(kinds)
        return self.rng.choice(sorted(n for n in self.processes if n.startswith(kind)))

    def replace(self, name, number=signal.SIGKILL, failpoints="", more=()):
        """Ends a process and starts it again, with failpoints or `more` flags if given."""
        self.end(name, number)
        self.armed.discard(name)
        try:
            self.start(name, *more, failpoints=failpoints)
            self.armed |= {name} if failpoints else set()
        except AssertionError:  # The process ended before it printed its address.
            if not failpoints:
                raise
            self.start(name)

    def mend(self):
        """Starts processes again that a failpoint has ended, without the failpoint. No other
        process may have ended."""
        for name, process in sorted(self.processes.items()):
            code = process.child.poll()
            if code is None:
                continue
            deposed = len(self.meta_learners) > 1 and code == EXIT_IN_USE
            if name not in self.armed and not (deposed and name in self.meta_learners):
                raise AssertionError(f"{name} has ended with {code}:\n{process.output()[-4000:]}")
            self.replace(name)

    def disarm(self):
        for name in sorted(self.armed):
            self.replace(name)

    def heal(self):
        for proxy in filter(None, self.proxies.values()):
            proxy.heal()

    def failpoints_of(self, name):
        binary = BIN / ("mentor-" + name.rsplit("-", 1)[0])
        listed = subprocess.run([binary, "--list_failpoints"], capture_output=True, text=True)
        return listed.stdout.split()

    def descriptors_and_threads(self):
        """The most that a meta-learner has; with several, the leader's."""
        counts = []
        for name in self.meta_learners:
            process = pathlib.Path(f"/proc/{self.processes[name].child.pid}")
            counts.append([len(list((process / what).iterdir())) for what in ("fd", "task")])
        return [max(column) for column in zip(*counts)]

    def fill_disk(self, seconds):
        filler = self.state / "filler"
        try:
            with open(filler, "wb", buffering=0) as file:
                while file.write(b"\0" * (1 << 20)):
                    pass
        except OSError:
            pass
        time.sleep(seconds)
        filler.unlink(missing_ok=True)

    def close(self):
        for process in self.processes.values():
            process.close()
        for proxy in filter(None, self.proxies.values()):
            proxy.close()
        shutil.rmtree(self.history, ignore_errors=True)
