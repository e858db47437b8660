"""An actor or a learner that computes wrongly, with finite numbers: it is found out by the sample,
nothing that it computed is used, and the owner is told."""

import re
import unittest

from harness import ClusterTest, sets

SHORT = sets("rule.outer_updates=10", "evaluation.lifetimes_per_goal=0")
LONG = sets("rule.outer_updates=1000", "evaluation.lifetimes_per_goal=0")
# Wrong in every result, or in half of them by chance: nothing tells a liar what is checked.
ALWAYS, OFTEN = "*", "50%7"
SAMPLE = ("--check_every", 2)


def lie(point, when):
    return {"MENTOR_FAILPOINTS": f"{point}={when}:error(a lie)"}


class LiarsTest(ClusterTest):
    def run_beside(self, server, state, id):
        """Runs the experiment to its end; returns its hash and its warnings."""
        self.create_experiment(server, id, *SHORT)
        hash = self.hash_of(server, state, id)
        return hash, " ".join(self.get(server, id).get("warnings", []))

    def check_bits(self, server, id, hash, alone, check_every=SAMPLE[1]):
        """A sample may come after an outer update, even after the last one; then the owner is told
        so."""
        if check_every == 1:
            self.assertEqual(hash, alone)
        elif hash != alone:
            self.wait_until(lambda: "may have used" in str(self.get(server, id)), "a warning")

    def test_an_actor_that_lies_is_found_out_and_nothing_of_it_is_used(self):
        alone = self.hash_alone(*SHORT)
        for when in (ALWAYS, OFTEN):
            with self.subTest(when):
                state = self.folder / f"state-{len(when)}"
                _, server = self.start_meta_learner(state)
                _, address = self.start_learner(server, 0, *SAMPLE)
                self.start_actor(address, env=lie("actor.result.wrong", when))
                for _ in range(2):
                    self.start_actor(address)
                self.wait_for_peers(server, "actors", 3)
                hash, warnings = self.run_beside(server, state, "a")
                self.assertIn("computed a unit wrongly, as two others agree", warnings)
                self.check_bits(server, "a", hash, alone)
                self.wait_until(
                    lambda: self.mentorctl(server, "peers").count("kept away") == 1,
                    "the liar alone is kept away",
                )

    def test_a_learner_that_lies_is_found_out_and_nothing_of_it_is_used(self):
        alone = self.hash_alone(*SHORT)
        for when, check_every in ((ALWAYS, 1), (OFTEN, 1), (ALWAYS, 2)):
            with self.subTest(when, check_every=check_every):
                state = self.folder / f"state-{len(when)}-{check_every}"
                _, server = self.start_meta_learner(state, 0, "--check_every", check_every)
                for env in (lie("learner.segment.wrong", when), None, None):
                    _, address = self.start_learner(server, env=env)
                    self.start_actor(address)
                self.wait_for_peers(server, "actors", 3)
                hash, warnings = self.run_beside(server, state, "a")
                self.assertIn("computed a shard wrongly, as two others agree", warnings)
                self.check_bits(server, "a", hash, alone, check_every=check_every)

    def test_of_two_actors_alone_both_are_kept_away_and_the_owner_is_told(self):
        _, server = self.start_meta_learner(self.folder / "state")
        _, address = self.start_learner(server, 0, *SAMPLE)
        self.start_actor(address, env=lie("actor.result.wrong", ALWAYS))
        self.start_actor(address)
        self.wait_for_peers(server, "actors", 2)
        self.create_experiment(server, "a", *LONG)
        self.wait_until(
            lambda: "no other actor was there to decide" in str(self.get(server, "a")), "a warning"
        )
        self.wait_until(
            lambda: self.mentorctl(server, "peers").count("kept away") == 2, "both kept away"
        )

    def test_what_was_used_before_is_told_and_a_clone_of_the_named_update_is_clean(self):  # Nightly
        state = self.folder / "state"
        _, server = self.start_meta_learner(state)
        _, address = self.start_learner(server, 0, *SAMPLE)
        honest = self.start_actor(address)

        self.create_experiment(server, "a", *LONG)
        self.wait_until(lambda: self.updates(server, "a") >= 2, "two clean updates")
        self.mentorctl(server, "pause", "a")
        self.wait_for_state(server, "a", "STATE_PAUSED")
        clean = self.updates(server, "a")
        honest.signal(15)
        honest.wait()
        # How many updates come before the pause depends on the machine.
        longer = (*SHORT, "--set", f"rule.outer_updates={clean + 4}")
        # Alone, it cannot be found out.
        self.start_actor(address, env=lie("actor.result.wrong", ALWAYS))
        self.mentorctl(server, "resume", "a")
        self.wait_until(lambda: self.updates(server, "a") >= clean + 2, "two spoilt updates")
        for _ in range(2):
            self.start_actor(address)
        self.wait_until(lambda: "clone the checkpoint" in str(self.get(server, "a")), "a warning")
        warning = " ".join(self.get(server, "a")["warnings"])
        named = re.search(r"clone the checkpoint of outer update (\d+)", warning)
        self.assertEqual(int(named.group(1)), clean, warning)
        self.assertIn("Warning", self.mentorctl(server, "get", "a"))
        self.mentorctl(server, "cancel", "a")
        self.mentorctl(server, "clone", f"a/checkpoints/{clean}", "--id", "b", *longer, "--wait")
        alone = self.hash_alone(*longer)
        self.assertEqual(self.hash_of(server, state, "b"), alone)


if __name__ == "__main__":
    unittest.main()
