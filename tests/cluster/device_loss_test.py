"""Devices that fail, hang or are too small. Their work begins again elsewhere, the process ends
with exit code 6 for its supervisor, and the hash is the same. An emulated device fails where a test
says so, with the kind of error that CUDA gives."""

import re
import unittest

from harness import SMOKE, ClusterTest, sets

SHORT = sets("rule.outer_updates=3", "evaluation.lifetimes_per_goal=0")
EMULATED = ("--device", "emulated")
DEVICE_LOST = 6


def fails(point, hit, action="error(Xid 79)"):
    return {"MENTOR_FAILPOINTS": f"device.{point}={hit}:{action}"}


class DeviceLossTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.state = self.folder / "state"

    def assert_lost(self, process, why):
        self.assertEqual(process.wait(60), DEVICE_LOST, process.output())
        self.assertIn(why, process.output())

    def test_two_experiments_go_on_elsewhere_when_a_learners_device_fails(self):  # Nightly
        _, server = self.start_meta_learner(self.state)
        for id in ("one", "two"):
            self.create_experiment(server, id, *SHORT)
        # Runs behind its own fingerprint, with two shards.
        failing, address = self.start_learner(server, 0, *EMULATED, env=fails("launch", 25))
        self.start_actor(address)
        self.assert_lost(failing, "emulated has failed: launch of a kernel: Xid 79")
        self.start_workers(server, 1)
        expected = self.hash_alone(*SHORT)
        for id in ("one", "two"):
            self.assertEqual(self.hash_of(server, self.state, id), expected)
        logs = "".join(self.mentorctl(server, "logs", id) for id in ("one", "two"))
        self.assertIn("a learner's device failed", logs)
        self.assertIn("Xid 79", logs)

    def test_a_learner_whose_device_fails_at_once_says_so(self):
        _, server = self.start_meta_learner(self.state)
        learner = self.start(
            "mentor-learner",
            *("--meta_learner", server, "--listen", "127.0.0.1:0", *EMULATED),
            env=fails("launch", 1),
        )
        self.assert_lost(learner, "emulated has failed")

    def commands(self):
        state = ("--state", self.state, "--listen", "127.0.0.1:0")
        return (
            ("mentor-learner", "--listen", "127.0.0.1:0"),
            ("mentor-meta-learner", *state),
            ("mentor", "run", "smoke", "--out", self.folder / "refused"),
        )

    def test_a_device_that_is_full_at_the_start_is_refused_and_not_lost(self):
        for command in self.commands():
            with self.subTest(command[0]):
                output = self.run_to_end(
                    *command, *EMULATED, code=2, env=fails("allocate", 1, "error(an array)")
                )
                self.assertIn("error: the memory of the GPU is full (an array): ", output)
                self.assertIn("nvidia-smi shows who uses it", output)

    def test_a_driver_that_does_not_answer_at_the_start_is_given_up(self):
        for command in self.commands():
            with self.subTest(command[0]):
                output = self.run_to_end(
                    *(*command, "--device", "cuda", "--device_timeout_s", 0.2),
                    code=DEVICE_LOST,
                    env=fails("open", 1, "sleep(600000)"),
                )
                self.assertIn("error: --device cuda has not answered for 0.2 s", output)

    def test_a_run_whose_device_is_full_ends_and_says_so(self):
        output = self.run_spec(
            *(self.folder / "run", *SHORT, *EMULATED),
            code=1,
            env=fails("allocate", "200+", "error(an array)"),
        )
        self.assertIn("the memory of the GPU is full (an array): nvidia-smi shows who", output)

    def test_a_device_that_hangs_is_given_up(self):  # Nightly
        _, server = self.start_meta_learner(self.state)
        self.create_experiment(server, "one", *SHORT)
        hanging, address = self.start_learner(
            server,
            0,
            *(*EMULATED, "--device_timeout_s", 0.5),
            env=fails("wait", 40, "sleep(600000)"),
        )
        self.start_actor(address)
        self.assert_lost(hanging, "emulated has not answered for 0.5 s")
        self.start_workers(server, 1)
        self.assertEqual(self.hash_of(server, self.state, "one"), self.hash_alone(*SHORT))

    def test_the_meta_learners_device_fails_and_its_outer_update_begins_again(self):
        failing, server = self.start_meta_learner(self.state, 0, *EMULATED, env=fails("launch", 20))
        self.start_workers(server, 1)
        for id in ("one", "two"):
            self.create_experiment(server, id, *SHORT)
        self.assert_lost(failing, "emulated has failed")
        self.assertIn("Xid 79", (self.state / "device_lost").read_text())
        _, server = self.start_meta_learner(self.state, server, *EMULATED)
        expected = self.hash_alone(*SHORT)
        for id in ("one", "two"):
            self.assertEqual(self.hash_of(server, self.state, id), expected)

    def test_a_run_whose_device_fails_goes_on_with_the_same_command(self):  # Nightly
        out = self.folder / "run"
        output = self.run_spec(out, *SHORT, *EMULATED, code=DEVICE_LOST, env=fails("launch", 120))
        self.assertIn("error: emulated has failed", output)
        self.assertEqual(self.run_hash(out, *SHORT, *EMULATED), self.hash_alone(*SHORT))

    def test_a_learner_whose_device_is_too_small_gets_no_shards(self):
        _, server = self.start_meta_learner(self.state)
        self.create_experiment(server, "early", *SHORT)
        _, address = self.start_learner(server, 0, *EMULATED, "--device_memory_gb", 0.0001)
        self.start_actor(address)
        words = r"a shard needs \d+\.\d MB of a device, and the largest learner has 0\.1 MB"
        self.wait_until(
            lambda: re.search(words, self.get(server, "early").get("activity", "")), words
        )
        refused = self.mentorctl(server, "validate", "-f", SMOKE, *SHORT, code=2)
        self.assertRegex(
            refused, r"a shard needs \d+\.\d MB of a learner's device, and .* has 0\.1 MB"
        )
        peers = self.mentorctl(server, "peers")
        self.assertIn("device 0.0/0.0 GB", peers)
        self.assertIn("experiments/early: needs more memory", peers)

    def test_specs_beyond_a_device_are_refused_before_it_is_used(self):
        _, server = self.start_meta_learner(self.state, 0, *EMULATED, "--device_memory_gb", 0.05)
        enormous = sets(
            "lifetime.steps_per_iteration=10000",
            "rule.k=10000",
            "rule.lifetimes_per_update=4096",
            "rule.shard_lifetimes=64",
        )
        refused = self.mentorctl(server, "validate", "-f", SMOKE, *enormous, code=2)
        self.assertRegex(
            refused,
            r"rule.lifetimes_per_update: the outer update needs \d+\.\d GB of the meta-learner's "
            r"device, which has 0\.1 GB",
        )
        self.mentorctl(server, "validate", "-f", SMOKE, *SHORT)
        refused = self.run_spec(
            self.folder / "refused",
            *(*enormous, *EMULATED, "--device_memory_gb", 0.05),
            code=2,
        )
        self.assertRegex(refused, r"the run needs \d+\.\d GB of its memory .* may take 0\.1 GB")


if __name__ == "__main__":
    unittest.main()
