"""View: the fleet: learners and actors, what each does, what waits for what."""

from __future__ import annotations

import itertools
import time
import urllib.parse
from typing import Any, Dict, List, Sequence, Tuple

from nicegui import ui

from ..errors import MentorError
from ..experiment import Experiment
from ..v1.experiment_pb2 import Experiment as ExperimentProto, Peer, ShardInfo
from . import words
from .page import Page, panel, table, view, web

_LOOK_S = 2.0
_ACTIVE = "state!=SUCCEEDED AND state!=FAILED AND state!=CANCELLED"
_EXPERIMENT = '<q-td :props="props"><a :href="props.row.href">{{ props.value }}</a></q-td>'
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
    told = one.activity.partition("waiting for ")[2]
    if told:
        return told
    if not any(is_learner(peer) for peer in peers):
        return "learners"
    if all(is_learner(peer) for peer in peers):
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
        ui.label("Fleet").classes("title").props("role=heading aria-level=1")
        self._sum = ui.label("Loading …").classes("quiet").props("role=status")
        self._wrong = ui.label().classes("wrong").props("role=alert")
        with panel("What waits for what"):
            self._waits = table(
                "id",
                id="Experiment",
                state="State",
                waits="Waits for",
                progress="Outer updates",
                speed="Steps a second",
                priority="Class",
            ).props('no-data-label="No experiment runs or waits."')
            self._waits.add_slot("body-cell-id", _EXPERIMENT)
        with panel("Learners and actors"):
            self._peers = table(
                "name",
                peer="Peer",
                note="Now",
                work="Work",
                speed="Steps a second",
                threads="Threads",
                trip="Round trip",
                since="Connected",
                host="Host",
                build="Build",
                memory="Memory",
                kind="Kind",
                drain="",
            )
            self._peers.props(
                'no-data-label="Nothing is connected. Start mentor-learner with --meta_learner '
                f'{page.client.server}, and mentor-actor with --learner and its address."'
            )
            self._peers.add_slot("body-cell-peer", _PEER)
            self._peers.add_slot("body-cell-note", _NOTE)
            self._peers.add_slot("body-cell-drain", _DRAIN)
            self._peers.on("drain", self._drain)
        with panel("Shards"):
            self._shards = table(
                "shard",
                shard="Shard",
                state="State",
                learner="Learner",
                lifetimes="Lifetimes",
                done="Inner iterations",
                steps="Environment steps",
            ).props('no-data-label="No shard is at work or waits."')
        page.every(_LOOK_S, self._look)

    async def _look(self) -> None:
        client = self._page.client

        def ask() -> Tuple[List[Experiment], List[Peer], List[ShardInfo]]:
            active = itertools.islice(client.list(_ACTIVE), web().flags.rows_max)
            return list(active), client.peers(), client.shards()

        try:
            active, peers, shards = await self._page.call(ask)
        except MentorError as error:
            self._wrong.set_text(error.message)
            return
        self._wrong.set_text("")
        self._draw_sum(active, peers)
        active.sort(key=lambda one: (one.state != "RUNNING", -one.proto.priority, -words.age(one)))
        most = web().flags.rows_max
        self._waits.rows = [
            {
                "id": one.id,
                "href": f"/experiments/{urllib.parse.quote(one.id)}",
                "state": words.state(one),
                "priority": words.priority(one),
                "progress": words.progress(one),
                "speed": words.number(one.progress.env_steps_per_second),
                "waits": waits_for(one, active, peers, shards) or "–",
            }
            for one in active
        ]
        self._peers.rows = [self._row(peer, peers, shards) for peer in peers[:most]]
        self._shards.rows = [
            {
                "shard": shard.name.removeprefix("experiments/"),
                "state": "waiting" if shard.state == ShardInfo.STATE_WAITING else "running",
                "learner": short(shard.learner) if shard.learner else "–",
                "lifetimes": shard.lifetimes,
                "done": f"{shard.iterations_done} of {shard.iterations_total}",
                "steps": f"{words.number(shard.env_steps)} of {words.number(shard.env_steps_total)}",
            }
            for shard in shards[:most]
        ]

    def _draw_sum(self, active: Sequence[Experiment], peers: Sequence[Peer]) -> None:
        learners = sum(map(is_learner, peers))
        actors = [peer for peer in peers if not is_learner(peer)]
        speed = sum(peer.env_steps_per_second for peer in actors if peer.work)
        builds = sorted({peer.build for peer in peers})
        states = [one.state for one in active]
        self._sum.set_text(
            f"{learners} learner{'s' * (learners != 1)}, {len(actors)} actor"
            f"{'s' * (len(actors) != 1)}, {sum(peer.threads for peer in actors)} threads, "
            f"{words.number(speed)} steps a second; "
            + ", ".join(f"{states.count(s.upper())} {s}" for s in ("running", "queued", "paused"))
            + (f"; builds differ: {', '.join(builds)}" if len(builds) > 1 else "")
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
            "work": f"{peer.work} of {peer.shard_slots} shards"
            if learner
            else f"{peer.work} units",
            "speed": words.number(peer.env_steps_per_second) if peer.work else "–",
            "threads": "–" if learner else peer.threads,
            "trip": f"{trip:.1f} ms" if peer.HasField("round_trip") else "–",
            "since": words.span(time.time() - peer.connect_time.ToNanoseconds() / 1e9),
            "host": peer.host,
            "build": peer.build,
            "memory": _memory(peer) if learner else "–",
            "kind": f"{device} {results[:8]}" if results else "–",
            "draining": peer.draining,
        }

    async def _drain(self, event: Any) -> None:
        name = str(event.args)
        if await self._page.confirm(
            f"Drain {short(name)}?", "Drain it", "It finishes its work and takes no more."
        ):
            await self._page.try_call(self._page.client.drain, name)


@view("/fleet", "Fleet")
def fleet(page: Page, names: Dict[str, str]) -> None:
    Fleet(page)
