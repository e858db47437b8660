"""A PostgreSQL server for one test, in a temporary folder and on a socket there. PostgreSQL refuses
to run as root, so under root it runs as user nobody."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

START_S = 60


def programs():
    """Returns the folder of Debian's package `postgresql`; None if it is not installed."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


class PostgresServer:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-postgres-"))
        self.databases = 0
        self.child = None
        if os.geteuid() == 0:
            user = self._user()
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._run(
            "initdb", "-D", self.folder / "data", "-A", "trust", "-U", "mentor", "--no-sync",
            "--no-instructions",
        )  # fmt: skip
        self.start()

    @staticmethod
    def _user():
        try:
            return pwd.getpwnam("postgres")
        except KeyError:
            return pwd.getpwnam("nobody")

    def _command(self, program, *arguments):
        command = [str(programs() / program), *map(str, arguments)]
        if os.geteuid() != 0:
            return command
        user = self._user()
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids, *command]

    def _run(self, program, *arguments):
        return subprocess.run(
            self._command(program, *arguments), check=True, capture_output=True, text=True
        ).stdout

    def start(self):
        self.child = subprocess.Popen(
            self._command(
                "postgres",
                "-D",
                self.folder / "data",
                "-k",
                self.folder,
                "-c",
                "fsync=off",
                "-c",
                "listen_addresses=",
            ),  # fmt: skip
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + START_S
        while True:
            try:
                self.sql("postgres", "SELECT 1")
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def stop(self):
        """A fast shutdown: connections break."""
        if self.child is not None:
            self.child.send_signal(signal.SIGINT)
            self.child.wait(START_S)
            self.child = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, database, text):
        """The rows, as lines."""
        return self._run(
            "psql", "-h", self.folder, "-U", "mentor", "-d", database, "-qAtc", text
        ).splitlines()

    def new_database(self):
        self.databases += 1
        name = f"test{self.databases}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return name

    def address(self, database):
        return f"postgresql://mentor@/{database}?host={self.folder}"

    def cut(self, database, pattern="%"):
        """Ends sessions of the meta-learners, as an operator or a proxy would; returns how many."""
        return len(
            self.sql(
                "postgres",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                f"'{database}' AND application_name LIKE 'mentor%' AND query LIKE '{pattern}'",
            )
        )
