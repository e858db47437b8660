"""Bad input through the real binaries: a clear error names the field and the remedy, and nothing is
lost."""

import errno
import os
import subprocess
import unittest

from harness import SMOKE, ClusterTest, sets


class BadInputTest(ClusterTest):
    def refused(self, *assignments, spec=SMOKE):
        """Returns the output of a run that is refused before anything is written."""
        run = self.folder / "run"
        output = self.run_spec(run, *sets(*assignments), spec=spec, code=2)
        self.assertFalse(run.exists(), "a refused spec must leave nothing behind")
        return output

    def test_every_violation_at_once(self):
        output = self.refused(
            "agent.clip=-1",
            "agent.gamma=2",
            "lifetime.iterations=0",
            "benchmark.name=nowhere",
            "signal.lstm=-3",
            "rule.epochs=0",
        )
        for field, value in (
            ("agent.clip", "-1"),
            ("agent.gamma", "2"),
            ("lifetime.iterations", "0"),
            ("benchmark.name", "nowhere"),
            ("signal.*lstm", "-3"),
            ("rule.*epochs", "0"),
        ):
            self.assertRegex(output, rf"{field}.*{value}")

    def test_the_address_of_another_program_is_named_with_the_remedy(self):
        _, server = self.start_meta_learner(self.folder / "state")
        self.start_actor(server).wait_for(
            rf"a mentor-meta-learner answers at {server}, and not a mentor-learner: name "
            ".*--learner"
        )
        _, learner = self.start_learner(server)
        lost, _ = self.start_learner(learner)
        lost.wait_for(
            rf"a mentor-learner answers at {learner}, and not a mentor-meta-learner: name "
            ".*--meta_learner"
        )

    def test_malformed_spec_names_line_and_column(self):
        spec = self.folder / "bad.txtpb"
        spec.write_text('benchmark { name: "point_reach" }\nagent { gama: 0.9 }\n')
        output = self.refused(spec=spec)
        self.assertRegex(output, r"2")
        self.assertIn("gama", output)

    def test_unknown_names_list_the_known_ones(self):
        output = self.refused("benchmark.name=nowhere")
        self.assertIn("nowhere", output)
        self.assertIn("point_reach", output)
        output = self.refused("rule.name=magic")
        self.assertIn("black_box", output)
        output = self.refused("signal.name=magic")
        self.assertIn("lstm", output)
        output = self.refused("rule.learning_speed=1")
        self.assertIn("learning_rate", output)

    def test_another_rule_by_set_is_one_line_with_its_file(self):
        output = self.refused("rule.name=maml", spec="point_reach")
        self.assertRegex(output, "--set does not fit point_reach:\n  --set rule.name=maml: keeps.*")
        self.assertIn('base: "point_reach" rule { name: "maml" }', output)
        self.assertEqual(output.count("rule.name=maml"), 1)
        self.assertNotIn("unknown option", output)

    def test_a_signal_that_runs_away_ends_the_run(self):
        spec = SMOKE.parent / "point_reach_reward.txtpb"
        wild = sets("rule.learning_rate=3")
        output = self.run_spec(self.folder / "run", *wild, spec=spec, code=1)
        self.assertIn("the signal network gave numbers that are not finite", output)
        self.assertIn("lower rule.learning_rate", output)

    def test_a_wrong_flag_is_not_blamed_on_the_spec(self):
        output = self.refused("rule.outer_updates")
        self.assertIn("error: --set does not fit", output)
        self.assertNotIn("is not a spec", output)
        output = self.refused("agent.gamma=2", "rule.epochs=0")
        self.assertIn(f"error: --set does not fit {SMOKE}:", output)
        self.assertIn("--set agent.gamma=2: is 2; give", output)
        self.assertIn("--set rule.epochs=0: is '0'; give", output)

    def test_a_wrong_command_is_named_with_those_that_are_near(self):
        output = self.run_to_end("mentor", "env", "shwo", code=2)
        self.assertIn("there is no 'env shwo'; did you mean 'show'?", output)
        for words, near in (
            (["rnu"], "did you mean 'run'?"),
            (["help", "env", "shwo"], "did you mean 'show'?"),
            (
                ["run", SMOKE, "--chek"],
                "'mentor run' has no flag '--chek'; did you mean '--check'?",
            ),
            (["env", "show", "push"], "did you mean 'push-v3'?"),
            ([], "Usage: mentor "),
            (["env"], "Usage: mentor env "),
        ):
            self.assertIn(near, self.run_to_end("mentor", *words, code=2))
        self.assertIn("Usage: mentor env show ", self.run_to_end("mentor", "help", "env", "show"))
        kernels = {"mentor", "mentor-learner", "mentor-meta-learner"}
        for program in (*kernels, "mentorctl", "mentor-actor", "mentor-probe"):
            more = r"\nkernels for GPUs: (none|sm_.*)" * (program in kernels)
            said = self.run_to_end(program, "--version")
            self.assertRegex(said, rf"^{program} \d+\.\d+\.\d+{more}$")
        self.assertEqual(
            self.run_to_end("mentor", "run", "--version"), self.run_to_end("mentor", "--version")
        )
        self.assertIn("complete -F _mentor mentor", self.run_to_end("mentor", "completion", "bash"))

    def test_a_wrong_override_is_answered_with_the_nearest_field(self):
        for override, near in (
            ("rule.outer_update=3", "did you mean the field 'rule.outer_updates'?"),
            ("rule.learning_rat=3", "did you mean 'learning_rate'?"),
            ("agent.gama=1", "did you mean 'gamma'?"),
            ("signal.role=REWRD", "(did you mean 'REWARD'?)"),
        ):
            self.assertIn(near, self.refused(override))

    def test_a_run_folder_of_another_spec_is_left_alone(self):
        run = self.folder / "run"
        before = self.run_hash(run)
        output = self.run_spec(run, *sets("seed=2"), code=1)
        self.assertIn("--out", output)
        self.assertIn(f"mentor run --from {run} --set ... --out NEW", output)
        self.assertEqual(self.hash(run), before)

    def test_no_run_no_hash(self):
        for command in ("hash", "report", "evaluate"):
            output = self.run_to_end("mentor", command, self.folder, code=2)
            self.assertIn("is not a run", output)

    def test_control_api_refuses_a_bad_spec_and_an_unknown_name(self):
        _, address = self.start_meta_learner(self.folder / "state")
        spec = self.folder / "bad.txtpb"
        spec.write_text('benchmark { name: "nowhere" } agent { clip: -1 }')
        output = self.create_experiment(address, "bad", spec=spec, code=2)
        self.assertIn("agent.clip", output)
        self.mentorctl(address, "get", "bad", code=3)

    def test_second_process_on_one_state_folder(self):
        state = self.folder / "state"
        self.start_meta_learner(state)
        output = self.run_to_end(
            "mentor-meta-learner", "--state", state, "--listen", "127.0.0.1:0", code=4
        )
        self.assertIn("in use", output)
        self.assertIn("in use", self.run_spec(state, code=4))
        (self.folder / "new").mkdir()
        (self.folder / "new" / "FORMAT").write_text("mentor-state 99\n")
        self.assertIn("newer", self.run_spec(self.folder / "new", code=5))

    def test_a_start_that_is_refused_leaves_nothing(self):
        _, address = self.start_meta_learner(self.folder / "state")
        new = self.folder / "new"
        output = self.run_to_end("mentor-meta-learner", "--state", new, "--listen", address, code=2)
        self.assertIn("cannot listen", output)
        self.assertFalse(new.exists())
        junk = self.folder / "junk"
        junk.mkdir()
        (junk / "thesis.tex").write_text("precious")
        self.assertIn("is not empty", self.run_spec(junk, code=1))
        self.assertEqual([path.name for path in junk.iterdir()], ["thesis.tex"])

    def test_a_wrong_address_is_named_with_its_flag(self):
        for program, flag in (
            ("mentor-meta-learner", "--listen"),
            ("mentor-meta-learner", "--advertise"),
            ("mentor-learner", "--meta_learner"),
            ("mentor-learner", "--admin"),
            ("mentor-actor", "--learner"),
            ("mentor-probe", "--address"),
        ):
            with self.subTest(program=program, flag=flag):
                output = self.run_to_end(program, flag, "lab", code=2)
                self.assertIn(f"{flag}: address 'lab': expected HOST:PORT", output)

    def test_address_beyond_loopback_without_tls(self):
        output = self.run_to_end(
            "mentor-meta-learner", "--state", self.folder / "state", "--listen", "0.0.0.0:0", code=2
        )
        self.assertIn("TLS", output)
        self.assertFalse((self.folder / "state").exists())

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
    def test_full_disk_while_a_checkpoint_is_written(self):
        mount = self.folder / "small"
        mount.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", mount],
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            self.skipTest("cannot mount a tmpfs: " + made.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=False)
        filler = mount / "filler"
        run = mount / "run"
        longer = sets("rule.outer_updates=40", "checkpoint.keep_last=2")
        process = self.start_run(run, *longer)
        self.wait_for_checkpoints(run, 2)
        # The run writes meanwhile, so whichever writes last finds no room.
        try:
            with filler.open("wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass
        except OSError as error:
            self.assertEqual(error.errno, errno.ENOSPC)
        process.wait_for(r"the disk is full: experiments pause", 120)
        whole = self.checkpoints(run)
        self.assertGreaterEqual(len(whole), 2)
        filler.unlink()
        self.assertEqual(process.wait(), 0, process.output())
        # The bits are those of a run that never met a full disk.
        self.assertEqual(self.hash(run), self.run_hash(self.folder / "other", *longer))


if __name__ == "__main__":
    unittest.main()
