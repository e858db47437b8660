"""The proofs of history_check.py at the borders: what becomes of units and shards."""

import collections


class Finding:
    def __init__(self, event, rule, text):
        self.where, self.rule, self.text = event["where"] if event else "history", rule, text

    def __str__(self):
        return f"{self.where}: {self.rule}: {self.text}"


class Findings(list):
    def add(self, event, rule, text):
        self.append(Finding(event, rule, text))

    def need(self, condition, event, rule, text):
        if not condition:
            self.add(event, rule, text)
        return condition


class Equal:
    """Equal names have equal hashes."""

    def __init__(self, findings, what):
        self.findings, self.what, self.first = findings, what, {}

    def look(self, name, event, key="hash"):
        if not event.get(key) or event.get("error"):
            return
        first = self.first.setdefault(name, event)
        self.findings.need(
            first[key] == event[key],
            event,
            "equal",
            f"{self.what} {'/'.join(map(str, name))} has hash {event[key]}, and at {first['where']}"
            f" it was {first[key]}",
        )


class Border:
    """Common to both borders: incarnations by the names that their peers use."""

    def __init__(self, findings):
        self.findings, self.need = findings, findings.need
        self.servers = {}  # Incarnation by uid.

    def serves(self, event):
        self.servers[event["server"]] = event["incarnation"]

    def server(self, event):
        found = self.servers.get(event["server"])
        self.need(found, event, "assigned", f"nobody serves as {event['server']}")
        return found


class Units(Border):
    """The border between learners and actors. A learner's incarnation and a unit's name are a
    key."""

    def __init__(self, findings):
        super().__init__(findings)
        self.assigned, self.received = set(), set()
        self.sent = {}  # By key and hash.
        self.accepted = collections.defaultdict(dict)  # By shard and iteration, then unit.
        self.consumed = {}  # By shard: the last event.
        self.count = collections.Counter()  # Collections by shard.
        self.equal = Equal(findings, "unit")

    def handle(self, event):
        handler = getattr(self, "on_" + event["event"], None)
        if handler:
            handler(event)

    def on_assigned(self, event):
        self.assigned.add((event["incarnation"], event["unit"], event["attempt"]))

    def on_received(self, event):
        key = (self.server(event), event["unit"], event["attempt"])
        self.need(key in self.assigned, event, "assigned", f"unit {key[1]} was not given out")
        self.received.add((event["incarnation"], *key))

    def on_sent(self, event):
        key = (self.server(event), event["unit"], event["attempt"])
        self.need(
            (event["incarnation"], *key) in self.received,
            event,
            "assigned",
            f"unit {key[1]} was sent, and not received before",
        )
        self.equal.look(key[:2], event)
        if not event["error"]:
            self.sent[(*key[:2], event["hash"])] = event

    def on_accepted(self, event):
        learner, unit = event["incarnation"], event["unit"]
        shard, iteration, _, _ = map(int, unit.split("/"))
        self.need(
            (learner, unit, event["attempt"]) in self.assigned,
            event,
            "assigned",
            f"unit {unit} was accepted, and attempt {event['attempt']} not given out before",
        )
        self.need(
            (learner, unit, event["hash"]) in self.sent,
            event,
            "assigned",
            f"unit {unit} was accepted with hash {event['hash']}, which no actor has sent",
        )
        accepted = self.accepted[learner, shard, iteration]
        if unit in accepted:
            where = accepted[unit]["where"]
            self.findings.add(event, "once", f"unit {unit} was accepted before, at {where}")
        last = self.consumed.get((learner, shard))
        if last and last["iteration"] >= iteration:
            self.findings.add(
                event, "once", f"unit {unit} was accepted after it was used, at {last['where']}"
            )
        accepted[unit] = event

    def on_consumed(self, event):
        shard, iteration = (event["incarnation"], event["unit_shard"]), event["iteration"]
        last = self.consumed.get(shard)
        name = f"collection {iteration} of shard {shard[1]}"
        if last and last["iteration"] >= iteration:
            rule = "once" if last["iteration"] == iteration else "order"
            self.findings.add(event, rule, f"{name} was used after that at {last['where']}")
        elif last and last["iteration"] + 1 != iteration:
            self.findings.add(event, "order", f"{name} follows {last['iteration']}: a gap")
        got = len(self.accepted[(*shard, iteration)])
        self.need(
            got == event["units"],
            event,
            "complete",
            f"{name} was made of {event['units']} units, and {got} were accepted",
        )
        self.consumed[shard] = event
        self.count[shard] += 1


class Assignment:
    """One epoch of a shard."""

    def __init__(self, event):
        self.event, self.fenced, self.done, self.consumed = event, None, None, None
        self.accepted = []  # Segments.
        self.sent = []
        self.done_sent = None
        self.unit_shard = None  # (incarnation of the learner, number)


class Shards(Border):
    """Between meta-learners and learners."""

    def __init__(self, findings, units):
        super().__init__(findings)
        self.units = units
        self.given = {}  # Assignment by incarnation, shard and epoch.
        self.newest = {}  # Epoch by incarnation and shard.
        self.last_epoch = {}  # By incarnation.
        self.calls = collections.defaultdict(list)  # consumed, by incarnation and call.
        self.equal_segments = Equal(findings, "segment")
        self.equal_shards = Equal(findings, "shard")

    def find(self, event, meta_learner):
        key = (meta_learner, event["shard"], event["epoch"])
        found = self.given.get(key)
        name = f"shard {key[1]} with epoch {key[2]}"
        self.need(found, event, "assigned", f"{name} was not given out")
        return found, name

    def current(self, event):
        """Returns the assignment of a used answer; a finding if the assignment is over."""
        found, name = self.find(event, event["incarnation"])
        if not found:
            return None, name
        newest = self.newest[event["incarnation"], event["shard"]]
        if found.fenced:
            self.findings.add(
                event, "fenced", f"{name} was used, and taken back at {found.fenced['where']}"
            )
        elif newest != event["epoch"]:
            self.findings.add(event, "fenced", f"{name} was used, and epoch {newest} is the newest")
        return found, name

    def handle(self, event):
        handler = getattr(self, "on_" + event["event"], None)
        if handler:
            handler(event)

    def on_assigned(self, event):
        meta_learner, shard, epoch = event["incarnation"], event["shard"], event["epoch"]
        last = self.last_epoch.get(meta_learner, 0)
        self.need(epoch > last, event, "fenced", f"epoch {epoch} was given out after {last}")
        self.last_epoch[meta_learner] = epoch
        before = self.given.get((meta_learner, shard, self.newest.get((meta_learner, shard))))
        if before and not before.fenced:
            where = before.event["where"]
            self.findings.add(event, "fenced", f"shard {shard} is still given out, at {where}")
        self.newest[meta_learner, shard] = epoch
        self.given[meta_learner, shard, epoch] = Assignment(event)

    def on_fenced(self, event):
        found, _ = self.find(event, event["incarnation"])
        if found:
            found.fenced = event

    def on_stands(self, event):
        """An answer that others should have confirmed, and no peer could."""
        meta_learner, shard = event["incarnation"], event["shard"]
        found, name = self.find(event, meta_learner)
        if not found:
            return
        self.need(found.done, event, "complete", f"{name} stands, and was not accepted before")
        last = self.given[meta_learner, shard, self.newest[meta_learner, shard]]
        where = last.event["where"]
        self.need(last.fenced, event, "fenced", f"{name} stands, and is given out at {where}")
        found.fenced = None
        self.newest[meta_learner, shard] = event["epoch"]

    def on_received(self, event):
        found, _ = self.find(event, self.server(event))
        if found:
            found.unit_shard = (event["incarnation"], event["unit_shard"])

    def on_sent(self, event):
        found, name = self.find(event, self.server(event))
        if not found or event.get("error"):
            return
        if not self.need(
            found.unit_shard and found.unit_shard[0] == event["incarnation"],
            event,
            "assigned",
            f"{name} was sent, and not received before",
        ):
            return
        if "segment" not in event:
            found.done_sent = event
            self.equal_shards.look((found.event["work"],), event)
            return
        if found.sent and found.sent[-1]["segment"] + 1 != event["segment"]:
            self.findings.add(
                event,
                "order",
                f"segment {event['segment']} of {name} follows {found.sent[-1]['segment']}",
            )
        found.sent.append(event)
        self.equal_segments.look((found.event["work"], event["segment"]), event)
        self.need(
            self.units.count[found.unit_shard] >= len(found.sent),
            event,
            "complete",
            f"segment {event['segment']} of {name} was sent before its units were there",
        )

    def on_accepted(self, event):
        found, name = self.current(event)
        if not found:
            return
        if "segment" in event:
            self.accept_segment(event, found, name)
            return
        self.need(not found.done, event, "once", f"{name} was accepted twice")
        found.done = event
        sent = found.done_sent
        if self.need(sent, event, "assigned", f"{name} was accepted, and no learner has ended it"):
            self.need(sent["hash"] == event["hash"], event, "equal", f"{name} was sent otherwise")
        self.need(
            len(found.accepted) == event["segments"],
            event,
            "complete",
            f"{name} has {event['segments']} segments, and {len(found.accepted)} were accepted",
        )
        self.equal_shards.look((found.event["work"],), event)

    def accept_segment(self, event, found, name):
        number = event["segment"]
        numbers = [other["segment"] for other in found.accepted]
        if number in numbers:
            self.findings.add(event, "once", f"segment {number} of {name} was accepted twice")
        elif numbers and numbers[-1] + 1 != number:
            self.findings.add(
                event, "order", f"segment {number} of {name} was accepted after {numbers[-1]}"
            )
        hashes = [other["hash"] for other in found.sent if other["segment"] == number]
        if self.need(hashes, event, "assigned", f"segment {number} of {name} was not sent"):
            self.need(
                event["hash"] in hashes, event, "equal", f"segment {number} of {name} was changed"
            )
        self.need(not found.done, event, "order", f"{name} was done before segment {number}")
        found.accepted.append(event)

    def on_consumed(self, event):
        found, name = self.current(event)
        if not found:
            return
        self.need(not found.consumed, event, "once", f"{name} was used twice")
        self.need(found.done, event, "complete", f"{name} was used, and not accepted before")
        found.consumed = event
        self.calls[event["incarnation"], event["call"]].append(event)
