"""View: the life of one agent of an evaluation, in numbers, a film and maps of attention."""

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

from ..errors import MentorError, usage
from ..evaluation import method_name
from ..v1.evaluation_pb2 import EvaluatedLifetime, EvaluationShard, SignalMaps
from . import words
from .page import Page, view, web
from .parts import Lines, alert, button, field, heading, panel, row, text
from .places import Places
from .report import environment, fetch, run

_RESULTS_BYTES_MAX = 64 << 20  # Results of an evaluation, which a page reads whole.
_LIFE_NUMBERS_MAX = 1 << 20  # Steps of a life that is drawn.
_PICTURE_BYTES_MAX = 8 << 20
_SECONDS_MAX = 900.0  # For one program.
_SHAPED = "shaped reward (right axis)"
_at_once = Places(2, 1)
_Agent = Tuple[str, str, int]  # Split, environment, goal.
_Say = Callable[[str], None]
_Pictures = List[Tuple[str, bytes]]
_Make = Callable[[pathlib.Path, Dict[str, str], _Say], Awaitable[_Pictures]]


def lives_of(shards: Sequence[EvaluationShard]) -> Dict[_Agent, Dict[str, EvaluatedLifetime]]:
    """The first life on each goal, by agent and teacher: the one that `mentor env render` draws."""
    found: Dict[_Agent, Dict[str, EvaluatedLifetime]] = {}
    for shard in sorted(shards, key=lambda one: one.taught_by):
        for life in shard.lifetimes:
            lives = found.setdefault((shard.split, life.environment, life.goal), {})
            known = lives.setdefault(method_name(shard), life)
            if life.number < known.number:
                lives[method_name(shard)] = life
    return dict(sorted(found.items()))


def _read(shards: Sequence[EvaluationShard]) -> Tuple[Dict[_Agent, Any], bool]:
    """The lives, and whether any of them succeeds. A call."""
    found = lives_of(shards)
    every = (life for lives in found.values() for life in lives.values())
    return found, any(any(life.episode_success) for life in every)


def _name(agent: _Agent) -> str:
    return "{1}, {0} goal {2}".format(*agent)


def by_iteration(values: Sequence[float], counts: Sequence[int]) -> List[Tuple[float, float]]:
    """Means over the inner iterations, each of so many values."""
    parts = enumerate(zip(itertools.accumulate(counts), counts))
    return [(i, sum(values[end - count : end]) / count) for i, (end, count) in parts if count]


def episode_steps(life: EvaluatedLifetime) -> int:
    """How long each episode was, if all were equally long: then the shaped rewards of the first and
    of the last add up to their returns. Otherwise 0."""
    returns, shaped = life.episode_return, life.shaped
    length = len(shaped) // max(1, len(returns))
    if not length or len(shaped) != length * len(returns):
        return 0
    sums = (sum(shaped[:length]), returns[0]), (sum(shaped[-length:]), returns[-1])
    return length if all(abs(a - b) <= 1e-3 * max(1, abs(b)) for a, b in sums) else 0


class Life:
    def __init__(self, page: Page, id: str):
        self._page, self._id = page, id
        self._lives: Dict[_Agent, Dict[str, EvaluatedLifetime]] = {}
        self._succeeds = False
        self._jobs: Dict[str, "asyncio.Task[Any]"] = {}
        heading(f"A life in {id}")
        ui.link("The experiment", f"/experiments/{urllib.parse.quote(id)}")
        self._wrong = alert()
        self._about = text("Loading …", "quiet", "role=status")
        with row():
            self._agent = field(ui.select({}, label="Agent", on_change=self._draw)).classes("grow")
            self._teacher = field(ui.select({}, label="Taught by", on_change=self._draw))
            self._teacher.classes("grow")
        self._place = row("panels")
        page.start(self._begin)
        page.browser.on_delete(lambda: [job.cancel() for job in self._jobs.values()])

    async def _begin(self) -> None:
        client = self._page.client
        try:
            self._one = await self._page.call_until_answered(client.get, self._id)
            files = await self._page.call(client.artifacts, self._id)
            size = sum(one.size_bytes for one in files if "/artifacts/evaluation/" in one.name)
            if size > _RESULTS_BYTES_MAX:
                raise usage("evaluation", f"has {words.size(size)}: mentor report shows it")
            self._lives, self._succeeds = await self._page.call(
                lambda: _read(client.evaluation_shards(self._id))
            )
        except MentorError as error:
            self._wrong.set_text(error.message)
        if not self._lives:
            self._about.set_text(
                "There is no evaluation to show. It follows the last outer update, and needs "
                "evaluation.lifetimes_per_goal above 0."
            )
            return
        self._build()
        teachers = dict.fromkeys(name for lives in self._lives.values() for name in lives)
        self._teacher.set_options({name: name.replace("_", " ") for name in teachers})
        self._teacher.set_value(next(iter(teachers)))
        self._agent.set_options({one: _name(one) for one in self._lives})
        self._agent.set_value(next(iter(self._lives)))

    def _build(self) -> None:
        every = [life for lives in self._lives.values() for life in lives.values()]
        what, age = "Success" if self._succeeds else "Shaped return", "updates that it has made"
        with self._place:
            self._success = Lines(f"{what} along its life", self._succeeds, x=age)
            self._signals = []
            if any(life.signal for life in every):
                self._signals = [
                    Lines("Signal along its life", x=age, right=_SHAPED),
                    Lines("Signal at its beginning", x="step", right=_SHAPED),
                    Lines("Signal at its end", x="step", right=_SHAPED),
                ]
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
        what = "episode_success" if self._succeeds else "episode_return"
        self._success.show(
            {
                name.replace("_", " "): by_iteration(getattr(one, what), one.segment_episodes)
                for name, one in lives.items()
            }
        )
        done, after = f"{len(life.episode_success)} episodes.", life.deterministic_success
        if self._succeeds:
            done = f"{done[:-1]}, {sum(life.episode_success):.0f} successful."
        if after and self._succeeds:
            done += f" After its life, without noise: {sum(after):.0f} of {len(after)}."
        length, count = episode_steps(life), len(life.segment_episodes)
        if not life.signal:
            done += " No signal of this life was kept."
        elif not length:
            done += " Its episodes differ in length: the charts by step show inner iterations."
            length = len(life.signal) // count
        if len(life.shaped) > _LIFE_NUMBERS_MAX:
            self._about.set_text(f"{done} Its signals are too many for a page.")
            return
        self._about.set_text(done)
        known = {"signal (left axis)": list(life.signal), _SHAPED: list(life.shaped)}
        counts, most = [len(life.signal) // count] * count, min(length, web().flags.points_max)
        by_age = {name: by_iteration(one, counts) for name, one in known.items()}
        steps = [1] * most
        first = {name: by_iteration(one, steps) for name, one in known.items()}
        last = {name: by_iteration(one[-length:], steps) for name, one in known.items()}
        for chart, points in zip(self._signals, (by_age, first, last)):
            chart.show(points)

    # What programs of Mentor make on this host: the agent lives again, bit for bit.

    def _offer(self, name: str, make: _Make) -> None:
        """A button that makes pictures, with what it says meanwhile and the place for them."""
        begin = button(name, lambda: start_or_stop())
        said, place = text("", "quiet", "role=status"), row()
        if shutil.which("mentor") is None:
            begin.set_visibility(False)
            said.set_text(
                "The program `mentor` makes this, which is not on the PATH of mentor-web. Where it "
                f"is: mentor fetch {self._id}, then mentor env render --help."
            )

        async def work() -> None:
            begin.set_text("Stop")
            said.classes(replace="quiet").set_text("Waits for other work on this host …")
            try:
                async with _at_once.of(self._page.session.owner):
                    pictures = await self._make(make, said.set_text)
                place.clear()
                with place:
                    for title, data in pictures:
                        _show(title, data)
                said.set_text("" if pictures else "This network shows nothing.")
            except (RuntimeError, OSError, MentorError) as error:
                said.classes(replace="wrong").set_text(str(error))
            finally:
                begin.set_text(name)

        def start_or_stop() -> None:
            if name in self._jobs and not self._jobs[name].done():
                self._jobs[name].cancel()
                said.set_text("Stopped.")
            else:
                self._jobs[name] = background_tasks.create(work())

    async def _make(self, make: _Make, say: _Say) -> _Pictures:
        with tempfile.TemporaryDirectory(prefix="mentor-web-") as name:
            folder = pathlib.Path(name)
            variables = environment(self._page, folder)
            await fetch(self._page, folder, variables, {"run": self._id}, say)
            say("Living again …")
            return await make(folder, variables, say)

    async def _film(self, folder: pathlib.Path, variables: Dict[str, str], say: _Say) -> _Pictures:
        split, home, goal = agent = self._agent.value
        for option in self._one.spec.benchmark.option:
            if option.name == "bundle":  # The program wants the folder of such an environment.
                home = f"run/bundles/{option.value.rpartition(':')[2]}"
        teacher = re.sub("^(ppo|learned)_|_signal$", "", self._teacher.value)
        whose = ("--policy", "run", "--split", split, "--goal", str(goal), "--teacher", teacher)
        how = ("--episode", "both", "--fps", "10", "--out", "film.gif", "--", home)
        said = await run(
            *(folder, variables, "env", "render", *whose, *how),
            seconds=_SECONDS_MAX,
            tell=lambda line: say(re.sub(r" *\[[#-]*\] *", " ", line)),
        )
        title = f"{_name(agent)}\n{said.replace('film.gif', '').strip()}"
        return [(title, (folder / "film.gif").read_bytes())]

    async def _maps(self, folder: pathlib.Path, variables: Dict[str, str], say: _Say) -> _Pictures:
        spec = self._one.spec
        one_life = ("--goals", "1", "--lifetimes", "1", "--baselines", "none", "--weights", "last")
        asked = ("evaluate", "run", "--seeds", f"{spec.seed}-{spec.seed}", *one_life, "--quiet")
        await run(folder, variables, *asked, seconds=_SECONDS_MAX)
        say("Drawing …")
        await run(folder, variables, "report", "run")
        found = folder.glob("run/experiments/*/evaluations/maps.binpb")
        maps = [one for file in found for one in SignalMaps.FromString(file.read_bytes()).map]
        age = [words.part_name(f"seg{one.iteration}", spec) for one in maps]
        titles = (f"{one.name}, {when}" for one, when in zip(maps, age))
        files = sorted(folder.glob("run/report/map_*.png"))
        if maps and not files:
            raise RuntimeError("gnuplot draws the maps, and is not on the PATH of mentor-web")
        return [(title, file.read_bytes()) for title, file in zip(titles, files)]


def _show(title: str, data: bytes) -> None:
    if len(data) > _PICTURE_BYTES_MAX:
        raise RuntimeError(f"the picture has {words.size(len(data))}, too much for a page")
    kind = "gif" if data.startswith(b"GIF") else "png"
    with ui.element("figure").classes("figure"):
        image = ui.element("img")
        image.props["src"] = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        image.props["alt"] = title
        text(title, "log")


@view("/experiments/{id}/life", "Life", listed=False)
def life(page: Page, names: Dict[str, str]) -> None:
    Life(page, names["id"])
