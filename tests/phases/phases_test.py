"""Kernels made of phases touch their own memory only, and race nowhere."""

import subprocess
import unittest

import phases

LSTM_KERNELS = 6  # acting, forward, backward, product, dots, norm.


class PhasesTest(phases.PhasesTestCase):
    def check_memory(self, main, kernels):
        # It takes longer to compile than to run.
        program = self.compile("address,undefined", main, kernels, "-O0")
        done = subprocess.run([program, "emulated"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_ppo_touches_its_own_memory_only(self):
        self.check_memory("tests/phases/ppo.cc", phases.PPO)

    def test_lstm_touches_its_own_memory_only(self):
        self.check_memory("tests/phases/lstm.cc", phases.LSTM)

    def test_ppo_does_not_race(self):
        program = self.compile("thread", "tests/phases/ppo.cc", phases.PPO)
        for blocks in (1, 2):
            done = self.run_with_threads(program, blocks)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_lstm_does_not_race(self):
        program = self.compile("thread", "tests/phases/lstm.cc", phases.LSTM)
        for sizes in ("fixed", "any"):
            done = self.run_with_threads(program, "all", sizes)
            self.assertEqual(done.returncode, 0, (sizes, done.stderr))
            self.assertEqual(len(done.stdout.split()), LSTM_KERNELS, done.stdout)


if __name__ == "__main__":
    unittest.main()
