"""The Python client and a real service: all its functions, and its behaviour when the server dies,
is replaced, is busy, hangs, or refuses."""

import base64
import collections
import csv
import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

import package
from package import EXAMPLES, SOURCE

import peers
from harness import DEADLINE_S, SMOKE, ClusterTest, sets

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
ENDLESS = ["rule.outer_updates=1000000", "checkpoint.every=1000"]


def setUpModule():
    global FOLDER, grpc, mentor_client, Client, MentorError
    FOLDER = package.make_importable()
    import grpc
    import mentor_client
    from mentor_client import Client, MentorError


def revision_of(token):
    """The server's own number in a token of a watch."""
    return int(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[8:].split()[1])


class Watcher:
    """Collects the events of a watch in a thread."""

    def __init__(self, client, *names, **options):
        self.events, self.error = [], None
        self._client = client
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, args=(names, options), daemon=True)
        self._thread.start()

    def _run(self, names, options):
        try:
            for event in self._client.watch(names, bookmarks=True, **options):
                with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        except MentorError as error:
            with self._changed:
                self.error = error
                self._changed.notify_all()

    def wait_for(self, condition, what, deadline_s=60):
        with self._changed:
            done = self._changed.wait_for(lambda: self.error or condition(self.events), deadline_s)
        if self.error or not done:
            raise AssertionError(f"not in {deadline_s} s: {what}; {self.error}; {self.events}")

    def wait_for_event(self, kind, id=None, state=None, deadline_s=60):
        self.wait_for(
            lambda events: any(
                event.kind == kind
                and (id is None or event.experiment.id == id)
                and (state is None or event.experiment.state == state)
                for event in events
            ),
            f"{kind} {id} {state}",
            deadline_s,
        )


class ClientTest(ClusterTest):
    shared = None

    @classmethod
    def service(cls):
        """Returns the address of a service for tests that do not mind what others leave there."""
        if not cls.shared:
            _, cls.shared = cls.enterClassContext(cls.alone()).start_service()
        return cls.shared

    def setUp(self):
        super().setUp()
        self.state = self.folder / "state"

    def client(self, server, **options):
        client = Client(server, **options)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def only_stub(client):
        """Returns the stub of all later calls, for a test to tamper with."""
        stub = client._connection._servers.stub()
        client._connection._servers.stub = lambda: stub
        return stub

    def restart(self, address, *arguments, state=None, env=None):
        return self.start_meta_learner(state or self.state, address, *arguments, env=env)[0]

    def refused(self, code, reason, call, *arguments, **options):
        with self.assertRaises(MentorError) as caught:
            call(*arguments, **options)
        error = caught.exception
        self.assertEqual((error.code, error.reason), (code, reason), str(error))
        self.assertTrue(error.message)
        return error

    # Everything once.

    def test_tour(self):
        _, address = self.start_service()
        client = self.client(address)
        experiment = client.create(
            SMOKE,
            id="first",
            overrides=ENDLESS,
            labels={"team": "a"},
            priority="high",
            keep_last=7,
            ttl=datetime.timedelta(days=30),
            retries_max=2,
            display_name="The first",
        )
        self.assertEqual(
            (experiment.name, experiment.state, experiment.owner),
            ("experiments/first", "QUEUED", "local"),
        )
        self.assertEqual(experiment.spec.rule.outer_updates, 1000000)
        self.assertEqual((experiment.labels, experiment.display_name), ({"team": "a"}, "The first"))
        self.assertEqual(
            (experiment.proto.retention.keep_last, experiment.proto.retention.ttl.seconds),
            (7, 30 * 86400),
        )

        progress = []
        experiment.wait("running", timeout=60, on_progress=lambda now: progress.append(now.state))
        self.assertEqual(progress[-1], "RUNNING")
        points = client.watch_metrics(experiment, ["meta_return"], timeout=120)
        steps = [next(points).step for _ in range(3)]
        points.close()
        self.assertEqual(steps, [1, 2, 3])
        with self.assertRaises(mentor_client.MentorTimeout):
            experiment.wait(timeout=1.0)

        experiment.pause().wait("PAUSED", timeout=60)
        error = self.refused(
            grpc.StatusCode.NOT_FOUND, "NOT_FOUND", experiment.metrics, ["meta_retrun"]
        )
        self.assertIn("did you mean 'meta_return'?", error.message)
        self.refused(
            grpc.StatusCode.NOT_FOUND,
            "NOT_FOUND",
            lambda: next(client.watch_metrics("first", ["no such"], timeout=60)),
        )
        empty = experiment.metrics(["success/nowhere"])["success/nowhere"]
        self.assertEqual((empty.steps, repr(empty)), ([], "<Series: no points>"))
        metrics = experiment.metrics(["meta_return", "env_steps"], max_points=10_000)
        self.assertEqual(sorted(metrics), ["env_steps", "meta_return"])
        series = metrics["meta_return"]
        self.assertEqual(series.steps, list(range(1, len(series.steps) + 1)))
        self.assertGreaterEqual(len(series.steps), 3)
        self.assertEqual(series.mean, series.max)
        count = len(series.steps)
        self.assertIn(f"<Series: {count} points, steps 1 to {count}, last ", repr(series))
        self.assertLess(len(repr(series)), 120)
        self.assertEqual(metrics._repr_html_().count("<polyline"), 2)
        self.assertIn('<th scope="row">meta_return</th>', metrics._repr_html_())
        self.assertIn(f"<td>1 to {count}</td>", series._repr_html_())
        merged = experiment.metrics(["meta_return"], max_points=2)["meta_return"]
        half = merged.count[0]
        self.assertEqual((merged.steps, sum(merged.count)), ([1, half + 1], len(series.steps)))
        self.assertAlmostEqual(merged.mean[0], sum(series.mean[:half]) / half, places=6)
        self.assertEqual(
            (merged.min[1], merged.max[1]), (min(series.mean[half:]), max(series.mean[half:]))
        )
        self.assertIn("meta_return", [one.name for one in client.metric_names("first")])
        rest = client.watch_metrics("first", after_step=2, timeout=60)
        self.assertEqual(next(rest).step, 3)
        rest.close()

        experiment.update(
            labels={"team": "b", "stage": "x"}, weight=3, keep_every=5, priority="LOW"
        )
        self.assertEqual(
            (experiment.labels, experiment.proto.weight), ({"team": "b", "stage": "x"}, 3)
        )
        self.assertEqual(
            (experiment.proto.retention.keep_last, experiment.proto.retention.keep_every), (7, 5)
        )
        # Others change what was just read: the inner one is done first.
        read, others = client.get, iter([8, 9])

        def get(name):
            found = read(name)
            for other in others:
                read(name).update(keep_last=other)
                break
            return found

        client.get = get
        self.addCleanup(setattr, client, "get", read)
        kept = client.update("first", keep_every=6).proto.retention
        client.get = read
        self.assertEqual((kept.keep_last, kept.keep_every), (8, 6))
        self.assertEqual(
            [one.id for one in client.list('labels.team="b" AND state=PAUSED')], ["first"]
        )
        self.assertEqual(list(client.list("labels.team=a")), [])

        experiment.resume().wait("RUNNING", timeout=60)
        experiment.cancel("seen enough")
        with self.assertRaises(mentor_client.ExperimentEnded) as caught:
            experiment.wait(timeout=60)
        self.assertEqual(caught.exception.experiment.state, "CANCELLED")
        self.assertIn("seen enough", str(caught.exception))
        self.assertEqual(experiment.error.message, "seen enough")
        self.assertTrue(experiment.is_final)

        experiment.delete()
        self.refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", client.get, "first")
        client.delete("first", allow_missing=True)
        self.assertEqual(list(client.list()), [])

    def test_results_of_a_finished_experiment(self):
        _, address = self.start_service()
        client = self.client(address)
        experiment = client.create(SMOKE, id="done")
        self.assertIs(experiment.wait(timeout=DEADLINE_S), experiment)
        self.assertEqual((experiment.state, experiment.progress.outer_updates), ("SUCCEEDED", 4))
        evaluated = experiment.progress
        self.assertEqual(evaluated.evaluation_lifetimes, evaluated.evaluation_lifetimes_total)
        self.assertEqual(evaluated.seconds_left, 0)
        self.assertEqual(
            [point.step for point in experiment.watch_metrics(timeout=60)], [1, 2, 3, 4]
        )

        checkpoints = experiment.checkpoints()
        self.assertEqual([one.outer_step for one in checkpoints], [1, 2, 3, 4])
        truth = self.checkpoints(self.state)[-1].read_bytes()
        target = self.folder / "downloads"
        target.mkdir()
        sizes = []
        path = client.download(checkpoints[-1].name, target, on_progress=sizes.append)
        self.assertEqual(path, target / "done-00000004.ckpt")
        self.assertEqual(path.read_bytes(), truth)
        self.assertEqual(sizes[-1], len(truth))

        # A part of an earlier download is kept; a part of another file is not.
        part = target / "again.ckpt.part"
        part.write_bytes(truth[:1000])
        sizes.clear()
        experiment.download(path=target / "again.ckpt", checkpoint=4)
        self.assertEqual((target / "again.ckpt").read_bytes(), truth)
        for wrong in (b"x" * 1000, truth + b"more"):
            part.write_bytes(wrong)
            experiment.download(path=target / "again.ckpt")
            self.assertEqual((target / "again.ckpt").read_bytes(), truth)
            self.assertFalse(part.exists())
        # A broken stream continues at the byte where it broke.
        real, offsets = client._connection.stream, []

        def broken_once(method, request, *arguments):
            offsets.append(request.offset)
            for piece in real(method, request, *arguments):
                yield piece
                if len(offsets) == 1:
                    raise MentorError(grpc.StatusCode.UNAVAILABLE, "cut")

        client._connection.stream = broken_once
        experiment.download(path=target / "cut.ckpt")
        client._connection.stream = real
        self.assertEqual((target / "cut.ckpt").read_bytes(), truth)
        self.assertEqual(len(offsets), 2)
        self.assertGreater(offsets[1], 0)
        merged = next(one for one in experiment.artifacts() if one.name.endswith("/merged.txtpb"))
        text = client.download(merged.name, target).read_text()
        self.assertEqual(client.parse_spec(text).spec.rule.outer_updates, 4)
        self.refused(
            grpc.StatusCode.NOT_FOUND,
            "NOT_FOUND",
            client.download,
            "experiments/done/artifacts/none.txt",
            target,
        )
        self.assertEqual(list(target.glob("*.part")), [])

        self.assertTrue(client.pin(checkpoints[0].name).pinned)
        longer = experiment.clone(["rule.outer_updates=6"], id="longer", checkpoint=2)
        self.assertEqual(longer.proto.source_checkpoint, checkpoints[1].name)
        longer.wait(timeout=DEADLINE_S)
        self.assertEqual([one.outer_step for one in longer.checkpoints()][-1], 6)
        self.assertEqual(
            [one.id for one in client.list(order_by="create_time desc", page_size=1)],
            ["longer", "done"],
        )

        lines = list(experiment.logs(follow=True, timeout=60))
        self.assertEqual(lines, list(experiment.logs()))
        self.assertEqual(list(experiment.logs(tail=1)), lines[-1:])
        self.assertIn("black_box", [one.name for one in client.catalogue("rule")])
        self.assertEqual(
            {one.kind for one in client.catalogue()},
            {"environment", "benchmark", "signal", "rule", "wrapper", "curriculum"},
        )
        self.assertGreater(len(list(client.tasks("point_reach"))), 0)
        self.assertEqual(client.shards(), [])
        self.wait_until(lambda: len(client.peers()) == 2, "a learner and an actor")
        fleet = [one.name for one in client.peers()]
        self.assertEqual([name.split("/")[0] for name in fleet], ["learners", "actors"])
        client.drain(fleet[1])
        self.wait_until(
            lambda: all(one.draining or one.name != fleet[1] for one in client.peers()),
            "an actor that drains",
        )

    def test_overrides_are_those_of_mentorctl(self):
        _, address = self.start_meta_learner(self.state)
        client = self.client(address)
        overrides = [
            "rule.outer_updates=7",
            "seed=9",
            "agent.gamma=0.5",
            "agent.normalize_advantage=false",
            "signal.role=ADVANTAGE",
            "evaluation.baseline=PPO_SHAPED,RANDOM_SIGNAL",
            "rule.learning_rate=1e-4",
            "rule.option.k=10",
            "rule.gamma=0.9",
            "agent.optimizer=SGD",
            "display_name=a = b",
        ]
        ours = client.create(SMOKE, id="ours", overrides=overrides)
        self.create_experiment(address, "theirs", *sets(*overrides))
        self.assertEqual(ours.spec, client.get("theirs").spec)
        self.assertEqual(client.validate(SMOKE, overrides=overrides).name, "")

        values = {"rule.outer_updates": 7, "agent.normalize_advantage": False, "rule.k": 1e-3}
        values["evaluation.baseline"] = ["PPO_SHAPED", "RANDOM_SIGNAL"]
        texts = ["rule.outer_updates=7", "agent.normalize_advantage=false", "rule.k=0.001"]
        texts.append("evaluation.baseline=PPO_SHAPED,RANDOM_SIGNAL")
        self.assertEqual(client.parse_spec(SMOKE, values), client.parse_spec(SMOKE, texts))
        message = client.parse_spec(SMOKE).spec
        self.assertEqual(client.parse_spec(message, values), client.parse_spec(SMOKE, values))
        self.assertEqual(client.parse_spec(message).spec, message)

        # A spec that comes with Mentor, by its name.
        self.assertEqual(client.parse_spec("smoke"), client.parse_spec(SMOKE))
        with self.assertRaisesRegex(MentorError, "did you mean 'smoke'"):
            client.parse_spec("smok")

        # The progress is shown as long as the experiment is unfinished.
        ours.proto.state = ours.proto.STATE_RUNNING
        ours.proto.progress.outer_updates, ours.proto.progress.outer_updates_total = 3, 40
        ours.proto.progress.env_steps_per_second = 12000
        self.assertEqual(repr(ours), "<Experiment ours: RUNNING, 3 of 40 updates, 12,000 steps/s>")
        with self.assertRaisesRegex(MentorError, "at work at 127.0.0.1:1\\?.*MENTOR_SERVER"):
            mentor_client.Client("127.0.0.1:1", timeout=0.2).get("ours")

        # What else a text says about the experiment, and YAML.
        around = client.parse_spec(
            """spec { seed: 4 benchmark { name: "point_reach" wrapper { name: "a" scale: 2 } } }
            labels { key: "k" value: "v" } name: "around" """,
            ["benchmark.wrapper[0].name=b"],
        )
        wrapper = around.spec.benchmark.wrapper[0]
        self.assertEqual((around.spec.seed, wrapper.name, wrapper.option[0].value), (4, "b", "2"))
        self.assertEqual((around.name, around.labels["k"]), ("around", "v"))
        yaml = self.folder / "own.yaml"
        yaml.write_text("seed: 4\nrule: {learning_rate: 3e-4}\n")
        self.assertEqual(client.parse_spec(yaml).spec.rule.option[0].value, "3e-4")
        for wrong, overrides, remedy in (
            (SMOKE, ["seed"], "path.to.field=value"),
            (SMOKE, ["sed=1"], "did you mean 'seed'?"),
            (SMOKE, [3], "give text"),
            ("no/such.txtpb", (), "there is no spec 'no/such.txtpb'"),
            (3, (), "is a int; give a file"),
            ("sed: 1\n", (), "line 1, column 1: ExperimentSpec has no field 'sed'"),
            ("spec { seed: 1 } uid: 'x'", (), "leave it out"),
            ("{\udc80", (), "is not text"),
            (self.folder / ("n" * 300), (), "cannot be read"),
        ):
            with self.subTest(wrong), self.assertRaises(MentorError) as caught:
                client.parse_spec(wrong, overrides)
            self.assertIn(remedy, str(caught.exception))
            self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)

    def test_specs_that_come_with_mentor_are_beside_its_programs(self):
        from mentor_client.installed import ready_specs as ready

        programs = os.path.realpath(os.environ["MENTOR_BIN_DIR"])
        for variables in ({"PATH": programs}, {"MENTOR_BIN_DIR": programs}):
            with mock.patch.dict(os.environ, variables, clear=True):
                self.assertEqual(ready()["smoke"].read_text(), SMOKE.read_text())
        share = self.folder / "share/mentor/experiments"
        share.mkdir(parents=True)
        shutil.copyfile(SMOKE, share / "own.txtpb")
        (self.folder / "bin").mkdir()
        program = self.folder / "bin/mentor-web"
        program.touch()
        with mock.patch.dict(os.environ, {"PATH": ""}, clear=True):
            with mock.patch.object(sys, "argv", [str(program)]):
                self.assertEqual(list(ready()), ["own"])
            with mock.patch.object(sys, "argv", ["-c"]):
                self.assertEqual(ready(), {})

    def test_a_spec_with_a_base_is_what_mentorctl_makes_of_it(self):
        _, address = self.start_meta_learner(self.state)
        client = self.client(address)
        files = [*SMOKE.parent.glob("*.txtpb")]
        middle, last = self.folder / "middle.txtpb", self.folder / "last.txtpb"
        middle.write_text('base: "smoke" benchmark { wrapper { name: "sparse_reward" } } seed: 5')
        last.write_text(
            """spec {
              base: "middle.txtpb"
              clear: ["signal.option", "evaluation.goals", "benchmark.wrapper"]
              agent { gamma: 0.5 }
              rule { name: "reptile" option { name: "reward" value: "success" } }
              evaluation { baseline: [PPO_SHAPED] goals: 2 }
            }"""
        )
        ours = client.create(last, id="ours")
        self.create_experiment(address, "theirs", spec=last)
        self.assertEqual(ours.spec, client.get("theirs").spec)
        self.assertEqual((ours.spec.seed, ours.spec.agent.gamma), (5, 0.5))
        self.assertEqual([one.name for one in ours.spec.rule.option], ["reward"])
        self.assertFalse(ours.spec.HasField("base"))
        # The ready specs, too.
        for file in files:
            if "base:" in file.read_text():
                self.create_experiment(address, file.stem.replace("_", "-"), spec=file)
                theirs = client.get(file.stem.replace("_", "-")).spec
                self.assertEqual(client.validate(file).spec, theirs, file)

        # A service has no files of its users.
        refusal = self.refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            client.create,
            mentor_client.ExperimentSpec(base="smoke"),
        )
        self.assertIn("only a file can name; give the whole spec", str(refusal))
        (self.folder / "circle.txtpb").write_text("base: 'circle'")
        (self.folder / "broken.txtpb").write_text("sed: 1")
        for text, remedy in (
            ("base: 'smok'", "did you mean 'smoke'?"),
            ("base: 'smoke' clear: 'agent.clip'", "the base does not set it"),
            (f"base: '{'n' * 2000}'", "cannot be read"),
            ("base: 'circle'", "which leads back to circle.txtpb"),
            ('labels { key: "a" value: "\\377" } spec { seed: 1 }', "labels: is not UTF-8"),
            ("base: 'broken'", "broken.txtpb, line 1, column 1: ExperimentSpec has no field"),
        ):
            last.write_text(text)
            with self.subTest(text), self.assertRaises(MentorError) as caught:
                client.parse_spec(last)
            self.assertIn(remedy, str(caught.exception))

    def test_a_service_gets_no_file_that_no_spec_names(self):
        from mentor_client.specs import wanted_file
        from mentor_client.v1.experiment_service_pb2 import SpecFile

        own = self.folder / "own.txtpb"
        own.write_text("seed: 1")
        for folder, text, wanted in (
            (f"{self.folder}/", "base: 'own'", own),
            (f"{self.folder}/", "base: 'own.txtpb'", own),
            ("", f"base: '{own}'", own),
            (f"{self.folder}/x/", "base: '../own'", self.folder / "x/../own.txtpb"),
        ):
            (self.folder / "x").mkdir(exist_ok=True)
            known = [SpecFile(path=f"{folder}spec", text=text)]
            self.assertEqual(wanted_file(str(wanted), known).text, "seed: 1")
            for path in ("/etc/passwd", f"{folder}../../own", f"{own}x", f"{folder}else"):
                with self.assertRaisesRegex(MentorError, "no spec here names it"):
                    wanted_file(path, known)
        for text, base in (
            ("base: 'it\\'s'", "it's"),
            ('base: "o" "wn"', "own"),
            ("base: two words  # So it is.\nseed: 1", "two words"),
            ("{base: own, seed: 1}", "own"),
            ('{"base": "own"}', "own"),
            ("base: 'it''s'", "it's"),
        ):
            with self.subTest(text):
                (self.folder / base).write_text("seed: 2")
                known = [SpecFile(path=f"{self.folder}/spec", text=text)]
                self.assertEqual(wanted_file(str(self.folder / base), known).text, "seed: 2")
        for text in (
            f"# base: '{own}'\nseed: 1",
            f"rule {{ option {{ name: 'k' value: '{own}' }} }}",
            f"database: '{own}'",
            "base: ''",
        ):
            for path in (str(own), ".txtpb", f"{self.folder}/.txtpb"):
                with self.subTest(text), self.assertRaisesRegex(MentorError, "no spec here names"):
                    wanted_file(path, [SpecFile(path=f"{self.folder}/spec", text=text)])
        # Texts of others get none at all.
        client = self.client(self.service())
        text = f"base: '{own}'"
        self.assertEqual(client.parse_spec(text + "\n").spec.seed, 1)
        with self.assertRaisesRegex(MentorError, "there is no spec"):
            client.parse_spec(text, files=False)

    # When the server dies.

    def test_created_once_by_a_server_that_dies_before_it_answers(self):
        log = self.folder / "failpoints"
        meta, address = self.start_meta_learner(
            self.state,
            0,
            env={
                "MENTOR_FAILPOINTS": "api.create.after_commit=1:kill",
                "MENTOR_FAILPOINT_LOG": str(log),
            },
        )
        client = self.client(address, timeout=60)
        made = []
        thread = threading.Thread(target=lambda: made.append(client.create(SMOKE)))
        thread.start()
        self.assertEqual(meta.wait(60), -signal.SIGKILL)
        self.assertIn("api.create.after_commit", log.read_text())
        self.restart(address)
        thread.join(60)
        self.assertEqual(len(made), 1)
        self.assertEqual([one.uid for one in client.list()], [made[0].uid])
        # Two creations are two experiments, because their ids differ.
        client.create(SMOKE)
        self.assertEqual(len(list(client.list())), 2)

    def test_a_last_attempt_that_is_cut_short_hides_no_reason(self):
        client = self.client("127.0.0.1:1", timeout=1)
        said = [(grpc.StatusCode.UNAVAILABLE, "no certificate")]

        def fail(request, **options):
            error = grpc.RpcError()
            code, details = said.pop() if said else (grpc.StatusCode.DEADLINE_EXCEEDED, "late")
            error.code, error.details = lambda: code, lambda: details
            error.trailing_metadata = lambda: ()
            raise error

        self.only_stub(client).GetExperiment = fail
        with self.assertRaisesRegex(MentorError, "no certificate"):
            client.get("a")
        self.refused(grpc.StatusCode.DEADLINE_EXCEEDED, "", client.get, "a")

    def test_deleted_by_a_server_that_dies_before_it_answers(self):
        _, address = self.start_meta_learner(self.state)
        client = self.client(address, timeout=60)
        client.create(SMOKE, id="gone")
        self.refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", client.delete, "never")
        from mentor_client import connection

        stub = self.only_stub(client)
        real, calls = stub.DeleteExperiment, []

        def lose_the_first_answer(request, **options):
            calls.append(real(request, **options))
            if len(calls) == 1:
                error = grpc.RpcError()
                error.code, error.details, error.trailing_metadata = (
                    lambda: grpc.StatusCode.UNAVAILABLE,
                    lambda: "cut",
                    lambda: (),
                )
                raise error
            return calls[-1]

        stub.DeleteExperiment = lose_the_first_answer
        client.delete("gone", force=True)
        self.assertEqual(len(calls), 1)
        self.assertEqual(list(client.list()), [])
        self.assertIsNone(connection.wait_before(MentorError(grpc.StatusCode.NOT_FOUND, ""), 0))

    def test_watch_sees_every_revision_once_across_restarts(self):
        meta, address = self.start_service()
        client = self.client(address, timeout=60)
        watcher = Watcher(client)
        # What exists before the watch has begun comes without a token.
        watcher.wait_for_event("BOOKMARK")
        ids = [f"e{number}" for number in range(4)]
        for id in ids[:2]:
            client.create(SMOKE, id=id)
        watcher.wait_for_event("UPDATED", "e0", "RUNNING")
        meta.kill()
        meta = self.restart(address)
        for id in ids[2:]:
            client.create(SMOKE, id=id, overrides=ENDLESS if id == "e3" else ())
        watcher.wait_for_event("UPDATED", "e1", "RUNNING", DEADLINE_S)
        meta.kill()
        meta = self.restart(address)
        client.get("e3").wait("RUNNING", timeout=DEADLINE_S)
        client.cancel("e3", "enough")
        for id in ids[:3]:
            watcher.wait_for_event("UPDATED", id, "SUCCEEDED", DEADLINE_S)
        watcher.wait_for_event("UPDATED", "e3", "CANCELLED", DEADLINE_S)
        client.delete("e3")
        watcher.wait_for_event("DELETED", "e3")

        changes = [event for event in watcher.events if event.kind != "BOOKMARK"]
        revisions = [revision_of(event.resume_token) for event in changes]
        self.assertEqual(
            revisions,
            list(range(revisions[0], revisions[0] + len(revisions))),
            "a revision twice, or left out",
        )
        kinds = collections.Counter((event.kind, event.experiment.id) for event in changes)
        for id in ids:
            self.assertEqual(kinds["CREATED", id], 1)
        self.assertEqual(kinds["DELETED", "e3"], 1)
        # A token of the caller continues, too.
        middle = len(changes) // 2
        again = []
        for event in client.watch(resume_token=changes[middle].resume_token, timeout=60):
            again.append(revision_of(event.resume_token))
            if again[-1] == revisions[-1]:
                break
        self.assertEqual(again, revisions[middle + 1 :])

    def test_a_quiet_stream_is_no_absent_server(self):
        client, begun = self.client("127.0.0.1:1", patience=0.5), []

        def begin():
            begun.append(None)
            if len(begun) == 1:
                time.sleep(1)
                raise MentorError(grpc.StatusCode.UNAVAILABLE, "it restarts")
            yield "again"

        messages = client._connection.resumed(begin, None)
        self.assertEqual(next(messages), "again")
        messages.close()

    def test_watch_begins_anew_when_the_changes_are_not_kept(self):
        meta, address = self.start_meta_learner(self.state)
        client = self.client(address, timeout=60)
        client.create(SMOKE, id="old")
        client.create(SMOKE, id="both")
        everything, named = Watcher(client), Watcher(client, "old")
        for watcher in (everything, named):
            watcher.wait_for_event("CREATED", "old")
            watcher.wait_for_event("BOOKMARK")
        meta.kill()
        # Another store in its place does not know the tokens: WATCH_COMPACTED.
        other = self.folder / "other"
        meta, elsewhere = self.start_meta_learner(other)
        self.client(elsewhere).create(SMOKE, id="both")
        meta.kill()
        self.restart(address, state=other)
        for watcher in (everything, named):
            watcher.wait_for_event("DELETED", "old")
        everything.wait_for(
            lambda events: [
                event.kind for event in events if event.experiment and event.experiment.id == "both"
            ].count("CREATED")
            == 2,
            "both again",
        )
        with self.assertRaises(MentorError) as caught:
            mentor_client.Experiment(client, everything.events[0].experiment.proto).wait(timeout=60)
        self.assertEqual(caught.exception.reason, "NOT_FOUND")

    def test_a_server_that_hangs(self):
        meta, address = self.start_meta_learner(self.state)
        client = self.client(address, timeout=60)
        client.create(SMOKE, id="before")
        from mentor_client import connection

        connection._ATTEMPT_S, before = 0.5, connection._ATTEMPT_S
        self.addCleanup(setattr, connection, "_ATTEMPT_S", before)
        spec = client.parse_spec(SMOKE)
        meta.signal(signal.SIGSTOP)
        impatient = self.client(address, timeout=1.2)
        began = time.monotonic()
        with self.assertRaises(MentorError) as caught:
            impatient.get("before")
        self.assertIn(
            caught.exception.code, (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
        )
        self.assertLess(time.monotonic() - began, 10)
        # The first attempt ends after 3 s, a later one is answered.
        patient = self.client(address, timeout=9)
        stub = self.only_stub(patient)
        real, attempts = stub.CreateExperiment, []

        def create(request, **options):
            attempts.append((request.request_id, options["timeout"]))
            if len(attempts) == 2:
                meta.signal(signal.SIGCONT)
            return real(request, **options)

        stub.CreateExperiment = create
        made = patient.create(spec)
        self.assertGreaterEqual(len(attempts), 2)
        self.assertLess(attempts[0][1], 3.1)
        self.assertEqual(len({request_id for request_id, _ in attempts}), 1)
        self.assertEqual(sorted(one.id for one in client.list()), sorted(["before", made.id]))

    def test_of_several_addresses_the_next_one_is_asked(self):
        address = self.service()
        client = self.client(f"127.0.0.1:1,{address}")
        self.assertEqual(client.create(SMOKE, id="asked", overrides=ENDLESS).state, "QUEUED")
        for event in client.watch(["asked"], timeout=60):
            if event.experiment and event.experiment.state == "RUNNING":
                break
        self.refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", client.get, "none")
        self.refused(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", Client, f"{address},far.example:1"
        )
        client.cancel("asked")

    def test_nobody_there(self):
        server, address = self.start_meta_learner(self.state)
        server.kill()
        client = self.client(address, timeout=1.5, patience=1.5)
        for call in (
            lambda: client.get("x"),
            lambda: next(client.watch()),
            lambda: next(client.watch_metrics("x")),
            lambda: next(client.logs("x")),
        ):
            began = time.monotonic()
            self.refused(grpc.StatusCode.UNAVAILABLE, "", call)
            self.assertLess(time.monotonic() - began, 20)
        with self.assertRaises(mentor_client.MentorTimeout):
            next(self.client(address).watch(timeout=1.0))

    # What it refuses.

    def test_errors_with_everything_that_the_server_says(self):
        address = self.service()
        client = self.client(address)
        error = self.refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            client.create,
            SMOKE,
            id="Not Legal",
            overrides=["rule.shard_lifetimes=0", "agent.gamma=7"],
            weight=1000,
        )
        fields = {violation.field: violation.description for violation in error.violations}
        for field in (
            "experiment_id",
            "experiment.weight",
            "experiment.spec.rule.shard_lifetimes",
            "experiment.spec.agent.gamma",
        ):
            self.assertIn(field, fields, str(error))
        self.assertIn("1 to 65536", fields["experiment.spec.rule.shard_lifetimes"])
        self.assertEqual(error.__class__, MentorError)

        error = self.refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", client.get, "nobody")
        self.assertEqual(error.metadata["name"], "experiments/nobody")
        first = client.create(
            SMOKE, id="first", overrides=ENDLESS, request_id="7e35c5d7-3d24-4dbb-a6ab-1a9bd6a07f29"
        )
        again = client.create(
            SMOKE, id="first", overrides=ENDLESS, request_id="7e35c5d7-3d24-4dbb-a6ab-1a9bd6a07f29"
        )
        self.assertEqual(first.uid, again.uid)
        self.refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_ID_REUSED",
            client.create,
            SMOKE,
            id="second",
            request_id="7e35c5d7-3d24-4dbb-a6ab-1a9bd6a07f29",
        )
        self.refused(
            grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS", client.create, SMOKE, id="first"
        )
        error = self.refused(
            grpc.StatusCode.ABORTED,
            "ETAG_MISMATCH",
            client.update,
            "first",
            weight=2,
            etag='W/"AAAA"',
        )
        self.assertTrue(error.metadata)
        first.cancel("enough")
        self.assertRaises(mentor_client.ExperimentEnded, first.wait, timeout=60)
        error = self.refused(
            grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION", client.pause, "first"
        )
        self.assertEqual(error.metadata["state"].replace("STATE_", ""), "CANCELLED")
        self.refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            lambda: list(client.list("colour=red")),
        )
        import pickle

        self.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))

        for call, field in (
            (lambda: Client("nowhere"), "server"),
            (lambda: Client("lab.example:1"), "ca"),
            (lambda: Client(address, cert="x"), "key"),
            (lambda: Client(address, ca="no/such"), "ca"),
            (lambda: Client(address, token="a", token_file="b"), "token"),
            (lambda: Client(address, token_file="no/such"), "token_file"),
            (lambda: client.create(SMOKE, priority="urgent"), "priority"),
            (lambda: client.get(""), "name"),
            (lambda: client.create(SMOKE, weight=-1), "weight"),
            (lambda: client.update("first"), "update"),
            (lambda: client.download("first"), "name"),
            (lambda: client.create({"rule": {"name": "black_box"}}), "spec"),
            (lambda: client.create(None), "spec"),
            (lambda: client.create(SMOKE, labels={"a": 1}), "labels"),
            (lambda: client.create(SMOKE, ttl="30d"), "ttl"),
            (lambda: client.create(SMOKE, deadline="tomorrow"), "deadline"),
            (lambda: client.get(7), "name"),
            (lambda: client.metrics("first", [7]), "names"),
            (lambda: first.wait("FINISHED"), "for_state"),
            (lambda: client.create(SMOKE, id=3), "id"),
            (lambda: client.create(SMOKE, request_id=3), "request_id"),
            (lambda: client.create(SMOKE, overrides=3), "overrides"),
            (lambda: client.create("a\0b.txtpb"), "spec"),
            (lambda: client.create("display_name: '\ud800' {"), "spec"),
            (lambda: client.create(SMOKE, timeout=float("nan")), "timeout"),
            (lambda: Client(address, timeout="soon"), "timeout"),
            (lambda: next(client.watch(timeout=float("nan"))), "timeout"),
            (lambda: next(client.watch(5)), "names"),
            (lambda: next(client.watch(resume_token=5)), "resume_token"),
            (lambda: client.get("\udfff"), "name"),
            (lambda: client.pause("first", etag=5), "etag"),
            (lambda: client.clone("first", checkpoint=[1]), "checkpoint"),
            (lambda: client.pin(5), "checkpoint"),
            (lambda: client.download(5), "name"),
            (lambda: client.metrics("first", step_min=-1), "step_min"),
            (lambda: client.metrics("first", step_max=2**40), "step_max"),
            (lambda: next(client.watch_metrics("first", after_step=-1)), "after_step"),
            (lambda: next(client.watch_metrics("first", after_step=2**32 - 1)), "after_step"),
            (lambda: next(client.logs("first", tail=-1)), "tail"),
            (lambda: next(client.list(page_size=2**33)), "page_size"),
            (lambda: next(client.list("\ud800")), "filter"),
            (lambda: next(client.tasks(5)), "benchmark"),
            (lambda: client.drain(5), "peer"),
            (lambda: client.catalogue(5), "kind"),
        ):
            error = self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", call)
            self.assertEqual(error.violations[0].field, field)

    def test_a_server_that_is_busy(self):
        _, address = self.start_meta_learner(self.state, 0, "--calls_per_second", 2)
        impatient, patient = self.client(address, timeout=0.2), self.client(address)
        error = None
        for _ in range(200):
            try:
                impatient.peers()
            except MentorError as caught:
                error = caught
                if error.reason == "RATE_LIMITED":
                    break
        self.assertIsNotNone(error)
        self.assertEqual(
            (error.code, error.reason), (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        )
        self.assertGreater(error.retry_delay, 0)
        for _ in range(3):
            patient.peers()

    def test_tls_and_tokens(self):
        credentials = peers.Credentials(self.folder / "credentials")
        ca, tokens = credentials / "ca.crt", credentials / "tokens"
        _, address = self.start_meta_learner(
            self.state,
            0,
            "--tls_cert",
            credentials / "server.crt",
            "--tls_key",
            credentials / "server.key",
            "--tokens",
            tokens,
        )
        operator = self.client(address, ca=ca, token=credentials.tokens["operator"])
        self.assertEqual(operator.create(SMOKE, id="mine").owner, "operator-token")
        path = pathlib.Path(credentials / "some.token")
        path.write_text(credentials.tokens["viewer"] + "\n")
        viewer = self.client(address, ca=ca, token_file=path)
        self.assertEqual(viewer.get("mine").id, "mine")
        self.refused(grpc.StatusCode.PERMISSION_DENIED, "", viewer.create, SMOKE)
        # The next call uses a new token of the file.
        new = path.with_name("new")
        new.write_text(credentials.tokens["operator"] + "\n")
        new.replace(path)
        self.assertEqual(viewer.create(SMOKE, id="too").owner, "operator-token")
        for wrong in (None, "wrong"):
            self.refused(
                grpc.StatusCode.UNAUTHENTICATED,
                "",
                self.client(address, ca=ca, token=wrong).get,
                "mine",
            )
        # A server of another authority receives no token.
        stranger = self.client(
            address, ca=credentials / "other.crt", token=credentials.tokens["operator"], timeout=2
        )
        self.refused(grpc.StatusCode.UNAVAILABLE, "", stranger.get, "mine")
        for text in (repr(operator), repr(operator._connection._token), str(vars(operator))):
            self.assertNotIn(credentials.tokens["operator"], text)

        # By the variables of mentorctl.
        code = "import mentor_client; print(mentor_client.Client().get('mine').id)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            text=True,
            capture_output=True,
            timeout=60,
            env={
                **os.environ,
                "PYTHONPATH": str(FOLDER),
                "MENTOR_SERVER": address,
                "MENTOR_TLS_CA": ca,
                "MENTOR_TOKEN_FILE": str(path),
            },
        )
        self.assertEqual(done.stdout.strip(), "mine", done.stderr)

    def test_certificates(self):
        credentials = peers.Credentials(self.folder / "credentials")
        ca = credentials / "ca.crt"
        _, address = self.start_meta_learner(self.state, 0, *credentials.tls("server"))
        pair = lambda name: {
            "ca": ca,
            "cert": credentials / f"{name}.crt",
            "key": credentials / f"{name}.key",
        }
        self.assertEqual(
            self.client(address, **pair("operator")).create(SMOKE, id="mine").id, "mine"
        )
        self.refused(
            grpc.StatusCode.PERMISSION_DENIED,
            "",
            self.client(address, **pair("viewer")).delete,
            "mine",
        )
        self.refused(
            grpc.StatusCode.UNAVAILABLE,
            "",
            self.client(address, timeout=2, **pair("stranger")).get,
            "mine",
        )

    def test_tokens_without_tls_on_one_machine(self):
        credentials = peers.Credentials(self.folder / "credentials")
        _, address = self.start_meta_learner(self.state, 0, "--tokens", credentials / "tokens")
        self.assertEqual(
            self.client(address, token_file=credentials / "operator.token")
            .create(SMOKE, id="mine")
            .id,
            "mine",
        )
        self.refused(grpc.StatusCode.UNAUTHENTICATED, "", self.client(address).get, "mine")

    # The package.

    def test_pip_installs_it_without_a_network(self):
        tools = [sys.executable, "-m", "pip", "--version"], [
            sys.executable,
            "-c",
            "import setuptools, wheel",
        ]
        for tool in tools:
            if subprocess.run(tool, capture_output=True).returncode != 0:
                self.skipTest(f"python3-pip is not installed: {' '.join(tool)}")
        before = sorted(SOURCE.rglob("*"))
        target = self.folder / "target"
        environment = {
            **os.environ,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PYTHONPATH": "",
        }
        subprocess.run(
            [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", self.folder / "sdist"],
            cwd=SOURCE,
            check=True,
            capture_output=True,
            env=environment,
            timeout=300,
        )
        archive = next((self.folder / "sdist").glob("*.tar.gz"))
        for source, folder in ((SOURCE, target), (archive, self.folder / "from-sdist")):
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--no-build-isolation",
                    "--no-deps",
                    "--no-index",
                    "--target",
                    folder,
                    source,
                ],
                capture_output=True,
                text=True,
                env=environment,
                timeout=300,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            files = {
                path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
            }
            for name in (
                "py.typed",
                "client.py",
                "v1/experiment_service_pb2.py",
                "v1/experiment_service_pb2.pyi",
                "v1/experiment_service_pb2_grpc.py",
                "v1/spec_pb2.pyi",
                "rpc/status_pb2.py",
            ):
                self.assertIn(f"mentor_client/{name}", files)
        metadata = next(target.glob("mentor_client-*.dist-info/METADATA")).read_text()
        for wanted in ("protobuf", "grpcio"):
            self.assertRegex(metadata, rf"Requires-Dist: {wanted} ?\(?>=")
        self.assertEqual(
            sorted(
                path
                for path in SOURCE.rglob("*")
                if path.suffix != ".pyc" and path.name != "__pycache__"
            ),
            [path for path in before if path.suffix != ".pyc" and path.name != "__pycache__"],
            "the sources were written to",
        )

        # Beside other packages' stubs: the google.rpc of everyone, and options with our numbers.
        foreign = self.folder / "foreign"
        (foreign / "google" / "rpc").mkdir(parents=True)
        (foreign / "google" / "rpc" / "status.proto").write_text(
            'syntax = "proto3"; package google.rpc; message Status { int32 code = 1; string other '
            "= 7; }"
        )
        (foreign / "options.proto").write_text(
            'syntax = "proto2"; package foreign; import "google/protobuf/descriptor.proto";'
            "extend google.protobuf.FieldOptions { optional int32 a = 50001; }"
            "extend google.protobuf.MethodOptions { optional int32 b = 50001; }"
        )
        subprocess.run(
            [
                "protoc",
                "-I",
                foreign,
                f"--python_out={foreign}",
                "google/rpc/status.proto",
                "options.proto",
            ],
            check=True,
        )
        (foreign / "google" / "rpc" / "status_pb2.py").rename(foreign / "status_pb2.py")
        code = (
            "import status_pb2, options_pb2, mentor_client; "
            "print(mentor_client.__file__, mentor_client.Client('127.0.0.1:1'))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": f"{target}:{foreign}"},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(str(target), done.stdout)

    def test_names_are_those_of_the_servers(self):
        from mentor_client import experiment, names
        from mentor_client.v1 import experiment_pb2

        examples = json.loads((DATA / "resource_names.json").read_text())
        for id in examples["ids"]:
            name = names.experiment_name(id)
            self.assertEqual(name, f"experiments/{id}")
            self.assertEqual(names.experiment_name(name), name)
        for file in examples["files"]:
            parsed = names.parse_file_name(file["name"])
            expected = (file["experiment"], file["collection"], file["rest"])
            self.assertEqual(parsed, expected)
        for name in examples["not_files"]:
            self.assertIsNone(names.parse_file_name(name), name)
        states = [
            name[len("STATE_") :]
            for name, number in experiment_pb2.Experiment.State.items()
            if number
        ]
        self.assertEqual(sorted(states), examples["states"])
        self.assertEqual(sorted(experiment.FINAL), examples["final_states"])

    def test_bundles(self):
        address = self.service()
        folder = self.folder / "my_robot"
        (folder / "meshes").mkdir(parents=True)
        (folder / "robot.xml").write_text("<mujoco/>")
        (folder / "meshes" / "arm.stl").write_bytes(bytes(range(256)) * 6000)
        with Client(address) as client:
            name = client.push_bundle(folder)
            self.assertRegex(name, "^sha256:[0-9a-f]{64}$")
            self.assertEqual(client.push_bundle(folder), name)
            (bundle,) = client.bundles()
            self.assertEqual(bundle.name, name)
            self.assertEqual((bundle.size_bytes, bundle.file_count), (1536009, 2))
            # The same name, and the same bytes, for the command line.
            copy = self.folder / "copy"
            self.mentorctl(address, "bundles", "pull", folder, copy)
            # Both leave out files of editors and version control, and both report them.
            (copy / ".git" / "objects").mkdir(parents=True)
            (copy / ".git" / "objects" / "x").write_text("x")
            for rest in ("robot.xml~", ".robot.xml.swp"):
                (copy / rest).write_text("x")
            (copy / ".#robot.xml").symlink_to("ann@host.1:2")
            left_out = "left out of the bundle: .#robot.xml, .git/, .robot.xml.swp, robot.xml~"
            with self.assertLogs("mentor_client", "WARNING") as logs:
                self.assertEqual(client.push_bundle(copy), name)
            self.assertIn(left_out, logs.output[0])
            pushed = self.mentorctl(address, "bundles", "push", copy)
            self.assertIn(left_out, pushed)
            self.assertEqual(client.push_bundle(copy), name)
            client.delete_bundle(name)
            self.assertEqual(client.bundles(), [])
            with self.assertRaises(MentorError) as gone:
                client.delete_bundle(name)
            self.assertEqual(gone.exception.reason, "NOT_FOUND")
            client.delete_bundle(name, allow_missing=True)
            for wrong in ("my_robot", "sha256:../" + "0" * 61):
                with self.assertRaises(MentorError) as error:
                    client.delete_bundle(wrong)
                self.assertEqual(error.exception.reason, "INVALID_FIELD")
            (folder / "leak").symlink_to("/etc/passwd")
            (folder / "again").symlink_to("meshes")
            with self.assertRaises(MentorError) as error:
                client.push_bundle(folder)
            self.assertIn("'leak': is a symbolic link that leaves", str(error.exception))
            self.assertIn("'again': is a symbolic link to a folder", str(error.exception))

    def test_every_method_of_the_service_is_used(self):
        from mentor_client.v1 import experiment_service_pb2 as wire

        methods = wire.DESCRIPTOR.services_by_name["ExperimentService"].methods_by_name
        text = "".join(path.read_text() for path in (SOURCE / "mentor_client").glob("*.py"))
        self.assertEqual([name for name in methods if f'"{name}"' not in text], ["GetCheckpoint"])
        from mentor_client.v1 import bundle_service_pb2 as bundles

        methods = bundles.DESCRIPTOR.services_by_name["BundleService"].methods_by_name
        self.assertEqual(
            [name for name in methods if f'"{name}"' not in text], ["GetBundle", "FetchBundle"]
        )

    def test_the_example(self):
        out = self.folder / "curve.svg"
        done = subprocess.run(
            [
                sys.executable,
                EXAMPLES / "submit_watch_plot.py",
                *("--server", self.service(), "--out", out, "--timeout", "200"),
                *sets("rule.outer_updates=3", "evaluation.goals=8"),
            ],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env={**os.environ, "PYTHONPATH": str(FOLDER)},
        )
        self.assertRegex(done.stdout, "update [0-3] of 3", done.stderr)
        with open(out.with_suffix(".csv")) as file:
            rows = list(csv.reader(file))
        self.assertEqual([row[0] for row in rows], ["outer_update", "1", "2", "3"])
        if out.exists():
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("<svg", out.read_text()[:2000])
        else:
            self.assertEqual(done.returncode, 1)
            self.assertIn("pip install matplotlib", done.stderr)


if __name__ == "__main__":
    import unittest

    unittest.main()
