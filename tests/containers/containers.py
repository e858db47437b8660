"""Shared by the tests of this folder: their own Docker daemon, the images, certificates, a
reference run.

Every wait has a deadline. A test's processes are removed at its end; the daemon and the images stay
in the folder MENTOR_DOCKER_DIR for the next run (`docker.sh down DIR` stops it)."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tests" / "cluster"))

import fleet  # noqa: E402

BUILD = pathlib.Path(os.environ.get("MENTOR_BUILD", ROOT / "build"))
DOCKER_DIR = pathlib.Path(os.environ.get("MENTOR_DOCKER_DIR", ROOT / "build" / "docker"))
ROLES = ("meta-learner", "learner", "actor", "ctl", "web")
VERSION = "test"
TOOLS = {
    "/usr/sbin/dockerd": "docker.io",
    "/usr/bin/docker": "docker.io",
    "docker-compose": "docker-compose",
    "patchelf": "patchelf",
    "openssl": "openssl",
    "nsenter": "util-linux",
}


def missing_tools(tools):
    return sorted({package for tool, package in tools.items() if shutil.which(tool) is None})


def run(*command, env=None, deadline_s=120, code=0, stdin=None):
    """Returns stdout of a command that must end with `code` in time."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(env or {})},
            input=stdin,
            text=True,
            timeout=deadline_s,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(
            f"{' '.join(command)} runs after {deadline_s} s:\n{error.stdout}\n{error.stderr}"
        ) from None
    if code is not None and done.returncode != code:
        raise AssertionError(
            f"{' '.join(command)} ended with {done.returncode}, expected "
            f"{code}:\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def wait_until(condition, what, deadline_s):
    """Waits until `condition` returns a true value, and returns that; prints how long it took."""
    start = time.monotonic()
    value = fleet.wait_until(condition, what, deadline_s, every_s=0.25)
    print(f"  {what}: {time.monotonic() - start:.1f} s", flush=True)
    return value


class ContainerTest(fleet.Service, unittest.TestCase):
    """A daemon with the images of BUILD, a folder, certificates and tokens."""

    wait_until = staticmethod(wait_until)

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        missing = missing_tools(TOOLS)
        if missing:
            raise unittest.SkipTest(f"not installed: {' '.join(missing)}")
        if not (BUILD / "bin" / "mentor-actor").exists():
            raise unittest.SkipTest(f"{BUILD} is not built: set MENTOR_BUILD")
        start = time.monotonic()
        run(HERE / "docker.sh", "up", DOCKER_DIR, deadline_s=300)
        print(f"  daemon and base image: {time.monotonic() - start:.1f} s", flush=True)
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-containers-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        start = time.monotonic()
        run(ROOT / "deploy/docker/stage.sh", BUILD, cls.folder / "context")
        for role in ROLES:
            cls.docker(
                "build",
                "--quiet",
                "--file",
                ROOT / "deploy/docker/Dockerfile",
                "--build-arg",
                "BASE=mentor-base:12",
                "--build-arg",
                "PYTHON=mentor-python:12",
                "--build-arg",
                "BINARIES=prebuilt",
                "--target",
                role,
                "--tag",
                f"mentor-{role}:{VERSION}",
                cls.folder / "context",
                deadline_s=300,
            )
        shutil.rmtree(cls.folder / "context")
        print(f"  images: {time.monotonic() - start:.1f} s", flush=True)
        cls.secrets = cls.folder / "secrets"
        run(
            ROOT / "deploy/secrets.sh", cls.secrets, env={"MENTORCTL": str(BUILD / "bin/mentorctl")}
        )

    @staticmethod
    def environment():
        return {"DOCKER_HOST": f"unix://{DOCKER_DIR}/docker.sock", "DOCKER_BUILDKIT": "1"}

    @classmethod
    def docker(cls, *arguments, deadline_s=120, code=0, stdin=None):
        return run(
            "/usr/bin/docker",
            *arguments,
            env=cls.environment(),
            deadline_s=deadline_s,
            code=code,
            stdin=stdin,
        )

    @classmethod
    def in_network(cls, *command, deadline_s=120, code=0, env=None):
        """Runs a command where the daemon's published ports are."""
        return run(
            HERE / "docker.sh",
            "run",
            DOCKER_DIR,
            *command,
            deadline_s=deadline_s,
            code=code,
            env={**cls.environment(), **(env or {})},
        )

    @classmethod
    def inspect(cls, container):
        return json.loads(cls.docker("inspect", container))[0]

    @classmethod
    def kill(cls, container):
        """kill -9 of the container's first process, as in a crash: `docker kill` would count as a
        request to stop."""
        pid = cls.inspect(container)["State"]["Pid"]
        if pid <= 0:
            raise AssertionError(f"{container} does not run")
        os.kill(pid, 9)

    @classmethod
    def reference_hash(cls, spec, *overrides):
        """Returns the hash of the same experiment in one process."""
        out = cls.folder / "reference"
        run(BUILD / "bin/mentor", "run", spec, "--out", out, "--quiet", *overrides, deadline_s=600)
        return run(BUILD / "bin/mentor", "hash", out).strip()

    def mentorctl(self, server, *arguments, code=0):
        """Runs it outside of the cluster, where published ports are."""
        return self.in_network(
            BUILD / "bin/mentorctl", *self.flags_of(server), *arguments, code=code
        )

    def flags_of(self, server):
        folder = self.secrets / "operator"
        return (
            "--server",
            server,
            "--tls_cert",
            folder / "tls.crt",
            "--tls_key",
            folder / "tls.key",
            "--tls_ca",
            folder / "ca.crt",
            "--token_file",
            folder / "token",
        )
