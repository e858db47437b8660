"""mentor-sweep."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
import tempfile
from typing import Any, Optional, Sequence

import grpc

from ..client import Client
from ..command import (
    DONE,
    SERVICE_ON_A_LAPTOP,
    add_connection,
    connect,
    needs,
    parser,
    run,
    with_underscores,
)
from ..errors import MentorError
from . import report, storage
from .local_service import LocalService
from .study import Study, cancel, check, settings_text, suggest
from .study_file import INSTALL, StudyFile, missing_folder, read_study, with_spec

_ABOUT = """Searches settings of a spec by Optuna: TPE chooses them, Hyperband ends trials that are
behind; or tries every combination of a grid. Every trial is an experiment of a service for each
seed. A call that was ended anywhere is repeated: the study goes on. docs/studies.md says what
study.yaml may hold."""
_EXAMPLES = """\
mentor-sweep study.yaml --dry_run          # checks the study and shows its first settings
mentor-sweep study.yaml                    # with the service of --server or MENTOR_SERVER
mentor-sweep study.yaml --dry_run --local  # the same, with a service of its own
mentor-sweep study.yaml --local            # with a service of this machine, as long as it takes
mentor-sweep study.yaml --plots plots      # importance.png, parallel.png, ...
mentor-sweep study.yaml --show --best 20   # what it found so far
mentor-sweep study.yaml --show --metric seg0 --csv trials.csv
mentor-sweep study.yaml --cancel           # ends its experiments"""


def _parser() -> argparse.ArgumentParser:
    top = parser("mentor-sweep", _ABOUT, _EXAMPLES)
    top.add_argument("study", metavar="STUDY.yaml", type=pathlib.Path)
    what = top.add_mutually_exclusive_group()
    what.add_argument(
        "--dry_run",
        action="store_true",
        help="check the file, and the experiments with the service if it answers, or with that of "
        "--local, which then leaves no folder; create nothing",
    )
    what.add_argument("--show", action="store_true", help="print the best trials, do no more")
    what.add_argument(
        "--cancel", action="store_true", help="cancel the study's experiments, and stop there"
    )
    top.add_argument(
        "--local",
        action="store_true",
        help="run a service of this machine meanwhile; its state: NAME.service",
    )
    top.add_argument(
        "--simulator",
        "--host",
        metavar="NAME=COMMAND",
        action="append",
        default=[],
        help="with --local: a simulator that its actor offers; may be repeated (old name: --host)",
    )
    top.add_argument(
        "--plots", metavar="DIR", type=pathlib.Path, help="draw plots into this folder"
    )
    top.add_argument(
        "--metric",
        metavar="NAME",
        action="append",
        default=[],
        help="a further column of the table: this metric of the same outer updates, mean over the "
        "seeds; may be repeated",
    )
    top.add_argument(
        "--csv", metavar="FILE", type=pathlib.Path, help="write all trials into this file"
    )
    top.add_argument(
        "--best",
        metavar="NUMBER",
        type=_at_least_one,
        help="trials in the table, 1 or more; default: 10, and all of a grid",
    )
    add_connection(top)
    return top


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is '{text}'; give a whole number from 1 on")
    return int(text)


def _dry_run(file: StudyFile, flags: argparse.Namespace) -> None:
    optuna = needs("optuna", INSTALL, "mentor-sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    checked = _checked(file, flags)
    file = checked or file
    seeds = ", ".join(map(str, file.seeds))
    updates = f" of {file.updates} outer updates" if checked else ""
    print(
        f"{file.name}: {file.trials} trials{updates}, {file.parallel} at once, seeds {seeds}; "
        f"{'greatest' if file.objective.maximise else 'least'} "
        f"{file.objective.words()}; pruner {file.pruner.name}; {file.storage}"
    )
    folder = missing_folder(file.storage)
    if folder:
        print(f"storage: the folder {folder} does not exist; the study makes it when it starts")
    study = optuna.create_study()
    for number in range(min(3, file.trials)):
        study.sampler = storage.sampler(file, number)
        print(f"trial {number}: {settings_text(suggest(study, study.ask(), file))}")
    print(
        "the service accepts it"
        if checked
        else "the spec and its settings were not checked, as no service answers; --local brings "
        f"one, or start it:\n  {SERVICE_ON_A_LAPTOP}"
    )


def _checked(file: StudyFile, flags: argparse.Namespace) -> Optional[StudyFile]:
    """Returns the study with its spec, which the service accepts. None if no service answers."""
    try:
        with contextlib.ExitStack() as stack:
            server = flags.server
            if flags.local:
                state = stack.enter_context(tempfile.TemporaryDirectory(prefix="mentor-sweep-"))
                service = LocalService(pathlib.Path(state), flags.simulator)
                server = stack.enter_context(service).server
            client = stack.enter_context(connect(server, timeout=30.0 if flags.local else 5.0))
            return _read(file, flags, client)
    except MentorError as error:
        if error.code != grpc.StatusCode.UNAVAILABLE or flags.local:
            raise
        return None


def _read(file: StudyFile, flags: argparse.Namespace, client: Client) -> StudyFile:
    """Returns the study with its spec, which the service accepts."""
    file = with_spec(file, client)
    _check_hosts(file, flags)
    check(file, client)
    return file


def _check_hosts(file: StudyFile, flags: argparse.Namespace) -> None:
    """Checks for an actor that offers the study's host; experiments would wait forever without
    it."""
    benchmark = file.experiment.spec.benchmark
    options = {one.name: one.value for one in benchmark.option}
    wanted = options.get("host", "") if benchmark.environment == "host" else ""
    offered = [one.partition("=")[0] for one in flags.simulator]
    if flags.local and wanted and wanted not in offered:
        raise MentorError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"the spec's environment is of simulator '{wanted}'; "
            f"give --simulator {wanted}='COMMAND', too",
            reason="INVALID_FIELD",
        )


def _cancel(file: StudyFile, client: Client) -> None:
    study = storage.open_study(file, create=False)
    uid = study.user_attrs.get("mentor.uid", "")
    count = 0
    for experiment in client.list(f'labels.sweep="{file.name}" AND labels.study="{uid}"'):
        if not experiment.is_final:
            cancel(client, experiment.name, f"study {file.name} was cancelled")
            count += 1
    optuna = needs("optuna", INSTALL, "mentor-sweep")
    for trial in study.get_trials(deepcopy=False):
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    print(f"{count} experiments cancelled")


def _tell(file: StudyFile, study: Any, flags: argparse.Namespace, client: Optional[Client]) -> None:
    more = report.means_of(file, study, client, flags.metric) if client and flags.metric else {}
    count = flags.best or (file.trials if file.sampler == "grid" else 10)
    print(report.best_trials(file, study, count, more))
    if flags.csv:
        report.write_csv(file, study, flags.csv, more)


def _sweep(flags: argparse.Namespace) -> int:
    file = read_study(flags.study)
    if flags.simulator and not flags.local:
        raise MentorError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "--simulator goes with --local; actors of another service are started with it",
            reason="INVALID_FIELD",
        )
    if flags.dry_run:
        _dry_run(file, flags)
        return DONE
    if flags.show:
        study = storage.open_study(file, create=False)
        if flags.metric:
            with connect(flags.server) as client:
                _tell(file, study, flags, client)
        else:
            _tell(file, study, flags, None)
        if flags.plots:
            report.plots(study, flags.plots, print)
        return DONE
    with contextlib.ExitStack() as stack:
        stack.enter_context(storage.lock(file))
        server, local = flags.server, None
        if flags.local:
            folder = pathlib.Path(f"{file.name}.service")
            local = stack.enter_context(LocalService(folder, flags.simulator))
            server = local.server
            print(f"service {server}", flush=True)
        client = stack.enter_context(connect(server))
        if flags.cancel:
            _cancel(file, client)
            return DONE
        file = _read(file, flags, client)
        study = Study(
            file,
            client,
            lambda text: print(text, flush=True),
            local.check if local else lambda: None,
        )
        study.run()
        _tell(file, study.study, flags, client)
        found = study.confirm()
        if found:
            print(report.confirmed(file, found))
        if flags.plots:
            for path in report.plots(study.study, flags.plots, print):
                print(f"written {path}")
    return DONE


def main(arguments: Optional[Sequence[str]] = None) -> int:
    words = with_underscores(sys.argv[1:] if arguments is None else arguments)
    flags = _parser().parse_args(words)
    return run("mentor-sweep", lambda: _sweep(flags))


if __name__ == "__main__":
    sys.exit(main())
