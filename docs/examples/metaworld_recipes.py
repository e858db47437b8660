"""Runs the recipes of metaworld-algorithms for MT10 and MT50 (mtsac_mt10.py, ppo_mt10.py and so on)
on Mentor's vectors. In a recipe, this line takes the place of its import from
metaworld_algorithms.envs:

    from metaworld_recipes import MetaworldConfig

Rewards, goals, episodes and success are Meta-World's, and so is the evaluation. Needs Mentor's
wheel, metaworld-algorithms and metaworld. Videos come from Meta-World's own environments.
"""

import base64

import gymnasium
import mentor
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld_algorithms import envs


class MetaworldVector(gymnasium.vector.VectorWrapper):
    """Begins episodes anew in the step that ends them, and answers what recipes and Meta-World's
    evaluation ask its vectors."""

    def __init__(self, env, task_names):
        super().__init__(env)
        self.task_names = task_names

    def step(self, actions):
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        done = terminated | truncated
        if done.any():
            infos = {"final_obs": observations, "final_info": infos}
            observations, _ = self.env.reset(options={"reset_mask": done})
        return observations, rewards, terminated, truncated, infos

    def get_attr(self, name):
        """`name`: task_name or terminate_on_success."""
        if name == "task_name":
            return self.task_names
        return [getattr(self.unwrapped, name)] * self.num_envs

    def call(self, name, *arguments):
        native = self.unwrapped.native
        if name == "toggle_terminate_on_success":
            (self.unwrapped.terminate_on_success,) = arguments
        elif name == "get_checkpoint":
            states = [native.save_state(i) for i in range(self.num_envs)]
            return [(str(i), {"state": base64.b64encode(s).decode()}) for i, s in enumerate(states)]
        elif name == "load_checkpoint":
            for i, kept in arguments[0]:
                native.restore_state(int(i), base64.b64decode(kept["state"]))
        else:
            raise AttributeError(f"{name}: is unknown to {type(self).__name__}")


class MetaworldConfig(envs.MetaworldConfig):
    def spawn(self, seed=1):
        for field, only in (
            ("reward_func_version", "v2"),
            ("reward_normalization_method", None),
            ("normalize_observations", False),
            ("num_goals", 50),
        ):
            if getattr(self, field) != only:
                raise ValueError(f"{field}: is {getattr(self, field)!r}; Mentor has {only!r} alone")
        vector = mentor.vector(
            self.env_id,
            goal_seed=seed,
            one_hot=self.use_one_hot,
            terminate_on_success=self.terminate_on_success,
            max_episode_steps=self.max_episode_steps,
            dtype="float32",  # As theirs with one_hot.
            autoreset_mode="DISABLED",  # Statistics of other modes are wrong before Gymnasium 1.4.
        )
        vector.reset(seed=seed)  # A recipe resets without a seed.
        vector.action_space.seed(seed)
        classes = getattr(mentor.metaworld, self.env_id)(seed).train_classes
        names = [ALL_V3_ENVIRONMENTS[name].__name__ for name in classes]
        return MetaworldVector(RecordEpisodeStatistics(vector), names)
