"""What generate.py refuses of the record, by name.

That is a setting which nobody reads, a tuned claim without a study, a study that saw what its
claims are tested on, and a run without its raw rows.

studies/NAME.csv is a study of settings. Lines that begin with # come first:

    # claims: CLAIM ...      whose commands have the chosen settings
    # command: mentor run    what the trials ran, without the settings that were tried
    # goals: train           whose success decided: of training goals, or `test`
    # goal_seeds: 101        the lists of goals of the trials; `none` where the seed draws goals
    # chosen: 4              the trial

The table below is that of `mentor-sweep STUDY --show --csv FILE`: trial, state, a column for each
setting, value, and a column `seed N` for each seed. It has every trial. The greatest value is
chosen. Commands may round its settings.

A claim is tuned when its name has the word "tuned".
"""

import math
import re

from claims import name_of, result_of, runs_of
from data_files import RESULTS, ROOT, Mistake, number_of, table_of, text_of

STUDIES = RESULTS / "studies"
OLD = RESULTS / "without_lives.txt"
FILE = "results/claims.csv:1"
HEAD = re.compile(r"# (\w+): (.*)")
KEYS = ("claims", "command", "goals", "goal_seeds", "chosen")
FIXED = ("trial", "state", "value")
SET = re.compile(r"--set (\S+?)=(\S*)")
TUNED = re.compile(r"(^|-)tuned(-|$)")
ROUNDED = 0.02
# Agents without a value network read nothing of it; a drift takes the place of the clip.
OF_VALUES = ("gamma", "gae_lambda", "value_coef", "clip_value_loss", "bootstrap_on_truncation")


def settings_of(command):
    return dict(SET.findall(command))


def of_spec(name, setting, pattern):
    """What a ready spec, or the one that it is based on, says last; "" where none does."""
    path = ROOT / "experiments" / f"{name}.txtpb"
    if not path.exists():
        return ""
    text = text_of(path)
    if found := re.search(rf"^\s*{setting}: ({pattern})", text, re.MULTILINE):
        return found[1]
    base = re.search(r'^base: "(\w+)"', text, re.MULTILINE)
    return of_spec(base[1], setting, pattern) if base else ""


def unread(command, names):
    """(setting, why) of these settings that the agents of a command do not read."""
    given = settings_of(command)
    spec = (command.split() + [""] * 3)[2]
    role = given.get("signal.role") or of_spec(spec, "role", "[A-Z]+")
    baselines = given.get("evaluation.baseline", "PPO")
    surrogate = given.get("agent.surrogate") or of_spec(spec, "surrogate", "[A-Z]+")
    for name in names:
        field = name.removeprefix("agent.")
        if role == "ADVANTAGE" and field in OF_VALUES and not baselines:
            yield name, "with signal.role ADVANTAGE agents have no value network"
        if surrogate == "DPO" and field == "clip":
            yield name, "with agent.surrogate DPO a drift takes the place of the clip"


def study_of(path):
    """(facts, trials). Raises Mistake."""
    facts = dict(
        found.groups() for line in text_of(path).splitlines() if (found := HEAD.match(line))
    )
    if missing := [key for key in KEYS if not facts.get(key)]:
        raise Mistake(f"has no line '# {missing[0]}: ...'")
    if facts["goals"] not in ("train", "test"):
        raise Mistake(f"goals is '{facts['goals']}', not train or test")
    trials = list(table_of(path, FIXED))
    for place, trial in enumerate(trials):
        if trial["trial"] != str(place):
            raise Mistake(f"trial {place} is missing: the file has every trial, in order")
    values = {}
    for trial in trials:
        if trial["state"] == "complete":
            try:
                values[trial["trial"]] = number_of(trial["value"])
            except (TypeError, ValueError):
                raise Mistake(f"trial {trial['trial']} is complete and has no value") from None
    if facts["chosen"] not in values:
        raise Mistake(f"trial {facts['chosen']}, the chosen one, is not a complete one")
    best = max(values, key=values.get)
    if values[best] > values[facts["chosen"]]:
        raise Mistake(f"trial {best} has more than the chosen trial {facts['chosen']}")
    return facts, trials


def is_rounded(text, chosen):
    try:
        return math.isclose(float(text), float(chosen), rel_tol=ROUNDED)
    except ValueError:
        return text == chosen


def seen(row, facts, seeds):
    """What a run is tested on and the study has touched, in words; "" if nothing."""
    given = settings_of(row["command"])
    if given.get("seed", "") in seeds:
        return f"seed {given['seed']}"
    own = given.get("benchmark.goal_seed")
    if facts["goal_seeds"] == "none":
        return "" if own is None else "unnamed goals: the study says goal_seeds: none"
    # The test goals of a goal seed are the training goals of the next.
    known = {int(word) for word in facts["goal_seeds"].split()}
    if facts["goals"] == "test":
        known |= {one + 1 for one in known}
    goal_seed = int(own or "1")
    return f"the test goals of goal seed {goal_seed}" if goal_seed + 1 in known else ""


def of_study(facts, trials, known, best):
    """Findings about one study. `best`: by claim, the greatest value that a study of it chose."""
    settings = [name for name in trials[0] if name not in FIXED and not name.startswith("seed ")]
    seeds = {name.removeprefix("seed ") for name in trials[0] if name.startswith("seed ")}
    if not settings or not seeds:
        return ["has no column of a setting, or none 'seed N'"]
    findings = [f"{name} is not read: {why}" for name, why in unread(facts["command"], settings)]
    chosen = trials[int(facts["chosen"])]
    for claim in facts["claims"].split():
        taken = float(chosen["value"]) == best[claim]
        if claim not in known:
            findings.append(f"names claim {claim}, which is not in the file of claims")
            continue
        for row in runs_of(claim, known):
            given = settings_of(row["command"])
            unused = dict(unread(row["command"], settings))
            for name in settings if taken else ():
                if name not in unused and not is_rounded(given.get(name, ""), chosen[name]):
                    findings.append(
                        f"chose {name}={chosen[name]}, and {name_of(row)} has "
                        f"'{given.get(name, '')}'"
                    )
            if what := seen(row, facts, seeds):
                findings.append(f"has touched what {name_of(row)} is tested on: {what}")
    return findings


def of_studies(known, folder):
    findings, studies, best = [], {}, {}
    for path in sorted(set(folder.glob("*")) - {folder / "README.md"}):
        if path.suffix == ".yaml":  # What mentor-sweep runs.
            continue
        try:
            if path.suffix != ".csv":
                raise Mistake("a study is a file NAME.csv")
            facts, trials = studies[path] = study_of(path)
        except Mistake as mistake:
            findings.append(f"results/{folder.name}/{path.name}:1: {mistake}")
            continue
        for claim in facts["claims"].split():
            value = float(trials[int(facts["chosen"])]["value"])
            best[claim] = max(value, best.get(claim, value))
    for path, study in studies.items():
        found = of_study(*study, known, best)
        findings += [f"results/{folder.name}/{path.name}:1: {what}" for what in found]
    for claim in known:
        if TUNED.search(claim) and claim not in best:
            findings.append(
                f"{FILE}: claim {claim} is tuned, and no file of results/studies names it; add its "
                "study, or name it otherwise and say 'tuned by hand' in its row of experiments.md"
            )
    return findings


def of_settings(known):
    for claim in known:
        for row in runs_of(claim, known):
            names = [name for name in settings_of(row["command"]) if name.startswith("agent.")]
            for name, why in unread(row["command"], names):
                yield f"{FILE}: {name_of(row)}: {name} is not read: {why}"


def raw_of(row):
    """The file of raw rows that a run must have in the archive."""
    return f"{'lives' if row['evaluation'] else 'curves'}/{name_of(row)}.csv"


def of_lives(known, files, old):
    for claim in known:
        ended = [row for row in runs_of(claim, known) if result_of(row)]
        missing = [row for row in ended if raw_of(row) not in files]
        if missing and claim not in old:
            yield (
                f"{FILE}: {name_of(missing[0])} is recorded, and the archive has no "
                f"{raw_of(missing[0])}; results/record.py keeps it"
            )
        if claim in old and not missing:
            yield f"results/{OLD.name}:1: claim {claim} has its raw rows; remove the line"
    for claim in old:
        if claim not in known:
            yield f"results/{OLD.name}:1: no claim '{claim}'; remove the line"


def refused(known, files, folder=STUDIES, old=OLD):
    """Returns lines for people: all that is refused."""
    listed = [line for line in text_of(old).splitlines() if line and not line.startswith("#")]
    return [
        *of_studies(known, folder),
        *of_settings(known),
        *of_lives(known, files, dict.fromkeys(listed)),
    ]
