#!/usr/bin/env python3
"""The images by themselves: they start, hold what they should and no more, and are small.

Usage: images_test.py [-v] [TEST...]
Environment: MENTOR_BUILD, a build folder (default: build); MENTOR_DOCKER_DIR, where the daemon
keeps its data (default: build/docker). Needs root and the
packages of deploy/requirements/apt-containers.txt."""

import json
import re
import tarfile
import unittest

from containers import ROLES, VERSION, ContainerTest

PROGRAMS = {
    "meta-learner": {"mentor", "mentor-meta-learner", "mentor-mjcf", "mentor-probe"},
    "learner": {"mentor-learner", "mentor-probe"},
    "actor": {"mentor-actor", "mentor-mjcf", "mentor-probe"},
    "ctl": {"mentorctl", "mentor-probe"},
    "web": {"mentor-web", "mentor", "mentor-mjcf", "mentor-probe"},
}
ACTOR_BYTES_MAX = 150e6


class ImagesTest(ContainerTest):
    def files(self, role):
        container = self.docker("create", f"mentor-{role}:{VERSION}").strip()
        self.addCleanup(self.docker, "rm", "--volumes", container)
        path = self.folder / f"{role}.tar"
        self.docker("export", "--output", path, container)
        with tarfile.open(path) as tar:
            members = tar.getmembers()
        path.unlink()
        return members

    def test_programs_start_and_find_their_libraries(self):
        for role in ROLES:
            for program in sorted(PROGRAMS[role]):
                with self.subTest(role=role, program=program):
                    out = self.docker(
                        "run",
                        "--rm",
                        "--read-only",
                        "--network=none",
                        "--cap-drop=ALL",
                        "--entrypoint",
                        f"/usr/local/bin/{program}",
                        f"mentor-{role}:{VERSION}",
                        "--version",
                    )
                    self.assertRegex(out, r"\d+\.\d+\.\d+")

    def test_contents(self):
        for role in ROLES:
            with self.subTest(role=role):
                members = self.files(role)
                names = {member.name for member in members}
                self.assertEqual(
                    {
                        name.rpartition("/")[2]
                        for name in names
                        if name.startswith("usr/local/bin/")
                    },
                    PROGRAMS[role],
                )
                self.assertEqual(
                    [
                        name
                        for name in names
                        if re.search(r"(^|/)(ba|da)?sh$|bin/(apt|dpkg|perl|busybox)$", name)
                    ],
                    [],
                    "a shell",
                )
                torch = any("libtorch" in name for name in names)
                self.assertEqual(torch, role in ("meta-learner", "learner", "web"))
                self.assertEqual(
                    any("libmujoco" in name for name in names),
                    role in ("meta-learner", "actor", "web"),
                )
                self.assertEqual(
                    [
                        member.name
                        for member in members
                        if member.mode & 0o6000 and not member.isdir()
                    ],
                    [],
                    "setuid",
                )
                self.assertEqual(
                    [
                        name
                        for name in names
                        if name.endswith((".key", ".pem", "token"))
                        and not name.endswith("certifi/cacert.pem")  # Public authorities.
                    ],
                    [],
                    "secrets",
                )

    def test_configuration(self):
        for role in ROLES:
            with self.subTest(role=role):
                config = json.loads(self.docker("image", "inspect", f"mentor-{role}:{VERSION}"))[0][
                    "Config"
                ]
                self.assertEqual(config["User"], "10001:10001")
                self.assertEqual(config["StopSignal"], "SIGTERM")
                self.assertEqual(len(config["Entrypoint"]), 1)
                self.assertFalse(
                    config.get("Volumes"), "would lie over a volume that is mounted further up"
                )
                self.assertIn("org.opencontainers.image.version", config["Labels"])
                self.assertNotIn("NVIDIA_", str(config["Env"]), "would take GPUs unasked")

    def test_sizes(self):
        size = {
            role: json.loads(self.docker("image", "inspect", f"mentor-{role}:{VERSION}"))[0]["Size"]
            for role in ROLES
        }
        print("  " + ", ".join(f"{role} {bytes / 1e6:.0f} MB" for role, bytes in size.items()))
        self.assertLess(size["actor"], ACTOR_BYTES_MAX)


if __name__ == "__main__":
    unittest.main()
