"""The proofs of history_check.py about the rounds of outer updates: one round, or the rounds that
the rule planned."""

import collections
import hashlib

from history_rules import Equal

TRAINING = 0  # Values of Phase, common/rng.h.


class Planned:
    """A round that a rule planned, and the calls that collected it."""

    # Planned facts that show in the round's shards.
    OF_SHARDS = ("learning", "episodes")

    def __init__(self, event):
        self.event, self.calls = event, []
        self.lifetimes = [name for name in event["lifetimes"].split(",") if name]
        self.numbers = [int(name.split(":")[0]) for name in self.lifetimes]

    def hash(self):
        fields = [self.event[field] for field in ("lifetimes", *self.OF_SHARDS)]
        return hashlib.sha256(repr(fields).encode()).hexdigest()[:16]

    def differs(self, parts):
        """Returns where the used shards differ from the plan, or nothing."""
        for part in parts:
            for field in self.OF_SHARDS:
                if part[field] != self.event[field]:
                    return f"has {field} {part[field]}, planned {self.event[field]}"
        got = [name for part in parts for name in part["lifetimes"].split(",")]
        if len(got) != len(self.lifetimes):
            return f"has {len(got)} lifetimes, planned {len(self.lifetimes)}"
        for place, (one, wanted) in enumerate(zip(got, self.lifetimes)):
            if one != wanted:
                return f"has lifetime {one} at place {place}, planned {wanted}"
        return None


class Rounds:
    """Collected rounds of the updates in progress."""

    def __init__(self, findings, shards):
        self.findings, self.need, self.shards = findings, findings.need, shards
        self.plans = {}  # By uid: whether the rule plans its rounds.
        # By incarnation and experiment: calls that collected, and plans with those since each.
        self.calls = collections.defaultdict(list)
        self.planned = collections.defaultdict(list)
        self.numbers = {}  # By uid and step: the highest number of a planned lifetime.
        self.equal_plans = Equal(findings, "planned round")

    def begin(self, event):
        """A new session: nothing that was collected for an update before it is used."""
        key = (event["incarnation"], event["experiment"])
        self.calls.pop(key, None)
        self.planned.pop(key, None)
        self.plans[event["uid"]] = event["plans"]

    def on_consumed(self, event):
        if event["phase"] != TRAINING:
            return
        key = (event["incarnation"], event["experiment"])
        calls = self.planned[key][-1].calls if self.planned.get(key) else self.calls[key]
        if event["call"] not in calls:
            calls.append(event["call"])

    def check(self, event):
        """Checks the shards of an update when it is made."""
        if self.plans.get(event["uid"]):
            self.check_planned_rounds(event)
        else:
            self.check_round(event)

    def on_planned(self, event):
        uid, number = event["uid"], event["round"]
        name = f"round {number} of outer update {event['step']} of {event['experiment']}"
        self.need(
            self.plans.get(uid), event, "planned", f"{name} is of a rule that plans no rounds"
        )
        rounds = self.planned[event["incarnation"], event["experiment"]]
        self.need(number == len(rounds), event, "order", f"{name} is the {len(rounds)}th, from 0")
        if rounds and not rounds[-1].lifetimes:
            where = rounds[-1].event["where"]
            self.findings.add(event, "order", f"{name} follows the last one, at {where}")
        rounds.append(Planned(event))
        self.equal_plans.look((uid, event["step"], number), {**event, "hash": rounds[-1].hash()})

    def check_round(self, event):
        """An update of one round."""
        name = f"outer update {event['step']} of {event['experiment']}"
        calls = self.calls.pop((event["incarnation"], event["experiment"]), [])
        text = f"{name} was made of {len(calls)} rounds"
        if self.need(len(calls) == 1, event, "complete", text):
            self.check_call(event, name, calls[0])

    def check_call(self, event, name, call):
        parts = self.shards.calls[event["incarnation"], call]
        wanted = parts[0]["shards"] if parts else "its"
        text = f"{name} was made of {len(parts)} of {wanted} shards"
        return parts if self.need(len(parts) == wanted, event, "complete", text) else None

    def check_planned_rounds(self, event):
        """An update has as many rounds as the rule planned, until it planned none."""
        name = f"outer update {event['step']} of {event['experiment']}"
        key = (event["incarnation"], event["experiment"])
        # Collected before a plan was made.
        unplanned = self.calls.pop(key, [])
        self.need(not unplanned, event, "planned", f"{name} has a round that was not planned")
        rounds = self.planned.pop(key, [])
        last = rounds.pop() if rounds and not rounds[-1].lifetimes else None
        self.need(last, event, "complete", f"{name} was made before its rule had no round left")
        if last:
            text = f"{name} has a round after the last that was planned"
            self.need(not last.calls, last.event, "planned", text)
        self.need(rounds, event, "complete", f"{name} was made of no round")
        number = self.numbers.get((event["uid"], event["step"] - 1), -1)
        call = -1
        for place, planned in enumerate(rounds):
            call = self.check_planned_round(event, planned, f"round {place} of {name}", call)
            for own in planned.numbers:
                text = f"round {place} of {name} has lifetime {own} after {number}"
                self.need(own > number, planned.event, "once", text)
                number = own
        self.numbers[event["uid"], event["step"]] = number

    def check_planned_round(self, event, planned, name, call_before):
        step = planned.event["step"]
        text = f"{name} was planned for outer update {step}"
        self.need(step == event["step"], planned.event, "order", text)
        text = f"{name} was collected {len(planned.calls)} times"
        if not self.need(len(planned.calls) == 1, planned.event, "complete", text):
            return call_before
        call = planned.calls[0]
        text = f"{name} was collected by call {call}, after {call_before}"
        self.need(call > call_before, planned.event, "order", text)
        parts = self.check_call(planned.event, name, call)
        if parts:
            difference = planned.differs(parts)
            self.need(difference is None, parts[0], "planned", f"{name} {difference}")
        return call
