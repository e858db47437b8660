"""Compiles kernels made of phases (kernels/phases.h) without LibTorch, under a sanitizer, and runs
them. Each thread of a kernel is a real thread."""

import concurrent.futures
import os
import pathlib
import shutil
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
    "signals/lstm/lstm_trunk.cc",
]
ABSEIL = "-labsl_status -labsl_str_format_internal -labsl_strings -labsl_cord -labsl_base".split()
RACE = 66


def compile_all(folder, flags, sources):
    """Compiles the objects of the sources side by side. Unchanged ones come from ccache, where that
    is installed."""
    compiler = [os.environ.get("CXX", "g++"), *FLAGS, *flags, "-I", ROOT, "-c"]
    if shutil.which("ccache"):
        compiler.insert(0, "ccache")
    objects = [folder / (pathlib.Path(source).stem + ".o") for source in sources]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        for done in threads.map(
            lambda pair: subprocess.run([*compiler, "-o", pair[0], ROOT / pair[1]], cwd=ROOT),
            zip(objects, sources),
        ):
            done.check_returncode()
    return objects


class PhasesTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.kernels = {}  # Objects by source, for all tests of the class.

    def compile(self, sanitizer, main, kernels, *flags):
        new = [source for source in kernels if source not in self.kernels]
        self.kernels.update(zip(new, compile_all(self.folder, [], new)))
        flags = [f"-fsanitize={sanitizer}", *SANITIZED, *flags]
        objects = compile_all(self.folder, flags, [main])
        program = self.folder / "program"
        linker = [os.environ.get("CXX", "g++"), "-pthread", f"-fsanitize={sanitizer}"]
        linked = [*objects, *(self.kernels[source] for source in kernels), *ABSEIL]
        subprocess.run([*linker, "-o", program, *linked], check=True)
        return program

    def run_with_threads(self, program, *arguments):
        # A program would not start if it maps memory where the sanitizer has its shadow.
        return subprocess.run(
            ["setarch", "-R", program, *map(str, arguments)],
            env=dict(os.environ, TSAN_OPTIONS=f"exitcode={RACE} halt_on_error=1"),
            capture_output=True,
            text=True,
        )
