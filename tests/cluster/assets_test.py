"""An actor without its models, or with a broken one. The experiment says what is missing, and the
actor lives on."""

import os
import pathlib
import unittest

from harness import ClusterTest

ASSETS = pathlib.Path(os.environ["MENTOR_INSTALLED_ASSETS"])
SCENE = "metaworld/assets/sawyer_xyz/sawyer_door_pull.xml"


class AssetsTest(ClusterTest):
    def spec(self, name, environment):
        """Lifetimes of 40 steps."""
        path = self.folder / f"{name}.txtpb"
        path.write_text(
            f"""
            benchmark {{ name: "ml1" environment: "{environment}" }}
            lifetime {{ iterations: 2 steps_per_iteration: 20 }}
            agent {{ hidden_units: 4 epochs: 1 minibatches: 1 }}
            rule {{
                outer_updates: 1 lifetimes_per_update: 1 shard_lifetimes: 1
                option {{ name: "k" value: "10" }} option {{ name: "epochs" value: "1" }}
            }}
            evaluation {{
                lifetimes_per_goal: 1 goals: 1 deterministic_episodes: 0
                train_goals: false best_weights: false
            }}
        """
        )
        return path

    def cluster(self, assets):
        _, control = self.start_meta_learner(self.folder / "state")
        _, learner = self.start_learner(control)
        return control, self.start_actor(learner, env={"MENTOR_ASSETS": str(assets)})

    def fails(self, control, actor, name, spec, *words):
        """The experiment fails and names `words`; the actor still works for another experiment."""
        self.create_experiment(control, name, spec=spec)
        self.wait_until(lambda: self.get(control, name)["state"] == "STATE_FAILED", f"{name} fails")
        text = self.mentorctl(control, "get", name)
        for word in words:
            self.assertIn(word, text)
        self.create_experiment(control, name + "-after")
        self.wait_for_state(control, name + "-after", "STATE_SUCCEEDED")
        self.assertIsNone(actor.child.poll(), actor.output())

    def test_no_models_at_all(self):
        _, control = self.start_meta_learner(self.folder / "state")
        _, learner = self.start_learner(control)
        actor = self.start_actor(learner, env={"MENTOR_ASSETS": str(self.folder / "nothing")})
        # The actor says what is missing and how to get it. Actors that have the models do not take
        # its work.
        actor.wait_for(r"cannot load model .*deploy/install\.sh")
        actor.wait_for("NUMERIC_MISMATCH")
        self.create_experiment(control, "ml1", spec=self.spec("ml1", "door-close-v3"))
        self.start_actor(learner)
        self.wait_for_state(control, "ml1", "STATE_SUCCEEDED")
        self.assertIsNone(actor.child.poll(), actor.output())

    def test_a_scene_cut_in_half(self):  # Nightly
        assets = self.folder / "assets"
        (assets / "metaworld").mkdir(parents=True)
        # Links to all scenes; only the scene's own folder holds a broken file.
        source = ASSETS / "metaworld" / "assets"
        target = assets / "metaworld" / "assets"
        target.mkdir()
        for entry in source.iterdir():
            if entry.name != "sawyer_xyz":
                (target / entry.name).symlink_to(entry)
        (target / "sawyer_xyz").mkdir()
        for entry in (source / "sawyer_xyz").iterdir():
            (target / "sawyer_xyz" / entry.name).symlink_to(entry)
        scene = assets / SCENE
        text = scene.read_text()
        scene.unlink()
        scene.write_text(text[: len(text) // 2])
        control, actor = self.cluster(assets)
        self.fails(control, actor, "ml1", self.spec("ml1", "door-close-v3"), "sawyer_door_pull.xml")


if __name__ == "__main__":
    unittest.main()
