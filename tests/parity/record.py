#!/usr/bin/env python3
"""Records episodes of the Python originals for `mentor env verify`.

Needs metaworld==3.1.1, gymnasium==1.4.0, mujoco==3.3.0, numpy and packaging, which Mentor itself
does not install:

    python3 -m venv /tmp/reference
    /tmp/reference/bin/pip install metaworld==3.1.1 gymnasium==1.4.0 mujoco==3.3.0 packaging
    /tmp/reference/bin/python tests/parity/record.py --seed 7 --out /tmp/episodes
    build/bin/mentor env verify /tmp/episodes

The format is that of tests/data/parity/manifest.json.
"""
import argparse
import hashlib
import json
import pathlib
import pickle

try:
    import gymnasium
    import mujoco
    import numpy as np

    import metaworld  # Imported last: record_fetch.py needs only the others.
    from metaworld.policies import ENV_POLICY_MAP
except ImportError as error:  # --help needs none of them.
    MISSING = str(error)
else:
    MISSING = ""

CHECK_EVERY = 20
METAWORLD_INFO = [
    "success",
    "near_object",
    "grasp_success",
    "grasp_reward",
    "in_place_reward",
    "obj_to_target",
    "unscaled_reward",
]
GYMNASIUM = [
    "Hopper",
    "HalfCheetah",
    "Walker2d",
    "Ant",
    "Humanoid",
    "HumanoidStandup",
    "Swimmer",
    "Reacher",
    "Pusher",
    "InvertedPendulum",
    "InvertedDoublePendulum",
]
GYMNASIUM_INFO_LEFT_OUT = {"tendon_length", "tendon_velocity"}


class File:
    """One task's numbers, with the fields of its episodes."""

    def __init__(self):
        self.numbers, self.size = [], 0

    def add(self, fields):
        places = {}
        for name, value in fields.items():
            value = np.asarray(value, dtype=np.float64)
            places[name] = {"offset": self.size, "shape": list(value.shape)}
            self.numbers.append(value.ravel())
            self.size += value.size
        return places

    def write(self, path):
        data = np.concatenate(self.numbers).astype("<f8").tobytes()
        path.write_bytes(data)
        return {"file": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def simulator_state(env):
    size = mujoco.mj_stateSize(env.model, mujoco.mjtState.mjSTATE_INTEGRATION)
    state = np.empty(size)
    mujoco.mj_getState(env.model, env.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    return state


def roll(env, observation, choose, steps, info_of):
    base = env.unwrapped
    fields = {
        "init_state": simulator_state(base),
        "init_qpos": base.data.qpos.copy(),
        "init_qvel": base.data.qvel.copy(),
        "init_obs": observation,
    }
    rows = {
        name: [] for name in ("action", "obs", "reward", "terminated", "truncated", "info", "check")
    }
    for step in range(steps):
        action = np.asarray(choose(step, observation), dtype=np.float32).astype(np.float64)
        observation, reward, terminated, truncated, info = env.step(action)
        for name, value in (
            ("action", action),
            ("obs", observation),
            ("reward", reward),
            ("terminated", terminated),
            ("truncated", truncated),
            ("info", info_of(info)),
        ):
            rows[name].append(np.array(value, dtype=np.float64))
        if (step + 1) % CHECK_EVERY == 0:
            rows["check"].append(np.concatenate([base.data.qpos, base.data.qvel]))
        if terminated or truncated:
            break
    return fields | rows, len(rows["reward"])


def smooth(rng, size, scale):
    """Slowly changing actions with noise, some beyond the limits."""
    target, state = np.zeros(size), np.zeros(size)

    def choose(step, _):
        nonlocal target, state
        if step % 15 == 0:
            target = rng.uniform(-1.6, 1.6, size)
        state = 0.8 * state + 0.2 * target
        return scale * (state + 0.3 * rng.standard_normal(size))

    return choose


def record_metaworld(name, seed, episodes, file):
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    tasks = metaworld.ML1(name, seed=seed).train_tasks
    entries = []
    for number in range(episodes):
        env = metaworld.ALL_V3_ENVIRONMENTS[name]()
        task = tasks[rng.integers(len(tasks))]
        hidden = bool(number % 2)
        data = pickle.loads(task.data)
        data["partially_observable"] = hidden
        env.set_task(task._replace(data=pickle.dumps(data)))
        observation, _ = env.reset()
        script, wander = ENV_POLICY_MAP[name](), smooth(rng, 4, 1.0)

        def choose(step, seen, number=number):
            free = wander(step, seen)
            if number % 3 == 0:
                return free
            seen = np.array(seen)
            seen[36:39] = env._target_pos
            told = np.clip(script.get_action(seen), -1, 1)
            if number % 3 == 1:
                return told
            return told + 0.5 * free if step % 200 < 140 else free

        fields, steps = roll(
            env, observation, choose, 500, lambda info: [float(info[key]) for key in METAWORLD_INFO]
        )
        success = np.array(fields["info"])[:, 0] > 0
        entries.append(
            {
                "kind": ["smooth", "scripted", "mixed"][number % 3],
                "partially_observable": hidden,
                "steps": steps,
                "successes": int(success.sum()),
                "fields": file.add({"rand_vec": data["rand_vec"]} | fields),
            }
        )
        env.close()
    return METAWORLD_INFO, entries, env.model


def record_gymnasium(name, seed, episodes, file):
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    env = gymnasium.make(name)
    entries, keys = [], None
    for number in range(episodes):
        observation, _ = env.reset(seed=int(rng.integers(1 << 30)))
        scale = float(rng.choice([0.1, 0.5, 1.0])) * float(env.action_space.high[0])
        if keys is None:
            _, _, _, _, info = env.step(np.zeros(env.action_space.shape))
            keys = [
                key
                for key in info
                if key not in GYMNASIUM_INFO_LEFT_OUT and np.ndim(info[key]) == 0
            ]
            observation, _ = env.reset(seed=int(rng.integers(1 << 30)))
        fields, steps = roll(
            env,
            observation,
            smooth(rng, env.action_space.shape[0], scale),
            1000,
            lambda info: [float(info[key]) for key in keys],
        )
        entries.append(
            {
                "kind": "smooth",
                "action_scale": scale,
                "steps": steps,
                "ended": bool(fields["terminated"][-1]),
                "fields": file.add(fields),
            }
        )
    return keys, entries, env.unwrapped.model


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of goals, noise and actions")
    parser.add_argument("--episodes", type=int, default=3, help="episodes of each task")
    parser.add_argument("--task", action="append", help="only these tasks")
    flags = parser.parse_args()
    if MISSING:
        parser.error(f"{MISSING}: install what --help names and run the Python that has it")
    flags.out.mkdir(parents=True, exist_ok=True)
    tasks = []
    for suite, names, record in (
        ("metaworld", list(metaworld.ALL_V3_ENVIRONMENTS), record_metaworld),
        ("gymnasium", [name + "-v5" for name in GYMNASIUM], record_gymnasium),
    ):
        for name in names:
            if flags.task and name not in flags.task:
                continue
            file = File()
            keys, episodes, model = record(name, flags.seed, flags.episodes, file)
            tasks.append(
                {
                    "task": name,
                    "suite": suite,
                    "nq": model.nq,
                    "nv": model.nv,
                    "info_keys": keys,
                    **file.write(flags.out / f"{name}.bin"),
                    "episodes": episodes,
                }
            )
            print(
                name,
                [(e["kind"], e["steps"], e.get("successes", e.get("ended"))) for e in episodes],
                flush=True,
            )
    (flags.out / "manifest.json").write_text(
        json.dumps(
            {
                "format": 1,
                "dtype": "float64 little-endian",
                "state_flags": "mjSTATE_INTEGRATION",
                "check_every": CHECK_EVERY,
                "versions": {
                    "mujoco": mujoco.__version__,
                    "metaworld": "3.1.1",
                    "gymnasium": gymnasium.__version__,
                    "numpy": np.__version__,
                },
                "tasks": tasks,
            }
        )
    )


if __name__ == "__main__":
    main()
