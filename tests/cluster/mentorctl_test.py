"""The command line against a real meta-learner, learner and actor."""

import hashlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

from harness import BIN, SIGINT, SIGTERM, SLOWLY, SMOKE, ClusterTest, sets

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


class MentorctlTest(ClusterTest):
    def cluster(self, work=True):
        return self.start_service(threads=2 if work else 0)[1]

    def test_an_experiment_from_create_to_delete(self):
        address = self.cluster()

        def ctl(*arguments, code=0):
            return self.mentorctl(address, *arguments, code=code)

        ctl(
            "create",
            "-f",
            SMOKE,
            "--id",
            "one",
            "--label",
            "team=a",
            "--priority",
            "high",
            "--wait",
        )
        ctl("wait", "one", "--within", "60s")
        self.assertEqual(
            ctl("list", "--label", "team=a", "--state", "succeeded", "--output", "name"),
            "experiments/one",
        )
        self.assertEqual(ctl("list", "--filter", "priority=LOW", "--output", "name"), "")
        ctl("update", "one", "--label", "team-", "--title", "a new title")
        one = self.get(address, "one")
        self.assertNotIn("labels", one)
        self.assertEqual(one["displayName"], "a new title")
        self.assertEqual(one["priority"], "PRIORITY_HIGH")
        ctl("pause", "one", code=5)
        ctl("list", "--filter", "bogus=1", code=2)
        self.assertIn("experiment succeeded", ctl("logs", "one"))

        progress = one["progress"]
        # The value after the last lifetimes, not that of an earlier report.
        self.assertGreater(progress["evaluationLifetimes"], 0)
        self.assertEqual(progress["evaluationLifetimes"], progress["evaluationLifetimesTotal"])
        self.assertNotIn("envStepsPerSecond", progress)
        self.assertNotIn("secondsLeft", progress)  # 0 is left out.
        self.assertNotIn(" left", ctl("get", "one"))
        watched = json.loads(ctl("watch", "one", "--output", "json").splitlines()[-1])
        self.assertEqual(watched["progress"], progress)
        updates = progress["outerUpdates"]
        table = ctl("metrics", "one", "meta_return", "--csv").splitlines()
        self.assertEqual(table[0], "step,meta_return")
        self.assertEqual(
            [int(line.split(",")[0]) for line in table[1:]], list(range(1, updates + 1))
        )

        checkpoints = [
            json.loads(line) for line in ctl("checkpoints", "one", "--output", "json").splitlines()
        ]
        newest = checkpoints[-1]
        file = self.folder / "newest.ckpt"
        # A partial file of an earlier download, cut anywhere, does not change the result.
        said = ctl("download", "one", "--out", file)
        whole = file.read_bytes()
        self.assertEqual(whole, self.checkpoints(self.folder / "state")[-1].read_bytes())
        self.assertIn(hashlib.sha256(whole).hexdigest(), said)
        part = pathlib.Path(f"{file}.part")
        part.write_bytes(whole[:1000])
        self.assertIn("continues at byte 1000", ctl("download", "one", "--out", file, "--force"))
        self.assertEqual(file.read_bytes(), whole)
        part.write_bytes(b"something else" * 10000)
        ctl("download", "one", "--out", file, "--force")
        self.assertEqual(file.read_bytes(), whole)
        ctl("checkpoints", "one", "--pin", newest["outerStep"])
        self.assertTrue(
            json.loads(ctl("checkpoints", "one", "--output", "json").splitlines()[-1])["pinned"]
        )
        ctl("download", "one/artifacts/spec.txtpb", "--out", self.folder / "spec.txtpb")

        # The submitted spec can be submitted again, and is recognised.
        (self.folder / "one.txtpb").write_text(ctl("get", "one", "--spec"))
        self.assertEqual(ctl("apply", "-f", self.folder / "one.txtpb"), "experiments/one unchanged")
        self.assertIn(
            "another spec",
            ctl("apply", "-f", self.folder / "one.txtpb", *sets("seed=99"), code=5),
        )

        more = f"rule.outer_updates={updates + 2}"
        ctl("clone", "one", "--id", "two", *sets(more), "--wait")
        two = self.get(address, "two")
        self.assertEqual(two["sourceCheckpoint"], newest["name"])
        self.assertEqual(two["progress"]["outerUpdates"], updates + 2)
        # A state with several experiments has a line for each.
        lines = self.run_to_end("mentor", "hash", self.folder / "state").splitlines()
        self.assertEqual([line.split()[1] for line in lines], ["one", "two"])
        for line in lines:
            state_hash, _, folder = line.split()
            self.assertEqual(self.hash(folder), state_hash)
        said = self.run_to_end("mentor", "report", self.folder / "state", code=2)
        self.assertIn("holds 2 experiments; name the folder of one:", said)
        self.assertIn(f"{two['uid']}  two", said)
        ctl("delete", "one", "two")
        ctl("get", "one", code=3)
        self.wait_until(lambda: "actors/" in ctl("peers"), "the fleet's report")
        self.assertIn("good  server: ", ctl("doctor"))

    def test_names_that_there_are_not_get_the_nearest(self):
        address = self.cluster(work=False)

        def ctl(*arguments, code=0):
            return self.mentorctl(address, *arguments, code=code)

        wrong = ctl("create", "-f", SMOKE, *sets("rule.learning_rat=1"), code=2)
        self.assertIn("did you mean 'learning_rate'?", wrong)
        wrong = ctl("create", "-f", SMOKE, *sets("rule.outer_update=1"), code=2)
        self.assertIn("did you mean the field 'rule.outer_updates'?", wrong)
        self.assertEqual(ctl("list", "--output", "name"), "")
        ctl("create", "-f", SMOKE, "--id", "one")
        wrong = ctl("metrics", "one", "meta_retrun", code=3)
        self.assertIn("did you mean 'meta_return'?", wrong)

    def test_the_history_of_an_experiment(self):
        state = self.folder / "state"
        meta_learner, address = self.start_meta_learner(state)
        self.create_experiment(address, "one", *sets("rule.outer_updates=1000000"))
        self.wait_until(
            lambda: re.search(
                r"RUNNING +0/\d+ +waits for learners", self.mentorctl(address, "list")
            ),
            "a list that says what it waits for",
        )
        learner, _, (actor,) = self.start_workers(address, 2, env=SLOWLY)

        def events(what):
            lines = self.mentorctl(address, "logs", "one", "--output", "json").splitlines()
            found = [json.loads(line).get("fields", {}) for line in lines]
            return [fields for fields in found if fields.get("event") == what]

        self.wait_until(lambda: events("updates"), "an outer update")
        self.assertEqual(len(events("learner_joined")), 1)
        self.assertTrue(events("admitted"))
        self.assertEqual(events("changed")[0]["method"], "CreateExperiment")
        learner.kill()
        actor.kill()
        self.wait_until(lambda: events("learner_left"), "a learner that went")
        self.assertEqual(
            events("learner_left")[0]["learner"], events("learner_joined")[0]["learner"]
        )
        meta_learner.kill()
        self.start_meta_learner(state, address)
        self.wait_until(lambda: events("taken_over"), "the next meta-learner")
        self.mentorctl(address, "pause", "one")
        self.mentorctl(address, "wait", "one", "--for=PAUSED", "--within", "60s")
        self.assertEqual(events("changed")[-1]["method"], "PauseExperiment")
        shown = self.mentorctl(address, "get", "one")
        self.assertIn("\nEvents     ('mentorctl logs one' has all)\n", shown)
        self.assertRegex(shown, r"ago +Pause by ")
        self.assertRegex(shown, r"ago +outer updates: \d+ of 1000000: meta_return \S+, checkpoint ")

    def test_pause_resume_cancel_and_the_fleet(self):
        address = self.cluster(work=False)

        def ctl(*arguments, code=0):
            return self.mentorctl(address, *arguments, code=code)

        ctl("create", "-f", SMOKE, "--id", "one")
        ctl("wait", "one", "--for=RUNNING", "--within", "60s")
        ctl("pause", "one")
        ctl("wait", "one", "--for=PAUSED", "--within", "60s")
        self.assertIn("mentorctl resume", ctl("top", "--once"))
        watch = subprocess.Popen(
            [BIN / "mentorctl", "--server", address, "watch"], stdout=subprocess.PIPE
        )
        self.addCleanup(watch.kill)
        self.assertIn(b"PAUSED", watch.stdout.readline())
        watch.stdout.close()
        ctl("resume", "one")
        ctl("wait", "one", "--for=RUNNING", "--within", "60s")
        self.assertEqual(watch.wait(60), -signal.SIGPIPE)  # It ends with its reader.
        ctl("delete", "one", code=5)
        ctl("cancel", "one", "--reason", "a test")
        ctl("wait", "one", "--within", "60s", code=7)
        self.assertRegex(ctl("get", "one"), r"Reason +a test\n")
        doctor = ctl("doctor", code=1)
        self.assertIn("bad  learners: no learner is connected", doctor)

        learner, learner_address, (actor,) = self.start_workers(address, 2)
        self.wait_until(lambda: "actors/" in ctl("peers"), "an actor")
        ctl("doctor")
        name = ctl("peers", "--output", "name").splitlines()[0]
        # The logs and the list have the same name.
        self.assertEqual(actor.wait_for(r'"learner":"(learners/\S+?)"').group(1), name)
        leaving = self.start_actor(learner_address)
        self.wait_until(lambda: ctl("peers", "--output", "name").count("actors/") == 2, "two")
        self.assertIn("at least one character", ctl("drain", "actors/", code=2))
        for other in ctl("peers", "--output", "name").splitlines()[1:]:
            ctl("drain", other)
        for process in (actor, leaving):
            self.assertEqual(process.wait(60), 0, process.output())
        ctl("drain", name[: len("learners/") + 8])
        self.assertEqual(learner.wait(60), 0, learner.output())
        for process in (actor, leaving, learner):
            self.assertIn('"msg":"drained"', process.output())
            # It received no signal.
            self.assertNotIn('"signal"', process.wait_for(".*stopping.*").group(0))

    def test_watch_over_kill_9_of_the_server(self):
        state = self.folder / "state"
        meta_learner, address = self.start_meta_learner(state)
        self.create_experiment(address, "one")
        watch = self.start("mentorctl", "--server", address, "watch", "one", "--output", "json")
        watch.wait_for('"name":"experiments/one"')
        meta_learner.kill()
        watch.wait_for("lost the server")
        self.start_meta_learner(state, address)
        self.start_workers(address, 2)
        self.assertEqual(watch.wait(), 0)
        self.assertIn("STATE_SUCCEEDED", watch.output())

    def top(self, address):
        """Starts mentorctl top on its own terminal; returns the process and the terminal's other
        end."""
        main, child_end = pty.openpty()
        process = subprocess.Popen(
            [BIN / "mentorctl", "--server", address, "top"],
            stdin=child_end,
            stdout=child_end,
            stderr=child_end,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(child_end)

        def clean():
            if process.poll() is None:
                process.kill()
            process.wait(10)
            os.close(main)

        self.addCleanup(clean)
        return process, main

    def read_until(self, main, pattern, deadline_s=30):
        """Returns the output up to the pattern, or until the other side is closed."""
        text, end = b"", time.monotonic() + deadline_s
        while pattern not in text:
            left = end - time.monotonic()
            self.assertGreater(left, 0, text)
            if select.select([main], [], [], left)[0]:
                try:
                    text += os.read(main, 65536)
                except OSError:  # Closed.
                    break
        self.assertIn(pattern, text)
        return text

    def test_top_gives_the_terminal_back(self):
        address = self.cluster(work=False)
        self.create_experiment(address, "one")
        for end, code in ((b"q", 0), (SIGINT, 130), (SIGTERM, 130), (signal.SIGHUP, 130)):
            process, main = self.top(address)
            shown = self.read_until(main, b"EXPERIMENT")
            self.assertIn(ENTER, shown)
            self.read_until(main, b"one ")
            self.read_until(main, b"\x1b[H")  # A second picture.
            if isinstance(end, bytes):
                os.write(main, end)
            else:
                process.send_signal(end)
            self.read_until(main, LEAVE)
            self.assertEqual(process.wait(10), code)
