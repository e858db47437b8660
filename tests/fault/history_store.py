"""The proofs of history_check.py about stored things: outer updates, revisions, and what users were
told and saw."""

from history_rounds import Rounds
from history_rules import Equal

# From a state to the states that may follow. None: there was no experiment.
FOLLOW = {
    None: {"QUEUED"},
    "QUEUED": {"RUNNING", "PAUSED", "CANCELLED", "FAILED"},
    "RUNNING": {"PAUSING", "PAUSED", "CANCELLING", "SUCCEEDED", "FAILED", "QUEUED"},
    "PAUSING": {"PAUSED", "CANCELLING", "SUCCEEDED", "FAILED"},
    "PAUSED": {"QUEUED", "CANCELLED", "FAILED"},
    "CANCELLING": {"CANCELLED", "SUCCEEDED", "FAILED"},
    "SUCCEEDED": set(),
    "FAILED": set(),
    "CANCELLED": set(),
}
DELETED = 3  # A kind of change, store.h.


class Updates:
    """Outer updates, by the uid of their experiment."""

    def __init__(self, findings, shards, store):
        self.findings, self.need, self.store = findings, findings.need, store
        self.session = {}  # By uid: incarnation, last step and first step.
        # By uid and incarnation: the last step of an incarnation that leads no more.
        self.deposed = {}
        self.resumed = {}  # By uid: where the newest session began.
        self.begun = {}  # By uid and incarnation: the update in progress.
        self.durable = {}  # By uid: the last update whose checkpoint and row exist.
        self.written = {}  # By uid: the highest step whose checkpoint may exist.
        self.rounds = Rounds(findings, shards)
        self.equal = Equal(findings, "outer update")

    def on_resumed(self, event):
        uid, step = event["uid"], event["step"]
        durable = self.durable.get(uid)
        if durable:
            self.need(
                step >= durable["step"],
                event,
                "kept",
                f"{event['experiment']} goes on from outer update {step}, and {durable['step']} was"
                f" committed at {durable['where']}",
            )
        # A clone begins with what its source had. The newest checkpoint may exist before any event
        # names it.
        if uid in self.session:
            before, reached, first = self.session[uid]
            last = max(self.written.get(uid, first), reached + 1)
            if before != event["incarnation"]:
                self.deposed[uid, before] = reached
            self.need(
                step <= last,
                event,
                "order",
                f"{event['experiment']} goes on from outer update {step}, after {last}",
            )
        self.rounds.begin(event)
        first = self.session[uid][2] if uid in self.session else step
        self.session[uid] = (event["incarnation"], step, first)
        self.resumed[uid] = event

    def on_updating(self, event):
        uid, step, name = event["uid"], event["step"], event["experiment"]
        incarnation, last, first = self.session.get(uid, (None, None, 0))
        own = (uid, event["incarnation"])
        late = incarnation != own[1] and own in self.deposed  # It does not know yet.
        if late:
            incarnation, last = own[1], self.deposed[own]
        if self.need(
            incarnation == event["incarnation"], event, "order", f"{name} was not resumed here"
        ):
            self.need(
                step == last + 1, event, "order", f"outer update {step} of {name} follows {last}"
            )
        self.rounds.check(event)
        self.equal.look((uid, step), event)
        self.begun[own] = event
        if late:
            self.deposed[own] = step
        else:
            self.session[uid] = (event["incarnation"], step, first)
        if event["hash"]:
            self.written[uid] = max(step, self.written.get(uid, 0))

    def on_updated(self, event):
        uid, step = event["uid"], event["step"]
        begun = self.begun.pop((uid, event["incarnation"]), None)
        self.need(
            begun and begun["step"] == step,
            event,
            "complete",
            f"outer update {step} of {event['experiment']} was committed, and not begun",
        )
        cancelled = self.store.cancelled.get(uid)
        if cancelled:
            self.findings.add(
                event,
                "cancelled",
                f"outer update {step} of {event['experiment']}, CANCELLED at {cancelled['where']}",
            )
        if not event["hash"]:
            return
        resumed = self.resumed.get(uid)
        # The event came late, but the commit came before the takeover; otherwise the update would
        # be lost.
        if resumed and resumed["incarnation"] != event["incarnation"]:
            self.need(
                step <= resumed["step"],
                event,
                "leader",
                f"outer update {step} of {event['experiment']} was committed by one whose store"
                f" another has taken, which goes on from {resumed['step']}, at {resumed['where']}",
            )
        if step > self.durable.get(uid, {"step": 0})["step"]:
            self.durable[uid] = event


class Store:
    """Revisions of the store, and what users were told and saw."""

    def __init__(self, findings):
        self.findings, self.need = findings, findings.need
        self.writes = {}  # By revision: the newest try.
        self.tried = {}  # By incarnation: the subject of the next commit.
        self.committed = {}  # By revision.
        self.last = 0  # The highest of them.
        self.leader = None
        self.fence = None
        self.cancelled = {}  # By uid.
        self.told, self.final = [], {}
        self.watches = {}

    def on_leads(self, event):
        self.leader = event

    def on_fences(self, event):
        if self.fence:
            self.need(
                event["epoch"] > self.fence["epoch"],
                event,
                "fenced",
                f"fence {event['epoch']} came after {self.fence['epoch']}",
            )
        self.fence = event

    def deposed(self, event):
        return self.leader and self.leader["incarnation"] != event["incarnation"]

    def on_writes(self, event):
        self.tried[event["incarnation"]] = event
        # A process whose store another one has taken tries in vain, or on_committed finds it.
        if event["revision"] not in self.committed and not self.deposed(event):
            self.writes[event["revision"]] = event

    def on_committed(self, event):
        revision, tried = event["revision"], self.tried.pop(event["incarnation"], None)
        if not self.need(
            tried and tried["revision"] == revision,
            event,
            "revision",
            f"revision {revision} was committed, and not written before",
        ):
            return
        leader, late = self.leader, self.deposed(event)
        if late and tried["t"] > leader["t"]:
            self.findings.add(
                tried,
                "leader",
                f"revision {revision} was written after another has taken the store, at"
                f" {leader['where']}",
            )
        if revision in self.committed:
            where = self.committed[revision]["where"]
            self.findings.add(event, "revision", f"{revision} was committed before, at {where}")
        else:
            # Or the process was stopped before it could record the event.
            if revision < self.last and not late:
                self.findings.add(event, "revision", f"{revision} was committed after {self.last}")
            if self.last and revision - 1 not in self.writes:
                self.findings.add(event, "revision", f"nobody wrote {revision - 1}: a gap")
        self.committed[revision] = event
        self.last = max(self.last, revision)
        if tried["state"] == "CANCELLED" and tried["kind"] != DELETED:
            self.cancelled.setdefault(tried["uid"], event)

    def on_acknowledged(self, event):
        self.told.append(event)

    def on_final(self, event):
        self.final[event["uid"]] = event

    def on_watches(self, event):
        self.watches[event["incarnation"], event["watch"]] = (event, [])

    def on_saw(self, event):
        begin, seen = self.watches.get((event["incarnation"], event["watch"]), (None, None))
        if not self.need(begin, event, "watch", f"watch {event['watch']} had not begun"):
            return
        last = seen[-1]["revision"] if seen else begin["revision"]
        self.need(
            event["revision"] > last,
            event,
            "watch",
            f"watch {event['watch']} saw revision {event['revision']} after {last}",
        )
        seen.append(event)

    def finish(self):
        self.check_states()
        self.check_told()
        self.check_watches()

    def check_states(self):
        states = {}
        for revision in sorted(self.writes):
            event = self.writes[revision]
            uid, state = event["uid"], event["state"]
            if event["kind"] == DELETED:
                states[uid] = "gone"
                continue
            before = states.get(uid)
            if before == "gone":
                self.findings.add(event, "revision", f"{event['experiment']} had been deleted")
            elif before != state:
                self.need(
                    state in FOLLOW[before],
                    event,
                    "revision",
                    f"{event['experiment']} went from {before} to {state}",
                )
            states[uid] = state

    def check_told(self):
        by_etag = {event["etag"]: event for event in self.writes.values()}
        newest = {}
        for revision in sorted(self.writes):
            newest[self.writes[revision]["uid"]] = self.writes[revision]
        for event in [*self.told, *self.final.values()]:
            found = by_etag.get(event["etag"])
            self.need(
                found and (found["uid"], found["state"]) == (event["uid"], event["state"]),
                event,
                "kept",
                f"{event['experiment']} was {event['state']} with etag {event['etag']} in an"
                " answer, and never in the store",
            )
        if not self.final:
            return
        for event in self.told:
            last = newest.get(event["uid"])
            if event["uid"] in self.final or (last and last["kind"] == DELETED):
                continue
            self.findings.add(event, "kept", f"{event['experiment']} is gone at the end")
        for uid, event in self.final.items():
            last = newest.get(uid)
            # A commit whose answer was lost may not have happened.
            if last and last["revision"] in self.committed and last["etag"] != event["etag"]:
                self.findings.add(
                    event,
                    "kept",
                    f"{event['experiment']} is {event['state']} at the end, and what was committed"
                    f" at {last['where']} is lost",
                )

    def check_watches(self):
        for begin, seen in self.watches.values():
            for event in seen:
                written = self.writes.get(event["revision"])
                self.need(
                    written and written["experiment"] == event["experiment"],
                    event,
                    "watch",
                    f"revision {event['revision']} of {event['experiment']} is not in the store",
                )
            if not seen:
                continue
            names = set(begin["names"].split())  # None: all.
            got = {event["revision"] for event in seen}
            missed = [
                revision
                for revision, written in sorted(self.writes.items())
                if begin["revision"] < revision < seen[-1]["revision"]
                and revision not in got
                and (not names or written["experiment"] in names)
            ]
            if missed:
                self.findings.add(seen[-1], "watch", f"watch {begin['watch']} missed {missed[:5]}")
