"""The history checker finds faults: a good history passes, and fails with any one fault planted
into it. The good one is tests/data/histories (its README names its origin)."""

import copy
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "cluster")]

import history_check  # noqa: E402
from harness import ClusterTest, sets  # noqa: E402
from record_history import PLANNED, POET  # noqa: E402

GOOD = FOLDER.parent / "data" / "histories"


class History:
    """Events by file. They can be changed and written again with whole numbers."""

    def __init__(self, folder):
        self.files = {
            path.name: [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted(folder.glob("*.jsonl"))
        }

    def all(self, event, **fields):
        """Returns events in the order of their time. A field that is None must be absent."""
        found = [
            line
            for lines in self.files.values()
            for line in lines
            if line["event"] == event and all(line.get(k) == v for k, v in fields.items())
        ]
        return sorted(found, key=lambda line: line["t"])

    def with_field(self, event, field):
        return [line for line in self.all(event) if field in line]

    def file_of(self, line):
        return next(lines for lines in self.files.values() if any(line is other for other in lines))

    def drop(self, *lines):
        for line in lines:
            own = self.file_of(line)
            own[:] = [other for other in own if other is not line]

    def add_after(self, line, event=None, **changes):
        """Adds a line behind this one, like `event`, with changes."""
        new = {**copy.deepcopy(event or line), **changes, "t": line["t"]}
        for same in ("process", "incarnation"):
            new[same] = line[same]
        own = self.file_of(line)
        own.insert(next(i for i, other in enumerate(own) if other is line) + 1, new)
        return new

    def move_after(self, line, place):
        """Both of one process."""
        self.drop(line)
        own = self.file_of(place)
        line["t"] = place["t"]
        own.insert(next(i for i, other in enumerate(own) if other is place) + 1, line)

    def write(self, folder):
        for name, lines in self.files.items():
            for number, line in enumerate(lines, 1):
                line["n"] = number
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / name).write_text(text)


def units(history, event, index=5):
    return history.with_field(event, "unit")[index]


def segments(history, event, index=1):
    """Segments that follow another segment of their shard."""
    later = [e for e in history.with_field(event, "segment") if e["segment"] > 0]
    return later[index]


def ends(history, event, index=2):
    """From whole shards."""
    return [e for e in history.with_field(event, "shard") if "segment" not in e][index]


def collections(history, index=1):
    """Collections in the middle of their shard."""
    every = history.with_field("consumed", "unit_shard")
    names = {(e["incarnation"], e["unit_shard"], e["iteration"]) for e in every}
    middle = [
        e
        for e in every
        if e["iteration"] > 0 and (e["incarnation"], e["unit_shard"], e["iteration"] + 1) in names
    ]
    return middle[index]


def training(history, index=2):
    return [e for e in history.with_field("consumed", "call") if e["phase"] == 0][index]


PLANTS = []


def plant(rule):
    def add(function):
        PLANTS.append((rule, function))
        return function

    return add


# Units.


@plant("once")
def a_unit_is_accepted_twice(history):
    history.add_after(units(history, "accepted"))


@plant("assigned")
def a_unit_that_nobody_gave_out_is_accepted(history):
    unit = units(history, "accepted")
    history.drop(*history.all("assigned", unit=unit["unit"], incarnation=unit["incarnation"]))


@plant("assigned")
def a_result_that_nobody_sent_is_accepted(history):
    units(history, "accepted")["hash"] = "0123456789abcdef"


@plant("assigned")
def an_actor_sends_what_it_never_received(history):
    history.drop(units(history, "received"))


@plant("equal")
def a_second_attempt_has_another_hash(history):
    sent = units(history, "sent")
    received = history.all("received", unit=sent["unit"], incarnation=sent["incarnation"])[0]
    given = history.all("assigned", unit=sent["unit"], attempt=sent["attempt"])[0]
    history.add_after(given, attempt=7)
    history.add_after(received, attempt=7)
    history.add_after(sent, attempt=7, hash="0123456789abcdef")


@plant("complete")
def a_unit_is_lost(history):
    history.drop(units(history, "accepted"))


@plant("once")
def a_collection_is_used_twice(history):
    history.add_after(collections(history))


@plant("order")
def a_collection_is_left_out(history):
    history.drop(collections(history))


@plant("once")
def a_result_is_accepted_after_its_collection_was_used(history):
    used = collections(history)
    prefix = f"{used['unit_shard']}/{used['iteration']}/"
    unit = next(
        event
        for event in history.all("accepted", incarnation=used["incarnation"])
        if event.get("unit", "").startswith(prefix)
    )
    history.move_after(unit, used)


# Shards.


@plant("once")
def a_segment_is_doubled(history):
    history.add_after(segments(history, "accepted"))


@plant("complete")
def a_segment_is_lost(history):
    history.drop(segments(history, "accepted"))


@plant("order")
def segments_come_in_another_order(history):
    later = segments(history, "accepted", 0)
    first = history.all("accepted", shard=later["shard"], epoch=later["epoch"], segment=0)[0]
    first["segment"], later["segment"] = later["segment"], 0
    first["hash"], later["hash"] = later["hash"], first["hash"]


@plant("equal")
def a_segment_is_changed_on_the_way(history):
    segments(history, "accepted")["hash"] = "0123456789abcdef"


@plant("assigned")
def a_segment_that_nobody_sent_is_accepted(history):
    segment = segments(history, "accepted")
    history.drop(*history.all("sent", shard=segment["shard"], segment=segment["segment"]))


@plant("complete")
def a_segment_is_sent_before_its_units_are_there(history):
    sent = history.with_field("sent", "segment")[0]
    got = history.all("received", shard=sent["shard"], incarnation=sent["incarnation"])[0]
    history.drop(
        history.all("consumed", unit_shard=got["unit_shard"], incarnation=sent["incarnation"])[0]
    )


@plant("fenced")
def a_shard_that_was_taken_back_is_used(history):
    history.add_after(ends(history, "assigned"), event_of("fenced", ends(history, "assigned")))


@plant("fenced")
def an_older_epoch_is_used(history):
    given = ends(history, "assigned")
    taken = history.add_after(given, event_of("fenced", given))
    again = history.add_after(taken, {**given, "epoch": given["epoch"] + 1_000_000})
    for later in history.all("assigned", incarnation=given["incarnation"]):
        if "shard" in later and later["t"] > again["t"]:
            later["epoch"] += 2_000_000  # They rise, as they must.


def waits_for_another_opinion(history, index=2):
    """The first answer of a shard; the event of its fate is added behind it."""
    accepted = ends(history, "accepted", index)
    return history.add_after(accepted, event_of("fenced", accepted))


@plant("fenced")
def an_answer_is_used_that_waits_for_another_opinion(history):
    waits_for_another_opinion(history)


@plant("fenced")
def an_answer_stands_while_another_one_is_asked(history):
    fenced = waits_for_another_opinion(history)
    again = {**fenced, "event": "assigned", "epoch": fenced["epoch"] + 0.5, "work": "w"}
    history.add_after(history.add_after(fenced, again), event_of("stands", fenced))


@plant("complete")
def what_nobody_answered_stands(history):
    given = ends(history, "assigned")
    fenced = history.add_after(given, event_of("fenced", given))
    history.add_after(fenced, event_of("stands", fenced))


@plant("fenced")
def an_epoch_comes_again(history):
    ends(history, "assigned", 3)["epoch"] = ends(history, "assigned", 2)["epoch"]


@plant("once")
def a_shard_is_used_twice(history):
    history.add_after(training(history))


@plant("complete")
def a_shard_is_used_that_was_not_accepted(history):
    used = training(history)
    history.drop(*history.all("accepted", shard=used["shard"], epoch=used["epoch"], segment=None))


@plant("equal")
def equal_work_has_another_hash(history):
    used = [event["shard"] for event in history.with_field("consumed", "call")]
    first, other = (history.all("assigned", shard=shard)[-1] for shard in used[:2])
    other["work"] = first["work"]


# Outer updates.


@plant("complete")
def an_update_is_made_of_half_its_shards(history):
    history.drop(training(history))


@plant("complete")
def an_update_is_made_of_nothing(history):
    used = training(history)
    history.drop(*history.all("consumed", call=used["call"], incarnation=used["incarnation"]))


@plant("order")
def an_update_is_left_out(history):
    update = history.all("updating")[1]
    for event in history.all("updating", uid=update["uid"]) + history.all(
        "updated", uid=update["uid"]
    ):
        if event["step"] >= update["step"]:
            event["step"] += 1


@plant("complete")
def an_update_is_committed_that_was_not_begun(history):
    history.drop(history.all("updating")[1])


@plant("kept")
def a_committed_update_is_lost_by_a_restart(history):
    resumed = [event for event in history.all("resumed") if event["step"] > 1][0]
    resumed["step"] = 0


@plant("equal")
def a_repeated_update_has_another_hash(history):
    update = history.all("updated")[0]
    resumed = history.add_after(update, resumed_like(history, update), step=update["step"] - 1)
    began = history.all("updating", uid=update["uid"], step=update["step"])[0]
    history.add_after(resumed, began, hash="0123456789abcdef")


def taken_over(history):
    """Another leader continues behind the update before the last. Returns the last update of the
    old leader."""
    update = [event for event in history.all("updated") if event["hash"]][-1]
    begun = history.all("updating", uid=update["uid"], step=update["step"])[-1]
    resumed = resumed_like(history, begun)
    resumed["step"] -= 1
    return update, begun, resumed


@plant("leader")
def an_update_is_committed_after_another_has_taken_over(history):
    update, begun, resumed = taken_over(history)
    history.add_after(begun, resumed)["incarnation"] = "another"


@plant("cancelled")
def a_cancelled_experiment_is_updated(history):
    cancelled = history.all("writes", state="CANCELLED")[0]
    update = history.all("updated")[0]
    end = history.all("committed", revision=cancelled["revision"])[0]
    history.add_after(end, update, uid=cancelled["uid"])


# Planned rounds.


def planned(history, index=0, update=0, last=False):
    """The plan of a round of several shards of an update, or the plan's last event."""
    made = [
        event
        for event in history.all("updating", step=update + 1)
        if history.all("planned", uid=event["uid"])
    ][0]
    plans = [
        plan
        for plan in history.all("planned", uid=made["uid"], step=made["step"])
        if plan["incarnation"] == made["incarnation"] and plan["t"] < made["t"]
    ]
    if last:
        return plans[-1]
    return [plan for plan in plans if len(collected(history, plan)) > 1][index]


def collected(history, plan):
    """The shards of a planned round."""
    of = {"incarnation": plan["incarnation"], "experiment": plan["experiment"]}
    later = [other["t"] for other in history.all("planned", **of) if other["t"] > plan["t"]]
    end = min(later, default=plan["t"])
    return [used for used in history.all("consumed", **of) if plan["t"] < used["t"] < end]


def edit_lifetime(line, place, field, text):
    """Edits a lifetime of a plan or a shard: NUMBER:VARIANT:NOISE_NUMBER:TASK."""
    names = [name.split(":") for name in line["lifetimes"].split(",")]
    names[place][field] = text
    line["lifetimes"] = ",".join(":".join(name) for name in names)


@plant("order")
def a_planned_round_is_left_out(history):
    plan = planned(history)
    history.drop(plan, *collected(history, plan))


@plant("complete")
def a_planned_round_is_not_collected(history):
    history.drop(*collected(history, planned(history)))


@plant("complete")
def a_planned_round_is_collected_twice(history):
    for used in collected(history, planned(history)):
        history.add_after(used, call=used["call"] + 1_000_000)


@plant("complete")
def half_a_planned_round_is_collected(history):
    history.drop(collected(history, planned(history))[0])


@plant("order")
def a_round_is_planned_twice(history):
    history.add_after(planned(history))


@plant("order")
def planned_rounds_are_swapped(history):
    first, second = planned(history, 0), planned(history, 1)
    first["round"], second["round"] = second["round"], first["round"]


@plant("planned")
def the_lifetimes_of_two_rounds_are_swapped(history):
    first, second = (collected(history, planned(history, i))[0] for i in (0, 1))
    first["lifetimes"], second["lifetimes"] = second["lifetimes"], first["lifetimes"]


@plant("order")
def rounds_are_collected_in_another_order(history):
    first, second = (collected(history, planned(history, i)) for i in (0, 1))
    calls = first[0]["call"], second[0]["call"]
    for used in first:
        used["call"] = calls[1]
    for used in second:
        used["call"] = calls[0]


@plant("planned")
def a_lifetime_has_another_variant(history):
    edit_lifetime(collected(history, planned(history))[0], 0, 1, "99")


@plant("planned")
def a_lifetime_has_another_chance(history):
    edit_lifetime(collected(history, planned(history))[1], 0, 2, "999999")


@plant("planned")
def a_lifetime_has_another_task(history):
    edit_lifetime(collected(history, planned(history))[1], -1, 3, "0badc0de")


@plant("planned")
def a_lifetime_of_a_round_is_missing(history):
    used = collected(history, planned(history))[0]
    used["lifetimes"] = used["lifetimes"].split(",", 1)[1]


@plant("planned")
def lifetimes_of_a_shard_are_in_another_order(history):
    used = collected(history, planned(history))[0]
    used["lifetimes"] = ",".join(reversed(used["lifetimes"].split(",")))


@plant("planned")
def shards_of_a_round_are_in_another_order(history):
    first, second = collected(history, planned(history))[:2]
    first["lifetimes"], second["lifetimes"] = second["lifetimes"], first["lifetimes"]


@plant("planned")
def a_round_is_scored_that_was_to_teach(history):
    used = collected(history, planned(history))[0]
    used["learning"] = not used["learning"]


@plant("planned")
def a_round_has_more_episodes_than_planned(history):
    collected(history, planned(history))[1]["episodes"] += 1


@plant("once")
def a_planned_lifetime_comes_again(history):
    plan, before = planned(history, 1), planned(history, 0)
    used = collected(history, plan)[0]
    for line in (plan, used):
        edit_lifetime(line, 0, 0, before["lifetimes"].split(":")[0])


@plant("once")
def lifetimes_come_again_in_the_next_update(history):
    plan, before = planned(history, update=1), planned(history)
    used = collected(history, plan)[0]
    for line in (plan, used):
        edit_lifetime(line, 0, 0, before["lifetimes"].split(":")[0])


@plant("order")
def a_round_is_planned_for_another_update(history):
    planned(history)["step"] += 1


@plant("complete")
def an_update_is_made_while_a_round_is_left(history):
    history.drop(planned(history, last=True))


@plant("order")
def a_round_is_planned_after_the_last(history):
    last = planned(history, last=True)
    history.add_after(last, planned(history), round=last["round"] + 1)


@plant("planned")
def a_round_is_collected_that_was_not_planned(history):
    used = collected(history, planned(history))[0]
    history.add_after(planned(history, last=True), used, call=used["call"] + 1_000_000)


@plant("complete")
def an_update_is_made_of_no_planned_round(history):
    last = planned(history, last=True)
    plans = history.all("planned", uid=last["uid"], step=last["step"])
    for plan in plans[:-1]:
        history.drop(*collected(history, plan))
    history.drop(*plans[:-1])


@plant("planned")
def a_rule_plans_that_plans_no_rounds(history):
    update = next(
        event for event in history.all("updating") if not history.all("planned", uid=event["uid"])
    )
    first = history.all("consumed", experiment=update["experiment"])[0]
    history.add_after(first, planned(history), experiment=update["experiment"], uid=update["uid"])


@plant("equal")
def a_repeated_update_is_planned_otherwise(history):
    plan = planned(history)
    history.add_after(plan)
    edit_lifetime(plan, 0, 1, "99")


# The store.


@plant("revision")
def a_revision_is_committed_twice(history):
    committed = history.all("committed")[3]
    writes = history.all("writes", revision=committed["revision"])[0]
    again = history.add_after(committed, writes)
    history.add_after(again, committed)


@plant("revision")
def a_revision_is_left_out(history):
    committed = history.all("committed")[3]
    history.drop(committed, *history.all("writes", revision=committed["revision"]))


@plant("revision")
def an_experiment_goes_from_its_end_to_another_state(history):
    end = history.all("writes", state="SUCCEEDED")[0]
    committed = history.all("committed", revision=end["revision"])[0]
    number = history.all("committed")[-1]["revision"] + 1
    again = history.add_after(committed, end, revision=number, etag="W/again", state="QUEUED")
    history.add_after(again, committed, revision=number)


@plant("leader")
def a_write_is_not_fenced(history):
    leads = history.all("leads")[0]
    other = history.add_after(history.all("committed")[3], leads)
    other["incarnation"] = "another"


@plant("fenced")
def a_fence_falls_back(history):
    leads = history.all("leads")[0]
    first = history.add_after(leads, {"event": "fences", "epoch": 7})
    history.add_after(first, epoch=7)


# Users.


@plant("kept")
def an_acknowledgement_is_lost(history):
    told = history.all("acknowledged", method="PauseExperiment")[0]
    writes = history.all("writes", etag=told["etag"])[0]
    writes["state"] = "RUNNING"


@plant("kept")
def an_answer_was_never_in_the_store(history):
    history.all("acknowledged", process="user")[0]["etag"] = "W/NjY2Ng"


@plant("kept")
def the_end_is_older_than_what_was_committed(history):
    final = history.all("final")[0]
    before = history.all("writes", uid=final["uid"])[-2]
    final["etag"], final["state"] = before["etag"], before["state"]


@plant("kept")
def an_experiment_is_gone_at_the_end(history):
    history.drop(history.all("final")[0])


@plant("watch")
def a_watch_sees_a_revision_twice(history):
    history.add_after(history.all("saw")[2])


@plant("watch")
def a_watch_sees_revisions_in_another_order(history):
    first, second = history.all("saw")[2:4]
    first["revision"], second["revision"] = second["revision"], first["revision"]


@plant("watch")
def a_watch_misses_a_revision(history):
    history.drop(history.all("saw")[2])


def event_of(event, like):
    return {**like, "event": event}


def resumed_like(history, line):
    """The session of an update begins anew."""
    begun = history.all("resumed", uid=line["uid"])[0]
    return {**line, "event": "resumed", "plans": begun["plans"]}


class HistoryTest(unittest.TestCase):
    def check(self, history):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
        self.addCleanup(shutil.rmtree, folder)
        history.write(folder)
        return history_check.check([folder])[0]

    def test_a_good_history_passes(self):
        findings, counts = history_check.check([GOOD])
        self.assertEqual([str(finding) for finding in findings], [])
        wanted = ("accepted", "fenced", "updated", "committed", "acknowledged", "saw", "planned")
        for event in wanted:
            self.assertGreater(counts[event], 0, event)

    def test_an_answer_that_nobody_could_confirm_is_good(self):
        history = History(GOOD)
        fenced = waits_for_another_opinion(history)
        history.add_after(fenced, event_of("stands", fenced))
        self.assertEqual([str(finding) for finding in self.check(history)], [])

    def test_an_old_leader_that_does_not_know_yet_is_good(self):
        history = History(GOOD)
        update, begun, resumed = taken_over(history)
        before = history.all("updated", uid=update["uid"], step=update["step"] - 1)[-1]
        history.add_after(before, resumed)["incarnation"] = "another"
        history.drop(update)  # It begins, and is refused.
        self.assertEqual([str(finding) for finding in self.check(history)], [])

    def test_each_planted_fault_is_found(self):
        self.assertGreaterEqual(len(PLANTS), 60)
        for rule, planted in PLANTS:
            with self.subTest(planted.__name__):
                history = History(GOOD)
                planted(history)
                findings = self.check(history)
                found = [str(finding) for finding in findings if finding.rule == rule]
                self.assertTrue(found, [str(finding) for finding in findings])
                self.assertRegex(found[0], r"^[\w-]+\.jsonl:\d+: \w+: ")

    def test_a_torn_line_is_legal_at_the_end_alone(self):
        history = History(GOOD)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
        self.addCleanup(shutil.rmtree, folder)
        history.write(folder)
        path = next(folder.glob("mentor-actor-*.jsonl"))
        whole = path.read_text()
        path.write_text(whole + '{"t":1,"n"')
        self.assertEqual(history_check.check([folder])[0], [])
        path.write_text('{"t":1,"n"\n' + whole)
        self.assertIn("file", {finding.rule for finding in history_check.check([folder])[0]})


class PlantedTest(ClusterTest):
    """In real binaries: a database that confirms a commit and forgets it."""

    def test_a_forgotten_commit_is_found(self):
        findings = self.findings("store.commit.forgotten=4:error(x)")
        self.assertTrue({"revision", "kept"} & {finding.rule for finding in findings}, findings)

    def test_without_it_nothing_is_found(self):
        self.assertEqual([str(finding) for finding in self.findings("")], [])

    def test_rounds_that_a_rule_plans_are_no_finding(self):
        history = self.folder / "history"
        history.mkdir()
        self.run_spec(
            self.folder / "run", *PLANNED, spec=POET, env={"MENTOR_HISTORY": str(history)}
        )
        findings, counts = history_check.check([history])
        self.assertEqual([str(finding) for finding in findings], [])
        # Steps, scores, transfers, children: many rounds in an update.
        self.assertGreater(counts["planned"], 5 * counts["updated"])

    def test_two_answers_of_one_shard_are_no_finding(self):
        history = self.folder / "history"
        history.mkdir()
        env = {"MENTOR_HISTORY": str(history)}
        state = self.folder / "state"
        _, server = self.start_meta_learner(state, 0, "--check_every", 1, env=env)
        homes = [self.start_learner(server, env=env) for _ in range(2)]
        for _, address in homes:
            self.start_actor(address, env=env)
        for learner, _ in homes:
            learner.wait_for("connected to the meta-learner")
        self.create_experiment(
            server, "twice", *sets("rule.outer_updates=40", "evaluation.lifetimes_per_goal=0")
        )
        self.wait_for_checkpoints(state, 3)
        homes[0][0].kill()  # No process is left to ask.
        self.wait_for_state(server, "twice", "STATE_SUCCEEDED")
        findings, counts = history_check.check([history])
        self.assertEqual([str(finding) for finding in findings], [])
        self.assertGreater(counts["stands"], 0)
        self.assertGreater(counts["fenced"], counts["stands"])

    def findings(self, failpoints):
        history = self.folder / "history"
        history.mkdir()
        self.run_spec(
            self.folder / "run",
            *sets("rule.outer_updates=3", "evaluation.lifetimes_per_goal=0"),
            env={"MENTOR_HISTORY": str(history), "MENTOR_FAILPOINTS": failpoints},
        )
        return history_check.check([history])[0]


if __name__ == "__main__":
    unittest.main()
