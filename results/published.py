"""What others have published: paper_figures.csv, and other files of this folder by name. These are
the places {paper ...}, {welch ...} and {data ...} of places.py."""

import functools
import math
import re
import statistics

from data_files import RESULTS, Mistake, number_of, table_of

from mentor.report import significance  # data_files says where.

PAPER = RESULTS / "paper_figures.csv"
KEY = ("figure", "benchmark", "split", "method")
SEEDS = {"PPO shaped": 5, "PPO sparse": 5}  # The others have 3.


@functools.cache
def paper(file=PAPER, column="success"):
    """A column of the paper's numbers: by (figure, benchmark, split, method), then by episode.
    Raises Mistake."""
    read = {}
    for row in table_of(file, (*KEY, "episode", column)):
        if not row[column] and column != "success":
            continue  # A figure without a band.
        try:
            value = number_of(row[column])
        except (TypeError, ValueError):
            raise Mistake(f"{file}: {column} is '{row[column]}', no number") from None
        key = tuple(row[name] for name in KEY)
        read.setdefault(key, {})[row["episode"]] = value
    return read


def paper_values(place, key, episodes, column="success"):
    """The numbers of these episodes."""
    known = paper(PAPER, column).get(tuple(key))
    if known is None:
        raise Mistake(f"{{{place}}}: {PAPER.name} has no such curve")
    if several := re.fullmatch(r"(\d\d?)-(\d\d?)", episodes):
        wanted = [str(one) for one in range(int(several[1]), int(several[2]) + 1)]
    else:
        wanted = [episodes]
    found = [known[one] for one in wanted if one in known]
    if not found:
        raise Mistake(f"{{{place}}}: {PAPER.name} has no such episode of this curve")
    return found


def half_band(place, key, episodes):
    """Half of the band, in the mean over the episodes. The mean has at most this deviation."""
    low, high = (
        statistics.fmean(paper_values(place, key, episodes, end)) for end in ("low", "high")
    )
    return (high - low) / 2


def signed(value, digits=2):
    shown = f"{value:+.{digits}f}"
    return shown if re.search("[1-9]", shown) else shown[1:]


def paper_of(place):
    """The text of a place {paper ...}."""
    first, _, second = place.removeprefix("paper ").partition(" less ")
    *key, episodes = (word.strip() for word in first.split(","))
    if band := episodes == "band":
        *key, episodes = key
    mean = statistics.fmean(paper_values(place, key, episodes))
    if not second:
        return f"{mean:.2f} ± {half_band(place, key, episodes):.3f}" if band else f"{mean:.2f}"
    # The words that differ are the last ones.
    *other, those = (word.strip() for word in second.split(","))
    other = [*key[: len(key) - len(other)], *other]
    return signed(mean - statistics.fmean(paper_values(place, other, those)))


def compared(place, values, key, episodes):
    """The cells of a place {welch ...}: these values of ours beside the paper's seeds."""
    seeds = SEEDS.get(key[-1], 3)
    # The figure has the deviation of the seeds as a population.
    deviation = half_band(place, key, episodes) * math.sqrt(seeds / (seeds - 1))
    theirs = statistics.fmean(paper_values(place, key, episodes)), deviation, seeds
    ours = statistics.fmean(values), statistics.stdev(values), len(values)
    t, chance = significance.welch(ours, theirs)
    ratio = (ours[1] / theirs[1]) ** 2
    unequal = significance.p_of_f(ratio, ours[2] - 1, seeds - 1)
    cells = [f"{mean:.2f}, {spread:.3f}" for mean, spread, _ in (ours, theirs)]
    return " | ".join([*cells, f"{t:.1f}, {chance:.2g}", f"{ratio:.1f}, {unequal:.2g}"])


def data_of(place):
    """The text of a place {data ...}."""
    name, column, *wanted = (word.strip() for word in place.removeprefix("data ").split(","))
    pairs = [word.split("=") for word in wanted]
    table = table_of(PAPER.with_name(f"{name}.csv"), [column, *(pair[0] for pair in pairs)])
    rows = [row for row in table if all(row[key] == value for key, value in pairs)]
    if not rows:
        raise Mistake(f"{{{place}}}: {name}.csv has no such row")
    return f"{statistics.fmean(number_of(row[column]) for row in rows):.2f}"
