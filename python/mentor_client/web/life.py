"""View: the life of one agent of an evaluation, in numbers, films and maps of attention."""

from __future__ import annotations

import asyncio
import base64
import itertools
import pathlib
import re
import shutil
import tempfile
import urllib.parse
from typing import Any, Awaitable, Callable, Dict, List, Sequence, Tuple

from nicegui import background_tasks, ui

from ..errors import MentorError
from ..evaluation import method_name
from ..v1.evaluation_pb2 import EvaluatedLifetime, EvaluationShard, SignalMaps
from . import words
from .page import Page, view, web
from .parts import Lines, alert, button, field, heading, panel, row, text
from .report import environment, run

_RESULTS_BYTES_MAX = 64 << 20  # Results of an evaluation, which a page reads whole.
_RUN_BYTES_MAX = 2 << 30  # A copy of the experiment, while a film is made of it.
_PICTURE_BYTES_MAX = 8 << 20
_SECONDS_MAX = 900.0  # For one program.
_SHAPED = "shaped reward (right axis)"
_one_at_a_time = asyncio.Semaphore(1)
_Agent = Tuple[str, str, int]  # Split, environment, goal.
_Points = List[Tuple[float, float]]
_Make = Callable[[pathlib.Path, Callable[[str], None]], Awaitable[Sequence[Tuple[str, bytes]]]]


def lives_of(shards: Sequence[EvaluationShard]) -> Dict[_Agent, Dict[str, EvaluatedLifetime]]:
    """The first life on each goal, by agent and teacher: the one that `mentor env render` draws."""
    found: Dict[_Agent, Dict[str, EvaluatedLifetime]] = {}
    for shard in sorted(shards, key=lambda one: one.taught_by):
        for life in shard.lifetimes:
            of_agent = found.setdefault((shard.split, life.environment, life.goal), {})
            known = of_agent.get(method_name(shard))
            if known is None or life.number < known.number:
                of_agent[method_name(shard)] = life
    return dict(sorted(found.items()))


def by_iteration(values: Sequence[float], counts: Sequence[int]) -> _Points:
    """Means over the inner iterations, each of so many values."""
    ends = itertools.accumulate(counts)
    return [
        (number, sum(values[end - count : end]) / count)
        for number, (end, count) in enumerate(zip(ends, counts))
        if count
    ]


def episode_steps(life: EvaluatedLifetime) -> int:
    """How long each episode was, if all were equally long: the shaped rewards of the first and of
    the last add up to their returns. Otherwise 0."""
    returns, shaped = life.episode_return, life.shaped
    length = len(shaped) // max(1, len(returns))
    if not length or len(shaped) != length * len(returns):
        return 0
    sums = (sum(shaped[:length]), returns[0]), (sum(shaped[-length:]), returns[-1])
    return length if all(abs(a - b) <= 1e-3 * max(1, abs(b)) for a, b in sums) else 0


def option(teacher: str) -> str:
    """The teacher in a command: learned_best is best, ppo_sparse is sparse."""
    return re.sub("^(ppo|learned)_|_signal$", "", teacher)


class Life:
    def __init__(self, page: Page, id: str):
        self._page, self._id = page, id
        self._lives: Dict[_Agent, Dict[str, EvaluatedLifetime]] = {}
        self._jobs: Dict[str, "asyncio.Task[Any]"] = {}
        heading(f"A life in {id}")
        ui.link("The experiment", f"/experiments/{urllib.parse.quote(id)}")
        self._wrong = alert()
        self._about = text("Loading …", "quiet", "role=status")
        with row():
            self._agent = field(ui.select([], label="Agent", on_change=self._draw)).classes("grow")
            self._teacher = field(ui.select([], label="Taught by", on_change=self._draw))
            self._teacher.classes("grow")
        self._place = row("panels")
        page.start(self._begin)
        page.browser.on_delete(self._stop)

    def _stop(self) -> None:
        for job in self._jobs.values():
            job.cancel()

    async def _begin(self) -> None:
        client = self._page.client
        try:
            self._one = await self._page.call(client.get, self._id)
            files = await self._page.call(client.artifacts, self._id)
            size = sum(one.size_bytes for one in files if "/artifacts/evaluation/" in one.name)
            if size > _RESULTS_BYTES_MAX:
                self._wrong.set_text(
                    f"The evaluation has {words.size(size)}, and a page reads at most "
                    f"{words.size(_RESULTS_BYTES_MAX)}; mentor fetch and mentor report read more."
                )
                return
            self._lives = lives_of(await self._page.call(client.evaluation_shards, self._id))
        except MentorError as error:
            self._wrong.set_text(error.message)
            return
        if not self._lives:
            self._about.set_text(
                "There is no evaluation yet. It follows the last outer update, and needs "
                "evaluation.lifetimes_per_goal above 0."
            )
            return
        self._build()
        agents = {agent: "{1}, goal {2}, {0}".format(*agent) for agent in self._lives}
        teachers = dict.fromkeys(name for lives in self._lives.values() for name in lives)
        self._teacher.set_options({name: name.replace("_", " ") for name in teachers})
        self._agent.set_options(agents)
        self._teacher.set_value(next(iter(teachers)))
        self._agent.set_value(next(iter(agents)))

    def _build(self) -> None:
        every = [life for lives in self._lives.values() for life in lives.values()]
        self._succeeds = any(any(life.episode_success) for life in every)
        what = "Success" if self._succeeds else "Shaped return"
        age = "updates that the agent has made"
        beside = {"right": _SHAPED}
        with self._place:
            self._success = Lines(f"{what} along its life", self._succeeds, x=age)
            if any(life.signal for life in every):
                self._signal = Lines("Signal along its life", x=age, **beside)
                self._first = Lines("Signal at its beginning", x="step", **beside)
                self._last = Lines("Signal at its end", x="step", **beside)
            with panel("Its first and its last episode", wide=True):
                self._offer("Make the film", self._film)
            if self._one.spec.signal.name == "attention":
                with panel("What the network attends to", wide=True):
                    text("The first agent that the learned signal teaches on a test goal.", "quiet")
                    self._offer("Draw the maps", self._maps)

    def _draw(self) -> None:
        lives = self._lives.get(self._agent.value, {})
        life = lives.get(self._teacher.value)
        if life is None:
            return
        self._success.show(
            {
                name.replace("_", " "): by_iteration(
                    one.episode_success if self._succeeds else one.episode_return,
                    one.segment_episodes,
                )
                for name, one in lives.items()
            }
        )
        done = f"{len(life.episode_success)} episodes, {sum(life.episode_success):.0f} successful."
        after = life.deterministic_success
        if after:
            done += f" After its life, without noise: {sum(after):.0f} of {len(after)}."
        length = episode_steps(life)
        if not life.signal:
            done += " No signal of this life was kept."
        elif not length:
            done += " Its episodes differ in length: the charts by step show inner iterations."
        self._about.set_text(done)
        if hasattr(self, "_signal"):
            self._draw_signal(life, length or len(life.signal) // len(life.segment_episodes))

    def _draw_signal(self, life: EvaluatedLifetime, length: int) -> None:
        known = {"signal (left axis)": list(life.signal), _SHAPED: list(life.shaped)}
        count = len(life.segment_episodes)
        counts = [len(life.signal) // count] * count
        self._signal.show({name: by_iteration(one, counts) for name, one in known.items()})
        most = min(length, web().flags.points_max)
        first = {name: list(enumerate(one[:most])) for name, one in known.items()}
        last = {name: list(enumerate(one[-length:][:most])) for name, one in known.items()}
        self._first.show(first)
        self._last.show(last)

    # What programs of Mentor make on this host: the agent lives again, bit for bit.

    def _offer(self, name: str, make: _Make) -> None:
        """A button that makes pictures, with what it says meanwhile and the place for them."""
        missing = shutil.which("mentor") is None
        begin = button(name, lambda: self._start_or_stop(name, begin, said, place, make))
        said, place = text("", "quiet", "role=status"), row()
        begin.set_visibility(not missing)
        if missing:
            said.set_text(
                "The program `mentor` makes this, which is not on the PATH of mentor-web. Where it "
                f"is: mentor fetch {self._id}, then mentor env render --help."
            )

    def _start_or_stop(self, name: str, begin: Any, said: Any, place: Any, make: _Make) -> None:
        async def work() -> None:
            begin.set_text("Stop")
            said.classes(replace="quiet").set_text("Waits for other work on this host …")
            try:
                async with _one_at_a_time:
                    with tempfile.TemporaryDirectory(prefix="mentor-web-") as folder:
                        pictures = await make(pathlib.Path(folder), said.set_text)
                place.clear()
                with place:
                    for title, data in pictures:
                        _show(title, data)
                said.set_text("" if pictures else "This network shows nothing.")
            except (RuntimeError, OSError, MentorError) as error:
                said.classes(replace="wrong").set_text(str(error))
            finally:
                begin.set_text(name)

        if name in self._jobs and not self._jobs[name].done():
            self._jobs[name].cancel()
            said.set_text("Stopped.")
        else:
            self._jobs[name] = background_tasks.create(work())

    async def _fetch(self, folder: pathlib.Path, say: Callable[[str], None]) -> Dict[str, str]:
        client = self._page.client

        def bytes_of_it() -> int:
            checkpoints = [one.size_bytes for one in client.checkpoints(self._id)]
            files = sum(one.size_bytes for one in client.artifacts(self._id))
            return files + max(checkpoints, default=0)

        size = await self._page.call(bytes_of_it)
        if size > _RUN_BYTES_MAX:
            raise RuntimeError(f"the experiment has {words.size(size)}; mentor fetch takes it")
        say(f"Fetching {words.size(size)} …")
        variables = environment(self._page, folder)
        await run(folder, variables, "fetch", "--quiet", "--out", "run", "--", self._id)
        return variables

    async def _film(
        self, folder: pathlib.Path, say: Callable[[str], None]
    ) -> Sequence[Tuple[str, bytes]]:
        split, name, goal = self._agent.value
        teacher = self._teacher.value
        variables = await self._fetch(folder, say)
        say("Living again …")
        of = (
            "--policy",
            "run",
            "--split",
            split,
            "--goal",
            str(goal),
            "--teacher",
            option(teacher),
        )
        asked = ("env", "render", *of, "--episode", "both", "--fps", "10", "--out", "film.gif")
        say_line = lambda line: say(re.sub(r" *\[[#-]*\] *", " ", line))
        printed = await run(
            folder, variables, *asked, "--", name, seconds=_SECONDS_MAX, tell=say_line
        )
        return [(printed.replace("film.gif", "").strip(), (folder / "film.gif").read_bytes())]

    async def _maps(
        self, folder: pathlib.Path, say: Callable[[str], None]
    ) -> Sequence[Tuple[str, bytes]]:
        variables = await self._fetch(folder, say)
        say("Living again …")
        seed = self._one.spec.seed
        one_life = ("--goals", "1", "--lifetimes", "1", "--baselines", "none", "--weights", "last")
        asked = ("evaluate", "run", "--seeds", f"{seed}-{seed}", *one_life, "--quiet")
        await run(folder, variables, *asked, seconds=_SECONDS_MAX)
        found = next(folder.glob("run/experiments/*/evaluations/maps.binpb"), None)
        if found is None:
            return []
        say("Drawing …")
        await run(folder, variables, "report", "run")
        maps = SignalMaps.FromString(found.read_bytes()).map
        return [
            (f"{one.name}, {words.part_name(f'seg{one.iteration}')}", file.read_bytes())
            for one, file in zip(maps, sorted(folder.glob("run/report/map_*.png")))
        ]


def _show(title: str, data: bytes) -> None:
    if len(data) > _PICTURE_BYTES_MAX:
        raise RuntimeError(f"the picture has {words.size(len(data))}, too much for a page")
    with ui.element("figure").classes("figure"):
        image = ui.element("img")
        kind = "gif" if data.startswith(b"GIF") else "png"
        image.props["src"] = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        image.props["alt"] = title
        text(title, "log")


@view("/experiments/{id}/life", "Life", listed=False)
def life(page: Page, names: Dict[str, str]) -> None:
    Life(page, names["id"])
