"""Kernels made of phases (kernels/phases.h) under the sanitizers, compiled here without LibTorch.
Each thread of a kernel is a real thread, and the thread sanitizer must find each omitted
barrier."""

import concurrent.futures
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = "-std=c++20 -O1 -g1 -march=x86-64-v3 -mtune=generic -ffp-contract=off -pthread".split()
# Checks as calls, and no debug locations of variables: a third of the time to compile.
SANITIZED = "-fno-var-tracking --param asan-instrumentation-with-call-threshold=0".split()
# The kernels of the CPU, the references of the phases, are compiled unchanged.
PPO = [
    "common/exact_math.cc",
    "common/pause_point.cc",
    "common/rng.cc",
    "agents/minibatch_order.cc",
    "agents/ppo_kernels.cc",
    "kernels/isa.cc",
    "kernels/matrix_kernels.cc",
    "kernels/optimizer.cc",
    "kernels/tanh_network.cc",
]
LSTM = [
    "common/exact_math.cc",
    "common/rng.cc",
    "kernels/dense.cc",
    "kernels/isa.cc",
    "kernels/lstm_weights.cc",
    "kernels/optimizer.cc",
    "signals/lstm/lstm_piece.cc",
    "signals/lstm/lstm_run.cc",
]
ABSEIL = "-labsl_status -labsl_str_format_internal -labsl_strings -labsl_cord -labsl_base".split()
RACE = 66
# Barriers of an optimizer step, counted from the first phase of the step.
PPO_STEP = 13
BEFORE = 1  # Load.
NORM_OF_POLICY, FINISH = 9, 11
# For each kernel of the LSTM network: sizes; number of barriers; barriers that may be omitted;
# barriers of a whole cluster. A barrier may be omitted if the same threads continue with their own
# numbers or nothing follows.
LSTM_KERNELS = {
    "acting": ("fixed", 18, set(), {4, 5, 6}),  # Two steps of eight phases; the first is tried.
    "forward": ("fixed", 7, {6}, {2, 4}),  # Three steps.
    "backward": ("fixed", 4, {0, 3}, {1, 2}),
    "product": ("fixed", 8, {0, 6, 7}, set()),  # Three slices of k.
    "dots": ("fixed", 2, {1}, set()),
    "norm": ("any", 9, {0, 8}, set()),
}


def compile_all(folder, flags, sources):
    """Compiles the objects of the sources side by side."""
    compiler = [os.environ.get("CXX", "g++"), *FLAGS, *flags, "-I", ROOT, "-c"]
    objects = [folder / (pathlib.Path(source).stem + ".o") for source in sources]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        for done in threads.map(
            lambda pair: subprocess.run([*compiler, "-o", pair[0], ROOT / pair[1]]),
            zip(objects, sources),
        ):
            done.check_returncode()
    return objects


class PhasesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.shown = []

    def compile(self, sanitizer, main, kernels):
        objects = compile_all(self.folder, [f"-fsanitize={sanitizer}", *SANITIZED], [main])
        objects += compile_all(self.folder, [], kernels)
        program = self.folder / "program"
        linker = [os.environ.get("CXX", "g++"), "-pthread", f"-fsanitize={sanitizer}"]
        subprocess.run([*linker, "-o", program, *objects, *ABSEIL], check=True)
        return program

    def run_with_threads(self, program, *arguments):
        # A program would not start if it maps memory where the sanitizer has its shadow.
        return subprocess.run(
            ["setarch", "-R", program, *map(str, arguments)],
            env=dict(os.environ, TSAN_OPTIONS=f"exitcode={RACE} halt_on_error=1"),
            capture_output=True,
            text=True,
        )

    def test_ppo_touches_its_own_memory_only(self):
        program = self.compile("address,undefined", "tests/phases/ppo.cc", PPO)
        done = subprocess.run([program, "emulated"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_ppo_needs_each_barrier_and_no_other(self):
        program = self.compile("thread", "tests/phases/ppo.cc", PPO)
        for blocks in (1, 2):
            done = self.run_with_threads(program, blocks)
            self.assertEqual(done.returncode, 0, done.stderr)
            barriers = int(done.stdout)
            self.assertEqual(barriers, BEFORE + 2 * PPO_STEP + 1)
            # Nothing follows the last barrier, and the last step's results stay with the threads
            # that wrote them. In one block the same threads continue with the norm.
            unneeded = {barriers - 1, barriers - 2}
            meetings = {
                BEFORE + step * PPO_STEP + phase
                for step in (0, 1)
                for phase in (NORM_OF_POLICY, FINISH)
            }
            if blocks == 1:
                unneeded |= {BEFORE + step * PPO_STEP + NORM_OF_POLICY for step in (0, 1)}
            for number in range(barriers):
                self.check(program, number not in unneeded, blocks, number)
                if blocks == 2:
                    self.check(program, number in meetings, blocks, number, "only_cluster")
        self.nearly_all_were_found()

    def check(self, program, needed, *left_out):
        """The sanitizer never reports a race where none is, but it shows an existing race only in
        some runs. It remembers few accesses to an address. A thread that leaves a barrier late also
        learns of threads at the next one. So nearly all races must show."""
        with self.subTest(left_out=left_out):
            found = False
            for _ in range(10 if needed else 1):
                done = self.run_with_threads(program, *left_out)
                self.assertIn(done.returncode, (0, RACE), done.stderr)
                found = found or done.returncode == RACE
                if found:
                    break
            if needed:
                self.shown.append((left_out, found))
            else:
                self.assertFalse(found, done.stderr)

    def nearly_all_were_found(self):
        missed = [left_out for left_out, found in self.shown if not found]
        self.assertLessEqual(len(missed), len(self.shown) // 8, f"no race without {missed}")

    def test_lstm_touches_its_own_memory_only(self):
        program = self.compile("address,undefined", "tests/phases/lstm.cc", LSTM)
        done = subprocess.run([program, "emulated"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_lstm_needs_each_barrier_and_no_other(self):
        program = self.compile("thread", "tests/phases/lstm.cc", LSTM)
        for kernel, (sizes, barriers, unneeded, meetings) in LSTM_KERNELS.items():
            for other in ("fixed", "any"):
                done = self.run_with_threads(program, kernel, other)
                self.assertEqual(done.returncode, 0, done.stderr)
                if other == sizes:
                    self.assertEqual(int(done.stdout), barriers)
            for number in range(min(barriers, 9)):
                self.check(program, number not in unneeded, kernel, sizes, number)
                if meetings:
                    self.check(program, number in meetings, kernel, sizes, number, "only_cluster")
        self.nearly_all_were_found()


if __name__ == "__main__":
    unittest.main()
