"""Learners and meta-learners on different devices: one experiment, the CPU's bits. Without a GPU,
its emulation runs the same kernels."""

import unittest

from harness import ClusterTest, sets

SHORT = sets("rule.outer_updates=3", "rule.shard_lifetimes=1", "evaluation.lifetimes_per_goal=0")


class DeviceTest(ClusterTest):
    def test_learners_of_two_devices_share_an_experiment(self):
        alone = self.hash_alone(*SHORT)
        state = self.folder / "state"
        _, server = self.start_meta_learner(state, 0, "--device", "emulated")
        learners = [
            self.start_learner(server, 0, "--device", device) for device in ("cpu", "emulated")
        ]
        for _, address in learners:
            self.start_actor(address)
        self.wait_for_peers(server, "learners", 2)
        self.create_experiment(server, "both", *SHORT)
        self.assertEqual(self.hash_of(server, state, "both"), alone)

    def test_smoke_and_point_reach_on_an_emulated_device(self):  # Nightly
        for spec in ("smoke", "point_reach"):
            shorter = sets("rule.outer_updates=2", "evaluation.lifetimes_per_goal=0")
            with self.subTest(spec):
                self.assertEqual(
                    self.run_hash(
                        self.folder / f"{spec}-emulated",
                        *shorter,
                        "--device",
                        "emulated",
                        spec=spec,
                    ),
                    self.run_hash(self.folder / f"{spec}-cpu", *shorter, spec=spec),
                )

    def test_devices_that_are_not_there_are_refused_with_the_remedy(self):
        for device, why in (
            ("gpu", "is none of cpu, emulated, cuda, cuda:N and cuda:UUID"),
            ("cuda:x", "is none of cpu, emulated, cuda, cuda:N and cuda:UUID"),
        ):
            for command in (
                ("mentor", "run", "smoke", "--out", self.folder / "refused"),
                ("mentor-learner", "--listen", "127.0.0.1:0"),
                ("mentor-meta-learner", "--state", self.folder / "s", "--listen", "127.0.0.1:0"),
            ):
                with self.subTest(f"{command[0]} {device}"):
                    output = self.run_to_end(*command, "--device", device, code=2)
                    self.assertIn(f"--device {device}", output)
                    self.assertIn(why, output)


if __name__ == "__main__":
    unittest.main()
