"""Weights of others as a bundle: the same numbers under the same names, and refusals."""

import io
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import warnings
import zipfile

import signal_modules
from package import SOURCE


def setUpModule():
    signal_modules.make_importable(signal_modules.WITHOUT_TORCH)


def npy(shape, numbers=1):
    """An array of zeros as NumPy stores it, whose header claims this shape."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(4 * numbers)


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

    def pack(self, *members, compression=zipfile.ZIP_DEFLATED):
        """An archive with these names and bytes, a name as often as it is given."""
        path = self.folder / "packed.npz"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
            warnings.simplefilter("ignore")
            for name, content in members:
                archive.writestr(name, content)
        return path

    def test_a_single_number_keeps_its_shape(self):
        import numpy as np
        from mentor_signal import npz

        read = npz.read(self.write(w=np.float32(0.5)))
        self.assertEqual((read["w"].shape, read["w"].item()), ((), 0.5))

    def test_numbers_that_float32_does_not_hold_are_refused(self):
        import numpy as np

        for wrong in (0.1, np.nan, np.inf, 1e300):
            self.assertIn("'w' is float64", self.refusal(self.write(w=np.array([1.0, wrong]))))
        infinite = np.array([1, np.inf], dtype=np.float32)
        self.assertIn("not finite", self.refusal(self.write(w=infinite)))
        self.assertIn("'w' is int64", self.refusal(self.write(w=np.array([2**53 + 1]))))

    def test_other_types_are_refused(self):
        import numpy as np

        for wrong in (
            np.array([{}], dtype=object),
            np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]),
            np.array([1j]),
            np.array(["text"]),
        ):
            self.assertIn(f"'w' is {wrong.dtype}; weights are", self.refusal(self.write(w=wrong)))

    def test_other_names_are_refused(self):
        one = npy("(1,)")
        for name in ("../../x.npy", ".npy", "__metadata__.npy", "/w.npy", "a//b.npy"):
            self.assertIn(f"'{name}' is no name", self.refusal(self.pack((name, one))))
        for again in ("w.npy", "w"):
            twice = self.pack(("w.npy", one), (again, one))
            self.assertIn("has 'w' twice", self.refusal(twice))

    def test_other_files_are_refused(self):
        import numpy as np

        path = self.folder / "wrong.npz"
        whole = self.pack(("w.npy", npy("(1,)"))).read_bytes()
        at, entry = whole.index(b"PK\1\2"), len("w.npy") + 30
        encrypted, method, damaged = bytearray(whole), bytearray(whole), bytearray(whole)
        encrypted[6] = encrypted[at + 8] = 1
        method[8] = method[at + 10] = 99
        damaged[entry : entry + 10] = b"\xff" * 10
        array = io.BytesIO()
        np.save(array, np.ones(3))
        for wrong in (b"", b"no archive", array.getvalue(), encrypted, method, damaged, whole[:60]):
            path.write_bytes(wrong)
            self.assertIn("is no .npz file of weights: ", self.refusal(path))
        for other in (self.folder / "missing.npz", self.folder, pathlib.Path(os.devnull)):
            self.assertIn("is no .npz file of weights: ", self.refusal(other))
        text = self.pack(("w.npy", "no array"))
        self.assertIn("is no .npz file of weights: ", self.refusal(text))
        self.assertIn("has no arrays", self.refusal(self.write()))

    def test_too_many_numbers_are_refused_before_any_is_read(self):
        # Reading one of them would end with another reason.
        for shapes in (["(1000000000000,)"], ["(40000000,)"] * 2, ["(1, -1000000000000)"]):
            arrays = [(f"w{i}.npy", npy(shape)) for i, shape in enumerate(shapes)]
            self.assertIn("more than 67108864", self.refusal(self.pack(*arrays)))


if __name__ == "__main__":
    unittest.main()
