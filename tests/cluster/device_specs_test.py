"""Every ready spec has the CPU's hash on an emulated device, which runs the kernels of a GPU."""

import unittest

from harness import SPECS, ClusterTest, sets

SHORT = sets("rule.outer_updates=1", "evaluation.lifetimes_per_goal=0")
# These settings make the long specs short.
SMALL = sets("rule.lifetimes_per_update=2", "rule.shard_lifetimes=2")
SHORTER = {
    name: SMALL + sets(*more)
    for name, more in {
        "hopper": ["lifetime.iterations=2"],
        "hopper_randomized": ["lifetime.iterations=2"],
        "lirpg_hopper": ["lifetime.iterations=2", "lifetime.steps_per_iteration=2048"],
        "lirpg_hopper_delayed": ["lifetime.iterations=2"],
        "ml1_advantage": ["lifetime.iterations=2"],
        "ml1_maml": [],
        "ml1_meta_gradient": ["lifetime.iterations=2"],
        "ml1_reward": ["lifetime.iterations=2"],
        "ml1_rl2": [],
        "push_near_far": ["lifetime.iterations=2"],
        "quickstart": [],
        "sair_hopper": ["lifetime.iterations=2", "agent.epochs=1"],
        "stn_hopper": ["lifetime.iterations=2"],
    }.items()
}
# umbrella_ppo has no outer updates; the others are ml1_reward on more tasks, for minutes.
LEFT_OUT = {"umbrella_ppo", "ml10", "ml45"}


class DeviceSpecsTest(ClusterTest):
    def test_every_ready_spec_has_the_hash_of_the_cpu(self):
        specs = sorted(path.stem for path in SPECS.glob("*.txtpb"))
        self.assertLess(LEFT_OUT, set(specs))
        for spec in specs:
            if spec in LEFT_OUT:
                continue
            with self.subTest(spec):
                arguments = SHORT + SHORTER.get(spec, [])
                cpu = self.run_hash(self.folder / f"{spec}-cpu", *arguments, spec=spec)
                arguments += ["--device", "emulated"]
                emulated = self.run_hash(self.folder / f"{spec}-emulated", *arguments, spec=spec)
                self.assertEqual(emulated, cpu)


if __name__ == "__main__":
    unittest.main()
