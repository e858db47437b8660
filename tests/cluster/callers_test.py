"""One user's calls must not hold up another's (tests/chaos/callers.py measures it)."""

import os
import unittest

from harness import BIN
from secure import SecureTest

TASK = """model: "m.xml"
summary: "A ball."
episode_steps: 100
observation { qpos: "*" }
action { low: -1 high: 1 actuator { name: "pull" gain: 1 } }
reward { name: "none" expression: "0" }
"""
MODEL = """<mujoco><!-- %s --><worldbody>
<body><joint name="slide" type="slide"/><geom size=".1"/></body></worldbody>
<actuator><motor name="pull" joint="slide"/></actuator></mujoco>"""
SPEC = """benchmark { name: "single" environment: "mjcf" option { name: "bundle" value: "%s" } }
rule { outer_updates: 4 } evaluation { goals: 1 lifetimes_per_goal: 0 }"""
# Compiles, but for models that say otherwise.
COMPILER = """#!/bin/sh
grep -q "never ends" "$1/$2" || exec %s "$@"
echo $$ >> %s
exec tail -f /dev/null
"""


class CallersTest(SecureTest):
    def setUp(self):
        super().setUp()
        self.started = self.folder / "started"
        self.started.touch()
        script = self.folder / "compiler.sh"
        script.write_text(COMPILER % (BIN / "mentor-mjcf", self.started))
        script.chmod(0o700)
        self.fleet.start("meta-learner-0", MENTOR_MJCF=str(script))

    def spec(self, user, name, about):
        """A spec with a bundle of its own."""
        folder = self.folder / f"bundle-{name}"
        folder.mkdir()
        (folder / "m.xml").write_text(MODEL % f"{name} {about}")
        (folder / "task.txtpb").write_text(TASK)
        said = self.mentorctl(user, "bundles", "push", folder)
        digest = next(word for word in said.split() if word.startswith("sha256:")).rstrip(",")
        spec = self.folder / f"{name}.txtpb"
        spec.write_text(SPEC % digest)
        return spec

    def compilers(self):
        """The compilers that never end, as far as they have not ended."""

        def lives(id):
            try:
                os.kill(id, 0)
            except ProcessLookupError:
                return False
            return True

        return [id for id in map(int, self.started.read_text().split()) if lives(id)]

    def test_models_of_one_owner_leave_a_place_to_others(self):
        """B3: two of them held both compilers: another's check waited a minute for 0.03 s."""
        specs = [self.spec("bob", f"bad-{number}", "never ends") for number in range(3)]
        waiting = [
            self.start("mentorctl", *self.flags_of("bob"), "validate", "-f", spec) for spec in specs
        ]
        self.wait_until(self.compilers, "the first compiler")
        for number in range(3):
            self.mentorctl("ada", "validate", "-f", self.spec("ada", f"good-{number}", ""))
        self.assertEqual([one.child.poll() for one in waiting], [None] * 3)
        self.assertEqual(len(self.compilers()), 1)
        # Compilers end with their callers, also those that begin meanwhile.
        for one in waiting:
            one.kill()
        self.wait_until(lambda: not self.compilers(), "the end of the compilers")
        self.mentorctl("bob", "validate", "-f", self.spec("bob", "good", ""))


if __name__ == "__main__":
    unittest.main()
