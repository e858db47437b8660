"""Environments in other processes, through the real programs. The hash is the same with killed
actors. Units wait for an actor that offers their host, and hosts end with their actor."""

import pathlib
import re
import shutil
import signal
import subprocess
import sys
import unittest

from harness import BIN, ROOT, SMOKE, ClusterTest, sets

sys.path.insert(0, str(ROOT / "tests" / "python"))
import gym_host  # noqa: E402

HOSTS = BIN.parent / "tests"
BLOCK = f"block={HOSTS / 'example_host'}"


def of_host(host, **options):
    """Returns the smoke spec's benchmark in a host's environment."""
    lines = "".join(
        f'option {{ name: "{name}" value: "{value}" }}\n'
        for name, value in {"host": host, **options}.items()
    )
    return re.sub(
        r"benchmark \{.*?\n\}",
        lambda match: 'benchmark {\nname: "single"\nenvironment: "host"\n' + lines + "}",
        SMOKE.read_text(),
        count=1,
        flags=re.S,
    )


def processes_of(program):
    """Returns the pids whose command names the program."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if state != "Z" and str(program).encode() in words:
                found.append(int(entry.name))
    return found


class HostsTest(ClusterTest):
    def spec(self, text, name="hosted.txtpb"):
        path = self.folder / name
        path.write_text(text)
        return path

    def with_facts(self, spec, *hosts):
        """Writes the spec as a service takes it into a file beside it."""
        flags = [word for host in hosts for word in ("--host", host)]
        done = subprocess.run(
            [BIN / "mentor", "run", spec, "--check", *flags], capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return HostsTest.spec(self, done.stdout, f"whole_{pathlib.Path(spec).name}")

    def cluster(self, *hosts):
        state = self.folder / "state"
        _, meta_address = self.start_meta_learner(state)
        _, learner_address = self.start_learner(meta_address)
        return state, meta_address, learner_address

    def test_the_same_hash_with_actors_killed(self):
        spec = self.spec(of_host("block"))
        longer = sets("rule.outer_updates=40")
        alone = self.run_hash(
            self.folder / "long", "--host", BLOCK, "--threads", 2, *longer, spec=spec
        )
        whole = self.with_facts(spec, BLOCK)
        state, meta_address, learner_address = self.cluster()
        actors = [self.start_actor(learner_address, 1, "--host", BLOCK) for _ in range(2)]
        self.create_experiment(meta_address, "hosted", *longer, spec=whole)
        for count in (3, 9, 18):
            self.wait_for_checkpoints(state, count)
            actors.pop(0).kill()
            actors.append(self.start_actor(learner_address, 1, "--host", BLOCK))
        self.wait_for_state(meta_address, "hosted", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), alone)

    def test_units_wait_for_who_offers_their_host(self):  # Nightly
        whole = self.with_facts(self.spec(of_host("block")), BLOCK)
        _, meta_address, learner_address = self.cluster()
        self.start_actor(learner_address, 1)
        self.create_experiment(meta_address, "hosted", spec=whole)
        sentence = "waiting for actors that offer simulator 'block'"
        self.wait_until(lambda: sentence in self.mentorctl(meta_address, "get", "hosted"), sentence)
        self.start_actor(learner_address, 1, "--host", BLOCK)
        self.wait_for_state(meta_address, "hosted", "STATE_SUCCEEDED")

    def test_what_waits_for_a_host_holds_up_nobody(self):  # Nightly
        """Two learners; an actor of one offers a host, and no actor offers the other host."""
        program = HOSTS / "example_host"
        specs, alone = {}, {"plain": self.run_hash(self.folder / "plain")}
        for name in ("one", "two"):
            host = f"{name}={program}"
            path = self.spec(of_host(name), f"{name}.txtpb")
            specs[name] = self.with_facts(path, host)
            alone[name] = self.run_hash(self.folder / name, "--host", host, spec=path)
        state = self.folder / "state"
        _, server = self.start_meta_learner(state, 0, "--max_running", 3)
        learners = [self.start_learner(server, 0, "--slots", 1)[1] for _ in range(2)]
        self.start_actor(learners[0], 1, "--host", f"one={program}")
        self.start_actor(learners[1], 1)
        self.create_experiment(server, "two", spec=specs["two"])
        sentence = "waiting for actors that offer simulator 'two'"
        self.wait_until(lambda: sentence in self.mentorctl(server, "get", "two"), sentence)
        self.create_experiment(server, "one", spec=specs["one"])
        self.create_experiment(server, "plain")
        for id in ("plain", "one", "two"):
            if id == "two":
                self.start_actor(learners[1], 1, "--host", f"two={program}")
            with self.subTest(id):
                self.assertEqual(self.hash_of(server, state, id), alone[id])

    def test_a_service_does_not_ask_hosts(self):
        _, meta_address, _ = self.cluster()
        said = self.create_experiment(
            meta_address, "hosted", spec=self.spec(of_host("block")), code=2
        )
        self.assertIn("the option facts is missing", said)

    def test_hosts_end_with_their_actor(self):
        program = self.folder / "my_host"
        shutil.copyfile(HOSTS / "example_host", program)
        program.chmod(0o755)
        offered = f"block={program}"
        whole = self.with_facts(self.spec(of_host("block")), offered)
        self.assertEqual(processes_of(program), [])
        _, meta_address, learner_address = self.cluster()
        actor = self.start_actor(learner_address, 2, "--host", offered)
        self.create_experiment(meta_address, "hosted", *sets("rule.outer_updates=5000"), spec=whole)
        self.wait_until(lambda: len(processes_of(program)) == 2, "two hosts")
        actor.kill()
        self.wait_until(lambda: not processes_of(program), "no host")

    def test_in_a_namespace_of_its_own_a_host_leaves_nothing_behind(self):
        shut_in = "unshare --user --map-current-user --pid --fork --kill-child"  # docs/security.md
        if subprocess.run([*shut_in.split(), "true"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("this machine lets nobody make namespaces of users")
        stray = self.folder / "stray"
        shutil.copyfile(shutil.which("sleep"), stray)
        stray.chmod(0o755)
        offered = f"block={shut_in} sh -c 'setsid {stray} 1000 & exec {HOSTS / 'example_host'}'"
        whole = self.with_facts(self.spec(of_host("block")), offered)
        self.wait_until(lambda: not processes_of(stray), "no process of the host that gave facts")
        _, meta_address, learner_address = self.cluster()
        actor = self.start_actor(learner_address, 1, "--host", offered)
        self.create_experiment(meta_address, "hosted", *sets("rule.outer_updates=5000"), spec=whole)
        self.wait_until(lambda: processes_of(stray), "a process that left its host's group")
        actor.kill()
        self.wait_until(lambda: not processes_of(stray), "no process")

    def test_an_interrupted_question_ends_with_its_host(self):
        program = self.folder / "my_host"
        shutil.copyfile(HOSTS / "hostile_host", program)
        program.chmod(0o755)
        for command, where in (("facts", "open"), ("check", "step")):
            child = subprocess.Popen(
                [BIN / "mentor", "env", command, "--host", f"bad={program} hang {where}"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self.addCleanup(child.kill)
            self.wait_until(lambda: processes_of(program), "a host")
            child.send_signal(signal.SIGINT)
            self.assertEqual(child.wait(50), 130)  # An answer may take 60 s.
            self.wait_until(lambda: not processes_of(program), "no host")

    def test_a_bad_host_fails_its_run_with_its_last_words(self):  # Nightly
        bad = f"block={HOSTS / 'hostile_host'} die step"
        spec = self.spec(of_host("block"))
        said = self.run_spec(self.folder / "run", "--host", bad, spec=spec, code=1)
        self.assertIn("its last words: cannot go on", said)

    def test_without_saved_states(self):
        forgetful = f"block={HOSTS / 'hostile_host'} forgetful none"
        spec = self.spec(of_host("block", steps="30"))
        said = self.run_to_end(
            *("mentor", "run", spec, "--host", forgetful, "--out", self.folder / "run"),
            "--no_report",
        )
        self.assertIn("counter cannot save its state, so each inner iteration begins with a", said)

    def test_the_facts_of_a_host(self):
        page = self.run_to_end("mentor", "env", "facts", "--host", BLOCK)
        self.assertIn("# observation: 3 numbers", page)
        self.assertIn('name: "facts"', page)
        said = self.run_to_end("mentor", "env", "facts", "--host", "x", code=2)
        self.assertIn("has no '='", said)
        said = self.run_to_end("mentor", "env", "facts", "--host", "x=/nowhere/y", code=1)
        self.assertIn("No such file or directory", said)


class GymnasiumTest(ClusterTest):
    """The same with environments of Gymnasium, through Python's host."""

    def setUp(self):
        super().setUp()
        self.gym = gym_host.flag(self.folder / "python")

    def test_hopper_with_actors_killed(self):  # Nightly
        text = of_host("gym", id="Hopper-v5")
        spec = HostsTest.spec(self, text)
        short = sets("rule.outer_updates=2", "evaluation.train_goals=false")
        alone = self.run_hash(self.folder / "run", "--host", self.gym, *short, spec=spec)
        whole = HostsTest.with_facts(self, spec, self.gym)
        state = self.folder / "state"
        _, meta_address = self.start_meta_learner(state)
        _, learner_address = self.start_learner(meta_address)
        actors = [self.start_actor(learner_address, 1, "--host", self.gym) for _ in range(2)]
        self.create_experiment(meta_address, "hopper", *short, spec=whole)
        self.wait_for_checkpoints(state, 1)
        actors[0].kill()
        self.start_actor(learner_address, 1, "--host", self.gym)
        self.wait_for_state(meta_address, "hopper", "STATE_SUCCEEDED")
        self.assertEqual(self.hash(state), alone)

    def test_what_outlives_a_reset_is_told(self):  # Nightly
        worlds = self.gym.replace("PYTHONPATH=", f"PYTHONPATH={ROOT / 'tests' / 'python'}:")
        worlds += " --import toy_worlds"
        for name in ("Normalized-v0", "Counted-v0", "Drawn-v0"):
            check = ["mentor", "env", "check", "--host", worlds, "--option", f"id={name}"]
            said = self.run_to_end(*check, code=1)
            self.assertIn("something outlives a reset", said)
        spec = HostsTest.spec(self, of_host("gym", id="Normalized-v0"))
        said = self.run_to_end("mentor", "run", spec, "--check", "--host", worlds)
        self.assertIn("the running statistics of NormalizeObservation outlive a reset", said)
        self.assertIn("set agent.normalize_observations", said)

    def test_a_learned_reward_in_fetch_reach(self):  # Nightly
        """A rule with all its parts on an environment of a third party."""
        spec = self.spec_of_fetch()
        said = self.run_to_end(
            *("mentor", "run", spec, "--host", self.gym, "--out", self.folder / "run", "--quiet"),
            "--no_report",
            # Its shaped reward is negative, and it has one task.
            *sets("rule.objective=success", "evaluation.goals=1"),
        )
        self.assertNotIn("warning", said)

    def spec_of_fetch(self):
        return HostsTest.spec(
            self,
            of_host("gym", id="FetchReach-v4", reward_type="dense").replace(
                "outer_updates: 4",
                # Its rewards are negative.
                'outer_updates: 1\n  option { name: "objective" value: "success" }',
            ),
        )


if __name__ == "__main__":
    unittest.main()
