"""Checkpoints and artifacts in a bucket: machines that lose their disk, torn uploads, and a bucket
that is away. The bucket is moto's, behind a proxy that can be cut."""

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

from harness import ROOT, ClusterTest, sets

UPDATES = 24
LONGER = sets(f"rule.outer_updates={UPDATES}", "checkpoint.keep_last=3")
BUCKET = "runs"
URL = f"s3://{BUCKET}/mentor"


class Proxy:
    """Forwards connections to a port until it is cut. cut() cuts now, cut_at() in the middle of a
    request that is still to come."""

    def __init__(self, port):
        self._target = port
        self._open = set()
        self._lock = threading.Lock()
        self._words, self._left = b"", 0
        self.is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self.is_cut:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source, target):
        try:
            while data := source.recv(1 << 16):
                if self._left and self._words in data:
                    self._left -= 1
                    if self._left == 0:
                        self.cut()
                target.sendall(data)
        except OSError:
            pass
        self._shut(source)
        self._shut(target)

    @staticmethod
    def _shut(end):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut_at(self, words, count):
        """Cuts when these words are sent for the `count`-th time."""
        self._words, self._left = words, count

    def cut(self):
        with self._lock:
            self.is_cut = True
            for end in self._open:
                self._shut(end)

    def mend(self):
        self.is_cut = False

    def close(self):
        self.cut()
        self._listener.close()
        with self._lock:
            for end in self._open:
                end.close()


class ObjectsTest(ClusterTest):
    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "s3_server.py"), BUCKET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = cls.server.stdout.readline().split()
        if not line:
            code = cls.server.wait(60)
            cls.close_server()
            if code == 3:
                raise unittest.SkipTest("no S3 service here: deploy/install.sh --objects")
            raise AssertionError(f"the S3 service ended with {code}")
        cls.port, cls.key_id, cls.secret = int(line[2]), line[3], line[4]

    @classmethod
    def tearDownClass(cls):
        cls.close_server()

    @classmethod
    def close_server(cls):
        cls.server.stdin.close()
        try:
            cls.server.wait(10)
        except subprocess.TimeoutExpired:
            cls.server.kill()
            cls.server.wait(10)
        cls.server.stdout.close()

    def setUp(self):
        super().setUp()
        self.proxy = Proxy(self.port)
        self.addCleanup(self.proxy.close)
        self.state = self.folder / "state"
        self.prefix = self._testMethodName.replace("_", "-")
        self.meta, self.address = None, 0

    def environment(self, **more):
        return {
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "http_proxy": "http://127.0.0.1:1",  # Not asked within this machine.
            **more,
        }

    def flags(self):
        endpoint = f"http://127.0.0.1:{self.proxy.port}"
        return ["--objects", f"{URL}/{self.prefix}", "--objects_endpoint", endpoint]

    def begin(self, **environment):
        """Starts a meta-learner on the same address as before."""
        self.meta, self.address = self.start_meta_learner(
            self.state,
            self.address,
            *self.flags(),
            env=self.environment(**environment),
        )

    def refused(self, *arguments, code=1, environment=None):
        return self.run_to_end(
            "mentor-meta-learner",
            "--state",
            self.state,
            "--listen",
            "127.0.0.1:0",
            *(arguments or self.flags()),
            code=code,
            env=self.environment() if environment is None else environment,
        )

    def keys(self):
        """Returns the keys of the bucket below this test's prefix."""
        out = subprocess.run(
            ["curl", "-s", "-S", "-f", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:s3"]
            + ["--user", f"{self.key_id}:{self.secret}"]
            # Older curls do not send the hash of an empty body.
            + ["--header", f"x-amz-content-sha256: {hashlib.sha256().hexdigest()}"]
            + [
                f"http://127.0.0.1:{self.port}/{BUCKET}?list-type=2&prefix=mentor%2F{self.prefix}%2F"
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return [part.split("</Key>")[0] for part in out.split("<Key>")[1:]]

    def manifests(self):
        return [int(key.rsplit("/", 1)[1]) for key in self.keys() if "/checkpoints/" in key]

    def wait_for_updates(self, name, count):
        self.wait_until(
            lambda: self.updates(self.address, name) >= count, f"{count} updates of {name}"
        )

    def newest(self, name):
        lines = self.mentorctl(self.address, "checkpoints", name, "--output", "json").splitlines()
        return json.loads(lines[-1])

    def expect_end(self, name, seed):
        self.wait_for_state(self.address, name, "STATE_SUCCEEDED")
        newest = self.newest(name)
        self.assertEqual(newest["outerStep"], UPDATES)
        alone = self.hash_alone(*LONGER, *sets(f"seed={seed}"))
        self.assertEqual(newest["stateHash"], alone, name)

    def test_a_machine_loses_its_disk_then_its_database(self):
        self.begin()
        self.start_workers(self.address, 2)
        self.create_experiment(self.address, "a", *LONGER)
        self.wait_for_updates("a", 5)
        self.meta.kill()
        shutil.rmtree(self.state / "experiments")
        self.begin()
        step = int(self.meta.wait_for(r'going on from a checkpoint.*"outer_step":"?(\d+)').group(1))
        self.assertGreaterEqual(step, 5)
        self.expect_end("a", 1)
        # Three checkpoints are kept, and the evaluation is there.
        self.assertEqual(self.manifests(), [UPDATES - 2, UPDATES - 1, UPDATES])
        artifacts = [key for key in self.keys() if "/artifacts/evaluation/" in key]
        self.assertTrue(artifacts)

        # An ended experiment on another fresh machine: its files come on demand.
        self.meta.kill()
        shutil.rmtree(self.state / "experiments")
        self.begin()
        listed = self.mentorctl(self.address, "artifacts", "a")
        for key in artifacts:
            self.assertIn(key.rsplit("/", 1)[1], listed)
        older = self.folder / "older.ckpt"
        name = f"experiments/a/checkpoints/{UPDATES - 1:08d}"
        self.mentorctl(self.address, "download", name, "--out", older)
        self.assertEqual(older.read_bytes()[:8], b"MNTRCKP1")
        copies = self.folder / "copy"
        shard = "evaluation/" + artifacts[0].rsplit("/", 1)[1]
        self.mentorctl(
            self.address, "download", f"experiments/a/artifacts/{shard}", "--out", copies
        )
        self.assertTrue(copies.read_bytes())

        # The rows are lost, too: the start is refused, then the bucket brings them back.
        self.meta.kill()
        shutil.rmtree(self.state)
        self.assertIn("have objects and no row in the database", self.refused())
        shutil.rmtree(self.state)
        back = self.run_to_end(
            "mentor-meta-learner",
            "--state",
            self.state,
            *self.flags(),
            "reindex",
            env=self.environment(),
        )
        self.assertIn(f"experiments/a  PAUSED after outer update {UPDATES} of {UPDATES}", back)
        self.begin()
        self.mentorctl(self.address, "resume", "a")
        self.expect_end("a", 1)
        # Nothing was evaluated again, and a deletion removes everything.
        self.assertEqual([key for key in self.keys() if "/artifacts/" in key], artifacts)
        self.mentorctl(self.address, "delete", "a")
        self.wait_until(
            lambda: [key for key in self.keys() if "/experiments/" in key] == [],
            "an empty prefix",
        )

    def test_killed_during_uploads(self):  # Nightly
        done = set()
        for seed, point in enumerate(["objects.upload.part", "objects.upload.manifest"], start=1):
            name = f"k{seed}"
            self.begin(MENTOR_FAILPOINTS=f"{point}=3:kill")
            if seed == 1:
                self.start_workers(self.address, 2)
            self.create_experiment(self.address, name, *LONGER, *sets(f"seed={seed}"))
            self.assertNotEqual(self.meta.wait(), 0)
            there = [key for key in self.keys() if "/experiments/" in key]
            there = [key for key in there if key.split("/")[3] not in done]
            done.add(there[0].split("/")[3])
            # The torn upload has no manifest.
            self.assertEqual(sum("/checkpoints/" in key for key in there), 2)
            self.assertEqual(sum("/parts/" in key for key in there), 1 + seed)
            shutil.rmtree(self.state / "experiments")
            self.begin()
            self.expect_end(name, seed)
            self.meta.kill()

    def test_the_bucket_is_away(self):  # Nightly
        self.begin()
        self.start_workers(self.address, 2)
        # At a chosen request: a busy machine may end `b` before this process can cut.
        self.proxy.cut_at(b"/checkpoints/", 3)
        self.create_experiment(self.address, "b", *LONGER)
        self.wait_until(
            lambda: "waits for storage" in self.get(self.address, "b").get("activity", ""),
            "an activity that says so",
        )
        self.assertEqual(self.get(self.address, "b")["state"], "STATE_RUNNING")
        # Objects deleted meanwhile leave the bucket later.
        self.create_experiment(self.address, "c", *LONGER)
        time.sleep(1)
        self.proxy.mend()
        self.expect_end("b", 1)
        self.wait_for_state(self.address, "c", "STATE_SUCCEEDED")
        self.proxy.cut()
        self.mentorctl(self.address, "delete", "c")
        self.proxy.mend()
        self.wait_until(
            lambda: len({key.split("/")[3] for key in self.keys() if "/experiments/" in key}) == 1,
            "the deletion in the bucket",
        )

    def test_wrong_settings_are_refused_at_the_start(self):
        wrong = self.environment(AWS_SECRET_ACCESS_KEY="wrong")
        self.assertIn("SignatureDoesNotMatch", self.refused(environment=wrong))
        unset = {"AWS_ACCESS_KEY_ID": "", "HOME": str(self.folder)}
        self.assertIn("no credentials for the object store", self.refused(environment=unset))
        endpoint = self.flags()[2:]
        self.assertIn("NoSuchBucket", self.refused("--objects", "s3://other/a", *endpoint))
        self.assertIn("s3://BUCKET", self.refused("--objects", "bucket", *endpoint, code=2))
        self.assertIn(
            "plain http", self.refused(*self.flags()[:3], "http://192.0.2.1:9000", code=2)
        )
        self.proxy.cut()
        self.assertIn("PUT s3://", self.refused())
        self.assertFalse((self.state / "mentor.db").exists())
