"""Device code keeps its limits and the CPU's arithmetic on every generation of GPUs."""

import unittest

import device_code


class DeviceGenerations(unittest.TestCase):
    def test_every_generation(self):
        if not device_code.NVCC.exists():
            self.skipTest("no compiler of device code here: deploy/install.sh --nvcc")
        self.assertEqual(device_code.look_at_all(device_code.LIMITS["generations"])[1], [])


if __name__ == "__main__":
    unittest.main()
