#!/usr/bin/env python3
"""The table of teachers: which claims its cells are (teachers.md, row 50 of experiments.md).

Usage: results/teachers.py
  Puts the planned cells into claims.csv, as rows without results. Rows with results stay as they
  are; of the others it changes the commands, and removes what is no longer planned.

A cell is a teacher, a task and the updates of a student's life. It is a claim
teachers-TASK-UPDATES-TEACHER of five meta-seeds, or says why it is none. The task's own rewards
are tested in one claim, teachers-TASK-UPDATES-untrained. A place {teachers TASK BUDGET} of
tables.txt is the lines of a task's table (places.py); figures.py draws what has ended.

A task has two tables, for what is meta-trained costs in two ways. At equal `steps` all have about
as many environment steps as the learned reward has; at equal `cpu` all have as many CPU seconds. A
cell of the second is one of the first, too, where its steps are near enough. Else it is a claim
teachers-TASK-UPDATES-TEACHER-steps.

PPO whose settings were tuned is a claim teachers-TASK-UPDATES-tuned. It has a line once there is
one, and until then none.
"""

import dataclasses
import re

ROW = "50"
LIVES = (2, 10, 30)  # Updates; a life has one iteration more.
STEPS_LIVES = (2, 10)  # Planned at equal steps, too.
NEAR = 0.05  # Steps that differ by no more of the budget count as equal.
BUDGETS = ("steps", "cpu")
SEEDS = (1, 2, 3, 4, 5)
# Teachers without meta-training, by their baseline. One claim tests several.
UNTRAINED = {
    "none": "ppo_sparse",
    "shaped": "ppo_shaped",
    "tuned": "ppo_shaped",
    "dpo": "ppo_shaped",
    "potential": "ppo_potential",
    "rnd": "ppo_rnd",
}
TOGETHER = ("none", "shaped", "potential")
# Title in tables and figures, and colour (python/mentor/report/theme.py).
TEACHERS = {
    "none": ("none: success alone", "grey"),
    "shaped": ("the shaped reward", "fair"),
    "tuned": ("the shaped reward, PPO tuned", "muted"),
    "dpo": ("the shaped reward, DPO's drift", "crimson"),
    "potential": ("success and a potential", "brown"),
    "rnd": ("success and RND's bonus", "olive"),
    "reward": ("learned reward (black box)", "blue"),
    "advantage": ("learned advantage (black box)", "green"),
    "es": ("learned by evolution strategies", "sky"),
    "epg": ("EPG: a learned loss", "orange"),
    "lpo": ("LPO: a learned drift", "vermillion"),
    "lpg": ("LPG: learned targets", "purple"),
    "meta-gradient": ("plain meta-gradient", "indigo"),
    "first-order": ("first-order meta-gradient", "poor"),
    "bmg": ("BMG: a bootstrapped meta-gradient", "good"),
    "disco_103": ("disco_103, as published", "ink"),
}
# Teachers of agents with discrete actions alone.
DISCRETE = {"lpg": "needs discrete actions", "disco_103": "needs discrete actions"}
# Where no state but the last differs in reward.
NO_POTENTIAL = {"potential": "no potential: rewards differ in the last step alone"}
# disco_103 is a file of its authors (docs/rules.md).
NO_FILE = (
    "not run: `mentor run {} --set rule.name=disco --bundle disco_103`, with the authors' file"
)
EPG = "rule.name=epg signal.name=loss_conv signal.role=LOSS signal.input=SHAPED signal.buffer="
LPG = "rule.name=lpg rule.lstm_units=64"
META_GRADIENT = "rule.name=meta_gradient rule.c_ex=0 rule.c_in=1 rule.outer_data=fresh"
FIRST_ORDER = "rule.order=first"
BMG = "rule.bootstrap_steps=1"
LPO = "rule.name=lpo signal.name=drift signal.input=SHAPED"
SMALL = "signal.enc1=28 signal.enc2=28 signal.lstm=32 signal.heads=32 signal.critic=32"
BLACK_BOX = f"rule.name=black_box signal.name=lstm {SMALL} rule.k=70"


@dataclasses.dataclass
class Taught:
    """A teacher that is meta-trained."""

    spec: str
    settings: str
    seconds: float  # CPU seconds of an outer update with lives of two updates, about.
    steps: int  # Environment steps of an iteration of all agents.
    inside: bool = False  # An outer update is one iteration of agents that live on.


@dataclasses.dataclass
class Task:
    title: str
    budget_s: int  # CPU seconds of meta-training, for each teacher and meta-seed.
    untrained: str  # The spec of what is not meta-trained.
    taught: dict
    tested_s: float = 5  # CPU seconds of testing lives of two updates, about.
    lacks: dict = dataclasses.field(default_factory=lambda: DISCRETE)  # Why, by teacher.
    more: str = ""  # Settings of all commands.
    goal_seeds: bool = False  # A meta-seed has goals of its own.


# Their outer update is one iteration of agents that live on.
INSIDE = ("lpg", "meta-gradient", "first-order", "bmg")
# Learning rates that are not the spec's, as long as a teacher has no trials on a task.
UNTUNED = {"reward": "3e-3", "advantage": "3e-3", "lpg": "1e-3"}


def small(spec, buffer, rates, seconds, steps):
    """The teachers of a small environment with choices, in the order of their seconds."""
    settings = {
        "reward": BLACK_BOX,
        "advantage": f"{BLACK_BOX} signal.role=ADVANTAGE",
        "es": "",
        "epg": f"{EPG}{buffer}",
        "lpo": LPO,
        "lpg": LPG,
        "meta-gradient": f"{META_GRADIENT} signal.input=SHAPED",
        "first-order": f"{META_GRADIENT} {FIRST_ORDER} signal.input=SHAPED",
        "bmg": f"{META_GRADIENT} {BMG} signal.input=SHAPED",
    }
    for teacher, rate in rates.items():
        settings[teacher] += f" rule.learning_rate={rate}"
    return {
        teacher: Taught(spec, words, cost, steps, inside=teacher in INSIDE)
        for (teacher, words), cost in zip(settings.items(), seconds, strict=True)
    }


TASKS = {
    "point-reach": Task(
        "point_reach",
        60,
        "point_reach",
        {
            "reward": Taught("point_reach_reward", "rule.learning_rate=3.14e-3", 0.25, 12800),
            "advantage": Taught("point_reach", "rule.learning_rate=1.24e-3", 0.24, 12800),
            "es": Taught("point_reach_es", "rule.learning_rate=0.0353", 0.13, 12800),
            "epg": Taught(
                "point_reach_lpo",
                f"lifetime.steps_per_iteration=100 agent.minibatches=4 {EPG}200 "
                "rule.learning_rate=0.0118",
                0.19,
                3200,
            ),
            "lpo": Taught(
                "point_reach_lpo",
                "lifetime.steps_per_iteration=100 agent.minibatches=4 rule.learning_rate=4.12e-3",
                0.14,
                3200,
            ),
            "meta-gradient": Taught("point_reach_meta_gradient", "", 2.95, 12800, inside=True),
            "first-order": Taught(
                "point_reach_meta_gradient", FIRST_ORDER, 1.38, 12800, inside=True
            ),
            "bmg": Taught("point_reach_bmg", "", 1.32, 12800, inside=True),
        },
    ),
    "maze": Task(
        "mazes of 4 x 4",
        120,
        "teachers_maze",
        small(
            "teachers_maze",
            400,
            UNTUNED,
            (0.46, 0.38, 0.32, 0.70, 0.36, 0.12, 1.5, 0.7, 0.69),
            12800,
        ),
        lacks=NO_POTENTIAL,
    ),
    "catch": Task(
        "Catch",
        120,
        "teachers_catch",
        small(
            "teachers_catch",
            280,
            {
                **UNTUNED,
                "reward": "8.23e-3",
                "advantage": "3.53e-3",
                "es": "0.0312",
                "lpo": "0.0105",
                "bmg": "6.85e-3",
            },
            (0.40, 0.31, 0.36, 1.34, 0.41, 0.155, 1.7, 0.8, 0.79),
            8960,
        ),
        lacks=NO_POTENTIAL,
    ),
    "door-close": Task(
        "door-close",
        2260,
        "teachers_door_close",
        {
            "reward": Taught("ml1_reward", "rule.learning_rate=3e-4 rule.patience=0", 22.6, 60000),
            "advantage": Taught(
                "ml1_advantage", "rule.learning_rate=3e-4 rule.patience=0", 22.6, 60000
            ),
            "es": Taught("teachers_door_close", "", 20, 60000),
            "epg": Taught("teachers_door_close", f"{EPG}4000", 200, 60000),
            "lpo": Taught("teachers_door_close", LPO, 80, 60000),
            "bmg": Taught(
                "ml1_meta_gradient",
                "signal.name=mlp rule.learning_rate=3e-3 rule.bootstrap_steps=1",
                100,
                60000,
                inside=True,
            ),
        },
        tested_s=60,
        more="benchmark.environment=door-close-v3 evaluation.lifetimes_per_goal=2 "
        "evaluation.train_goals=false",
        goal_seeds=True,
    ),
}


def steps_of(taught, updates):
    """Environment steps of an outer update."""
    return taught.steps * (1 if taught.inside else updates + 1)


def seconds_of(taught, updates):
    """CPU seconds of an outer update."""
    return taught.seconds * (1 if taught.inside else (updates + 1) / 3)


def outer_updates(task, taught, updates, budget="cpu"):
    """As many as the budget pays. A life of so many updates costs in proportion to its steps."""
    if budget == "steps":
        reward = task.taught["reward"]
        most = outer_updates(task, reward, updates) * steps_of(reward, updates)
        number = most / steps_of(taught, updates)
    else:
        number = task.budget_s / seconds_of(taught, updates)
    if taught.inside:  # Whole generations.
        return max(1, round(number / (updates + 1))) * (updates + 1)
    return max(1, round(number))


def budget_of(name, updates, teacher, budget):
    """The budget whose claim a cell is: at equal steps that of equal CPU time, where it is near."""
    task = TASKS[name]
    taught = task.taught.get(teacher)
    if taught is None or budget == "cpu":
        return "cpu"
    cpu, steps = (outer_updates(task, taught, updates, one) for one in ("cpu", "steps"))
    return "cpu" if abs(cpu - steps) <= NEAR * steps else "steps"


def claim_of(name, updates, teacher, budget="cpu"):
    kind = "untrained" if teacher in TOGETHER else teacher
    end = "-steps" if budget_of(name, updates, teacher, budget) == "steps" else ""
    return f"teachers-{name}-{updates}-{kind}{end}"


def why_not(name, teacher):
    """Why a cell is no claim; empty when it is one."""
    task = TASKS[name]
    if teacher in task.lacks:
        return task.lacks[teacher]
    if teacher in UNTRAINED or teacher in task.taught:
        return ""
    return NO_FILE.format(task.untrained) if teacher == "disco_103" else "not planned"


def command_of(name, updates, teacher, seed, budget="cpu"):
    task = TASKS[name]
    words = [f"seed={seed}"]
    if task.goal_seeds:
        words.append(f"benchmark.goal_seed={2 * seed - 1}")
    words += [*task.more.split(), f"lifetime.iterations={updates + 1}"]
    if teacher in UNTRAINED:
        tested = TOGETHER if teacher in TOGETHER else (teacher,)
        tested = [one for one in tested if one not in task.lacks]
        baselines = ",".join(UNTRAINED[one].upper() for one in tested)
        spec, more = task.untrained, ["rule.outer_updates=0", f"evaluation.baseline={baselines}"]
        if teacher == "dpo":
            more.append("agent.surrogate=DPO")
    else:
        taught = task.taught[teacher]
        spec, number = taught.spec, outer_updates(task, taught, updates, budget)
        more = [*taught.settings.split(), f"rule.outer_updates={number}", "evaluation.baseline="]
        if teacher == "lpg":
            more.append(f"rule.updates={min(updates, 5)}")  # A window ends within a life.
    return " ".join([f"mentor run {spec}", *(f"--set {word}" for word in words + more)])


def cells():
    """(task, updates, teacher, budget) of all cells that are claims of their own."""
    for name in TASKS:
        for updates in LIVES:
            for budget in reversed(BUDGETS):
                for teacher in TEACHERS:
                    if teacher in (*TOGETHER[1:], "tuned") or why_not(name, teacher):
                        continue  # In the claim of the first; of a study.
                    if budget != budget_of(name, updates, teacher, budget):
                        continue
                    if budget == "cpu" or planned_at_steps(name, updates):
                        yield name, updates, teacher, budget


def planned_at_steps(name, updates):
    return updates in STEPS_LIVES and not TASKS[name].goal_seeds


def planned():
    """(claim, run, command) of all cells that are claims; the command of "all" is empty."""
    for cell in cells():
        claim = claim_of(*cell)
        for seed in SEEDS:
            yield claim, str(seed), command_of(*cell[:3], seed, cell[3])
        yield claim, "all", ""


def hours_of(name, updates, teacher, budget="cpu"):
    """About what a claim takes."""
    task = TASKS[name]
    tested = task.tested_s * (updates + 1) / 3
    if teacher in UNTRAINED:
        # Beside the baselines the untrained network is tested.
        return len(SEEDS) * (4 if teacher in TOGETHER else 2) * tested / 3600
    taught, seconds = task.taught[teacher], task.budget_s
    if budget_of(name, updates, teacher, budget) == "steps":
        seconds = outer_updates(task, taught, updates, "steps") * seconds_of(taught, updates)
    return len(SEEDS) * (seconds + tested) / 3600


def number_of(updates, teacher):
    """Success in the last part of a life."""
    return f"test.{UNTRAINED.get(teacher, 'learned')}.seg{updates}"


def short_name(teacher):
    """As "reward" or "EPG"."""
    title = re.split(r" \(|:", TEACHERS[teacher][0])[0]
    return title.removeprefix("learned ").removeprefix("by ")


def place_of(name, updates, teacher, budget="cpu"):
    return f"{claim_of(name, updates, teacher, budget)} {number_of(updates, teacher)}"


def cost_of(claim, teacher, value):
    """What the meta-training of a cell took: CPU seconds, and environment steps."""
    if teacher in UNTRAINED:
        return ""
    return f"; {value(f'{claim} cost .0f')} s, {value(f'{claim} steps *0.000001 .1f')} M"


def lines(name, budget, ended, value, ahead):
    """The table of a task. `ended`: whether a claim has a run that has; `value`: the text of a
    place; `ahead`: the teachers that are ahead of another, by updates."""
    for teacher, (title, _) in TEACHERS.items():
        row = []
        if teacher == "tuned" and not any(ended(claim_of(name, one, teacher)) for one in LIVES):
            continue
        for updates in LIVES:
            claim = claim_of(name, updates, teacher, budget)
            if reason := why_not(name, teacher):
                row.append(reason if updates == LIVES[0] else "")
            elif ended(claim):
                place = place_of(name, updates, teacher, budget)
                row.append(value(f"{place} t") + cost_of(claim, teacher, value))
            elif teacher == "tuned" or (
                claim.endswith("-steps") and not planned_at_steps(name, updates)
            ):
                row.append("not run, nor planned")
            else:
                hours = hours_of(name, updates, teacher, budget)
                row.append(f"not run: `{claim}`, {hours:.2g} h")
        yield f"| {title} | " + " | ".join(row) + " |"
    for other, words in (("shaped", "the shaped reward"), ("tuned", "PPO, tuned")):
        if any(tests := [ahead(updates, other) for updates in LIVES]):
            yield f"| *ahead of {words}* | " + " | ".join(tests) + " |"


def unlike(known, task=""):
    """Rows of claims.csv that are not as planned, by (claim, run): the planned command, or None
    where a row is to go. `known`: (command, whether it has a result) by (claim, run)."""
    plan = {(claim, run): command for claim, run, command in planned()}
    found = {}
    for key, command in plan.items():
        there, ended = known.get(key, (None, False))
        if not ended and there != command:
            found[key] = command
    for key, (_, ended) in known.items():
        if key not in plan and not ended:
            found[key] = None
    begin = f"teachers-{task}-" if task else ""
    return {key: command for key, command in found.items() if key[0].startswith(begin)}


def main():
    import claims
    import data_files

    with data_files.alone_with(claims.CLAIMS):
        rows = claims.parsed(claims.CLAIMS.read_text(encoding="utf-8"), claims.CLAIMS)
        empty = dict.fromkeys(claims.COLUMNS, "")
        changes = unlike(claims.of_row(rows, ROW))
        kept = []
        for row in rows:
            command = changes.pop((row["claim"], row["run"]), row["command"])
            if command is not None:
                kept.append({**row, "command": command})
        for (claim, run), command in changes.items():
            kept.append({**empty, "claim": claim, "run": run, "row": ROW, "command": command})
        data_files.write(claims.CLAIMS, claims.printed(kept).encode("utf-8"))


if __name__ == "__main__":
    main()
