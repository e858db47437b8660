"""Records of made-up runs, as Mentor's programs write them (python/mentor/report/records.py)."""

import csv
import json
import pathlib

import numpy as np

ITERATIONS, EPISODES = 3, 4
METRICS = [
    {"name": "entropy", "unit": "nat", "help": "", "label": "", "panel": "own", "log_scale": False},
    {"name": "grad_norm", "unit": "1", "help": "Norm.", "label": "norm of <it>",
     "panel": "compared", "log_scale": True},
    {"name": "seg*", "unit": "1", "help": "", "label": "", "panel": "none", "log_scale": False},
    {"name": "shaped_return", "unit": "1", "help": "", "label": "", "panel": "none",
     "log_scale": False},
    *({"name": f"{phase}_seconds", "unit": "s", "help": "", "label": "", "panel": "none",
       "log_scale": False} for phase in ("rollout", "policy", "signal", "update", "outer", "wall")),
]  # fmt: skip
COLUMNS = (
    "teacher", "split", "environment", "lifetime", "goal", "goal_seed", "has_goals", "seed",
    "lifetime_episodes", "segment_episodes", "episode_success", "episode_return",
)  # fmt: skip


def life(teacher, lifetime, success, goal=None, **changed):
    """A row of lifetimes.csv: learning episodes, and one without noise."""
    episodes = ITERATIONS * EPISODES
    row = {
        "teacher": teacher, "split": "test", "environment": "reach", "lifetime": lifetime,
        "goal": lifetime if goal is None else goal, "goal_seed": 1, "has_goals": 1, "seed": 1,
        "lifetime_episodes": episodes,
        "segment_episodes": " ".join([str(EPISODES)] * ITERATIONS),
        "episode_success": " ".join(f"{one:g}" for one in success),
        "episode_return": " ".join(f"{10 + 3 * one:g}" for one in success),
    }  # fmt: skip
    return {**row, **changed}


def lives(rng, teachers, goals, each=1, **changed):
    """Agents begin at 5 % and end at the rate of their teacher; hard goals are hard for all."""
    rows = []
    ease = rng.normal(0, 0.15, goals)
    for teacher, rate in teachers.items():
        for number in range(goals * each):
            goal = number % goals
            age = np.repeat(np.arange(ITERATIONS) / (ITERATIONS - 1), EPISODES)
            chance = np.clip(0.05 + (rate - 0.05) * age + ease[goal] * age, 0.02, 0.98)
            chance = np.append(chance, chance[-1])
            success = (rng.random(len(chance)) < chance).astype(float)
            rows.append(life(teacher, number, success, goal, **changed))
    return rows


def training(rng, updates, end, start=0.05):
    rows = []
    for i in range(1, updates + 1):
        rate = start + (end - start) * (1 - np.exp(-3 * i / updates))
        noise = rng.normal(0, 0.03, 3)
        rows.append({
            "outer_update": i, "env_steps": 96_000 * i, "seg0": max(0, start + noise[0]),
            "seg1": max(0, 0.6 * rate + noise[1]), "seg2": max(0, rate + noise[2]),
            "shaped_return": 10 + 5 * rate + noise[0], "entropy": 1.2 - 0.3 * i / updates,
            "grad_norm": 0.5 + abs(noise[1]), "best_score": rate, "rollout_seconds": 2.0,
            "policy_seconds": 0.5, "signal_seconds": 0.25, "update_seconds": 1.5,
            "outer_seconds": 0.75, "wall_seconds": 2.5, "peak_memory_bytes": 2**28,
        })  # fmt: skip
    return rows


def signals(rng, number=4, steps=120):
    rows = []
    for lifetime in range(number):
        shaped = np.cumsum(rng.normal(0, 0.1, steps))
        signal = 0.5 * shaped + rng.normal(0, 0.2, steps)
        rows += [
            {"lifetime": lifetime + 1, "step": t, "signal": f"{a:.6g}", "shaped_reward": f"{b:.6g}"}
            for t, (a, b) in enumerate(zip(signal, shaped))
        ]
    return rows


def record(folder, title, seed, **changed):
    """run.json without the counts of rows."""
    folder = pathlib.Path(folder)
    found = {
        "format": 1, "title": title, "folder": str(folder), "spec_file": f"{folder}/spec.txtpb",
        "failure": "", "succeeded": True, "goes_on": False, "spec_hash": "ab" * 32, "origin": "",
        "outer_updates_made": 0, "damaged_checkpoints": "",
        "spec_text": f'display_name: "{title}"\nseed: {seed}\n',
        "facts": [["Seed", str(seed)], ["Mentor", "0.2.0"], ["State", "succeeded"],
                  ["Machine", "x86-64 with AVX2"], ["Hash after outer update 40", "12" * 32]],
        "signal_role": "reward", "iterations": ITERATIONS, "outer_updates_total": 40, "patience": 0,
        "outer_updates_paper": 500, "seg0_is_control": True, "measures_nothing": False,
        "metrics": METRICS, "evaluated_update": 40, "evaluated_before": [], "beside_known": 0,
        "episode_steps": 10,
        "identity": {
            "experiment": f"{title}-{seed}", "method": title, "protocol": "one",
            "rule": "black_box", "signal": "lstm", "settings": {"rule.name": "x"},
            "seed": seed,
            "goal_seed": 1,
            "training_goals": [], "test_goals": [], "state_hash": "0123456789abcdef" * 4,
            "lifetimes_per_update": 64, "baseline_iteration_steps": 400, "iteration_steps": 400,
        },
    }  # fmt: skip
    identity = {**found["identity"], **changed.pop("identity", {})}
    return {**found, **changed, "identity": identity}


def write(folder, record, files, maps=()):
    """Writes RUN/records; `files` are lists of rows by name."""
    records = pathlib.Path(folder) / "records"
    records.mkdir(parents=True, exist_ok=True)
    counts = {name: len(rows) for name, rows in files.items()}
    for name, rows in files.items():
        with open(records / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0] if rows else COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if maps:
        counts["maps.json"] = len(maps)
        (records / "maps.json").write_text(json.dumps(maps))
    (records / "run.json").write_text(json.dumps({**record, "files": counts}), encoding="utf-8")
    return pathlib.Path(folder)


def run(
    folder,
    title="Reach",
    seed=1,
    *,
    learned=0.6,
    end=None,
    updates=40,
    goals=10,
    each=2,
    teachers=None,
    evaluated=True,
    signal=True,
    **changed,
):
    """A whole run; learned: how often its agents succeed at their end."""
    rng = np.random.default_rng(seed + 1000 * len(title))
    teachers = teachers or {
        "learned": learned,
        "best": learned,
        "sparse": 0.08,
        "shaped": 0.25,
        "random": 0.05,
    }
    files = {}
    if updates:
        files["training.csv"] = training(rng, updates, learned if end is None else end)
    if evaluated:
        files["lifetimes.csv"] = lives(rng, teachers, goals, each)
    if signal:
        files["signals.csv"] = signals(rng)
    changed.setdefault("evaluated_update", updates if evaluated else 0)
    return write(folder, record(folder, title, seed, **changed), files)
