"""When a learned signal pays for the environment steps of its meta-training: places {pays ...} of
places.py. In each task it saves those that a baseline needs beyond its own to have its success."""

import math
import re
import statistics

from data_files import Mistake

FORM = re.compile(r"pays (\S+) (\S+\.seg(\d+)) over (\S+) (\S+) (\d+)")


def pays(place, claims, by_run):
    """The text of {pays CLAIM NUMBER over CLAIM METHOD STEPS}: after how many updates the mean of
    METHOD in the second claim reaches the number, and how many tasks pay. STEPS: environment steps
    between two updates of an agent. `by_run` is that of places.py. Raises Mistake."""
    if not (found := FORM.fullmatch(place)):
        raise Mistake(f"{{{place}}}: is not {{pays CLAIM NUMBER over CLAIM METHOD STEPS}}")
    claim, number, own, other, method, steps = found.groups()

    def mean(claim, number):
        return statistics.fmean(by_run(claim, number, claims).values() or [math.nan])

    goal, begin, curve = mean(claim, number), int(own), []
    last = re.search(r"lifetime\.iterations=(\d+)", next(iter(claims[other].values()))["command"])
    if not last:
        raise Mistake(f"{{{place}}}: {other} does not say lifetime.iterations")
    for updates in range(begin, int(last[1])):
        curve.append(mean(other, f"test.{method}.seg{updates}"))
        if math.isnan(goal + curve[-1]):
            return "-"
        if curve[-1] >= goal:
            break
    if len(curve) < 2:
        return f"none, it gets there after {begin} updates, too"
    tasks = f"{mean(claim, 'steps') / (len(curve) - 1) / int(steps):,.0f} tasks".replace(",", " ")
    if curve[-1] < goal:
        return f"fewer than {tasks}, it is not there after {updates} updates"
    return f"{tasks}, it gets there after {updates} updates"
