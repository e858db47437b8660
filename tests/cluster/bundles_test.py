"""Bundles of a service by its command line. They are pushed in spite of kill -9 of either side,
fetched, named by experiments, and kept in backups."""

import hashlib
import random

from harness import ClusterTest

SPEC = """benchmark {{ name: "single" environment: "point_reach"
  wrapper {{ name: "time_feature" option {{ name: "bundle" value: "{name}" }} }} }}
rule {{ name: "black_box" }}
"""


def make_bundle(folder, size=60_000_000):
    """A model, and a mesh with `size` bytes."""
    (folder / "meshes").mkdir(parents=True)
    (folder / "robot.xml").write_text("<mujoco/>\n")
    (folder / "meshes" / "arm.stl").write_bytes(random.Random(5).randbytes(size))
    return folder


def digest_of(folder):
    """As docs/operating.md says it."""
    name = hashlib.sha256()
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    for path, contents in sorted(files.items(), key=lambda entry: entry[0].encode()):
        line = f"{hashlib.sha256(contents).hexdigest()} {len(contents)} {path}\n"
        name.update(line.encode())
    return name.hexdigest()


class BundlesTest(ClusterTest):
    def test_a_push_goes_on_whoever_was_killed(self):
        folder = make_bundle(self.folder / "my_robot")
        name = "sha256:" + digest_of(folder)
        state = self.folder / "state"
        server, address = self.start_meta_learner(state, 0, "--calls_per_second", "10")
        port = address.rpartition(":")[2]

        def parts():
            """Returns the bytes of the owner's unfinished push."""
            uploads = state / "bundles" / "uploads"
            return [part.stat().st_size for part in uploads.glob(name[7:] + "*.part")]

        # Returns the pusher after a part of the bundle has arrived; the limit of calls makes the
        # push last.
        def push():
            return self.start("mentorctl", "bundles", "push", folder, "--server", address)

        pusher = push()
        self.wait_until(lambda: sum(parts()) > 2_000_000, "some pieces")
        pusher.kill()
        self.assertLess(sum(parts()), 60_000_000)
        # The server is killed under the next push, which then continues.
        pusher = push()
        pusher.wait_for("going on with " + name)
        server.kill()
        self.start_meta_learner(state, port)
        self.assertEqual(pusher.wait(), 0, pusher.output())
        self.assertIn("is there: 2 files", pusher.output())
        self.assertEqual(parts(), [])

        said = self.mentorctl(address, "bundles", "list")
        self.assertIn(name, said)
        self.assertIn("meshes/arm.stl", self.mentorctl(address, "bundles", "show", name[:20]))
        copy = self.folder / "copy"
        self.mentorctl(address, "bundles", "pull", folder, copy)
        self.assertEqual(digest_of(copy), name[7:])
        # Files that the server has are not sent.
        said = self.mentorctl(address, "bundles", "push", folder)
        self.assertNotRegex(said, "pushing|going on with")

        # Backups have it.
        self.run_to_end(
            "mentor-meta-learner", "--state", state, "backup", "--out", self.folder / "backup"
        )
        self.run_to_end(
            "mentor-meta-learner",
            "--state",
            self.folder / "restored",
            "restore",
            "--from",
            self.folder / "backup",
        )
        self.assertEqual(digest_of(self.folder / "restored" / "bundles" / name[7:]), name[7:])

    def test_what_is_missing_or_no_bundle_is_said(self):
        _, address = self.start_meta_learner(self.folder / "state")
        folder = make_bundle(self.folder / "my_robot", 1000)
        name = "sha256:" + digest_of(folder)
        spec = self.folder / "spec.txtpb"
        spec.write_text(SPEC.format(name=name))
        said = self.mentorctl(address, "create", "-f", spec, "--id", "one", code=5)
        self.assertIn("BUNDLE_MISSING", said)
        self.assertIn("mentorctl bundles push", said)
        (folder / "leak").symlink_to("/etc/passwd")
        (folder / "away").symlink_to("nothing")
        said = self.mentorctl(address, "bundles", "push", folder, code=2)
        self.assertIn("leak: is a symbolic link that leaves the folder", said)
        self.assertIn("away: is a symbolic link to nothing", said)
        (folder / "leak").unlink()
        (folder / "away").unlink()
        self.mentorctl(address, "bundles", "show", name, code=3)
        self.mentorctl(address, "bundles", "push", folder)
        self.mentorctl(address, "bundles", "pull", name, folder, code=5)
        self.mentorctl(address, "bundles", "delete", name)
        self.mentorctl(address, "bundles", "delete", name, code=3)
        self.mentorctl(address, "bundles", "delete", name, "--allow_missing")
