"""`mentor new`: what each kind writes works at once. The commands of its README run through the
real programs, and agents that the learned reward teaches are ahead of those on success alone."""

import os
import pathlib
import re
import shutil
import unittest

from harness import ROOT
from templates import FEWEST, TemplatesTest

TEMPLATES = ROOT / "cli" / "templates"
ARM = """<mujoco>
  <option timestep="0.005" gravity="0 0 0"/>
  <worldbody>
    <body>
      <joint name="shoulder" axis="0 0 1" damping="1"/>
      <geom type="capsule" size="0.02" fromto="0 0 0 0.3 0 0"/>
      <body pos="0.3 0 0">
        <joint name="elbow" axis="0 0 1" damping="1" range="-150 150" limited="true"/>
        <geom type="capsule" size="0.02" fromto="0 0 0 0.3 0 0"/>
        <site name="hand" pos="0.3 0 0"/>
      </body>
    </body>
    <site name="mark" pos="1 1 0"/>
  </worldbody>
  <actuator>
    <motor joint="shoulder" gear="2"/>
    <motor name="bend" joint="elbow" ctrlrange="-1 1" ctrllimited="true"/>
  </actuator>
</mujoco>
"""


class NewTest(TemplatesTest):
    def test_robot(self):
        folder = self.folder / "my-robot"
        self.new("robot", folder)
        self.follow_readme(folder)
        self.assertTrue((folder / "my_robot.txtpb").exists())
        self.assertTrue((folder / "look.png").read_bytes().startswith(b"\x89PNG"))
        self.assert_learned(folder)

    def test_benchmark(self):  # Nightly
        folder = self.folder / "mine"
        self.new("benchmark", folder, "--name", "compass")
        self.follow_readme(folder, "--set rule.outer_updates=16")
        self.assert_learned(folder)

    def test_gym(self):  # Nightly
        folder = self.folder / "glide"
        self.new("gym", folder)
        self.with_gymnasium()
        # What it learns: gym_template_test.py.
        said = self.follow_readme(folder, FEWEST)
        # The next command has the simulator; without it nobody could ever simulate.
        self.assertRegex(said["mentor run"], "Next +mentor .* --simulator 'gym=python3 ")
        wanted = "--simulator gym=COMMAND: is missing"
        for command in (
            ("evaluate", folder / "run", "--seeds", "7", "--name", "other"),
            ("run", "--from", folder / "run", "--set", "rule.outer_updates=99")
            + ("--out", self.folder / "longer"),
        ):
            self.assertIn(wanted, self.run_to_end("mentor", *command, code=1))

    def test_gym_that_exists(self):  # Nightly
        variables = self.with_gymnasium()
        for id, *wanted in (
            ("CartPole-v1", "input: SHAPED  # None of 1000 random steps reports success."),
            # Ten episodes of 50 steps.
            ("FetchReach-v4", "input: SUCCESS", "steps_per_iteration: 500"),
        ):
            folder = self.folder / id[:4].lower()
            self.new("gym", folder, "--id", id, env=variables)
            spec = (folder / f"{folder.name}.txtpb").read_text()
            for text in wanted:
                self.assertIn(text, spec)
        # Its steps take a hundredth of the other's time.
        self.follow_readme(self.folder / "cart", FEWEST, report=False)

    def test_model_of_ones_own(self):  # Nightly
        model = self.folder / "arm.xml"
        model.write_text(ARM)
        folder = self.folder / "arm"
        self.new("robot", folder, "--model", model)
        task = (folder / "bundle" / "task.txtpb").read_text()
        self.assertIn('quantity { name: "tip" site: "hand" }', task)
        self.assertIn("actuator { index: 0 gain: 1 }", task)  # It has no name and no ctrlrange.
        self.assertIn('actuator { name: "bend" }', task)
        self.assertIn('name: "mark_2"', task)  # The model has a site of the first name.
        self.assertIn('noise { qpos: "elbow"', task)
        self.assertIn("Other sites of the model:\n#   mark", task)
        self.follow_readme(folder, "--set rule.outer_updates=2 --set evaluation.goals=64")
        # Random agents succeed sometimes, so there is something to learn from.
        self.assertGreater(self.success(folder / "run", "learned", "seg0"), 0.02)

    def test_model_with_files_beside_it(self):
        beside = self.folder / "given"
        beside.mkdir()
        (beside / "joints.xml").write_text(ARM)
        (beside / "scene.xml").write_text('<mujoco><include file="joints.xml"/></mujoco>')
        folder = self.folder / "scene"
        self.new("robot", folder, "--model", beside / "scene.xml", "--site", "hand")
        self.assertTrue((folder / "bundle" / "joints.xml").exists())
        self.run_to_end("mentor", "env", "check", folder / "bundle")

    def test_a_single_hinge(self):  # Nightly
        """A body's origin lies on the axis, so its geom or the joint itself is what moves."""
        hinge = """<mujoco><worldbody><body name="pole">
          <joint name="hinge" axis="0 1 0" damping="0.1"/>{geom}
          </body></worldbody>
          <actuator><motor joint="hinge" ctrlrange="-1 1"{gear}/></actuator></mujoco>"""
        rod = '<geom {name}type="capsule" fromto="0 0 0 0 0 .5" size=".02"/>'
        model = self.folder / "m.xml"
        for number, (name, found) in enumerate(
            (('name="rod" ', 'geom: "rod"'), ("", 'joint: "hinge"'))
        ):
            model.write_text(hinge.format(geom=rod.format(name=name), gear=""))
            folder = self.folder / f"pole_{number}"
            self.new("robot", folder, "--model", model)
            task = (folder / "bundle" / "task.txtpb").read_text()
            self.assertIn('quantity { name: "tip" ' + found, task)
            self.run_to_end("mentor", "env", "check", folder / "bundle")
        model.write_text(hinge.format(geom=rod.format(name=""), gear=' gear="0"'))
        model.write_text(model.read_text().replace('axis="0 1 0"', 'axis="0 0 1"'))
        said = self.refused("robot", self.folder / "out", "--model", model)
        self.assertIn("random actions move no site, body, geom, hinge or slide", said)

    def test_a_model_whose_files_lie_elsewhere(self):  # Nightly
        def write(path, text):
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            return file

        points = "v 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\n"
        write("robot/meshes/link.obj", points + "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
        write("robot/other.txt", "not of the model")
        link = '<asset><mesh name="link" file="link.obj"/></asset>'
        mesh = ARM.replace('fromto="0 0 0 0.3 0 0"', "", 1)
        mesh = mesh.replace(
            '<geom type="capsule" size="0.02" />', '<geom type="mesh" mesh="link"/>'
        )
        self.assertIn('mesh="link"', mesh)
        compiler = '<mujoco><compiler meshdir="{}"/>' + link
        model = write("robot/xml/arm.xml", mesh.replace("<mujoco>", compiler.format("../meshes")))
        scene = write("robot/scenes/scene.xml", '<mujoco><include file="../xml/arm.xml"/></mujoco>')
        for number, given in enumerate((model, scene)):
            folder = self.folder / f"arm_{number}"
            self.new("robot", folder, "--model", given)
            files = [str(p.relative_to(folder)) for p in sorted((folder / "bundle").rglob("*.*"))]
            wanted = ["bundle/meshes/link.obj", "bundle/task.txtpb", "bundle/xml/arm.xml"]
            if given == scene:
                wanted.insert(1, "bundle/scenes/scene.xml")
            self.assertEqual(files, wanted)
            self.run_to_end("mentor", "env", "check", folder / "bundle")
        for place, remedy in (
            (str(self.folder / "robot" / "meshes"), "is no relative path"),
            ("package://robot/meshes", "is no relative path"),
            ("../nowhere", "is no file at .*nowhere/link.obj"),
        ):
            model.write_text(mesh.replace("<mujoco>", compiler.format(place)))
            said = self.refused("robot", self.folder / "out", "--model", model)
            self.assertRegex(said, remedy)
        model.write_text('<robot name="r"><link name="a"/></robot>')
        self.assertIn("is URDF", self.refused("robot", self.folder / "out", "--model", model))

    def test_a_model_that_reserves_memory_as_old_ones_do(self):
        model = self.folder / "m.xml"
        for size in ('njmax="12000" nconmax="6000"', 'njmax="6000"', 'memory="10G"'):
            model.write_text(ARM.replace("<worldbody>", f"<size {size}/><worldbody>", 1))
            said = self.refused("robot", self.folder / "out", "--model", model)
            self.assertIn(size.split("=")[0], said)
            self.assertRegex(said, "256 MiB|at most 268435456")
        model.write_text(ARM.replace("<worldbody>", '<size njmax="500"/><worldbody>', 1))
        self.new("robot", self.folder / "fits", "--model", model)

    def test_bad_models_are_refused(self):
        model, folder = self.folder / "m.xml", self.folder / "out"

        def says(text, remedy, *flags):
            model.write_text(text)
            self.assertIn(remedy, self.refused("robot", folder, "--model", model, *flags))

        says("<mujoco>", "--model: ")
        still = re.sub("<actuator>.*</actuator>", "", ARM, flags=re.S)
        says(still, "it has no actuators")
        says(ARM, "no site, body, geom, hinge or slide 'foot'", "--site", "foot")
        says(ARM, "random actions do not move 'mark'", "--site", "mark")
        says('<mujoco><include file="none.xml"/></mujoco>', "--model: ")
        model.unlink()
        self.assertIn("is no file", self.refused("robot", folder, "--model", model))
        self.assertIn("give a model too", self.refused("robot", folder, "--site", "hand"))

    def test_what_exists_is_left_alone(self):
        full = self.folder / "full"
        full.mkdir()
        (full / "kept").touch()
        self.assertIn("has files in it", self.refused("robot", full))
        self.assertIn("is no folder", self.refused("benchmark", full / "kept"))
        empty = self.folder / "empty"
        empty.mkdir()
        self.new("benchmark", f"{empty}/")
        self.assertTrue((empty / "empty.txtpb").exists())

    def test_names_are_checked(self):
        for name in ("Robot", "1st", "a b", "a" * 41, "ä", "../x", "x\n"):
            said = self.refused("robot", self.folder / "out", "--name", name)
            self.assertIn("--name", said)
        self.assertIn("--name", self.refused("gym", self.folder / "7"))

    def test_unwritable_folders_are_named(self):
        if os.geteuid() == 0:
            target = pathlib.Path("/proc/mentor")
        else:
            target = self.folder / "locked"
            target.mkdir(mode=0o500)
        said = self.start("mentor", "new", "robot", target / "x")
        self.assertNotEqual(said.wait(), 0)
        self.assertIn(str(target), said.output())

    def test_simulators_that_fail_leave_nothing(self):
        folder, fails = self.folder / "x", ("--simulator", "gym=false")
        said = self.refused("gym", folder, "--id", "X-v0", *fails, code=1)
        self.assertIn("--simulator names a command that serves it", said)
        self.assertIn("--id", self.refused("gym", self.folder / "x", "--id", 'X"'))
        self.assertIn("--id", self.refused("gym", self.folder / "x", "--simulator", "gym=true"))

    def test_templates_measure_what_they_say(self):
        readmes = list(TEMPLATES.rglob("README.md"))
        self.assertEqual(len(readmes), 3)
        for readme in readmes:
            self.assertNotIn("MEASURED", readme.read_text())


if __name__ == "__main__":
    if not shutil.which("bash"):
        raise SystemExit("bash is missing")
    unittest.main()
