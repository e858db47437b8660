"""mentor_signal's normaliser: what networks with `normalize_observations` see."""

import importlib
import importlib.util
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WHEELS = ROOT / ".deps" / "hosts"


def setUpModule():
    global np, normaliser
    if not (WHEELS / "numpy").exists() or sys.version_info[:2] != (3, 11):
        raise unittest.SkipTest("run deploy/install.sh --hosts, and this with Python 3.11")
    sys.path.insert(0, str(WHEELS))
    np = importlib.import_module("numpy")
    # The file alone: the package needs more than numpy.
    file = ROOT / "python" / "mentor_signal" / "normaliser.py"
    spec = importlib.util.spec_from_file_location("normaliser", file)
    normaliser = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(normaliser)


class NormaliserTest(unittest.TestCase):
    def test_the_scale_is_that_of_the_life_so_far(self):
        random = np.random.default_rng(1)
        scale = np.array([1.0, 1000.0, 0.01])
        segments = [scale * (3 + random.normal(size=(2, steps, 3))) for steps in (7, 20, 11)]
        own = normaliser.ObservationNormaliser(2, 3)
        for i, segment in enumerate(segments):
            seen = own.show(segment)
            self.assertEqual(seen.dtype, np.float32)
            life = np.concatenate(segments[: i + 1], axis=1)
            square = np.square(life).mean(axis=1, keepdims=True)
            np.testing.assert_allclose(seen, segment / np.sqrt(square + 1e-8), rtol=1e-5)

    def test_numbers_are_bounded_and_keep_their_sign(self):
        x = np.zeros((1, 1000, 1))
        x[0, 0, 0], x[0, 1, 0] = -7, 1e-3
        seen = normaliser.ObservationNormaliser(1, 1).show(x)
        self.assertEqual(seen[0, 0, 0], -10)
        self.assertGreater(seen[0, 1, 0], 0)
        self.assertEqual(seen[0, 2, 0], 0)

    def test_what_is_constant_in_a_life_stays_visible(self):
        seen = normaliser.ObservationNormaliser(1, 2).show(np.tile([500.0, -2.0], (1, 5, 1)))
        np.testing.assert_allclose(seen[0], np.tile([1, -1], (5, 1)), rtol=1e-6)

    def test_lifetimes_do_not_mix(self):
        own = normaliser.ObservationNormaliser(2, 1)
        seen = own.show(np.array([[[2.0], [2.0]], [[30.0], [30.0]]]))
        np.testing.assert_allclose(seen.ravel(), [1, 1, 1, 1], rtol=1e-6)

    def test_wrong_shapes_are_named(self):
        own = normaliser.ObservationNormaliser(2, 3)
        for shape in ((2, 3), (1, 5, 3), (2, 5, 4)):
            with self.assertRaisesRegex(ValueError, "observations: have the shape"):
                own.show(np.zeros(shape))
        with self.assertRaisesRegex(ValueError, "no steps"):
            own.show(np.zeros((2, 0, 3)))


if __name__ == "__main__":
    unittest.main()
