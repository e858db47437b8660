"""Fills the tables of pages from claims.csv, for generate.py.

A page has a table between two comments, and tables.txt has what it is made from, under its name:

    <!-- table NAME -->                         # NAME
    | reward | 0.70 [0.55, 0.82] |              | reward | {door-close-reward test.learned.seg2} |
    <!-- end of table -->

A place is {CLAIM NUMBER WORDS}. Its number is one of the column `numbers`; without further words
it is that of all runs together, with its interval. {CLAIM-RUN NUMBER} is that of one run. Words:

    runs       the numbers of the runs, one after the other
    seeds      the mean over the runs, with its interval over them, and how many of them have ended
    t          the mean over the runs, with its interval by Student's t; that of a success rate
               lies within 0 and 1
    mean       the mean, without its interval; median: over the runs
    range      the least to the greatest over the runs
    deviation  that of a sample, over the runs
    reached    how many runs have a number above 0; count: how many have it at all
    of-reached what follows or stands before is over the runs that have a number above 0
    *N         times N
    .Nf        N digits behind the point (default 2)

Every run has the numbers `cost` (CPU seconds) and `steps` (environment steps); without further
words they are means. What is not recorded yet is a dash.

A place {verdict KIND CLAIM...} says whether what was registered came out (curves.py).

A place {CLAIM NUMBER WORDS less CLAIM NUMBER} is a difference, paired by run: its mean, and its
interval over the runs that both claims have. Its words are `runs`, `mean`, `t`, `*N` and `.Nf`.
With `apart` it is that of two means of unlike runs, with its interval by Welch's t.

A place {passes PLACE >= NUMBER} says whether what was registered came out: yes, no, or that runs
have not ended. PLACE is a number or a difference; `<=` and `within` (in size) are others. A
difference that is to be at least 0 or more must be above 0 in each meta-seed. Where Student's t
does not confirm a difference that passes as it was registered, the place says so (decisions.py).

A place {ahead CLAIM NUMBER less CLAIM NUMBER} says whether the first is ahead of the second: by
Student's t, with its interval, and in how many meta-seeds. {near MARGIN, CLAIM NUMBER less CLAIM
NUMBER} says whether they are equal within a margin: p of two one-sided tests.

A place {campaign ROW...} is a line of a table for each claim of these rows of
results/experiments.md: claim, runs, CPU hours, hashes, command.

A place {teachers TASK BUDGET} is the lines of a task's table of teachers (teachers.py) at equal
`steps` or `cpu`. The last says which learned ones are ahead of the shaped reward.

A place {paper FIGURE, BENCHMARK, SPLIT, METHOD, EPISODES} is a number of paper_figures.csv: its
mean over the episodes that can be read, such as 5-8 or deterministic. With ", band" behind it half
of the figure's band follows. {paper ... less METHOD, EPISODES} is a difference of two; more words
before METHOD are those of the other curve.

A place {welch CLAIM NUMBER, FIGURE, BENCHMARK, SPLIT, METHOD, EPISODES} compares the runs with the
paper's seeds. It is four cells: mean and deviation of ours, of the paper's; Welch's t with its p;
the ratio of the variances with its p.

A place {holm LEVEL, CLAIM NUMBER less CLAIM NUMBER; ...} says how many differences exclude 0 by
Student's t, alone and by Holm's method.

A place {pays CLAIM NUMBER over CLAIM METHOD STEPS} is how many tasks pay (pays.py).

A place {data FILE, COLUMN, NAME=VALUE, ...} is the mean of a column of FILE.csv over the rows that
have these values.

A title {when CLAIM ...} TITLE is that of a column which the table has as soon as one of these
claims has a result. Until then the column is left out.
"""

import difflib
import functools
import math
import re
import statistics

import decisions
import pays
import published
import teachers
from claims import OF_COLUMNS, of_row, result_of, runs_of, with_run
from data_files import RESULTS, ROOT, Mistake

import numpy as np  # data_files says where.
from mentor.report import significance
from mentor.report import statistics as intervals

TABLES = RESULTS / "tables.txt"
BLOCK = re.compile(r"<!-- table ([\w-]+) -->\n(.*?)<!-- end of table -->\n", re.DOTALL)
# The one arithmetic of learners, as fingerprints of claims have it.
ARITHMETIC = re.search(
    r'kArithmetic\[\] = "(\w{12})', (ROOT / "agents" / "numerics.h").read_text(encoding="utf-8")
)[1]
WHEN = re.compile(r"\{when ([\w -]+)\} ?")
PLACE = re.compile(r"\{([^{}]+)\}")
PASSES = re.compile(r"passes (\S+ \S+(?: less \S+ \S+)?) (>=|<=|within) (-?\d+(?:\.\d+)?)")
# Numbers that are shares of episodes.
RATE = re.compile(r"(test|train)\.\w+\.(seg\d+|det|last)(/.*)?|(success|seg\d+)@last:\d+")
DECIDED = re.compile(r"(?:ahead|near (\d+(?:\.\d+)?),) (\S+ \S+ less \S+ \S+)")
DASH = "-"
# What is shown of the numbers of the runs; None: value_of() makes it.
KINDS = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "interval": None,
    "runs": None,
    "seeds": None,
    "t": None,
    "range": None,
    "deviation": lambda values: statistics.stdev(values) if len(values) > 1 else math.nan,
    "reached": None,
    "count": None,
}


class Mistakes(Exception):
    """All that is wrong with a page: (line, what)."""


def sample_of(values):
    """One value of each meta-seed."""
    levels = tuple(intervals.Level(meta_seed=seed) for seed in range(len(values)))
    return intervals.Sample(levels, np.asarray(values, float))


@functools.cache
def _interval(values):
    return intervals.interval_of(sample_of(values))[1:]


def interval(values):
    """The 95 % bootstrap interval of a mean."""
    return _interval(tuple(values))


def by_run(name, number, claims):
    """A number of the runs that have it, by run. Raises Mistake for names that are wrong."""
    claims = with_run(name, claims)
    value_of(f"{name} {number}", claims)
    rows = runs_of(name, claims)
    return {row["run"]: row["numbers"][number][0] for row in rows if number in row["numbers"]}


def differences(place, claims):
    """The differences of a place with `less`, by run, and the words after its first number."""
    first, *others = (side.split() for side in place.split(" less "))
    if len(first) < 2 or len(others) != 1 or len(others[0]) != 2:
        raise Mistake(f"{{{place}}}: is not of the form {{CLAIM NUMBER WORDS less CLAIM NUMBER}}")
    own, other = by_run(*first[:2], claims), by_run(*others[0], claims)
    return [own[run] - other[run] for run in own if run in other], first[2:]


def form_of(place, words, kinds, default):
    """Digits behind the point, factor, and the kind that is named, or the default."""
    digits, factor, named = 2, 1.0, []
    for word in words:
        if re.fullmatch(r"\*\d+(\.\d+)?", word):
            factor = float(word[1:])
        elif re.fullmatch(r"\.\df", word):
            digits = int(word[1])
        elif word in kinds:
            named.append(word)
        else:
            raise Mistake(f"{{{place}}}: '{word}' is no word here; results/places.py has all")
    if len(named) > 1:
        raise Mistake(f"{{{place}}}: {' and '.join(named)} do not go together")
    return digits, factor, (named or [default])[0]


def difference_of(place, claims):
    """The text of a place with `less`."""
    pairs, words = differences(place, claims)
    digits, factor, kind = form_of(place, words, ("runs", "mean", "t", "apart"), "interval")

    def text(value):
        return published.signed(value * factor, digits)

    if not pairs:
        return DASH
    if kind == "runs":
        return ", ".join(map(text, pairs))
    if kind == "apart":
        sides = [side.split()[:2] for side in place.split(" less ")]
        own, other = (list(by_run(*side, claims).values()) for side in sides)
        if min(len(own), len(other)) < 2:
            return DASH
        mean = statistics.fmean(own) - statistics.fmean(other)
        return "{} [{}, {}]".format(*map(text, (mean, *significance.apart(own, other))))
    if len(pairs) == 1 or kind == "mean":
        return text(statistics.fmean(pairs))
    ends = significance.student if kind == "t" else interval
    mean, low, high = map(text, (statistics.fmean(pairs), *ends(pairs)))
    return f"{mean} [{low}, {high}]"


def welch_of(place, claims):
    """The cells of a place {welch ...}."""
    number, *key, episodes = (word.strip() for word in place.removeprefix("welch ").split(","))
    values = list(by_run(*number.split(), claims).values())
    if len(values) < 2:
        return " | ".join([DASH] * 4)
    return published.compared(place, values, key, episodes)


def holm_of(place, claims):
    """The text of a place {holm ...}."""
    level, *pairs = re.split(r"[,;]\s*", place.removeprefix("holm "))
    chances = [significance.p_of_mean(differences(pair, claims)[0]) for pair in pairs]
    below = [f"{chance:.3f}" for chance in sorted(chances) if chance <= float(level)]
    left = significance.holm(chances, float(level))
    return f"{len(below)} of {len(chances)} (p {', '.join(below)}), {left} by Holm's method"


def passes(place, claims):
    """The text of a place {passes ...}."""
    found = PASSES.fullmatch(place)
    if not found:
        raise Mistake(f"{{{place}}}: is not of the form {{passes PLACE >=|<=|within NUMBER}}")
    what, how, limit = found[1], found[2], float(found[3])
    name, number, *less = what.split()
    if less:
        values, _ = differences(what, claims)
    else:
        values = list(by_run(name, number, claims).values())
    every = len(runs_of(name, with_run(name, claims)))
    if len(values) < every:
        return f"not ended ({len(values)} of {every} runs)"
    return decisions.passes(values, how, limit, bool(less))


def decided(place, claims):
    """The text of a place {ahead ...} or {near ...}."""
    found = DECIDED.fullmatch(place)
    if not found:
        raise Mistake(f"{{{place}}}: is not of the form {{ahead PLACE}} or {{near MARGIN, PLACE}}")
    margin, pair = found[1], found[2]
    values = differences(pair, claims)[0]
    if not values:
        return DASH
    return decisions.near(values, float(margin)) if margin else decisions.ahead(values)


def either(words):
    """One word of several commands: NAME=VALUE,VALUE where their values differ."""
    names, marks, values = zip(*(word.rpartition("=") for word in words), strict=True)
    return names[0] + marks[0] + ",".join(dict.fromkeys(values))


def maker_of(rows):
    """Returns "AMD: " for rows of an arithmetic that ended at this maker's processors."""
    earlier = {
        row["processor"].split()[0]
        for row in rows
        if row["fingerprint"].rpartition("/")[2] != ARITHMETIC
    }
    return f"{'/'.join(sorted(earlier))}: " if earlier else ""


def campaign(rows, claims):
    """The lines of a table for the claims of these rows of the campaign."""
    for name, runs in claims.items():
        made = runs_of(name, claims)
        if not made or made[0]["row"] not in rows:
            continue
        ended = [row for row in made if result_of(row)]
        hours = sum(float(row["cpu_seconds"]) for row in ended if row["cpu_seconds"]) / 3600
        trained = any(row["env_steps"] not in ("", "0") for row in ended)
        hashes = maker_of(ended) + " ".join(result_of(row)[:8] for row in ended)
        pooled = result_of(runs["all"])[:8] if "all" in runs else ""
        # A word that differs, such as a seed, with all its values.
        commands = [row["command"].split() for row in made]
        if len(set(map(len, commands))) > 1:
            raise Mistake(f"claim {name}: the commands of its runs have unlike numbers of words")
        command = " ".join(map(either, zip(*commands, strict=True)))
        yield (
            f"| {name} | {len(ended)} of {len(made)} | {f'{hours:.2f}' if trained else DASH} | "
            f"{hashes or DASH} | {pooled or DASH} | `{command}` |"
        )


def ends_of(number):
    """Student's interval for a number of this name."""
    return significance.student_of_rates if RATE.fullmatch(number) else significance.student


def value_of(place, claims):
    """The text of one place."""
    name, *words = place.split()
    claims = with_run(name, claims)
    if name not in claims or not words:
        raise Mistake(f"{{{place}}}: no claim '{name}' with a number in the file of claims")
    runs = runs_of(name, claims)
    if not runs:
        raise Mistake(
            f"{{{place}}}: claim '{name}' has no runs in the file of claims; plan them there"
        )
    # Several runs without a line of all are not pooled.
    whole = claims[name].get("all") or (runs[0] if len(runs) == 1 else None)
    made = [row for row in runs if result_of(row)]
    number, words = words[0], words[1:]
    reached = "of-reached" in words
    words = [word for word in words if word != "of-reached"]
    default = "mean" if number in OF_COLUMNS else "interval"
    digits, factor, kind = form_of(place, words, KINDS, default)

    def text(value):
        if math.isnan(value):
            return DASH
        shown = f"{value * factor:,.{digits}f}".replace(",", " ")
        return shown.replace("-0." + "0" * digits, "0." + "0" * digits)

    for row in made:
        if number not in row["numbers"]:
            near = difflib.get_close_matches(number, row["numbers"], n=3, cutoff=0)
            raise Mistake(
                f"{{{place}}}: run {row['run']} of claim '{name}' is recorded, and has no "
                f"number '{number}'; of its {len(row['numbers'])} these come nearest: "
                f"{', '.join(near) or 'none'}"
            )
    values = [row["numbers"][number][0] for row in made]
    if not values:
        return DASH
    if kind == "interval":
        pooled = whole and whole["numbers"].get(number)
        if pooled and pooled[1] is not None:
            return "{} [{}, {}]".format(*(text(part) for part in pooled))
        kind = "mean" if len(values) == len(runs) == 1 else "runs"
    if kind == "reached":
        return str(sum(value > 0 for value in values))
    if kind == "count":
        return str(len(values))
    if reached:
        values = [value for value in values if value > 0]
        if not values:
            return DASH
    if kind == "t" and len(values) == 1:
        return text(values[0])
    if kind in ("seeds", "t"):
        ended = "" if len(values) == len(runs) else f" ({len(values)} of {len(runs)} seeds)"
        low, high = map(text, (ends_of(number) if kind == "t" else interval)(values))
        return f"{text(statistics.fmean(values))} [{low}, {high}]{ended}"
    if kind == "runs":
        by_run = [row["numbers"].get(number) for row in runs]
        return ", ".join(DASH if one is None else text(one[0]) for one in by_run)
    if kind == "range":
        return f"{text(min(values))} to {text(max(values))}"
    return text(KINDS[kind](values))


def teachers_of(task, budget, claims):
    def ended(claim):
        return any(result_of(row) for row in runs_of(claim, claims)) if claim in claims else False

    rows = (row for runs in claims.values() for row in runs.values())
    found = ["-".join(key) for key in teachers.unlike(of_row(rows, teachers.ROW), task)]
    if found:
        raise Mistake(
            f"claims.csv is not as results/teachers.py plans it (rows: {len(found)}; the first: "
            f"{found[0]}): run results/teachers.py"
        )

    def ahead(updates, other):
        """By Student's t with Holm's method over all learned teachers, once all have ended."""
        found, place = {}, teachers.place_of(task, updates, other)
        if place.split()[0] not in claims:
            return ""
        for teacher in teachers.TASKS[task].taught:
            own = teachers.place_of(task, updates, teacher, budget)
            if own.split()[0] not in claims:
                return ""
            if len(gains := differences(f"{own} less {place}", claims)[0]) < len(teachers.SEEDS):
                return ""
            found[teacher] = (significance.p_of_mean(gains), statistics.fmean(gains))
        apart = significance.holm([chance for chance, _ in found.values()], decisions.CHANCE)
        sure = sorted(found, key=found.get)[:apart]
        above = [teachers.short_name(one) for one in found if one in sure and found[one][1] > 0]
        return ", ".join(above) or "none"

    def value(place):
        return value_of(place, claims)

    return "\n".join(teachers.lines(task, budget, ended, value, ahead))


PLACES = {
    "ahead": decided,
    "data": lambda place, _: published.data_of(place),
    "holm": holm_of,
    "near": decided,
    "paper": lambda place, _: published.paper_of(place),
    "passes": passes,
    "pays": lambda place, claims: pays.pays(place, claims, by_run),
    "welch": welch_of,
}


def text_of(place, claims, verdict=None):
    """The text of one place of any kind."""
    kind, *words = place.split()
    if kind == "verdict":
        return verdict(words)
    if kind in PLACES:
        return PLACES[kind](place, claims)
    if kind == "campaign":
        lines = "\n".join(campaign(words, claims))
        if not lines:
            raise Mistake(f"{{{place}}}: no claim has such a row of results/experiments.md")
        return lines
    if kind == "teachers":
        if len(words) != 2 or words[0] not in teachers.TASKS or words[1] not in teachers.BUDGETS:
            raise Mistake(f"{{{place}}}: is not of the form {{teachers TASK steps|cpu}}")
        return teachers_of(*words, claims)
    return difference_of(place, claims) if "less" in words else value_of(place, claims)


def templates(text):
    """What tables are made from, by name, with the line before the first of each."""
    found, name = {}, None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("# "):
            name = line.removeprefix("# ")
            if name in found:
                raise Mistakes([(number, f"there are two tables '{name}'")])
            found[name] = (number, [])
        elif line and name:
            found[name][1].append(line)
    return found


def without_columns(lines, claims):
    """The lines of a table without the columns that wait for results."""
    if not (lines and WHEN.search(lines[0])):
        return lines
    rows = [line.split("|") for line in lines]
    gone = set()
    for place, title in enumerate(rows[0]):
        found = WHEN.search(title)
        if found and not any(
            result_of(row) for name in found[1].split() for row in claims.get(name, {}).values()
        ):
            gone.add(place)
        rows[0][place] = WHEN.sub("", title)
    kept = [[cell for place, cell in enumerate(row) if place not in gone] for row in rows]
    return ["|".join(row) for row in kept]


def tables_of(text, claims, verdict=None):
    """The tables by name, each with its lines. Raises Mistakes, with lines of the text."""
    mistakes, made = [], {}
    for name, (before, lines) in templates(text).items():

        def value(place):
            try:
                return text_of(place[1], claims, verdict)
            except Mistake as mistake:
                mistakes.append((number, str(mistake)))  # noqa: B023
                return place[0]

        filled = []
        for number, line in enumerate(without_columns(lines, claims), before + 1):
            filled.append(PLACE.sub(value, line))
        made[name] = "\n".join(filled) + "\n"
    if mistakes:
        raise Mistakes(mistakes)
    return made


def fill(page, tables, used):
    """The page with its tables, whose names join `used`. Raises Mistakes."""

    def block(found):
        used.add(found[1])
        return f"<!-- table {found[1]} -->\n{tables[found[1]]}<!-- end of table -->\n"

    # Without its end a table would swallow what follows.
    for begin in re.finditer(r"<!-- table ", page):
        line = page.count("\n", 0, begin.start()) + 1
        found = BLOCK.match(page, begin.start())
        if not found or "<!-- table " in found[2]:
            raise Mistakes([(line, "no '<!-- end of table -->' follows this table")])
        if found[1] not in tables:
            raise Mistakes([(line, f"tables.txt has no table '{found[1]}'")])
    return BLOCK.sub(block, page)
