"""View: the fleet: learners and actors, what each does, what waits for what."""

from __future__ import annotations

import itertools
import time
from typing import Any, Dict, List, Sequence, Tuple

from ..errors import MentorError
from ..experiment import Experiment
from ..v1.experiment_pb2 import Experiment as ExperimentProto, Peer, ShardInfo
from . import words
from .page import Page, view, web
from .parts import alert, heading, panel, table, text

_LOOK_S = 2.0
_ROWS_MAX = 200  # A table is drawn whole at each look.
_ACTIVE = "state!=SUCCEEDED AND state!=FAILED AND state!=CANCELLED"
_PEER = """<q-td :props="props" :class="props.row.depth">
  <span :title="props.row.name">{{ props.value }}</span></q-td>"""
_NOTE = '<q-td :props="props" style="min-width: 11rem">{{ props.value }}</q-td>'
_DRAIN = """<q-td :props="props"><q-btn v-if="!props.row.draining" flat dense no-caps
  color="primary" label="Drain" :aria-label="'Drain ' + props.row.peer"
  @click="$parent.$emit('drain', props.row.name)"/></q-td>"""


def short(name: str) -> str:
    """learners/170c819c, as `mentorctl peers` shows it."""
    kind, _, id = name.rpartition("/")
    return f"{kind}/{id[:8]}"


def is_learner(peer: Peer) -> bool:
    return peer.name.startswith("learners/")


def waits_for(one: Experiment, active: Sequence[Experiment], peers: Any, shards: Any) -> str:
    """What an experiment waits for, in the words of `mentorctl top`."""
    if one.state == "QUEUED":
        running = sum(other.state == "RUNNING" for other in active)
        return f"a place ({running} running)" if running else "the scheduler"
    if one.state == "PAUSED":
        reasons = {
            ExperimentProto.PAUSE_REASON_STORAGE_QUOTA: "room in the owner's quota",
            ExperimentProto.PAUSE_REASON_DISK_FULL: "room on the disk",
        }
        return reasons.get(one.proto.pause_reason, "someone who resumes it")
    if one.state != "RUNNING":
        return ""
    if words.waits_for(one):
        return words.waits_for(one)
    learners = sum(map(is_learner, peers))
    if not learners:
        return "learners"
    if learners == len(peers):
        return "actors"
    waiting = sum(
        shard.name.startswith(f"{one.name}/") and shard.state == ShardInfo.STATE_WAITING
        for shard in shards
    )
    return f"a slot for {waiting} shard{'s' * (waiting > 1)}" if waiting else ""


def note(peer: Peer, peers: Any, shards: Any) -> str:
    """What a peer does, or why it does nothing."""
    if peer.quarantined:
        return f"kept away after {peer.strikes} failures"
    if peer.draining:
        return "draining"
    if peer.refusal:
        return f"refused {peer.refusal}"
    if is_learner(peer) and not any(other.learner == peer.name for other in peers):
        return "waits for actors"
    if not peer.work:
        return "waits for work"
    shares = {one.experiment: f" {100 * one.share:.0f} %" for one in peer.time}
    held = {one.name.partition("/shards/")[0]: "" for one in shards if one.learner == peer.name}
    return ", ".join(name.rpartition("/")[2] + share for name, share in {**held, **shares}.items())


def _memory(peer: Peer) -> str:
    parts = [
        ("", peer.memory_needed_bytes, peer.memory_bytes),
        ("device ", peer.device_memory_needed_bytes, peer.device_memory_bytes),
    ]
    shown = [f"{what}{need / 1e9:.1f}/{most / 1e9:.1f} GB" for what, need, most in parts if most]
    return ", ".join(shown) or "no limit"


class Fleet:
    def __init__(self, page: Page):
        self._page = page
        self._now: Tuple[List[Experiment], List[Peer], List[ShardInfo]] = ([], [], [])
        heading("Fleet")
        self._sum = text("Loading …", "quiet", "role=status")
        self._wrong = alert()
        with panel("What waits for what"):
            titles = dict(id="Experiment", state="State", waits="Waits for")
            titles.update(progress="Outer updates", speed="Steps a second", priority="Priority")
            self._waits = table("id", **titles)
            self._waits.props('no-data-label="No experiment runs or waits."')
        with panel("Learners and actors"):
            titles = dict(peer="Peer", note="Now", work="Work", speed="Steps a second")
            titles.update(threads="Threads", trip="Round trip", since="Connected", host="Host")
            titles.update(build="Build", memory="Memory", kind="Kind", drain="Drain")
            self._peers = table("name", **titles)
            self._peers.props["no-data-label"] = (
                "Nothing is connected. Start mentor-learner with --meta_learner "
                f"{page.client.server}, and mentor-actor with --learner and its address."
            )
            for name, slot in (("peer", _PEER), ("note", _NOTE), ("drain", _DRAIN)):
                self._peers.add_slot(f"body-cell-{name}", slot)
            self._peers.on("drain", self._drain)
        page.on_change(self._draw)
        page.every(_LOOK_S, self._look)

    async def _look(self) -> None:
        client = self._page.client

        def ask() -> Tuple[List[Experiment], List[Peer], List[ShardInfo]]:
            active = itertools.islice(client.list(_ACTIVE), web().flags.rows_max)
            return list(active), client.peers(), client.shards()

        try:
            self._now, wrong = await self._page.call(ask), ""
        except MentorError as error:
            wrong = f"{error.message}; this page looks again by itself"
        self._wrong.set_text(wrong)
        self._page.changed()

    def _draw(self) -> None:
        active, peers, shards = self._now
        self._draw_sum(active, peers)
        active.sort(key=lambda one: (one.state != "RUNNING", -one.proto.priority))
        self._waits.rows = [
            {
                "id": one.id,
                "href": f"/experiments/{one.id}",
                "state": words.state(one),
                "priority": words.priority(one),
                "progress": words.progress(one),
                "speed": words.number(one.progress.env_steps_per_second),
                "waits": waits_for(one, active, peers, shards) or "–",
            }
            for one in active[:_ROWS_MAX]
        ]
        self._peers.rows = [self._row(peer, peers, shards) for peer in peers[:_ROWS_MAX]]

    def _draw_sum(self, active: Sequence[Experiment], peers: Sequence[Peer]) -> None:
        learners = sum(map(is_learner, peers))
        actors = [peer for peer in peers if not is_learner(peer)]
        speed = sum(one.progress.env_steps_per_second for one in active if one.state == "RUNNING")
        builds = sorted({peer.build for peer in peers})
        states = [one.state for one in active]
        counts = (f"{states.count(s.upper())} {s}" for s in ("running", "queued", "paused"))
        self._sum.set_text(
            f"{learners} learner{'s' * (learners != 1)}, {len(actors)} actor"
            f"{'s' * (len(actors) != 1)}, {sum(peer.threads for peer in actors)} threads, "
            f"{words.number(speed)} steps a second; {', '.join(counts)}"
            + f"; builds differ: {', '.join(builds)}" * (len(builds) > 1)
            + f"; {_ROWS_MAX} of each are shown" * (max(len(active), len(peers)) > _ROWS_MAX)
        )

    def _row(self, peer: Peer, peers: Any, shards: Any) -> Dict[str, Any]:
        learner = is_learner(peer)
        device, _, results = peer.arithmetic.rpartition(" ")
        trip = peer.round_trip.ToNanoseconds() / 1e6
        return {
            "name": peer.name,
            "peer": short(peer.name),
            "depth": "" if learner else "indented",
            "note": note(peer, peers, shards),
            "work": f"{peer.work}/{peer.shard_slots} shards" if learner else f"{peer.work} units",
            "speed": words.number(peer.env_steps_per_second) if peer.work else "–",
            "threads": "–" if learner else peer.threads,
            "trip": f"{trip:.1f} ms" if peer.HasField("round_trip") else "–",
            "since": words.span(time.time() - peer.connect_time.seconds),
            "host": peer.host,
            "build": peer.build,
            "memory": _memory(peer) if learner else "–",
            "kind": f"{device} {results[:8]}" if results else "–",
            "draining": peer.draining,
        }

    async def _drain(self, event: Any) -> None:
        name, about = str(event.args), "It finishes its work and takes no more."
        if await self._page.confirm(f"Drain {short(name)}?", "Drain it", about):
            await self._page.try_call(self._page.client.drain, name)


@view("/fleet", "Fleet")
def fleet(page: Page, names: Dict[str, str]) -> None:
    Fleet(page)
