"""Weights of others as a bundle: the same numbers under the same names, and refusals."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import signal_modules
from package import SOURCE


def setUpModule():
    signal_modules.make_importable(signal_modules.WITHOUT_TORCH)


class NpzTest(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory(prefix="mentor-npz-")
        self.addCleanup(made.cleanup)
        self.folder = pathlib.Path(made.name)

    def write(self, **arrays):
        import numpy as np

        path = self.folder / "weights.npz"
        np.savez_compressed(path, **{name.replace("__", "/"): x for name, x in arrays.items()})
        return path

    def refusal(self, path):
        from mentor_signal import npz
        from mentor_signal.errors import SignalError

        with self.assertRaises(SignalError) as caught:
            npz.convert(path, self.folder / "out")
        return str(caught.exception)

    def test_names_shapes_and_numbers_stay(self):
        import numpy as np
        from safetensors.numpy import load_file

        arrays = {
            "lstm__linear__w": np.arange(6, dtype=np.float32).reshape(1, 2, 3) / 7,
            "lstm__linear__b": np.array([0.5, -2.0]),
        }
        path = self.write(**arrays)
        done = subprocess.run(
            [sys.executable, "-B", "-m", "mentor_signal.npz", path, self.folder / "out"],
            env={"PYTHONPATH": ":".join([str(SOURCE), *map(str, signal_modules.WHEELS)])},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("8 numbers", done.stdout)
        read = load_file(str(self.folder / "out" / "weights.safetensors"))
        self.assertEqual(sorted(read), ["lstm/linear/b", "lstm/linear/w"])
        for name, array in arrays.items():
            got = read[name.replace("__", "/")]
            self.assertEqual(got.dtype, np.float32)
            np.testing.assert_array_equal(got, array)

    def test_numbers_that_float32_does_not_hold_are_refused(self):
        import numpy as np

        for wrong in (0.1, np.nan, 1e300):
            self.assertIn("'w' is float64", self.refusal(self.write(w=np.array([1.0, wrong]))))

    def test_other_files_are_refused(self):
        import numpy as np

        path = self.folder / "text.npz"
        path.write_text("no archive")
        self.assertIn("is no .npz file", self.refusal(path))
        self.assertIn("is no .npz file", self.refusal(self.folder / "missing.npz"))
        objects = self.write(w=np.array([{}], dtype=object))
        self.assertIn("is no .npz file", self.refusal(objects))
        self.assertIn("has no arrays", self.refusal(self.write()))


if __name__ == "__main__":
    unittest.main()
