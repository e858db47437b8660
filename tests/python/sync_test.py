"""mentor-sync: each logger gets every value of a run or an experiment once, whatever ended the
program before."""

import collections
import csv
import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys

import studies

from harness import SMOKE, ClusterTest, sets

GIF = (
    b"GIF89a\x02\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x00\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x02\x00\x01\x00\x00\x02\x02\x0c\n\x00;"
)
LONG = 40  # Outer updates of the made-up run: several calls of each logger.


def setUpModule():
    global RUN, LONG_RUN, shared
    studies.Programs.CLIENT = studies.require()
    shared = SyncTest.alone()
    case = shared.__enter__()
    RUN, LONG_RUN = case.folder / "reach", case.folder / "long"
    case.run_spec(RUN, report=True)
    (RUN / "life.gif").write_bytes(GIF)
    shutil.copytree(RUN, LONG_RUN)
    rows = table(RUN)
    with open(LONG_RUN / "metrics.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for step in range(1, LONG + 1):
            row = rows[(step - 1) % len(rows)]
            writer.writerow({**row, "outer_update": step, "env_steps": 960 * step})


def tearDownModule():
    shared.__exit__(None, None, None)


def table(run):
    with open(run / "metrics.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def expected(run):
    """Points by (tag, step), on both axes."""
    points = {}
    for row in table(run):
        step, env_steps = int(row.pop("outer_update")), int(row.pop("env_steps"))
        points["env_steps", step] = env_steps
        for name, value in row.items():
            if value:
                points[name, step] = float(value)
                points[f"by_env_steps/{name}", env_steps] = float(value)
    return points


def wandb_records(file):
    """The records of an offline run: the form of LevelDB's logs."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = file.read_bytes(), 7, []
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # Whole, or the last part.
            yield wandb_internal_pb2.Record.FromString(b"".join(parts))
            parts = []


def on_board(name):
    from mentor_client.sync.tensorboard_logger import grouped

    return name if name.startswith("by_env_steps/") else grouped(name)


class Synced(studies.Programs, ClusterTest):
    def sync(self, *arguments, **options):
        return self.program("sync", *arguments, **options)

    # Returns the content of the loggers as a count of (tag, step), and the last value of each.

    def board(self):
        from tensorboard.backend.event_processing import event_file_loader
        from tensorboard.compat.proto import event_pb2

        counts, values = collections.Counter(), {}
        for file in sorted(self.folder.glob("tensorboard/*/events.*")):
            for record in event_file_loader.RawEventFileLoader(str(file)).Load():
                event = event_pb2.Event.FromString(record)
                for value in event.summary.value:
                    counts[value.tag, event.step] += 1
                    if value.HasField("simple_value"):
                        values[value.tag, event.step] = value.simple_value
        return counts, values

    def described(self):
        """What TensorBoard's plugins see: the settings, and the texts by tag."""
        from tensorboard.backend.event_processing import event_file_loader
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.hparams import metadata

        settings, texts = None, {}
        for file in sorted(self.folder.glob("tensorboard/*/events.*")):
            for record in event_file_loader.RawEventFileLoader(str(file)).Load():
                for value in event_pb2.Event.FromString(record).summary.value:
                    plugin = value.metadata.plugin_data
                    if plugin.plugin_name == "hparams":
                        settings = metadata.parse_session_start_info_plugin_data(plugin.content)
                    elif plugin.plugin_name == "text":
                        texts[value.tag] = value.tensor.string_val[0].decode()
        return settings, texts

    def mlflow(self):
        counts, values = collections.Counter(), {}
        database = sqlite3.connect(self.folder / "mlflow.db")
        for key, step, value in database.execute(
            "SELECT key, step, value FROM metrics JOIN runs USING (run_uuid) "
            "WHERE lifecycle_stage = 'active'"
        ):
            counts[key, step] += 1
            values[key, step] = value
        database.close()
        return counts, values

    def wandb(self):
        counts, values = collections.Counter(), {}
        folders = list(self.folder.glob("wandb/offline-run-*"))
        self.assertEqual(len(folders), 1, folders)
        (file,) = folders[0].glob("*.wandb")
        for record in wandb_records(file):
            if record.WhichOneof("record_type") == "history":
                row = {
                    item.key or item.nested_key[0]: json.loads(item.value_json)
                    for item in record.history.item
                }
                for name, value in row.items():
                    if not name.startswith("_") and isinstance(value, (int, float)):
                        counts[name, row["_step"]] += 1
                        values[name, row["_step"]] = value
        return counts, values

    def check_board(self, run, counts, values):
        self.check_points(run, counts, values, tag=on_board)

    def check_points(self, run, counts, values, axes=2, tag=lambda name: name):
        wanted = {(tag(name), step): value for (name, step), value in expected(run).items()}
        if axes == 1:
            wanted = {key: one for key, one in wanted.items() if "by_env_steps" not in key[0]}
        for key, value in wanted.items():
            self.assertEqual(counts[key], 1, key)
            self.assertAlmostEqual(values[key] / (value or 1), value / (value or 1), 5, key)
        twice = {key: count for key, count in counts.items() if count != 1}
        self.assertEqual(twice, {})

    def check_evaluation(self, values):
        """Compares with the tables of the report."""
        with open(RUN / "report" / "evaluation.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 36)
        names = {"learned (best)": "learned_best", "PPO sparse": "ppo_sparse"}
        names.update({"learned": "learned", "PPO shaped": "ppo_shaped"})
        for row in rows:
            tag = f"evaluation/{row['split']}/{names[row['method']]}/{row['quantity']}"
            self.assertAlmostEqual(values[tag, 4], float(row["mean"]), 5, tag)


class SyncTest(Synced):
    def test_everything_is_in_tensorboard_once(self):
        said = self.sync("tensorboard", RUN)
        self.assertIn("4 new of 4 outer updates", said)
        self.assertIn("0 new of 4", self.sync("tensorboard", RUN))
        counts, values = self.board()
        self.check_board(RUN, counts, values)
        self.check_evaluation(values)
        self.assertIn(("films/life", 0), counts)
        self.assertIn(("_hparams_/session_start_info", 0), counts)
        episodes = [
            step for tag, step in counts if tag == "evaluation/test/ppo_shaped/return_by_episode"
        ]
        self.assertEqual(sorted(episodes), list(range(1, 13)))

    def test_groups_are_those_of_the_declarations(self):
        from mentor_client.sync.tensorboard_logger import grouped

        declared = studies.package.ROOT / "tests" / "data" / "experiment_metrics.txt"
        lines = declared.read_text(encoding="utf-8").splitlines()
        for part, name, unit, *_ in (one.split(" | ") for one in lines if not one.startswith("#")):
            group = "outer" if part != "experiment" else "lifetimes" if unit == "1" else "time"
            metric = name.replace("*", "3")
            self.assertEqual(grouped(metric), f"{group}/{metric}", part)

    def test_what_is_wrong_comes_with_a_remedy(self):
        for logger in ("mlflow", "wandb", "tensorboard"):
            said = self.sync(logger, RUN, code=5, libraries=False)
            self.assertIn(f"pip install './python[{logger}]'", said)
        said = self.sync("mlflow", "runs/nothing", code=3, libraries=False)
        self.assertIn("there is no folder runs/nothing", said)
        self.assertIn("is not a run", self.sync("wandb", self.folder, code=3, libraries=False))
        said = self.sync("wandb", "x", "--server", "127.0.0.1:1", code=6, libraries=False)
        self.assertIn("mentor-meta-learner --state state", said)
        self.assertIn("examples:", self.program("sync", "--help"))


class LoggersTest(Synced):  # Nightly
    def test_everything_is_in_mlflow_once(self):
        self.assertIn("4 new of 4 outer updates", self.sync("mlflow", RUN))
        self.assertIn("0 new of 4", self.sync("mlflow", RUN, "--tracking-uri=sqlite:///mlflow.db"))
        counts, values = self.mlflow()
        self.check_points(RUN, counts, values)
        self.check_evaluation(values)
        import mlflow

        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{self.folder}/mlflow.db")
        (run,) = client.search_runs([client.get_experiment_by_name("mentor").experiment_id])
        self.assertEqual(run.info.status, "FINISHED")
        self.assertEqual(run.data.params["rule.learning_rate"], "3e-3")
        self.assertEqual(run.data.params["lifetime.iterations"], "3")
        self.assertEqual(run.data.tags["mentor.state"], "SUCCEEDED")
        self.assertEqual(run.data.tags["mentor.benchmark"], "point_reach")
        files = {path.name for path in self.folder.glob("mlruns/**/artifacts/**/*")}
        self.assertLessEqual({"spec.txtpb", "life.gif"}, files)

    def test_everything_is_in_wandb_once(self):
        self.assertIn("wandb sync", self.sync("wandb", RUN))
        self.sync("wandb", RUN)
        counts, values = self.wandb()
        self.check_points(RUN, counts, values, axes=1)
        self.assertIn("evaluation/test/learned/success_by_episode", {tag for tag, _ in counts})
        (file,) = self.folder.glob("wandb/offline-run-*/*.wandb")
        text = file.read_bytes()
        for part in (b"rule.learning_rate", b"evaluation/test/learned/seg0", b"films/life"):
            self.assertIn(part, text)
        self.assertEqual(list(self.folder.glob("wandb/.mentor-*")), [])

    def test_killed_anywhere_it_goes_on(self):
        writer = "tensorboard.summary.writer.event_file_writer:EventFileWriter"
        client = "mlflow.tracking:MlflowClient"
        for logger, method, places in (
            ("tensorboard", f"{writer}.add_event", [("before", 1), ("after", 9), ("before", 60)]),
            ("tensorboard", f"{writer}.flush", [("after", 3)]),
            ("mlflow", f"{client}.create_run", [("before", 1), ("after", 1)]),
            ("mlflow", f"{client}.log_batch", [("after", 4), ("before", 3), ("after", 2)]),
            ("wandb", "wandb:Run.log", [("before", 1), ("after", 17), ("after", 41)]),
            ("wandb", "wandb:Run.finish", [("before", 1)]),
        ):
            for place, number in places:
                with self.subTest(f"{place} {logger} {method} {number}"):
                    self.sync(logger, LONG_RUN, code=-9, kill=(method, place, number))
        for logger, read in (
            ("tensorboard", self.board),
            ("mlflow", self.mlflow),
            ("wandb", self.wandb),
        ):
            with self.subTest(logger):
                self.sync(logger, LONG_RUN)
                if logger == "tensorboard":
                    self.check_board(LONG_RUN, *read())
                else:
                    self.check_points(LONG_RUN, *read(), axes=1 if logger == "wandb" else 2)

    def test_an_experiment_is_followed_through_kills(self):
        _, address = self.start_meta_learner(self.folder / "state")
        updates = 300  # The run continues while the program is started three times.
        changed = sets(f"rule.outer_updates={updates}", "evaluation.goals=2")
        self.create_experiment(address, "live", *changed, "--label", "team=a")
        arguments = ["tensorboard", "live", "--follow", "--server", address]
        follower = self.begin("sync", *arguments)
        self.wait_until(lambda: "0 new" in follower.stdout.readline(), "a sync of a queued one")
        self.assertIn("at work already", self.sync(*arguments, code=5))
        self.start_workers(address, 1)
        for _ in range(2):
            while not follower.stdout.readline().startswith("outer update"):
                self.assertIsNone(follower.poll(), "it ended before it could be killed")
            follower.send_signal(signal.SIGKILL)
            follower.wait(10)
            follower = self.begin("sync", *arguments)
        output, _ = follower.communicate(timeout=400)
        self.assertEqual(follower.returncode, 0, output)
        self.assertIn("SUCCEEDED", output)
        counts, values = self.board()
        self.assertEqual({key: count for key, count in counts.items() if count != 1}, {})
        steps = sorted(step for tag, step in counts if tag == "lifetimes/meta_return")
        self.assertEqual(steps, list(range(1, updates + 1)))
        self.assertEqual(
            len([1 for tag, _ in counts if tag == "by_env_steps/meta_return"]), updates
        )
        self.assertIn(("evaluation/test/learned/seg0", updates), values)

        # A fetched experiment has the same values, so nothing is new.
        self.run_to_end(
            "mentor", "fetch", "live", "--server", address, "--out", self.folder / "out"
        )
        self.assertEqual(len(table(self.folder / "out")), updates)
        said = self.sync("tensorboard", self.folder / "out")
        self.assertIn(f"0 new of {updates} outer updates", said)

    def test_a_folder_of_wandb_that_is_cut(self):
        from mentor_client.sync.wandb_logger import WandbLogger

        self.sync("wandb", LONG_RUN)
        (file,) = self.folder.glob("wandb/offline-run-*/*.wandb")
        self.assertTrue(WandbLogger.is_whole(file))
        data = file.read_bytes()
        for size in (7, 4096, len(data) // 2, 32768, len(data) - 8):
            file.write_bytes(data[:size])
            self.assertFalse(WandbLogger.is_whole(file), size)

    def test_a_run_writes_it_while_it_is_at_work(self):
        """`mentor run --tensorboard`."""
        program = self.folder / "bin/mentor-sync"
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\nimport sys\n\nfrom mentor_client.sync.main import main\n\n"
            "sys.exit(main())\n"
        )
        program.chmod(0o755)
        run, updates = self.folder / "run", 300
        command = ["mentor", "run", SMOKE, "--out", run, "--quiet", "--no_report"]
        command += ["--tensorboard", self.folder / "tensorboard"]
        command += sets(f"rule.outer_updates={updates}", "evaluation.goals=2")
        path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        live = self.start(*command, env=self.environment(**path))
        self.wait_until(lambda: ("lifetimes/env_steps", 1) in self.board()[1], "a point")
        live.kill()
        self.run_to_end(*command, env=self.environment(**path), deadline_s=400)
        counts, values = self.board()
        self.check_board(run, counts, values)
        self.assertEqual(len(table(run)), updates)
        self.assertIn(("evaluation/test/learned/seg0", updates), values)
        settings, texts = self.described()
        self.assertIn("rule.learning_rate", settings.hparams)
        self.assertIn("point_reach", texts["spec"])
        # What is missing is said before the work.
        command[4] = self.folder / "other"
        without = self.environment(libraries=False, **path)
        said = self.run_to_end(*command, env=without, code=1)
        self.assertIn("pip install './python[tensorboard]'", said)
        self.assertIn("--tensorboard: mentor-sync ended with status 5", said)
        said = self.run_to_end(*command, env={"PATH": "/usr/bin:/bin"}, code=2)
        self.assertIn("pip install 'mentor_client[tensorboard]'", said)
        self.assertFalse((run.parent / "other/metrics.csv").exists())

    def test_a_run_is_followed_to_its_end(self):
        run = self.folder / "run"
        process = self.start_run(run, *sets("rule.outer_updates=40"))
        self.wait_until((run / "metrics.csv").exists, "the first row")
        said = self.sync("tensorboard", run, "--follow")
        self.assertIn("SUCCEEDED", said)
        self.assertEqual(process.child.wait(timeout=60), 0)
        counts, values = self.board()
        self.check_board(run, counts, values)
        self.assertEqual(len(table(run)), 40)
        self.assertIn(("evaluation/test/learned/seg0", 40), values)

    def test_a_damaged_run(self):
        def damaged(name, change, code=1):
            run = self.folder / "damaged"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(RUN, run)
            (file,) = run.glob(name)
            file.write_bytes(change(file.read_bytes()))
            said = self.sync("tensorboard", run, "--logdir", self.folder / "boards", code=code)
            self.assertNotIn("Traceback", said)
            return said

        rows = "metrics.csv, line"
        self.assertIn(rows, damaged("metrics.csv", lambda data: b"\xff\xfe\n\x00,1\n"))
        self.assertIn(rows, damaged("metrics.csv", lambda data: data[:-1] + b",1\n"))
        self.assertIn(rows, damaged("metrics.csv", lambda data: data.replace(b"\n1,", b"\n1,x", 1)))
        said = damaged("experiments/*/experiment.txtpb", lambda data: b"")
        self.assertIn("does not say which experiment it is of", said)
        said = damaged("experiments/*/experiment.txtpb", lambda data: data[:-9] + b"1" + data[-8:])
        self.assertIn("experiment.txtpb is damaged: its SHA-256 is not the one", said)
        name = self.folder / os.fsdecode(b"no \xff UTF-8")
        shutil.copytree(RUN, name)
        self.assertIn("4 new of 4", self.sync("tensorboard", name))

    def test_a_reader_that_has_gone_ends_it_in_silence(self):
        for printed in ("print('x', flush=True)", "print('x')"):
            with self.subTest(printed):
                code = "import sys; from mentor_client import command\n"
                code += f"sys.exit(command.run('program', lambda: {printed} or 0))"
                reader, writer = os.pipe()
                os.close(reader)
                with open(writer, "wb") as output:
                    done = subprocess.run(
                        [sys.executable, "-c", code],
                        stdout=output,
                        stderr=subprocess.PIPE,
                        timeout=100,
                        env=self.environment(),
                    )
                self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, b""))


if __name__ == "__main__":
    import unittest

    unittest.main()
