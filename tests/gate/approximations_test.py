"""The programs define every function of MKL that begins from vrcpps or vrsqrtps (agents/mkl.cc),
since the processor's maker chooses what these give. A new LibTorch may bring others."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / ".deps" / "wheels" / "torch" / "lib" / "libtorch_cpu.so"
PROGRAMS = ("mentor", "mentor-learner", "mentor-meta-learner")
APPROXIMATION = re.compile(r"\sv?(?:rcp|rsqrt)[a-z0-9]*\s")


def lines(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return done.stdout.splitlines()


class ApproximationsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Functions that other code of LibTorch calls by name, so that a program can replace them.
        called = {
            line.split()[-1].split("@")[0]
            for line in lines("objdump", "-R", LIBRARY)
            if "R_X86_64_JUMP_SLOT" in line
        }
        cls.vector = {name for name in called if re.fullmatch(r"vm[sd][A-Z]\w+", name)}
        # Segments that have code: where they lie in memory, where in the file, and their size.
        cls.segments = [
            tuple(int(words[i], 16) for i in (2, 1, 4))
            for words in map(str.split, lines("readelf", "-lW", LIBRARY))
            if words[:1] == ["LOAD"] and "E" in words[6:-1]
        ]
        cls.places = {}
        for line in lines("nm", "-D", "-S", "--defined-only", LIBRARY):
            words = line.split()
            if len(words) == 4:
                cls.places[words[3].split("@")[0]] = (int(words[0], 16), int(words[1], 16))

    def approximates(self, name):
        start, size = self.places[name]
        (offset,) = (
            offset + start - at
            for at, offset, length in self.segments
            if start - at in range(length)
        )
        with LIBRARY.open("rb") as library, tempfile.NamedTemporaryFile() as code:
            library.seek(offset)
            code.write(library.read(size))
            code.flush()
            # The code alone: objdump reads all symbols of a library, which takes half a second.
            found = lines("objdump", "-D", "-b", "binary", "-m", "i386:x86-64", code.name)
        self.assertGreater(len(found), size // 16, name)
        return any(APPROXIMATION.search(line) for line in found)

    def test_the_programs_define_what_begins_from_an_approximation(self):
        self.assertGreater(len(self.vector), 20)
        # vmsExp takes mkl_vml_kernel_sExp_L9HAynn: for AVX2, of high accuracy.
        found = {
            name for name in self.vector if self.approximates(f"mkl_vml_kernel_{name[2:]}_L9HAynn")
        }
        self.assertIn("vmdSqrt", found)
        self.assertNotIn("vmsExp", found)
        programs = pathlib.Path(os.environ["MENTOR_BIN_DIR"])
        for program in PROGRAMS:
            exported = {
                line.split()[-1] for line in lines("nm", "-D", "--defined-only", programs / program)
            }
            self.assertLessEqual(found | {"mkl_serv_intel_cpu_true"}, exported, program)


if __name__ == "__main__":
    unittest.main()
