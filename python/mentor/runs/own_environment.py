"""mentor.run(..., env=...): a class of Gymnasium, or a function that makes one, as a simulator.

A thing that a module has is named; all else goes to the simulators as a pickle. The run's folder
keeps the pickle, so that a later process can evaluate and export the run.
"""

from __future__ import annotations

import collections.abc
import difflib
import importlib
import json
import linecache
import os
import pathlib
import re
import shlex
import shutil
import sys
import warnings
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .. import programs, specs

NAME = "own"  # That of the simulator, in specs and flags.
_FOLDER = "environment"  # Lies in a run's folder.
_FAILED_STEP = "failed_step"  # The wrapper that ends an episode at a number that is not finite.
_INSTALL = "pip install 'mentor[env]', or './python[env]' in a clone"
NO_SUCCESS = (
    "warning: no step reported success. Agents see it, and curves show it, where info says "
    '{"success": True} or {"is_success": True} in a step that succeeds; the override '
    '"benchmark.success" takes other rules (docs/own_environments.md)'
)


def simulators_of(folder: pathlib.Path) -> Dict[str, str]:
    """Returns the simulator that a run's folder has kept; nothing for other runs."""
    file = folder / _FOLDER / "simulator.json"
    if not file.is_file():
        return {}
    return {NAME: _command(json.loads(file.read_text(encoding="utf-8")), folder / _FOLDER)}


def _command(facts: Mapping[str, Any], folder: pathlib.Path, *more: str) -> str:
    words = ["env", "PYTHONPATH=" + os.pathsep.join(facts["path"]), facts["python"]]
    words += ["-m", "mentor_env"]
    words += ["--make", facts["place"]] if facts["place"] else ["--pickle", str(folder / "pickle")]
    return " ".join(shlex.quote(word) for word in [*words, *more])


def _path() -> List[str]:
    """Returns the folders of this process's modules, but for those of every Python."""
    every = (*(os.path.join(one, "lib") for one in (sys.prefix, sys.base_prefix)), "/usr/local/lib")
    return [os.path.abspath(one) for one in sys.path if not one.startswith(every)]


class OwnEnvironment:
    """What one call of mentor.run knows of its env. `folder` is the call's temporary one."""

    def __init__(
        self, env: Callable[..., Any], overrides: specs.Overrides, folder: programs.PathLike
    ) -> None:
        if not callable(env):
            kind = type(env).__name__
            such = f"{kind} or lambda: {kind}(...)"
            if isinstance(env, str):
                such = f"lambda: gymnasium.make({json.dumps(env)})"
            raise TypeError(
                f"env is {env!r}; give a class of Gymnasium or a function that makes an "
                f"environment, such as {such}"
            )
        try:
            cloudpickle = importlib.import_module("cloudpickle")
            self._owned = importlib.import_module("mentor_env.own")
            place = importlib.import_module("mentor_env.source").importable(env)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"env= needs the Python module {error.name}, which {sys.executable} lacks: "
                f"{_INSTALL}",
                name=error.name,
            ) from None
        self._folder = pathlib.Path(folder)
        self._facts = {"place": place, "path": _path(), "python": sys.executable}
        try:
            data = b"" if place else cloudpickle.dumps(env)
        except Exception as error:
            raise TypeError(
                f"env: cannot be sent to the simulators' processes: {error}; put it into a module, "
                "or make what cannot be sent inside of the function"
            ) from error
        (self._folder / "pickle").write_bytes(data)
        text = json.dumps(self._facts, indent=1) + "\n"
        (self._folder / "simulator.json").write_text(text, encoding="utf-8")
        self._errors = self._folder / "error.json"
        self.simulators = {NAME: _command(self._facts, self._folder, "--errors", str(self._errors))}
        self._options, self.overrides = _split(overrides)
        self._id = self._owned.id_of(env)
        self._try(env)

    def _try(self, env: Callable[..., Any]) -> None:
        options = {
            name: value if isinstance(value, str) else programs.value_text(value)
            for name, value in self._options.items()
            if name not in _OF_BENCHMARK
        }
        for text in self.overrides if isinstance(self.overrides, list) else ():
            found = re.fullmatch(r"benchmark\.(\w+)=(.*)", str(text), re.DOTALL)
            if found and found[1] not in _OF_BENCHMARK:
                options[found[1]] = found[2]
        wrappers = [str(one.get("name")) for one in self._options.get("wrapper", [])]
        for slip in difflib.get_close_matches(_FAILED_STEP, wrappers):
            if slip != _FAILED_STEP:  # The trial would only say which number is not finite.
                raise ValueError(
                    f"benchmark.wrapper: unknown wrapper {slip!r}; did you mean {_FAILED_STEP!r}?"
                )
        try:
            trial = self._owned.try_out(
                env, {"id": self._id, **options}, _FAILED_STEP not in wrappers
            )
        except self._owned.Refused as refused:
            raise ValueError(f"env: {refused}{self._hint(str(refused))}") from None
        if trial.differs:
            warnings.warn(
                f"{self._id}: {trial.differs}; the same call will not have the same bits again",
                stacklevel=4,
            )
        if not trial.says_success:
            warnings.warn(
                f"{self._id}: info has neither success nor is_success in some hundred random steps"
                f"; {NO_SUCCESS.partition('. ')[2]}",
                stacklevel=4,
            )

    def _hint(self, refused: str) -> str:
        """Says where an option is given, if the refusal is about one."""
        told = re.search(r"(?:^|; set )(\w+)(?: is '| names |$)", refused)
        if not told or told[1] not in self._owned.OPTIONS:
            return ""
        example = 100 if told[1] == "episode_steps" else "..."
        return f"; options are overrides: {{'benchmark.{told[1]}': {example}}}"

    def replaces_benchmark(
        self, spec: specs.SpecLike, bundles: Any, simulators: Optional[Mapping[str, str]]
    ) -> specs.Spec:
        """Returns the spec with this environment in the place of its benchmark."""
        fields: Dict[str, Any] = {"name": "single", "environment": "host", "host": NAME}
        benchmark = {**fields, "id": self._id, **self._options}
        mine = {**(simulators or {}), **self.simulators}
        if isinstance(spec, collections.abc.Mapping) and "base" not in spec:
            return specs.spec({**spec, "benchmark": benchmark}, bundles=bundles, simulators=mine)
        whole = specs.spec(spec, bundles=bundles, simulators=mine)
        text = re.sub(r"^benchmark \{\n.*?^\}\n", "", whole.text, flags=re.MULTILINE | re.DOTALL)
        plain = "\n".join(
            ["benchmark {", *(f"  {k}: {json.dumps(v)}" for k, v in fields.items())]
            + [f"  id: {json.dumps(self._id)}", *_lines(self._options), "}", text]
        )
        # Not checked yet: the overrides, which are to come, may make it right.
        return specs.Spec(plain, whole.name, whole.run_folder, whole.hash)

    def failed(self) -> bool:
        return self._errors.exists()

    def quieter(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Leaves out what each actor says of the exception, which `failure` says better."""
        return lambda line: None if f"simulator {NAME} failed" in line else say(line)

    def failure(self) -> str:
        """Returns the exception that a simulator met, and the lines of the user's files."""
        told = json.loads(self._errors.read_text(encoding="utf-8"))
        lines = [told["what"]]
        for file, line, function in told["frames"]:
            lines.append(f'  File "{file}", line {line}, in {function}')
            text = linecache.getline(file, line).strip()
            lines += [f"    {text}"] if text else []
        return "\n".join(lines)

    def keep(self, folder: pathlib.Path) -> None:
        """Copies the simulator's files into the run's folder, once the folder is that of a run."""
        target = folder / _FOLDER
        if target.exists() or not (folder / "FORMAT").is_file():
            return
        partial = folder / f"{_FOLDER}.part"
        shutil.rmtree(partial, ignore_errors=True)  # A killed process left it.
        shutil.copytree(self._folder, partial, ignore=shutil.ignore_patterns("*.*txtpb", "error*"))
        os.replace(partial, target)

    def words(self, said: str, folder: pathlib.Path) -> str:
        """Returns what the program said, with the command of this call as it will be later."""
        kept = simulators_of(folder).get(NAME, self.simulators[NAME])
        then, now = (f"{NAME}={one}" for one in (self.simulators[NAME], kept))
        return said.replace(shlex.quote(then), shlex.quote(now))


_OF_BENCHMARK = ("wrapper", "goal_seed", "tasks", "facts")  # All else goes to the simulator.


def _split(overrides: specs.Overrides) -> Tuple[Dict[str, Any], specs.Overrides]:
    """Returns the options of the benchmark, and all other overrides. Texts stay as they are."""
    if not isinstance(overrides, collections.abc.Mapping):
        return {}, [overrides] if isinstance(overrides, str) else overrides
    options: Dict[str, Any] = {}
    left: Dict[str, Any] = {}
    for path, value in overrides.items():
        if path == "benchmark" and isinstance(value, collections.abc.Mapping):
            options.update(value)
        elif str(path).startswith("benchmark."):
            options[str(path).partition(".")[2]] = value
        else:
            left[str(path)] = value
    wrappers = options.get("wrapper")
    if isinstance(wrappers, (str, collections.abc.Mapping)):
        options["wrapper"] = [wrappers]
    if "wrapper" in options:
        named = [{"name": one} if isinstance(one, str) else one for one in options["wrapper"]]
        options["wrapper"] = named
    return options, left


def _lines(options: Mapping[str, Any]) -> List[str]:
    """Writes options as a spec's text: groups in braces, and texts and numbers."""
    lines = []
    for name, value in options.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, collections.abc.Mapping):
                lines.append(f"  {name} {{ {' '.join(_lines(one))} }}")
            elif isinstance(one, str):
                lines.append(f"  {name}: {json.dumps(one)}")
            else:
                lines.append(f"  {name}: {programs.value_text(one)}")
    return lines
