"""A Slurm cluster of one test: munge, a controller and three nodes on this machine, in a folder of
its own, on ports that the system chose."""

import getpass
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import unittest

from harness import Process, kept_port

TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
NODES = ("n1", "n2", "n3")
# The high partition takes nodes from the low one; n3 says that it has a GPU.
CONFIG = """\
ClusterName=mentor
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=40
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/controller
GresTypes=gpu
{nodes}
PartitionName=low Nodes=n[1-3] Default=YES PriorityTier=1
PartitionName=high Nodes=n[1-3] PriorityTier=2
"""


def missing_tools():
    os.environ["PATH"] += ":/usr/sbin"
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def comm(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""  # It has ended.


class Cluster:
    """Starts when it is made; `test` ends it."""

    def __init__(self, test):
        missing = missing_tools()
        if missing:
            raise unittest.SkipTest(
                f"no {', '.join(missing)}: deploy/install.sh --slurm installs them"
            )
        self.test, self.wait_until, self.daemons = test, test.wait_until, []
        self.folder = test.folder / "cluster"
        for name in ("munge", "controller", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        host = socket.gethostname().split(".")[0]
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={kept_port(test)} CPUs=2"
            + (" Gres=gpu:1" if node == "n3" else "")
            for node in NODES
        ]
        self.write(
            "slurm.conf",
            CONFIG.format(
                host=host,
                port=kept_port(test),
                user=getpass.getuser(),
                folder=self.folder,
                nodes="\n".join(nodes),
            ),
        )
        self.write("gres.conf", "NodeName=n3 Name=gpu File=/dev/null\n")
        self.write("cgroup.conf", "CgroupPlugin=cgroup/v1\n")
        self.env = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self.start_munge()
        self.start("slurmctld", "-D")
        for node in NODES:
            self.start("slurmd", "-D", "-N", node)
        test.addCleanup(self.cancel_all)
        self.wait_until(lambda: self.states().count("idle") == 3, "three idle nodes")

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def start_munge(self):
        folder = self.folder / "munge"
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(64))
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid"}
        files.update({"log-file": "log", "seed-file": "seed"})
        # Its folder is the user's alone, which munge has doubts about.
        words = [f"--{flag}={folder / name}" for flag, name in files.items()]
        self.start("munged", "--foreground", "--force", *words)
        self.wait_until((folder / "socket").exists, "munge's socket")

    def start(self, *command):
        daemon = Process(*command, env=self.env)
        self.daemons.append(daemon)
        self.test.addCleanup(daemon.close)
        self.test.addCleanup(daemon.stop)

    def run(self, words, env):
        return subprocess.run(
            [str(word) for word in words],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def command(self, *words, env=None):
        """Returns what a command says, which must succeed."""
        done = self.run(words, {**self.env, **(env or {})})
        self.test.assertEqual(done.returncode, 0, f"{words}:\n{done.stdout}")
        return done.stdout

    def states(self):
        # The controller may not answer yet.
        return self.run(["sinfo", "-h", "-N", "-p", "low", "-o", "%T"], self.env).stdout.split()

    def kill(self, number, program):
        """kill -9 of a job's program."""
        pids = self.command("scontrol", "listpids", number, self.nodes(number)[0]).splitlines()[1:]
        named = [int(line.split()[0]) for line in pids]
        named = [pid for pid in named if comm(pid) == program[:15]]
        self.test.assertEqual(len(named), 1, f"{program} of job {number}: {pids}")
        os.kill(named[0], signal.SIGKILL)

    def job(self, number):
        """What Slurm knows of a job; an array's task is NUMBER_TASK."""
        shown = self.command("scontrol", "--oneliner", "show", "job", number)
        return dict(re.findall(r"(\w+)=(\S*)", shown))

    def nodes(self, number):
        listed = self.job(number)["NodeList"]
        return self.command("scontrol", "show", "hostnames", listed).split()

    def wait_for(self, number, *states, deadline_s=240):
        self.wait_until(
            lambda: self.job(number)["JobState"] in states, f"{number} {states}", deadline_s
        )
        return self.job(number)

    def runs_again(self, number, times):
        """Waits until a job runs that was requeued so many times, without Slurm's two minutes."""
        hurried = False

        def runs():
            nonlocal hurried
            job = self.job(number)
            self.test.assertIn(job["JobState"], ("PENDING", "COMPLETING", "RUNNING"))
            if not hurried and job["JobState"] == "PENDING" and job["Reason"] == "BeginTime":
                # A node refuses a job that starts in the second in which it was killed.
                self.command("scontrol", "update", f"jobid={number}", "starttime=now+3")
                hurried = True
            return job["JobState"] == "RUNNING" and job["Restarts"] == str(times)

        try:
            self.wait_until(runs, f"{number} runs after {times} restarts", 180)
        except AssertionError as error:
            logs = "".join(f"\n{one.command[0]}:\n{one.output()}" for one in self.daemons)
            raise AssertionError(f"{error}\n{self.job(number)}{logs}") from None

    def cancel_all(self):
        self.command("scancel", "--user", getpass.getuser())
        self.wait_until(
            lambda: not self.command("squeue", "--noheader").strip(), "an empty queue", 120
        )
